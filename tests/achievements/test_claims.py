"""Rows of a former site: which can be imported, and how they meet what is held here."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from achievements.claims import (
    Claim,
    HeldLevel,
    LegacyRow,
    Rules,
    merge_claims,
    read_time,
    sift_rows,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
RULES = Rules(levels={1: (10, 1), 2: (20, 3)}, ignored={3}, known={1, 2, 3, 4})
WRONG_ROWS = [
    ((5, 4, "2020-01-01"), "unmapped"),
    ((5, 99, "2020-01-01"), "unknown_achievement"),
    ((5, None, "2020-01-01"), "unknown_achievement"),
    ((5, 3, "2020-01-01"), "ignored"),
    ((None, 1, "2020-01-01"), "bad_user"),
    ((0, 1, "2020-01-01"), "bad_user"),
    ((-7, 1, "2020-01-01"), "bad_user"),
    ((2**63, 1, "2020-01-01"), "bad_user"),
    (("x", 1, "2020-01-01"), "bad_user"),
    ((5, 1, None), "no_time"),
    ((5, 1, "0000-00-00 00:00:00"), "no_time"),
    ((5, 1, "2019-00-07 00:00:00"), "no_time"),
    ((5, 1, "yesterday"), "no_time"),
    ((5, 1, "1999-12-31 23:59:59"), "early_time"),
    ((5, 1, "1970-01-01 00:00:00"), "early_time"),
    ((5, 1, "2026-11-01 00:05:01"), "future_time"),
    ((5, 1, "9999-12-31 23:59:59"), "future_time"),
]


@pytest.mark.parametrize(("row", "reason"), WRONG_ROWS, ids=lambda value: str(value))
def test_a_row_that_cannot_be_imported_is_named(row, reason) -> None:
    claims, [finding] = sift_rows([LegacyRow(1, *row)], RULES, now=NOW)
    assert (claims, finding.reason) == ([], reason)


def test_a_time_that_is_none_can_be_given_one() -> None:
    at = datetime(2015, 5, 5, tzinfo=UTC)
    rules = Rules(levels=RULES.levels, unknown_time=at)
    rows = [LegacyRow(1, 5, 1, None), LegacyRow(2, 6, 2, "2019-02-03 04:05:06")]
    claims, findings = sift_rows(rows, rules, now=NOW)
    assert [(c.user_id, c.achievement_id, c.level, c.at) for c in claims] == [
        (5, 10, 1, at),
        (6, 20, 3, datetime(2019, 2, 3, 4, 5, 6, tzinfo=UTC)),
    ]
    assert [f.reason for f in findings] == ["no_time"]  # still said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-07-01 12:00:00", "2019-07-01T10:00:00+00:00"),
        ("2019-01-01 12:00:00.250000", "2019-01-01T11:00:00.250000+00:00"),
        ("2019-01-01", "2018-12-31T23:00:00+00:00"),
        ("2019-01-01T12:00:00+05:00", "2019-01-01T07:00:00+00:00"),
        ("2019-10-27 02:30:00", "2019-10-27T00:30:00+00:00"),  # twice that night: the first
        ("2019-03-31 02:30:00", "2019-03-31T01:30:00+00:00"),  # never that night
    ],
)
def test_times_are_of_the_zone_that_was_said(text, expected) -> None:
    at, problem = read_time(text, BERLIN, now=NOW)
    assert at is not None
    assert (at.isoformat(), problem) == (expected, "")


def at_day(number: float) -> datetime:
    return datetime(2019, 6, 1, tzinfo=UTC) + timedelta(days=number)


def claim(row_id: int, number: float, *, level: int = 1) -> Claim:
    return Claim(LegacyRow(row_id, 5, 1, ""), 5, 10, level, at_day(number))


def merge(claims, held=None):
    found = merge_claims(claims, {(10, n): level for n, level in (held or {}).items()})
    return (
        {level: at for (_, level), at in found.writes.items()},
        {level: at for (_, level), at in found.standing.items()},
        [(finding.row.id, finding.reason) for finding in found.findings],
    )


def test_a_level_brings_those_below_it() -> None:
    writes, standing, findings = merge([claim(1, 4, level=3), claim(2, 2, level=2)])
    assert writes == standing == {1: at_day(2), 2: at_day(2), 3: at_day(4)}
    assert findings == [(2, "new"), (1, "new")]


def test_the_earliest_of_several_wins() -> None:
    writes, _, findings = merge([claim(1, 4), claim(2, 2), claim(3, 2)])
    assert writes == {1: at_day(2)}
    assert sorted(findings) == [(1, "duplicate"), (2, "new"), (3, "duplicate")]


IMPORTED_ROW = HeldLevel(at_day(5), 0, False)
OURS = HeldLevel(at_day(5), 7, False)
HELD_CASES = {
    "imported before": (IMPORTED_ROW, 5, {}, "known"),
    "imported before, from an earlier row": (IMPORTED_ROW, 6, {}, "duplicate"),
    "imported before, from a later row": (IMPORTED_ROW, 3, {1: at_day(3)}, "duplicate"),
    "ours, earlier": (OURS, 9, {}, "held_here"),
    "ours, a day later": (OURS, 4, {}, "held_here"),
    "ours, more than a day later": (OURS, 3.9, {1: at_day(3.9)}, "held_here"),
    "ours and revoked, of the same day": (OURS._replace(is_revoked=True), 4.5, {}, "revoked_here"),
    "ours and revoked, long after": (
        OURS._replace(is_revoked=True),
        3,
        {1: at_day(3)},
        "held_here",
    ),
    "imported and revoked": (IMPORTED_ROW._replace(is_revoked=True), 1, {}, "revoked_here"),
}


@pytest.mark.parametrize(
    ("before", "number", "expected", "reason"), HELD_CASES.values(), ids=HELD_CASES
)
def test_what_is_held_here_meets_a_claim(before, number, expected, reason) -> None:
    writes, standing, findings = merge([claim(1, number)], {1: before})
    assert (writes, findings) == (expected, [(1, reason)])
    assert bool(standing) == (reason != "revoked_here")


def test_nothing_is_held_above_what_stays_revoked() -> None:
    held = {1: OURS, 2: OURS._replace(is_revoked=True)}
    writes, standing, findings = merge([claim(1, 4.5, level=3)], held)
    assert writes == {}
    assert list(standing) == [1]
    assert findings == [(1, "revoked_here")]


KNOWN_CASES = {
    # what is held, this run's rows, the user's other rows -> since when, what is said
    "another row's earlier time": (5, [6], [5], {}, "duplicate"),
    "an earlier time that is no row's": (5, [6], [7], {1: at_day(6)}, "corrected"),
    "a later time that is no row's": (5, [3], [], {1: at_day(3)}, "corrected"),
    "another row's later time": (5, [3], [5], {1: at_day(3)}, "duplicate"),
    "the same time": (5, [5], [], {}, "known"),
}


@pytest.mark.parametrize(
    ("number", "rows", "others", "expected", "reason"), KNOWN_CASES.values(), ids=KNOWN_CASES
)
def test_with_all_rows_known_a_time_is_that_of_one(number, rows, others, expected, reason) -> None:
    found = merge_claims(
        [claim(1, at) for at in rows],
        {(10, 1): HeldLevel(at_day(number), 0, False)},
        others=[claim(2, at) for at in others],
    )
    assert {level: at for (_, level), at in found.writes.items()} == expected
    assert [finding.reason for finding in found.findings] == [reason]
    assert not found.surplus


def test_surplus_is_what_no_row_gives_and_nothing_holds_up() -> None:
    imported, ours = IMPORTED_ROW, OURS
    held = {
        (10, 1): imported, (10, 2): imported, (10, 3): imported,  # claimed up to 1, and by others 2
        (20, 1): imported, (20, 2): ours, (20, 3): imported,  # ours holds up the first
        (30, 1): imported._replace(is_revoked=True),
        (40, 1): imported,
    }  # fmt: skip
    found = merge_claims([claim(1, 5)], held, others=[claim(2, 5, level=2)])
    assert found.surplus == [(10, 3), (20, 3), (40, 1)]
    assert not merge_claims([claim(1, 5)], held).surplus
