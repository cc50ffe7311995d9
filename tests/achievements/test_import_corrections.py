"""import_legacy after a mistake: what was imported is compared with all rows, and corrected."""

from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from achievements import failpoints
from achievements.engine import process_events
from achievements.models import Job, Notification, UserAchievement, UserProgress
from achievements.progress import encode_progress
from tests.factories import (
    invalidate,
    make_achievement,
    make_event,
    new_user,
    publish,
    store_history,
)
from tests.invariants import check_tallies, read_levels, read_row
from tests.legacy import Import, check_imported, day, open_import, open_legacy_site, write_mapping

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def legacy(db, tmp_path):
    with open_import(tmp_path) as site:
        yield site


def read_everything() -> list[Any]:
    tables = (UserAchievement, UserProgress, Notification)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def make_rows(users: int = 20) -> list[tuple[int, int, datetime]]:
    """Several of a user's rows, far from each other, some for levels that another one implies."""
    people = [new_user() for _ in range(users)]
    return [
        (user, 1 + (number + turn * 2) % 5, day(400 - turn * 30 - number % 7))
        for turn in range(3)
        for number, user in enumerate(people)
    ]


def earn_first(user: int, at: datetime, test_id: int = 1) -> None:
    event = make_event(user, test_id, at=at)
    store_history([event])
    process_events([event])


def write_row(legacy: Import, user: int, **values: Any) -> None:
    found = UserAchievement.objects.filter(user_id=user, achievement_id=legacy.ids["first"])
    assert found.update(**values) == 1


def just_import(legacy: Import, user: int) -> None:
    legacy.run()


def earn_on_that_day(legacy: Import, user: int) -> None:
    earn_first(user, day(5) + 20 * HOUR)


def earn_earlier(legacy: Import, user: int) -> None:
    earn_first(user, day(2))


def earn_earlier_after_the_import(legacy: Import, user: int) -> None:
    legacy.run()
    earn_first(user, day(2))


def take_back(legacy: Import, user: int) -> None:
    earn_first(user, day(5))
    process_events([invalidate(user, 1)])


def take_back_and_earn_again(legacy: Import, user: int) -> None:
    earn_first(user, day(5))
    legacy.run()
    process_events([invalidate(user, 1)])
    earn_first(user, day(90), test_id=2)


def revoke_by_staff(legacy: Import, user: int) -> None:
    legacy.run()
    write_row(legacy, user, revoked_at=day(500), revoked_reason="cheated")
    row = read_row(user)
    row.set_unlocked({}, 0)
    UserProgress.objects.filter(user_id=user).update(state=encode_progress(row))


RIGHT_STATES = (
    just_import,
    earn_on_that_day,
    earn_earlier,
    earn_earlier_after_the_import,
    take_back,
    take_back_and_earn_again,
    revoke_by_staff,
)


@pytest.mark.parametrize("reach", RIGHT_STATES, ids=lambda reach: reach.__name__)
def test_states_that_are_right_for_a_row_do_not_differ(legacy, reach) -> None:
    user, other = new_user(), new_user()
    legacy.site.add_unlocks([(user, 1, day(5)), (other, 1, day(5))])
    reach(legacy, user)
    if not Job.objects.exists():
        legacy.run()
    before = read_everything()
    assert "differ" not in legacy.run(verify_only=True)
    for options in ({}, {"restart": True}, {"restart": True, "slice": 1}):
        assert "differ" not in legacy.run(**options)
        # Levels that rest on a later test say no longer that another was taken back.
        assert read_everything() == before or reach is take_back_and_earn_again


WRONG_STATES: dict[str, Any] = {
    "an hour later": ({"unlocked_at": day(5) + HOUR}, "other_time"),
    "years earlier": ({"unlocked_at": datetime(2001, 1, 1, tzinfo=UTC)}, "other_time"),
    "earned here, much later": ({"unlocked_at": day(9), "rulebook_version": 1}, "other_time"),
    "revoked, though not on that day": (
        {"unlocked_at": day(9), "rulebook_version": 1, "revoked_at": day(9)},
        "missing",
    ),
}


