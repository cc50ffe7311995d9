"""What must hold for every user once the queues are empty, whatever happened (I1 to I5)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import msgspec
from django.db.models import Sum
from msgspec.structs import replace

from achievements.criteria import Reach
from achievements.definition import Definition
from achievements.events import Event
from achievements.models import Notification, Outbox, Tally, UserAchievement, UserProgress
from achievements.progress import Progress, decode_progress
from achievements.rule import read_value
from achievements.rulebook import Rulebook
from achievements.rulebooks import refresh_rulebook
from achievements.selectors import read_user_achievements
from achievements.tables import USERS_TALLY
from tests.achievements import oracle
from tests.factories import read_definitions


def read_row(user_id: int) -> Progress:
    return decode_progress(bytes(UserProgress.objects.get(user_id=user_id).state))


def read_levels(user_id: int) -> dict[int, int]:
    """Return the highest level of each achievement held, after checking that none is missing."""
    levels: dict[int, set[int]] = defaultdict(set)
    for achievement_id, level in UserAchievement.objects.filter(
        user_id=user_id, revoked_at=None
    ).values_list("achievement_id", "level"):
        levels[achievement_id].add(level)
    for held in levels.values():
        assert held == set(range(1, max(held) + 1))
    return {achievement_id: max(held) for achievement_id, held in levels.items()}


def check_invariants(
    events: Iterable[Event], *, are_told: bool = True, client: Any = None
) -> dict[int, dict[int, int]]:
    """Compare the database with the oracle over the distinct events; returns what users hold."""
    assert not Outbox.objects.exists()
    definitions, rulebook = read_definitions(), refresh_rulebook()
    by_user: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        by_user[event.user_id].append(event)
    held = {
        user_id: check_user(user_id, own, definitions, rulebook, are_told=are_told, client=client)
        for user_id, own in by_user.items()
    }
    check_tallies()
    return held


def check_user(
    user_id: int,
    events: Sequence[Event],
    definitions: Sequence[Definition],
    rulebook: Rulebook,
    *,
    are_told: bool = True,
    client: Any = None,
) -> dict[int, int]:
    past = oracle.remember(events)
    expected = oracle.find_unlocked(definitions, past)
    row = read_row(user_id)
    assert read_levels(user_id) == expected, user_id
    assert row.unlocked == expected
    assert row.points == oracle.count_points(definitions, expected)
    check_values(row, definitions, rulebook, past)
    if are_told:
        check_notifications(user_id, expected)
    check_profile(user_id, row, expected, client)
    return expected


def check_values(
    row: Progress, definitions: Sequence[Definition], rulebook: Rulebook, past: oracle.Past
) -> None:
    for definition in definitions:
        for leaf in oracle.list_leaves(definition.criteria) if definition.is_live else ():
            node = replace(definition, criteria=leaf).parse()
            assert isinstance(node, Reach)
            value = read_value(node.measure.kind, row.values[rulebook.positions[node.measure.key]])
            if node.measure.is_total:
                value = max(value, row.reported)
            wanted = oracle.measure(leaf, past, oracle.window_of(definition))
            assert Fraction(value) / node.measure.scale == wanted, (definition.slug, leaf)


def check_notifications(user_id: int, held: dict[int, int]) -> None:
    """One for each level held, numbered from 1 without a gap."""
    rows = Notification.objects.filter(user_id=user_id).order_by("sequence")
    told = [(row.achievement_id, row.level) for row in rows]
    assert [row.sequence for row in rows] == list(range(1, len(told) + 1))
    assert sorted(told) == sorted(
        (achievement_id, level) for achievement_id, top in held.items()
        for level in range(1, top + 1)
    )  # fmt: skip


def check_profile(user_id: int, row: Progress, held: dict[int, int], client: Any) -> None:
    document = read_user_achievements(user_id=user_id)
    assert document["points"] == row.points
    assert document["unlockedCount"] == len(held)
    if client is not None:
        shown = client.get(f"/api/v1/users/{user_id}/achievements")
        assert msgspec.json.decode(shown.content) == msgspec.json.decode(
            msgspec.json.encode(document)
        )


def check_tallies() -> None:
    """The counters say what the tables hold."""
    held = Counter(
        UserAchievement.objects.filter(revoked_at=None).values_list("achievement_id", "level")
    )
    counted = {
        (row["achievement_id"], row["level"]): row["total"]
        for row in Tally.objects.values("achievement_id", "level").annotate(total=Sum("holders"))
    }
    assert counted.pop(USERS_TALLY, 0) == UserProgress.objects.count()
    assert {key: total for key, total in counted.items() if total} == dict(held)
