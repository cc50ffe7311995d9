"""import_legacy from a file of SQLite: what users hold afterwards, and what stays right later."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from achievements import failpoints, legacy_import
from achievements.engine import process_events
from achievements.models import Job, Notification, Tally, UserAchievement, UserProgress
from achievements.progress import encode_progress
from achievements.selectors import read_user_achievements
from tests.factories import (
    invalidate,
    make_achievement,
    make_event,
    new_user,
    publish,
    store_history,
)
from tests.invariants import check_invariants, check_tallies, read_levels, read_row
from tests.legacy import check_imported, day, open_import, write_mapping

pytestmark = pytest.mark.django_db


@pytest.fixture
def legacy(db, tmp_path):
    with open_import(tmp_path) as site:
        yield site


def make_rows(users: int = 30) -> list[tuple[int, int, Any]]:
    return [
        (user, 1 + (user + n) % 5, day(n * 11 + user % 7))
        for user in (new_user() for _ in range(users))
        for n in range(1 + user % 4)
    ]


def test_users_get_what_they_had(legacy) -> None:
    rows = make_rows()
    legacy.site.add_unlocks(rows)
    out = legacy.run(slice=7)
    assert f"{len(rows)} rows in" in out
    expected = legacy.expect(rows)
    check_imported(expected)
    check_tallies()
    user = rows[0][0]
    shown = read_user_achievements(user_id=user)
    assert shown["points"] == read_row(user).points > 0
    assert not legacy.read_report()


def test_importing_again_changes_nothing(legacy) -> None:
    rows = make_rows()
    legacy.site.add_unlocks(rows)
    legacy.run()
    before = list(UserAchievement.objects.order_by("pk").values())
    states = list(UserProgress.objects.order_by("pk").values())
    for options in ({}, {"restart": True, "slice": 3}):
        assert f"{len(rows)}  known" in legacy.run(**options)
        assert list(UserAchievement.objects.order_by("pk").values()) == before
        assert list(UserProgress.objects.order_by("pk").values()) == states
    check_tallies()


def test_what_was_added_since_is_caught_up(legacy) -> None:
    rows, later = make_rows(20), make_rows(5)
    legacy.site.add_unlocks(rows)
    legacy.run(slice=10)
    legacy.site.add_unlocks(later)
    job = Job.objects.get()
    assert job.cursor == len(rows)
    legacy.run(slice=10)
    job.refresh_from_db()
    assert job.cursor == len(rows) + len(later)
    check_imported(legacy.expect([*rows, *later]))
    check_tallies()


def test_a_row_that_was_committed_late_is_found(legacy) -> None:
    """Its id is below those that were imported: it was given before they were."""
    rows = make_rows(20)
    legacy.site.add_unlocks(rows)
    late = new_user()
    legacy.site.execute(f"UPDATE user_achievements SET id = {len(rows) + 1} WHERE id = {len(rows)}")
    legacy.run()
    legacy.site.execute(
        "INSERT INTO user_achievements (id, user_id, achievement_id, unlocked_at)"
        f" VALUES ({len(rows)}, {late}, 1, '2019-05-05 05:05:05')"
    )
    legacy.run()
    assert read_levels(late) == {legacy.ids["first"]: 1}


def test_parts_have_cursors_of_their_own(legacy) -> None:
    rows, later = make_rows(20), make_rows(3)
    middle = len(rows) // 2
    legacy.site.add_unlocks(rows)
    assert f"{middle} rows in" in legacy.run(last_id=middle)
    rest = {"first_id": middle + 1, "overlap": len(rows)}  # never into the part before
    assert f"{len(rows) - middle} rows in" in legacy.run(**rest)
    check_imported(legacy.expect(rows))
    legacy.site.add_unlocks(later)
    out = legacy.run(**rest)
    assert "Going on after row" not in out
    assert "a part of their own" not in out
    cursors = Job.objects.order_by("cursor").values_list("cursor", flat=True)
    assert list(cursors) == [middle, len(rows) + len(later)]
    check_imported(legacy.expect([*rows, *later]))
    check_tallies()
    assert "found" in legacy.run(verify_only=True)
    assert "a part of their own" not in legacy.run(last_id=middle)
    out = legacy.run()
    assert f"Rows from {middle + 1} on are a part of their own: --first-id {middle + 1}." in out
    assert "0 rows in" in legacy.run(first_id=1_000_000)


def test_the_earliest_of_several_rows_wins_in_whatever_slice(legacy) -> None:
    user = new_user()
    rows = [
        (user, 1, day(5)),
        (user, 3, day(9)),
        (user, 1, day(2)),
        (user, 2, day(8)),
        (user, 1, day(7)),
    ]
    legacy.site.add_unlocks(rows)
    out = legacy.run(slice=1)
    check_imported(legacy.expect(rows))
    check_tallies()
    assert "3  duplicate" in out  # the fourth row was implied by the second
    assert [(line["id"], line["reason"]) for line in legacy.read_report()] == [
        (3, "duplicate"), (4, "duplicate"), (5, "duplicate"),
    ]  # fmt: skip


def test_odd_rows_are_named_and_stop_nothing(legacy) -> None:
    good = make_rows(10)
    user = good[0][0]
    legacy.site.add_unlocks(
        [
            *good[:5], (None, 1, day(1)), (-3, 1, day(1)), ("=cmd()", 1, day(1)), (user, 6, day(1)),
            (user, 77, day(1)), (user, 5, None), (user, 5, "0000-00-00 00:00:00"),
            (user, 5, "2199-01-01 00:00:00"), (user, 5, "1970-01-01 00:00:00"), *good[5:],
        ]
    )  # fmt: skip
    out, message = legacy.run_to_person(slice=4)
    assert "9 rows need a person" in message
    check_imported(legacy.expect(good))
    reasons = [line["reason"] for line in legacy.read_report()]
    assert sorted(reasons) == sorted(
        ["bad_user"] * 3 + ["unmapped", "unknown_achievement"] + ["no_time"] * 2
        + ["future_time", "early_time"]
    )  # fmt: skip
    assert "  6: ?  # Forgotten" in out
    line = next(line for line in legacy.read_report() if line["reason"] == "unmapped")
    assert (line["userId"], line["achievementId"], line["unlockedAt"]) == (
        user, 6, "2019-02-13 12:00:00",
    )  # fmt: skip

    # The ways out: ignore what is not wanted, give a time to what has none.
    legacy.mapping = write_mapping(legacy.folder, {5: "clean"}, [1, 2, 3, 4, 6, 77])
    out, message = legacy.run_to_person(4, unknown_time="2015-01-01T00:00:00Z")
    assert "all again" in out
    assert "4 rows need a person" in message  # both are said
    assert "slices differ" in message
    assert UserAchievement.objects.get(
        user_id=user, achievement_id=legacy.ids["clean"]
    ).unlocked_at.isoformat() == "2015-01-01T00:00:00+00:00"  # fmt: skip


def test_a_dry_run_writes_nothing_and_says_the_same(legacy) -> None:
    rows = [*make_rows(), (new_user(), 6, day(1)), (None, 1, day(1))]
    legacy.site.add_unlocks(rows)
    publish()
    tables = (UserAchievement, UserProgress, Notification, Tally, Job)
    before = [list(table.objects.order_by("pk").values()) for table in tables]
    dry, _ = legacy.run_to_person(dry_run=True)
    assert [list(table.objects.order_by("pk").values()) for table in tables] == before
    real, _ = legacy.run_to_person()
    counts = [line for line in real.splitlines() if line.startswith("   ")]
    assert counts == [line for line in dry.splitlines() if line.startswith("   ")]


def test_times_are_of_the_zone_that_is_said(legacy) -> None:
    user = new_user()
    legacy.site.add_unlocks([(user, 1, "2019-07-01 12:00:00")])
    legacy.run(timezone="Europe/Berlin")
    row = UserAchievement.objects.get(user_id=user)
    assert row.unlocked_at.isoformat() == "2019-07-01T10:00:00+00:00"


def test_what_was_unlocked_here_stays_unless_theirs_is_much_older(legacy, client) -> None:
    ours, theirs = new_user(), new_user()
    events = [make_event(user, 1, at=day(20)) for user in (ours, theirs)]
    store_history(events)
    process_events(events)
    legacy.site.add_unlocks([(ours, 1, day(20, hour=3)), (theirs, 1, day(1))])
    client.get(f"/api/v1/users/{theirs}/achievements")  # into the cache
    out = legacy.run()
    assert "2  held_here" in out
    row = UserAchievement.objects.get(user_id=ours)
    assert (row.unlocked_at, row.test_result_id) == (day(20), 1)
    row = UserAchievement.objects.get(user_id=theirs)
    assert (row.unlocked_at, row.test_result_id, row.rulebook_version) == (day(1), None, 0)
    shown = client.get(f"/api/v1/users/{theirs}/achievements").json()
    assert [entry["unlockedAt"] for entry in shown["achievements"]] == ["2019-02-13T12:00:00Z"]
    assert Notification.objects.count() == 2
    check_invariants(events)
    # Its test is taken back: what rests on it goes, what the former site gave does not.
    undone = [invalidate(user, 1) for user in (ours, theirs)]
    process_events(undone)
    assert read_levels(ours) == {}
    assert read_levels(theirs) == {legacy.ids["first"]: 1}
    assert "1  revoked_here" in legacy.run()
    assert read_levels(ours) == {}
    check_tallies()


def test_nothing_here_takes_an_imported_level_away(legacy) -> None:
    """Neither a replay, nor a test taken back, nor a rule that asks for more."""
    user = new_user()
    rows = [(user, 3, day(1)), (user, 4, day(2))]
    legacy.site.add_unlocks(rows)
    legacy.run()
    events = [make_event(user, n, wpm=50.0 + n, accuracy=99.0) for n in range(1, 6)]
    store_history(events)
    process_events(events)
    held = {
        legacy.ids["many"]: 3,
        legacy.ids["fast"]: 2,
        legacy.ids["first"]: 1,
        legacy.ids["clean"]: 1,
    }
    assert read_levels(user) == held
    call_command("rebuild_users", replay=True)
    assert read_levels(user) == read_row(user).unlocked == held
    process_events([invalidate(user, n) for n in range(1, 6)])
    left = {legacy.ids["many"]: 3, legacy.ids["fast"]: 2}
    assert read_levels(user) == read_row(user).unlocked == left
    call_command("rebuild_users", replay=True)
    assert read_levels(user) == left
    check_tallies()
    # Higher levels are earned as by anybody else.
    more = [make_event(user, n, wpm=130.0) for n in range(10, 50)]
    store_history(more)
    process_events(more)
    assert read_levels(user)[legacy.ids["fast"]] == 3
    check_tallies()
    told = Notification.objects.filter(user_id=user, achievement_id=legacy.ids["fast"])
    assert [row.level for row in told] == [3]


def test_a_level_above_an_imported_one_can_be_taken_back(legacy) -> None:
    user = new_user()
    legacy.site.add_unlocks([(user, 4, day(1))])
    legacy.run()
    event = make_event(user, 1, wpm=125.0)
    store_history([event])
    process_events([event])
    assert read_levels(user)[legacy.ids["fast"]] == 3
    process_events([invalidate(user, 1)])
    assert read_levels(user) == {legacy.ids["fast"]: 2}
    check_tallies()


def test_a_user_with_a_past_here_gets_it_as_well(legacy) -> None:
    """An import must not pass for the first event, which looks for the user's history."""
    user = new_user()
    past = [make_event(user, n, accuracy=99.0) for n in range(1, 13)]
    store_history(past)
    legacy.site.add_unlocks([(user, 4, day(1)), (user, 5, day(3))])
    legacy.run()
    held = {
        legacy.ids["many"]: 2, legacy.ids["first"]: 1, legacy.ids["clean"]: 1, legacy.ids["fast"]: 2
    }  # fmt: skip
    assert read_levels(user) == read_row(user).unlocked == held
    assert process_events(past).applied == 0
    process_events([make_event(user, 13)])
    assert read_row(user).completed.top == 13
    clean = UserAchievement.objects.get(user_id=user, achievement_id=legacy.ids["clean"])
    assert (clean.unlocked_at, clean.rulebook_version) == (day(3), 0)  # long before our test
    assert not Notification.objects.exists()
    check_tallies()


