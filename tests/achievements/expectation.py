"""What the oracle says that a row holds, and the comparison with it."""

from collections.abc import Sequence
from fractions import Fraction

from msgspec.structs import replace

from achievements.criteria import Reach
from achievements.definition import Definition
from achievements.events import TEST_COMPLETED, Event
from achievements.progress import Progress, derive
from achievements.rule import read_value
from achievements.rulebook import Rulebook
from tests.achievements import oracle
from tests.achievements.account import Account, make_history


def read_measures(rulebook: Rulebook, row: Progress) -> dict[tuple[int, int], Fraction]:
    """Return what the row says of every leaf: (achievement id, number of the leaf) -> value."""
    found = {}
    for definition in rulebook.definitions.values():
        if not definition.is_live:
            continue
        for number, leaf in enumerate(oracle.list_leaves(definition.criteria)):
            node = replace(definition, criteria=leaf).parse()
            assert isinstance(node, Reach)
            value = read_value(node.measure.kind, row.values[rulebook.positions[node.measure.key]])
            if node.measure.is_total:
                value = max(value, row.reported)
            key = definition.achievement_id, number
            found[key] = Fraction(value) / node.measure.scale
    return found


def measure_all(
    definitions: Sequence[Definition], past: oracle.Past, kinds: Sequence[str] = oracle.KINDS
) -> dict[tuple[int, int], Fraction]:
    return {
        (d.achievement_id, number): oracle.measure(leaf, past, oracle.window_of(d))
        for d in definitions
        if d.is_live
        for number, leaf in enumerate(oracle.list_leaves(d.criteria))
        if any(kind in leaf for kind in kinds)
    }


class Expectation:
    """What the oracle says a user holds, batch after batch.

    A late test can break a run, or lower an average, that was reached without it. The row
    then says what the history says, but what was unlocked meanwhile is not taken away:
    only a retraction looks at it again.
    """

    def __init__(self, definitions: list[Definition]) -> None:
        self.definitions = definitions
        self.unlocked: dict[int, int] = {}

    def follow(self, account: Account, rulebook: Rulebook, batch: Sequence[Event]) -> None:
        """Feed a batch and move on with it."""
        retractions = account.retractions
        account.feed(rulebook, batch)
        held = self.unlocked if account.retractions == retractions else {}
        past = oracle.remember(account.arrived)
        self.unlocked = oracle.find_unlocked(self.definitions, past, held)


def assert_exact(
    rulebook: Rulebook,
    definitions: list[Definition],
    account: Account,
    unlocked: dict[int, int] | None = None,
) -> None:
    """The row equals a replay of the history, and both say what the oracle says."""
    row, past = account.row, oracle.remember(account.arrived)
    valid = [t for t in make_history(account.arrived) if t.event_type == TEST_COMPLETED]
    replay = derive(rulebook, valid, reported=past.reported).progress
    assert row.values == replay.values
    assert (row.reported, row.held) == (replay.reported, rulebook.size)
    assert (row.last_at, row.last_id) == (replay.last_at, replay.last_id)
    assert read_measures(rulebook, row) == measure_all(definitions, past)
    replayed = oracle.find_unlocked(definitions, past)
    assert replay.unlocked == replayed
    assert replay.points == oracle.count_points(definitions, replayed)
    expected = replayed if unlocked is None else unlocked
    assert row.unlocked == expected
    assert row.points == oracle.count_points(definitions, expected)
    if not rulebook.has_ordered:
        assert row.unlocked == replay.unlocked
