"""One user as the engine keeps it, without a database: the stored row, the archive, the unlocks."""

from collections.abc import Callable, Sequence

from achievements.advance import History, Step, advance, advance_newest, is_newest, revise
from achievements.events import TEST_INVALIDATED, Event
from achievements.progress import Progress, decode_progress, encode_progress
from achievements.recognition import Archive, asks_archive
from achievements.retraction import Origins
from achievements.rulebook import Rulebook


class Account:
    """Feeds batches as the engine does. `read_history` stands for the table of tests."""

    def __init__(self, read_history: Callable[["Account"], Sequence[Event]]) -> None:
        self.read_history = read_history
        self.state = b""
        self.archived: tuple[set[int], set[int]] = (set(), set())
        self.held: dict[tuple[int, int], Rulebook] = {}  # (achievement id, level) -> its origin
        self.arrived: list[Event] = []
        self.revisions = 0
        self.retractions = 0
        self.archive_reads = 0

    @property
    def row(self) -> Progress:
        return decode_progress(self.state)

    def feed(self, rulebook: Rulebook, batch: Sequence[Event]) -> Step:
        """Process one batch: advance, or revise where advance declines."""
        self.arrived += batch
        step = None
        if self.state:
            row = self.row
            before = encode_progress(row)
            step = advance(rulebook, row, batch, self._read_archive(row, batch))
            again = self.row
            if is_newest(again, batch):
                assert advance_newest(rulebook, again, batch) == step
            if step is None:
                assert encode_progress(row) == before, "a declined row must be untouched"
        return self._store(rulebook, step) if step else self.revise(rulebook, batch)

    def revise(
        self,
        rulebook: Rulebook,
        batch: Sequence[Event] = (),
        *,
        should_retract: bool = False,
        should_confirm: bool = False,
    ) -> Step:
        """Replay; an invalidation in the batch asks for retraction, as in the engine."""
        self.revisions += 1
        has_invalidation = any(e.event_type == TEST_INVALIDATED for e in batch)
        origins: Origins | None = dict(self.held) if has_invalidation or should_retract else None
        self.retractions += origins is not None
        done, undone = self.archived
        history = History(list(self.read_history(self)), frozenset(done), frozenset(undone))
        row = self.row if self.state else None
        step = revise(rulebook, row, batch, history, origins=origins, should_confirm=should_confirm)
        assert origins is not None or not step.revoked
        return self._store(rulebook, step)

    def _read_archive(self, row: Progress, batch: Sequence[Event]) -> Archive:
        """Read the ids between those that ask, and nothing for a batch that does not ask."""
        ids = [e.test_result_id for e in batch if asks_archive(row, e)]
        if not ids:
            return Archive()
        self.archive_reads += 1
        lowest, highest = min(ids), max(ids)
        done, undone = ({i for i in kind if lowest <= i <= highest} for kind in self.archived)
        return Archive(done, undone)

    def _store(self, rulebook: Rulebook, step: Step) -> Step:
        for is_invalidation, ids in step.leaving:
            assert ids == sorted(set(ids))
            assert not self.archived[is_invalidation] & set(ids), "an id left the row twice"
            self.archived[is_invalidation].update(ids)
        for achievement_id, level in step.revoked:
            del self.held[achievement_id, level]
        for achievement_id, level, event in step.unlocks:
            assert (achievement_id, level) not in self.held, "unlocked twice"
            assert event is None or event.event_type != TEST_INVALIDATED
            self.held[achievement_id, level] = rulebook
        row = step.progress
        highest: dict[int, int] = {}
        for achievement_id, level in sorted(self.held):
            assert level == highest.get(achievement_id, 0) + 1, "a level without the one below"
            highest[achievement_id] = level
        assert row.unlocked == highest
        self.state = encode_progress(row)
        return step


def keep_history(account: Account) -> list[Event]:
    """What a site's table of tests holds: what arrived, without testCount, invalid tests marked."""
    return make_history(account.arrived)


def keep_nothing(account: Account) -> list[Event]:
    return []


def make_history(events: Sequence[Event]) -> list[Event]:
    from msgspec.structs import replace

    undone = {e.test_result_id for e in events if e.event_type == TEST_INVALIDATED}
    tests: dict[int, Event] = {}
    for event in events:
        test_id = event.test_result_id
        if event.event_type == TEST_INVALIDATED or test_id in tests:
            continue
        kept = replace(event, metrics=replace(event.metrics, test_count=None))
        if test_id in undone:
            kept = replace(kept, event_type=TEST_INVALIDATED)
        tests[test_id] = kept
    return list(tests.values())
