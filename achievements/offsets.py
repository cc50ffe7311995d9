"""The ledger of offsets (transports floor): what is applied, and what the group does not know yet.

It knows neither Kafka nor a clock: the consumer tells it the time, commits what it hands out and
puts back what the cluster refused. Partitions are numbers; an end is the offset to go on from.
"""

from collections.abc import Iterable
from typing import Final

COMMIT_EVERY_SECONDS: Final = 0.2


class OffsetLedger:
    """How far one consumer has come in each of its partitions."""

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}  # the offset after what is applied
        self.newest_at: dict[int, float] = {}  # when the newest applied message was published
        self.uncommitted: set[int] = set()  # whose end the group does not know yet
        self.commit_due = 0.0

    def record(self, partition: int, offset: int, *, published_at: float) -> None:
        """Note an applied message; one from before the end, as after a replay, moves nothing."""
        if offset >= self.ends.get(partition, 0):
            self.ends[partition] = offset + 1
            self.newest_at[partition] = published_at
            self.uncommitted.add(partition)

    def take_due(self, now: float) -> dict[int, int]:
        """Hand out the ends to commit, at most five times a second: for Kafka each is a write.

        `now` is in seconds of a clock that never goes back. What is handed out counts as
        committed until it is put back.
        """
        if not self.uncommitted or now < self.commit_due:
            return {}
        self.commit_due = now + COMMIT_EVERY_SECONDS
        taken = self.find_ends(self.uncommitted)
        self.uncommitted = set()
        return taken

    def find_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the ends of those partitions in which anything was applied."""
        return {number: self.ends[number] for number in partitions if number in self.ends}

    def put_back(self, partitions: Iterable[int]) -> None:
        """Their commit failed: it is due again, unless they were forgotten meanwhile."""
        self.uncommitted.update(number for number in partitions if number in self.ends)

    def forget(self, partitions: Iterable[int]) -> None:
        """They belong to another consumer now."""
        for number in partitions:
            self.ends.pop(number, None)
            self.newest_at.pop(number, None)
            self.uncommitted.discard(number)
