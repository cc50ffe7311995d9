"""A history source that a host site might plug in: here it keeps the very events in memory."""

from collections.abc import Sequence
from typing import ClassVar

from achievements.events import Event


class MemoryHistory:
    tests: ClassVar[dict[int, list[Event]]] = {}

    def read_tests(self, user_ids: Sequence[int]) -> dict[int, list[Event]]:
        return {user_id: self.tests[user_id] for user_id in user_ids if user_id in self.tests}

    def list_users(self, *, after: int, limit: int) -> list[int]:
        return sorted(user_id for user_id in self.tests if user_id > after)[:limit]