def test_collections_follow(legacy) -> None:
    collector = make_achievement(
        "collector", {"all": [{"unlocked": "fast"}, {"unlocked": "clean"}]}
    )
    publish()
    user, other = new_user(), new_user()
    legacy.site.add_unlocks([(user, 4, day(4)), (other, 4, day(4)), (user, 5, day(9))])
    legacy.run(slice=2)
    row = UserAchievement.objects.get(achievement_id=collector.pk)
    assert (row.user_id, row.unlocked_at, row.test_result_id) == (user, day(9), None)
    assert not Notification.objects.exists()
    check_tallies()
    process_events([make_event(user, 1), invalidate(user, 1)])
    assert collector.pk in read_levels(user)


@pytest.mark.parametrize("damage", ["row", "time", "earlier time", "packed row", "revocation"])
def test_verification_names_the_slice_of_what_was_lost(legacy, damage) -> None:
    rows = [(new_user(), 1, day(n)) for n in range(30)]
    legacy.site.add_unlocks(rows)
    legacy.run()
    assert "found 30 levels" in legacy.run(verify_only=True, slice=10)
    user = rows[14][0]
    mine = UserAchievement.objects.filter(user_id=user)
    if damage == "row":
        mine.delete()
    elif damage == "time":
        mine.update(unlocked_at=day(14) + timedelta(seconds=1))
    elif damage == "earlier time":
        mine.update(unlocked_at=day(14) - timedelta(days=4_000))
    elif damage == "packed row":
        row = read_row(user)
        row.set_unlocked({}, 0)
        UserProgress.objects.filter(user_id=user).update(state=encode_progress(row))
    else:
        mine.update(revoked_at=day(50), rulebook_version=1, unlocked_at=day(40))
    out, message = legacy.run_to_person(4, verify_only=True, slice=10)
    assert "1 slices differ" in message
    assert "Rows 11 to 20 differ: expected 10 levels" in out
    [line] = legacy.read_report()
    reason = "other_time" if damage.endswith("time") else "missing"
    assert (line["reason"], line["slice"], line["userId"]) == (reason, "11-20", user)
    assert line["ourAchievementId"] == legacy.ids["first"]
    legacy.run(restart=True)
    check_imported(legacy.expect(rows))
    assert "found 30 levels" in legacy.run(verify_only=True)


