"""import_legacy between real databases: beside live events, killed, interrupted, verified."""

import os
import random
import re
import signal
import threading
import time
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from achievements.engine import process_events
from achievements.models import Job, Notification, UserAchievement
from tests.factories import make_event, store_history
from tests.faults.hammer import FIRST_USER, make_pool, start_process
from tests.faults.move import USERS, Move, make_rows, read_cursor
from tests.legacy import (
    day,
    write_mapping,
)

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]


def test_a_fresh_import_and_what_is_added_later(move) -> None:
    rows = make_rows()
    move.site.add_unlocks(rows)
    output = move.run("--slice", 50)
    assert f"{len(rows)} rows in" in output
    move.check(rows, [])
    later = make_rows(USERS + 20, each=2, seed=2)
    move.site.add_unlocks(later)
    move.run("--slice", 50)
    move.check(rows + later, [])
    assert not Notification.objects.exists()


def test_a_dry_run_writes_nothing(move) -> None:
    move.site.add_unlocks(make_rows())
    before = read_everything()
    assert "Nothing was written" in move.run("--dry-run")
    assert read_everything() == before


def read_everything() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        tables = sorted(row[0] for row in cursor.fetchall())
        cursor.execute(f"CHECKSUM TABLE {', '.join(tables)} EXTENDED")
        return list(cursor.fetchall())


def test_an_import_beside_live_events_of_the_same_users(move) -> None:
    """Events reach users in two processes while their old unlocks arrive; the old site goes on."""
    rows = make_rows(each=10)
    move.site.add_unlocks(rows[:300])
    pool = make_pool(USERS)
    store_history(pool)
    hammers = [start_process(seed, USERS, 130, 20) for seed in (1, 2)]
    importing = move.start("--slice", 7)
    for start in range(300, len(rows), 50):
        move.site.add_unlocks(rows[start : start + 50])
    output = importing.communicate(timeout=120)[0]
    assert importing.returncode == 0, output
    for hammer in hammers:
        output = hammer.communicate(timeout=120)[0]
        assert hammer.returncode == 0, output
    move.run("--slice", 7)
    move.check(rows, pool)


def test_one_level_earned_and_imported_at_once(move) -> None:
    users = range(FIRST_USER, FIRST_USER + 40)
    move.site.add_unlocks([(user, 1, day(1)) for user in users])
    events = [make_event(user, 1) for user in users]
    store_history(events)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for event in events:
                process_events([event])
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    call_command(*map(str, move.arguments), source=move.site.url, slice=3)
    thread.join(60)
    assert failures == []
    assert UserAchievement.objects.filter(achievement_id=move.levels[1][0]).count() == 40
    move.check([(user, 1, day(1)) for user in users], events)
    assert Notification.objects.filter(achievement_id=move.levels[1][0]).count() <= 40


@pytest.mark.parametrize("place", ["before_commit", "after_commit"])
def test_an_import_killed_at_its_commits_loses_and_doubles_nothing(move, place) -> None:
    rows = make_rows(each=4)
    move.site.add_unlocks(rows)
    kills = 0
    while read_cursor() < len(rows):
        fault = f"{place}:kill {0.5 if kills else 1}"
        process = move.start("--slice", 40, "--overlap", 0, FAILPOINT=fault)
        output = process.communicate(timeout=120)[0]
        assert process.returncode in (0, -signal.SIGKILL), output
        kills += process.returncode != 0
        assert kills < 40
    assert kills
    assert Job.objects.get().cursor == len(rows)
    move.check(rows, [])
    assert "found" in move.run("--verify-only")


def test_an_import_killed_at_random_moments_goes_on_where_it_was(move) -> None:
    rows = make_rows(each=10)
    move.site.add_unlocks(rows)
    pool = make_pool(USERS, tests=4)
    store_history(pool)
    chance = random.Random(7)
    cursors: list[int] = []
    for _ in range(5):
        process = move.start("--slice", 10, "--overlap", 15, FAILPOINT="before_commit:sleep 0.1")
        before = cursors[-1] if cursors else 0
        deadline = time.monotonic() + 30
        while process.poll() is None and read_cursor() <= before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        process.kill()
        process.communicate()
        wait_until_alone()
        cursors.append(read_cursor())
        process_events(chance.sample(pool, 30))
    assert cursors == sorted(cursors)
    assert 0 < cursors[0] < len(rows)
    resumed = re.search(r"Going on after row (\d+)", move.run("--slice", 50, "--overlap", 15))
    assert resumed is not None
    assert int(resumed[1]) == cursors[-1] - 15
    process_events(pool)
    move.check(rows, pool)


