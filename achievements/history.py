"""The plug for a user's past tests (services floor).

The host site names a source in the setting ACHIEVEMENTS["HISTORY"]; without one, nothing
can be replayed and a new accumulator counts from its publication.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

from achievements.events import Event


class DroppedTests(NamedTuple):
    """What is gone: so many rows, and of them by user the tests that may have counted."""

    rows: int
    tests: dict[int, list[Event]]


class HistorySource(Protocol):
    """Reads tests that are held for good. Must read what is committed at the call."""

    def read_tests(self, user_ids: Sequence[int]) -> dict[int, list[Event]]:
        """Return every test of these users; an invalidated one has that event type.

        `metrics`, `occurred_at` and `utc_offset_minutes` must be those of the live event.
        """

    def drop_tests(self, user_ids: Sequence[int], *, before: datetime) -> DroppedTests:
        """Delete the tests of these users that were completed before, and return them.

        Inside the caller's transaction: what is returned is what is gone once it commits. A
        source that never deletes need not have it.
        """

    def list_users(self, *, after: int, limit: int) -> list[int]:
        """Return the ids of users with tests, ascending, above `after`."""


class NoHistory:
    """A site that sends events only."""

    def read_tests(self, user_ids: Sequence[int]) -> dict[int, list[Event]]:
        return {}

    def drop_tests(self, user_ids: Sequence[int], *, before: datetime) -> DroppedTests:
        return DroppedTests(0, {})

    def list_users(self, *, after: int, limit: int) -> list[int]:
        return []


@lru_cache(maxsize=4)
def _load(path: str) -> HistorySource:
    return cast(HistorySource, import_string(path)()) if path else NoHistory()


def get_history() -> HistorySource:
    return _load(settings.ACHIEVEMENTS["HISTORY"])