@pytest.mark.parametrize(("values", "reason"), WRONG_STATES.values(), ids=WRONG_STATES)
def test_states_that_are_wrong_for_a_row_are_named_and_mended(legacy, values, reason) -> None:
    users = [new_user() for _ in range(9)]
    rows = [(user, 1, day(5)) for user in users]
    legacy.site.add_unlocks(rows)
    legacy.run()
    write_row(legacy, users[4], **values)
    out, _ = legacy.run_to_person(4, verify_only=True, slice=3)
    assert "Rows 4 to 6 differ: expected 3 levels" in out
    [line] = legacy.read_report()
    assert (line["reason"], line["userId"]) == (reason, users[4])
    assert legacy.run_to_person(4, verify_only=True)  # for ever, until it is mended
    legacy.run(restart=True)
    check_imported(legacy.expect(rows))
    legacy.run(verify_only=True)


def test_times_of_many_rows_that_were_changed_are_all_found(legacy) -> None:
    rows = make_rows()
    legacy.site.add_unlocks(rows)
    legacy.run(slice=7)
    legacy.run(verify_only=True, slice=7)
    changed = UserAchievement.objects.filter(user_id__gt=rows[10][0])
    changed.update(unlocked_at=datetime(2001, 1, 1, tzinfo=UTC))
    legacy.run_to_person(4, verify_only=True, slice=7)
    lines = [line for line in legacy.read_report() if line["reason"] == "other_time"]
    assert len({(line["userId"], line["ourAchievementId"], line["level"]) for line in lines}) == (
        changed.count()
    )
    legacy.run(restart=True, slice=7)
    check_imported(legacy.expect(rows))


@pytest.mark.parametrize("slice_rows", [1, 7, 1_000])
def test_a_wrong_zone_is_corrected(legacy, client, slice_rows) -> None:
    rows = make_rows()
    shown = f"/api/v1/users/{rows[0][0]}/achievements"
    legacy.site.add_unlocks(rows)
    legacy.run()
    before = client.get(shown).json()["achievements"]
    dry = legacy.run(dry_run=True, timezone="Asia/Kolkata", slice=slice_rows)
    out = legacy.run(timezone="Asia/Kolkata", slice=slice_rows)
    assert "what was imported is corrected" in out
    counts = [line for line in out.splitlines() if line.startswith("   ")]
    assert counts == [line for line in dry.splitlines() if line.startswith("   ")]
    assert any("corrected:" in line for line in counts)
    # Five and a half hours east of what had been said.
    expected = [(user, other, at - timedelta(hours=5.5)) for user, other, at in rows]
    check_imported(legacy.expect(expected))
    check_tallies()
    after = client.get(shown).json()["achievements"]
    assert len(after) == len(before)
    assert {entry["unlockedAt"] for entry in after}.isdisjoint(e["unlockedAt"] for e in before)
    stored = read_everything()
    for options in ({}, {"restart": True, "slice": 3}, {"verify_only": True}):
        assert "corrected:" not in legacy.run(timezone="Asia/Kolkata", **options)
        assert read_everything() == stored


def test_a_row_that_was_mended_at_the_source_is_followed(legacy) -> None:
    user, other = new_user(), new_user()
    legacy.site.add_unlocks([(user, 1, None), (other, 1, day(7))])
    legacy.run_to_person(unknown_time="2015-01-01T00:00:00Z")
    mended = (user, 1, day(9))
    legacy.site.execute("UPDATE user_achievements SET unlocked_at = '2019-02-21 12:00' WHERE id=1")
    _, message = legacy.run_to_person(4, unknown_time="2015-01-01T00:00:00Z", verify_only=True)
    assert "1 slices differ" in message
    legacy.run(unknown_time="2015-01-01T00:00:00Z", restart=True)
    check_imported(legacy.expect([mended, (other, 1, day(7))]))
    # And what has none yet, by another time for it.
    legacy.site.execute("UPDATE user_achievements SET unlocked_at = NULL WHERE id = 1")
    legacy.run_to_person(unknown_time="2018-01-01T00:00:00Z")
    expected = [(user, 1, datetime(2018, 1, 1, tzinfo=UTC)), (other, 1, day(7))]
    check_imported(legacy.expect(expected))