def test_a_slice_that_fails_leaves_the_cursor_before_it(legacy, monkeypatch) -> None:
    rows = make_rows(40)
    legacy.site.add_unlocks(rows)
    monkeypatch.setattr(failpoints, "armed", failpoints.parse_failpoints("before_commit:raise"))
    with pytest.raises(failpoints.InjectedFault):
        legacy.run(slice=10)
    assert Job.objects.get().cursor == 0
    assert not UserAchievement.objects.exists()
    assert not UserProgress.objects.exists()
    monkeypatch.setattr(failpoints, "armed", {})
    legacy.run(slice=10)
    check_imported(legacy.expect(rows))


def test_a_cursor_that_another_run_moved_stops_this_one(legacy, monkeypatch) -> None:
    legacy.site.add_unlocks(make_rows(10))
    taken = legacy_import._import_claims

    def meddle(*arguments: Any) -> Any:
        Job.objects.update(cursor=5)
        return taken(*arguments)

    monkeypatch.setattr(legacy_import, "_import_claims", meddle)
    with pytest.raises(CommandError, match="another import of the same source"):
        legacy.run()
    assert not UserAchievement.objects.exists()


BAD_OPTIONS = {
    "slice": ({"slice": 0}, "--slice must be from 1 to 5000"),
    "large slice": ({"slice": 5_001}, "--slice must be from 1 to 5000"),
    "overlap": ({"overlap": -1}, "--overlap must be from 0 to"),
    "rate": ({"rate": -1}, "--rate must be"),
    "first id": ({"first_id": 0}, "--first-id must be from 1 to"),
    "last id": ({"first_id": 5, "last_id": 4}, r"--last-id must be from 5 \(--first-id\) to"),
    "zone": ({"timezone": "Mars/Olympus"}, "--timezone takes"),
    "zone path": ({"timezone": "../etc"}, "--timezone takes"),
    "time": ({"unknown_time": "tomorrow"}, "--unknown-time takes"),
    "impossible time": ({"unknown_time": "2019-02-30T00:00:00Z"}, "--unknown-time takes"),
    "early time": ({"unknown_time": "1999-12-31T23:59:59Z"}, "from the year 2000 on"),
    "future time": ({"unknown_time": "2099-01-01"}, "not in the future"),
    "first time there is": ({"unknown_time": "0001-01-01T00:00:00+14:00"}, "from the year 2000"),
    "last time there is": ({"unknown_time": "9999-12-31T23:59:59-12:00"}, "not in the future"),
    "removing nothing": ({"remove_surplus": True, "verify_only": True}, "--remove-surplus writes"),
    "both": ({"dry_run": True, "verify_only": True}, "--dry-run and --verify-only"),
    "mapping": ({"mapping": Path("/nowhere.yaml")}, "--mapping: nothing was imported"),
    "report": ({"report": Path("/proc/nowhere/report.jsonl")}, "--report:"),
}


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_options_are_checked_before_anything_is_read(legacy, options, message) -> None:
    with pytest.raises(CommandError, match=message):
        legacy.run(**options)
    assert not Job.objects.exists()


