"""What the catalogue and the events endpoint answer, as types: the API's description; a face.

Tests hold real answers strictly against these shapes, so the description cannot drift.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from achievements.events import MAX_BATCH_EVENTS, Event

Rarity = Annotated[
    float | None,
    Meta(description="Per cent of the users with progress who hold it; null: too few to say."),
]


class RejectedEvent(msgspec.Struct, rename="camel"):
    """One item that was refused; the others of the batch were accepted."""

    index: int
    pointer: str
    code: str
    detail: str


class AcceptedEvents(msgspec.Struct, rename="camel"):
    """The accepted events are durable; they are checked at once or within seconds."""

    accepted: int
    rejected: list[RejectedEvent]


class EventBatch(msgspec.Struct):
    """Up to 500 events. An item that is not valid is refused beside the good ones."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]


class DefinitionLevel(msgspec.Struct, rename="camel"):
    """One level of an achievement, counted from 1."""

    level: int
    target: float | None
    points: int
    sentence: str
    rarity: Rarity


class Definition(msgspec.Struct, rename="camel"):
    """An achievement as anybody may see it. One with a hidden title has an opaque slug."""

    slug: str
    name: str
    description: str
    category: str
    icon: str
    hidden: bool
    status: str
    levels: list[DefinitionLevel]
    rarity: Rarity


class Catalogue(msgspec.Struct, rename="camel"):
    """Every achievement that can be unlocked, in the order of the catalogue."""

    achievements: list[Definition]
    total_count: int
