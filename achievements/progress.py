"""A user's progress (pure floor): what one row holds, how events move it, how it is re-derived.

Everything here is a function of a rulebook, a row and events; time comes from the events.
`apply_events` is the live path, `derive` replays a history through the very same code.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from achievements.criteria import MAX_DISTINCT, SCALE
from achievements.events import TEST_COMPLETED, Event, order_of, read_metrics
from achievements.rule import Rule, View
from achievements.rulebook import Rulebook
from achievements.seen import Seen
from achievements.streak import SECONDS_A_DAY, add_day
from achievements.window import add_value

_EMPTY_MAP: Final = b"\x80"  # msgpack for {}


class Progress(msgspec.Struct, array_like=True):
    """The packed row. New fields go to the end with a default, so that old rows stay readable."""

    values: list[Any] = []  # by accumulator position
    held: int = 0  # positions below this are backed by history; later ones are fed, not judged
    reported: int = 0  # the highest testCount that the site sent
    # Achievement id -> highest level held, packed once more: an event that unlocks nothing
    # steps over hundreds of them at once. The first rows hold it as it is.
    levels: bytes | dict[int, int] = _EMPTY_MAP
    points: int = 0
    completed: Seen = msgspec.field(default_factory=Seen)
    invalidated: Seen = msgspec.field(default_factory=Seen)
    last_at: float = 0.0  # the newest test in the tests' own order: seconds, then id
    last_id: int = 0
    utc_offset_minutes: int = 0
    notified: int = 0  # how many notifications the user was ever sent
    is_partial: bool = False  # counts tests that the history does not hold
    rulebook_version: int = 0  # under which the row last changed

    @property
    def unlocked(self) -> dict[int, int]:
        """Unpacked on demand only: most events unlock nothing."""
        levels = self.levels
        return _decode_levels(levels) if isinstance(levels, bytes) else dict(levels)

    def set_unlocked(self, unlocked: dict[int, int], points: int) -> None:
        self.levels = _encode(unlocked)
        self.points = points


class Unlock(NamedTuple):
    """One level reached, and the event that completed it (None when no single event did)."""

    achievement_id: int
    level: int
    event: Event | None


_encode = msgspec.msgpack.Encoder().encode
_decode_levels = msgspec.msgpack.Decoder(dict[int, int]).decode
decode_progress = msgspec.msgpack.Decoder(Progress).decode


def encode_progress(progress: Progress) -> bytes:
    return _encode(progress)


def start_progress(rulebook: Rulebook) -> Progress:
    """Return the progress of a user without a single test: everything is held, at nothing."""
    progress = Progress(held=rulebook.size)
    grow_values(rulebook, progress)
    return progress


def grow_values(rulebook: Rulebook, progress: Progress) -> None:
    """Give the row a blank value for every accumulator that it does not know yet."""
    values = progress.values
    values.extend(rulebook.make_blank(p) for p in range(len(values), rulebook.size))


def apply_events(rulebook: Rulebook, progress: Progress, events: Sequence[Event]) -> list[Unlock]:
    """Feed fresh completed tests, in order, and return what they unlock.

    A test that is older than the newest one leaves runs and averages as they are: where
    the history is held, the engine replays it instead (see needs_replay).
    """
    values = progress.values
    if len(values) < rulebook.size:
        grow_values(rulebook, progress)
    unlocks: list[Unlock] = []
    for event in events:
        at = event.occurred_at.timestamp()  # type: ignore[union-attr]
        metrics = read_metrics(event.metrics)
        plan = rulebook.plan_for(metrics, at)
        candidates: list[Rule] = []
        if plan.total or event.metrics.test_count is not None:
            _count_total(plan.total, progress, event, candidates)
        for position, hits in plan.counts:
            count = values[position] + 1
            values[position] = count
            if count in hits:
                candidates += hits[count]
        for position, column, ladder in plan.sums:
            old = values[position]
            new = values[position] = old + round(metrics[column] * SCALE)
            candidates += ladder.crossed(old, new)
        for position, column, ladder in plan.bests:
            old, new = values[position], metrics[column]
            if new > old:
                values[position] = new
                candidates += ladder.crossed(old, new)
        if plan.streaks:
            day = int(at + event.utc_offset_minutes * 60) // SECONDS_A_DAY
            for position, ladder in plan.streaks:
                value = values[position]
                if value[1] != day:
                    old = value[0]
                    add_day(value, day)
                    candidates += ladder.crossed(old, value[0])
        for position, column, ladder in plan.distincts:
            members = values[position]
            if metrics[column] not in members and len(members) < MAX_DISTINCT:
                members.append(metrics[column])
                members.sort()
                candidates += ladder.crossed(len(members) - 1, len(members))
        if at > progress.last_at or (
            at == progress.last_at and event.test_result_id > progress.last_id
        ):
            progress.last_at, progress.last_id = at, event.test_result_id
            progress.utc_offset_minutes = event.utc_offset_minutes
            for position, column, last, ladder in plan.averages:
                value = values[position]
                old = value[0]
                add_value(value, round(metrics[column] * SCALE), last)
                if value[0] > old:
                    candidates += ladder.crossed(old, value[0])
            for position, ladder in plan.runs:
                value = values[position]
                value[1] += 1
                if value[1] > value[0]:
                    value[0] = value[1]
                    candidates += ladder.crossed(value[0] - 1, value[0])
            for position in plan.broken_runs:
                values[position][1] = 0
        if candidates:
            unlocks += judge_rules(rulebook, progress, candidates, event)
    return unlocks


def believe_reports(
    rulebook: Rulebook, progress: Progress, uncounted: Iterable[Event]
) -> list[Unlock]:
    """Believe the testCount of tests that do not count themselves; return what that unlocks.

    It is what the site says of the user, so it holds whichever event came first.
    """
    unlocks: list[Unlock] = []
    for event in uncounted:
        if (event.metrics.test_count or 0) > progress.reported:
            progress.reported = event.metrics.test_count or 0
            unlocks += judge_rules(rulebook, progress, rulebook.rules, event)
    return unlocks


def judge_rules(
    rulebook: Rulebook, progress: Progress, rules: Iterable[Rule], event: Event | None
) -> list[Unlock]:
    """Unlock every level that these rules now meet, and what follows from that."""
    unlocked = progress.unlocked
    view = View(progress.values, progress.reported, unlocked)
    unlocks: list[Unlock] = []
    queue = list(dict.fromkeys(rules))
    for rule in queue:  # grows while it is walked: an unlock can complete other rules
        if rule.needs > progress.held:
            continue
        achievement_id = rule.definition.achievement_id
        level = start = unlocked.get(achievement_id, 0)
        while level < len(rule.judges) and rule.judges[level](view):
            level += 1
            unlocks.append(Unlock(achievement_id, level, event))
        if level > start:
            unlocked[achievement_id] = level
            queue.extend(rulebook.dependents.get(achievement_id, ()))
    if unlocks:
        progress.set_unlocked(unlocked, rulebook.count_points(unlocked))
    return unlocks


def needs_replay(rulebook: Rulebook, progress: Progress, fresh: Sequence[Event]) -> bool:
    """Whether these events change the past: an invalidation, or a late test where order matters."""
    if not fresh:
        return False
    for event in fresh:
        if event.event_type != TEST_COMPLETED:
            return True
    return rulebook.has_ordered and order_of(fresh[0]) < (progress.last_at, progress.last_id)


class Base(NamedTuple):
    """What a user's dropped tests came to: a replay starts from it instead of from nothing."""

    state: bytes  # a packed row: values, the site's count, and the levels that they had earned
    dropped: int  # how many tests


