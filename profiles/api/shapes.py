"""What the endpoints of a user answer, as types: the API's description; a face.

Tests hold real answers strictly against these shapes, so the description cannot drift.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from achievements.api.shapes import Rarity

Percent = Annotated[int, Meta(ge=0, le=100, description="100 only when it is met.")]
Tests = Annotated[int, Meta(description="Of an average: over how many tests it goes.")] | UnsetType
TestsNeeded = (
    Annotated[int, Meta(description="Of an average: how many tests it takes.")] | UnsetType
)


class UnlockedAchievement(msgspec.Struct, rename="camel"):
    """One that the user holds, with the highest level held."""

    slug: str
    name: str
    description: str
    category: str
    icon: str
    level: int
    points: int
    unlocked_at: datetime
    rarity: Rarity


class UserAchievements(msgspec.Struct, rename="camel"):
    """A profile, in the order of the catalogue."""

    user_id: int
    points: int
    unlocked_count: int
    total_count: int
    achievements: list[UnlockedAchievement]


class UserSummary(msgspec.Struct, rename="camel"):
    """What a leaderboard shows of a user."""

    user_id: int
    points: int
    unlocked_count: int
    total_count: int


class UserSummaries(msgspec.Struct, rename="camel"):
    """In the order asked for; who keeps their profile private is left out."""

    users: list[UserSummary]


class AchievementProgress(msgspec.Struct, rename="camel"):
    """The way to the next level."""

    slug: str
    level: int
    current: float | None
    target: float
    percent: Percent
    unit: str
    tests: Tests = UNSET
    tests_needed: TestsNeeded = UNSET


class UserProgress(msgspec.Struct, rename="camel"):
    """Where a user stands with every achievement that has a level ahead."""

    user_id: int
    as_of: datetime
    achievements: list[AchievementProgress]


class OutcomeUnlock(msgspec.Struct, rename="camel"):
    """One level that the test unlocked."""

    slug: str
    name: str
    description: str
    category: str
    icon: str
    level: int
    points: int
    unlocked_at: datetime
    rarity: Rarity


class OutcomeProgress(msgspec.Struct, rename="camel"):
    """One that the test moved and that is still ahead."""

    slug: str
    name: str
    level: int
    current: float | None
    target: float
    percent: Percent
    unit: str
    tests: Tests = UNSET
    tests_needed: TestsNeeded = UNSET


class Outcome(msgspec.Struct, rename="camel"):
    """`lagSeconds` is how long the oldest unchecked test has been waiting."""

    status: Literal["pending", "processed"]
    unlocks: list[OutcomeUnlock]
    progress: list[OutcomeProgress]
    lag_seconds: float


class SavedTestResult(msgspec.Struct, rename="camel"):
    """The test is kept; `outcome` is the address of what it brings about."""

    test_result_id: int
    outcome: str


class Notification(msgspec.Struct, rename="camel"):
    """One unlock, told once; `sequence` counts a user's notifications from 1.

    An achievement that went back to a draft has no slug and no icon any more.
    """

    sequence: int
    slug: str | None
    name: str
    description: str
    category: str
    icon: str | None
    level: int
    points: int
    created_at: datetime
    read_at: datetime | None


class Notifications(msgspec.Struct, rename="camel"):
    """A page, newest first."""

    notifications: list[Notification]
    next_cursor: str | None


class MarkedNotifications(msgspec.Struct, rename="camel"):
    """How many were not read before."""

    marked_count: int


class Condition(msgspec.Struct, rename="camel"):
    """One node of the criteria; without any where the description or the count is hidden."""

    sentence: str
    met: bool
    current: float | None
    target: float
    percent: Percent
    unit: str
    children: list["Condition"]
    tests: Tests = UNSET
    tests_needed: TestsNeeded = UNSET


class Evidence(msgspec.Struct, rename="camel"):
    """What unlocked it. Version 0 and no test: it was imported from a former site."""

    test_result_id: int | None
    rulebook_version: int


class Explanation(msgspec.Struct, rename="camel"):
    """Why it is unlocked, or what is missing: of the next level, or of the highest one held."""

    slug: str
    name: str
    level: int
    held_level: int
    met: bool
    sentence: str
    conditions: list[Condition]
    unlocked_at: datetime | None
    evidence: Evidence | None
    note: str | None


class ProgressMoved(msgspec.Struct, rename="camel"):
    """What a commit moved; `notified` is the sequence of the newest notification by then."""

    revision: int
    as_of: datetime
    notified: int
    achievements: list[AchievementProgress]


class Resync(msgspec.Struct, rename="camel"):
    """Documents that may have moved unseen: read them now."""

    read: list[Literal["notifications", "progress"]]


class StreamEvents(msgspec.Struct, rename="camel"):
    """The `data` of each kind of event, by the name of the event; a stream has no end."""

    progress: ProgressMoved
    unlock: Notification
    resync: Resync