BAD_SOURCES = {
    "no url": ("", "expected mysql://"),
    "another scheme": ("postgres://user:secret@host/db", "expected mysql://"),
    "no database": ("mysql://user:secret@127.0.0.1:1", "names no database"),
    "slash": ("mysql://user:pa/secret@127.0.0.1:1/typing", "the URL cannot be read: in a user"),
    "question mark": ("mysql://user:pa?secret@127.0.0.1:1/typing", "the URL cannot be read: in a"),
    "number and slash": ("mysql://user:12/secret@127.0.0.1/typing", "the URL cannot be read: in a"),
    "option": ("mysql://user:secret@127.0.0.1:1/typing?read_timeout=abc", "the options of the URL"),
    "no file": ("sqlite:////nowhere/legacy.sqlite3", "table achievements cannot be read"),
}


@pytest.mark.parametrize(("url", "message"), BAD_SOURCES.values(), ids=BAD_SOURCES)
def test_a_source_that_cannot_be_read(legacy, url, message) -> None:
    legacy.site.url = url
    with pytest.raises(CommandError, match="--source: ") as caught:
        legacy.run()
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "'pa'" not in str(caught.value)


def test_a_missing_table_and_a_missing_column_are_named(legacy) -> None:
    legacy.site.execute("ALTER TABLE user_achievements RENAME COLUMN unlocked_at TO earned_at")
    with pytest.raises(CommandError) as caught:
        legacy.run()
    assert "user_achievements has no column unlocked_at (it has id, user_id" in str(caught.value)
    legacy.site.execute("DROP TABLE user_achievements")
    with pytest.raises(CommandError, match="table user_achievements cannot be read"):
        legacy.run()