def test_surplus_levels_are_said_and_taken_away_when_asked(legacy, client) -> None:
    rows = [(new_user(), other, day(n)) for n in range(5) for other in (1, 4)]
    user = rows[0][0]
    shown = f"/api/v1/users/{user}/achievements"
    legacy.site.add_unlocks(rows)
    right = legacy.mapping.read_bytes()
    write_mapping(legacy.folder, {1: {"slug": "many", "level": 4}, 4: {"slug": "fast", "level": 2}})
    legacy.run()
    assert read_levels(user) == {legacy.ids["many"]: 4}
    legacy.mapping.write_bytes(right)
    before = client.get(shown).json()["points"]
    out, message = legacy.run_to_person(4, slice=3)
    assert "20  surplus: levels of an earlier import" in out
    assert "--remove-surplus takes them away" in message
    assert read_levels(user) == {legacy.ids["many"]: 4, legacy.ids["first"]: 1}
    surplus = [line for line in legacy.read_report() if line["reason"] == "surplus"]
    assert {line["userId"] for line in surplus} == {user for user, other, _ in rows if other == 1}
    out, _ = legacy.run_to_person(4, verify_only=True)
    assert "expected 15 levels" in out
    assert "found 35 levels" in out
    out = legacy.run(restart=True, remove_surplus=True, slice=3)
    assert "20  removed" in out
    check_imported(legacy.expect(rows))
    check_tallies()
    assert client.get(shown).json()["points"] == read_row(user).points < before
    assert "found 15 levels" in legacy.run(verify_only=True)


def test_users_of_whom_nothing_is_imported_get_nothing_here(legacy) -> None:
    legacy.site.add_unlocks([(new_user(), 6, day(1)), (new_user(), 1, day(1))])
    legacy.run_to_person()
    users = UserProgress.objects.count()
    legacy.run_to_person(restart=True)
    assert UserProgress.objects.count() == users == 1
    check_tallies()


def test_what_was_earned_here_stays_under_other_terms(legacy) -> None:
    ours, both = new_user(), new_user()
    legacy.site.add_unlocks([(ours, 1, day(20)), (both, 1, day(3)), (both, 2, day(20))])
    for user in (ours, both):
        events = [make_event(user, n, at=day(20) + n * HOUR) for n in (1, 2, 3)]
        store_history(events)
        process_events(events)
    legacy.run()
    rows = UserAchievement.objects.exclude(rulebook_version=0).order_by("pk")
    before = list(rows.values())
    assert len(before) == 3  # the level that another site gave years before is none of them
    legacy.run(timezone="Europe/Berlin")
    legacy.run(timezone="Europe/Berlin", restart=True, remove_surplus=True)
    assert list(rows.values()) == before
    legacy.run(timezone="Europe/Berlin", verify_only=True)


def test_surplus_levels_that_were_earned_meanwhile_stay_with_their_own_tests(legacy) -> None:
    """Imported by mistake first, so that nothing here could unlock them."""
    part, all_of_it, nothing = new_user(), new_user(), new_user()
    legacy.site.add_unlocks([(user, 1, day(1)) for user in (part, all_of_it, nothing)])
    right = legacy.mapping.read_bytes()
    write_mapping(legacy.folder, {1: {"slug": "many", "level": 3}})
    legacy.run()
    legacy.mapping.write_bytes(right)
    many = legacy.ids["many"]
    for user, count in ((part, 12), (all_of_it, 150)):
        events = [make_event(user, n, at=day(60) + n * HOUR) for n in range(1, count + 1)]
        store_history(events)
        process_events(events)
    assert read_levels(all_of_it)[many] == 4
    legacy.run_to_person(4)
    legacy.run(restart=True, remove_surplus=True)
    assert many not in read_levels(nothing)
    assert read_levels(part)[many] == read_row(part).unlocked[many] == 2
    earned = UserAchievement.objects.filter(user_id=part, achievement_id=many).order_by("level")
    assert [(row.test_result_id, row.unlocked_at) for row in earned] == [
        (3, day(60) + 3 * HOUR), (10, day(60) + 10 * HOUR),
    ]  # fmt: skip
    assert read_levels(all_of_it)[many] == 4  # the fourth holds up those below it
    check_tallies()
    legacy.run(verify_only=True)
    assert not Notification.objects.filter(user_id=part, achievement_id=many).exists()