class Derivation(NamedTuple):
    """What a replay found: the row as it should be, and the levels that it earned."""

    progress: Progress
    unlocks: list[Unlock]


def derive(
    rulebook: Rulebook,
    tests: Iterable[Event],
    *,
    without: Collection[int] = (),
    reported: int = 0,
    base: Base | None = None,
) -> Derivation:
    """Replay tests (completed ones, any order, no duplicates) from nothing, or on top of `base`.

    `without` names invalidated tests. The result knows values and unlocks only; what a
    replay cannot know (seen ids, notifications) is for the caller to carry over.
    """
    progress = start_progress(rulebook)
    if base:
        # An accumulator that came later finds nothing there: it counts the tests that are held.
        progress = decode_progress(base.state)
        progress.held = rulebook.size
        grow_values(rulebook, progress)
        # Nor does one that no rule asked for when the tests were dropped.
        for position in rulebook.fed:
            blank = rulebook.make_blank(position)
            if isinstance(blank, list) != isinstance(progress.values[position], list):
                progress.values[position] = blank
    progress.reported = max(progress.reported, reported)
    valid = sorted((t for t in tests if t.test_result_id not in without), key=order_of)
    unlocks = apply_events(rulebook, progress, valid)
    # A rule that `reported` alone meets crosses nothing in the replay.
    unlocks += judge_rules(rulebook, progress, rulebook.rules, valid[-1] if valid else None)
    return Derivation(progress, unlocks)


def _count_total(
    total: Iterable[tuple[int, Any]], progress: Progress, event: Event, candidates: list[Rule]
) -> None:
    """Count a test, and believe the site's own count where it is higher; neither ever falls."""
    before = progress.reported
    progress.reported = max(before, event.metrics.test_count or 0)
    for position, ladder in total:
        old = max(progress.values[position], before)
        progress.values[position] += 1
        new = max(progress.values[position], progress.reported)
        if new > old:
            candidates += ladder.crossed(old, new)