def test_two_parts_at_once_one_of_them_killed(move) -> None:
    """Their slices hold the same users."""
    rows = make_rows(each=20)
    move.site.add_unlocks(rows)
    middle = len(rows) // 2
    first, second = ("--last-id", middle), ("--first-id", middle + 1)
    parts = [
        move.start("--slice", 20, *part, FAILPOINT=f"before_commit:sleep {seconds}")
        for part, seconds in ((first, 0.02), (second, 0.2))
    ]
    deadline = time.monotonic() + 30
    while Job.objects.filter(cursor__gt=0).count() < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parts[1].kill()
    for part in parts:
        output = part.communicate(timeout=120)[0]
    assert [part.returncode for part in parts] == [0, -signal.SIGKILL], output
    assert max(Job.objects.values_list("cursor", flat=True)) < len(rows)
    move.run("--slice", 20, *second)
    move.check(rows, [])
    assert "found" in move.run("--verify-only")


def wait_until_alone() -> None:
    """What a process had sent before it died is executed all the same."""
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT COUNT(*) FROM information_schema.processlist"
                " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.02)


def test_verification_finds_a_row_that_was_deleted_by_hand(move) -> None:
    rows = [(FIRST_USER + n, 1, day(n)) for n in range(30)]
    move.site.add_unlocks(rows)
    move.run()
    UserAchievement.objects.filter(user_id=FIRST_USER + 14).delete()
    process = move.start("--verify-only", "--slice", 10)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 4
    assert "Rows 11 to 20 differ: expected 10 levels" in output
    assert "1 slices differ" in output
    move.run("--restart")
    move.check(rows, [])


def start_slowly(move: Move, *arguments: Any) -> Any:
    """Start an import and wait until it has committed something."""
    process = move.start("--slice", 10, *arguments, FAILPOINT="before_commit:sleep 0.15")
    deadline = time.monotonic() + 30
    while read_cursor() == 0:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_a_run_that_is_interrupted_says_how_to_go_on(move) -> None:
    rows = make_rows(each=10)
    move.site.add_unlocks(rows)
    process = start_slowly(move)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output
    assert "Interrupted. Run the same command again: it goes on behind the last whole" in output
    assert "Traceback" not in output
    assert 0 < read_cursor() < len(rows)
    move.run()
    move.check(rows, [])


def test_a_run_whose_database_leaves_it_says_how_to_go_on(move) -> None:
    rows = make_rows(each=10)
    move.site.add_unlocks(rows)
    process = start_slowly(move)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
            " AND id <> CONNECTION_ID()"
        )
        for (thread_id,) in cursor.fetchall():
            cursor.execute("KILL %s", [thread_id])
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1, output
    assert "CommandError: Stopped: (2" in output
    assert "Run the same command again: it goes on" in output
    assert "Traceback" not in output
    move.run()
    move.check(rows, [])


def test_a_database_of_ours_that_refuses_is_said(move) -> None:
    url = os.environ["DATABASE_URL"]
    process = move.start(DATABASE_URL=url.replace("laurel:", "nobody:", 1))
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1, output
    assert "CommandError: Stopped: (1045" in output
    assert "Nothing was written" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("place", ["before_commit", "after_commit"])
def test_a_correction_killed_at_its_commits_corrects_everything_once(move, place) -> None:
    """Wrong times and a wrong achievement, beside users who go on."""
    rows = make_rows(each=4)
    pool = make_pool(USERS, tests=3)
    store_history(pool)
    move.site.add_unlocks(rows)
    right = move.mapping.read_bytes()
    write_mapping(move.folder, {n: {"slug": "many", "level": 3} for n in range(1, 6)})
    move.run("--timezone", "Asia/Kolkata")
    move.mapping.write_bytes(right)
    kills = 0
    again: list[Any] = ["--restart"]
    while True:
        process = move.start(
            *("--slice", 40, "--overlap", 0, "--remove-surplus", *again),
            FAILPOINT=f"{place}:kill {0.3 if kills else 1}",
        )
        again = []
        output = process.communicate(timeout=120)[0]
        process_events(pool[kills % len(pool) :][:30])
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, output
        kills += 1
        assert kills < 60
    process_events(pool)
    move.check(rows, pool)
    assert "found" in move.run("--verify-only")


def test_a_correction_in_two_parts_beside_live_events_of_the_same_users(move) -> None:
    rows = make_rows(each=8)
    move.site.add_unlocks(rows)
    right = move.mapping.read_bytes()
    write_mapping(move.folder, {n: {"slug": "many", "level": 3} for n in range(1, 6)})
    move.run("--timezone", "Asia/Kolkata")
    move.mapping.write_bytes(right)
    pool = make_pool(USERS)
    store_history(pool)
    middle = len(rows) // 2
    correcting = ("--slice", 15, "--restart", "--remove-surplus")
    hammers = [start_process(seed, USERS, 130, 20) for seed in (1, 2)]
    parts = [move.start(*correcting, *part) for part in
             (("--last-id", middle), ("--first-id", middle + 1))]  # fmt: skip
    for part in parts:
        output = part.communicate(timeout=120)[0]
        assert part.returncode == 0, output
    for hammer in hammers:
        output = hammer.communicate(timeout=120)[0]
        assert hammer.returncode == 0, output
    move.check(rows, pool)
    assert "found" in move.run("--verify-only")