def test_a_user_without_history_here_earns_what_the_row_has_counted(legacy) -> None:
    user = new_user()
    legacy.site.add_unlocks([(user, 1, day(1))])
    right = legacy.mapping.read_bytes()
    write_mapping(legacy.folder, {1: {"slug": "many", "level": 3}})
    legacy.run()
    legacy.mapping.write_bytes(right)
    process_events([make_event(user, n) for n in range(1, 6)])  # events alone, nothing is held
    legacy.run_to_person(4)
    legacy.run(restart=True, remove_surplus=True)
    assert read_levels(user)[legacy.ids["many"]] == read_row(user).unlocked[legacy.ids["many"]] == 1
    check_tallies()


def test_a_collection_follows_what_is_corrected(legacy) -> None:
    collector = make_achievement(
        "collector", {"all": [{"unlocked": "fast"}, {"unlocked": "clean"}]}
    ).pk
    publish()
    user = new_user()
    legacy.site.add_unlocks([(user, 4, day(4)), (user, 5, day(9)), (user, 1, day(30))])
    legacy.run()
    mine = UserAchievement.objects.filter(user_id=user, achievement_id=collector)
    assert mine.get().unlocked_at == day(9)
    legacy.run(timezone="Europe/Berlin")
    assert mine.get().unlocked_at == day(9) - HOUR
    write_mapping(legacy.folder, {1: "first", 5: "clean"}, [2, 3, 4])
    legacy.run_to_person(4, timezone="Europe/Berlin")
    assert collector in read_levels(user)
    legacy.run(timezone="Europe/Berlin", restart=True, remove_surplus=True)
    left = {legacy.ids["clean"]: 1, legacy.ids["first"]: 1}
    assert read_levels(user) == read_row(user).unlocked == left
    assert mine.get().revoked_reason == "an imported level that it asks for was taken away"
    check_tallies()


def test_a_correction_that_stopped_goes_on_correcting(legacy, monkeypatch) -> None:
    rows = make_rows()
    legacy.site.add_unlocks(rows)
    legacy.run()
    plan = failpoints.parse_failpoints("before_commit:raise 0.3")
    for _ in range(60):
        monkeypatch.setattr(failpoints, "armed", plan)
        try:
            legacy.run(timezone="Asia/Kolkata", slice=4, overlap=0)
            break
        except failpoints.InjectedFault:
            continue
    monkeypatch.setattr(failpoints, "armed", {})
    out = legacy.run(timezone="Asia/Kolkata", verify_only=True)
    assert "differ" not in out
    check_imported(
        legacy.expect([(user, other, at - timedelta(hours=5.5)) for user, other, at in rows])
    )
    check_tallies()


@pytest.mark.parametrize("turn", [1, -1])
def test_parts_are_corrected_in_any_order(legacy, turn) -> None:
    rows = make_rows()
    middle = len(rows) // 2
    legacy.site.add_unlocks(rows)
    parts: list[dict[str, Any]] = [{"last_id": middle}, {"first_id": middle + 1, "overlap": 0}]
    for part in parts:
        legacy.run(**part)
    first, second = parts[::turn]
    assert "all again" in legacy.run(timezone="Asia/Kolkata", slice=7, **first)
    assert "all again" not in legacy.run(timezone="Asia/Kolkata", slice=7, **second)
    check_imported(
        legacy.expect([(user, other, at - timedelta(hours=5.5)) for user, other, at in rows])
    )
    legacy.run(timezone="Asia/Kolkata", verify_only=True)


def test_levels_of_another_source_are_left_alone(legacy, tmp_path) -> None:
    user = new_user()
    legacy.site.add_unlocks([(user, 1, day(5))])
    other = tmp_path / "other"
    other.mkdir()
    with open_legacy_site(other) as site:
        second = copy(legacy)
        second.site, second.folder = site, other
        site.add_unlocks([(user, 1, day(2)), (user, 4, day(3))])
        legacy.run()
        second.run()
        before = read_everything()
        out = legacy.run(restart=True, remove_surplus=True)
        assert "Another source was imported as well" in out
        assert read_everything() == before
        # It was another address of the same tables, and they have changed since.
        legacy.run(restart=True, remove_surplus=True, only_source=True)
        check_imported(legacy.expect([(user, 1, day(5))]))