def test_rows_below_the_first_id_are_rows_as_well(legacy) -> None:
    rows = make_rows(5)
    legacy.site.add_unlocks(rows)
    legacy.site.execute("UPDATE user_achievements SET id = 0 WHERE id = 1")
    legacy.site.execute("UPDATE user_achievements SET id = -7 WHERE id = 2")
    assert f"{len(rows)} rows in" in legacy.run()
    check_imported(legacy.expect(rows))
    assert "differ" not in legacy.run(verify_only=True)


def test_ids_as_text_are_numbers(legacy) -> None:
    user = new_user()
    legacy.site.execute("DROP TABLE user_achievements")
    legacy.site.execute(
        "CREATE TABLE user_achievements"
        " (id INTEGER PRIMARY KEY, user_id VARCHAR(20), achievement_id TEXT, unlocked_at DATETIME)"
    )
    legacy.mapping.write_text("achievements:\n  1: first\n  4: {slug: fast, level: 2}\n")
    legacy.site.add_unlocks([(str(user), "1", day(3)), (str(user), "4", day(4))])
    legacy.run()
    check_imported(legacy.expect([(user, 1, day(3)), (user, 4, day(4))]))
    assert "corrected:" in legacy.run(timezone="Europe/Berlin")


def test_a_large_source_without_an_index_on_users_is_warned_of(legacy, monkeypatch, capsys) -> None:
    monkeypatch.setattr("achievements.management.commands.import_legacy.MANY_ROWS", 2)
    legacy.site.add_unlocks(make_rows(5))
    legacy.run()
    assert "no index of user_achievements begins with user_id" in capsys.readouterr().err
    legacy.site.execute("CREATE INDEX by_user ON user_achievements (user_id, unlocked_at DESC)")
    legacy.run()
    assert "no index" not in capsys.readouterr().err


def test_a_database_that_fails_is_said_in_a_sentence(legacy, monkeypatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OperationalError("server has gone away")

    legacy.site.add_unlocks(make_rows(5))
    monkeypatch.setattr(legacy_import, "run_batch", fail)
    with pytest.raises(CommandError, match=r"Stopped: server .* away\. Run the same") as caught:
        legacy.run()
    assert caught.value.returncode == 1
    with pytest.raises(CommandError, match="the same command again, but without --restart: it"):
        legacy.run(restart=True)


def test_an_empty_source(legacy) -> None:
    assert "0 rows in" in legacy.run()


def test_a_rate_is_kept(legacy) -> None:
    legacy.site.add_unlocks([(new_user(), 1, day(1)) for _ in range(60)])
    began = time.monotonic()
    legacy.run(slice=20, rate=100)
    assert time.monotonic() - began >= 0.5
