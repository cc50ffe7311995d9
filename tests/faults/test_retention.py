"""prune killed again and again beside live events: nothing is lost, nothing counted twice."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from achievements.engine import process_events
from achievements.models import Job, Outbox, Snapshot
from profiles.models import TestResult
from tests.factories import NOON, make_broad_catalogue, make_event, store_history
from tests.faults.hammer import start_process
from tests.invariants import check_invariants

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]

DAY = (NOON + timedelta(days=10)).replace(hour=0)
USERS = range(6_000_001, 6_000_081)


def test_killed_in_any_slice_it_ends_with_everything_counted_once() -> None:
    make_broad_catalogue()
    pool = [
        make_event(
            user, n, at=NOON + timedelta(hours=9 * n), wpm=50.0 + (user + n * 7) % 70,
            accuracy=92.0 + (user + n) % 9,
        )
        for n in range(1, 51)
        for user in USERS
    ]  # fmt: skip
    old = [e for e in pool if e.occurred_at and e.occurred_at < DAY]
    live = pool[len(old) :]
    store_history(old)
    process_events(old[: len(old) // 2])  # the others' events are still on their way
    failures: list[BaseException] = []

    def type_on() -> None:
        try:
            for start in range(0, len(live), 100):
                batch = live[start : start + 100]
                store_history(batch)
                process_events(batch)
                process_events([*old[start : start + 100], *batch])  # some of it once more
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    typist = threading.Thread(target=type_on)
    typist.start()
    kills = 0
    for attempt in range(30):
        place = ("before_commit", "after_commit")[attempt % 2]
        chance = 1 if attempt < 2 else 0.3  # each place once for certain
        process = start_process(
            "prune", f"--tests={DAY:%Y-%m-%d}", "--slice=9", module="manage",
            FAILPOINT=f"{place}:kill {chance}",
        )  # fmt: skip
        output = process.communicate(timeout=60)[0]
        if process.returncode == 0:
            break
        assert process.returncode == -9, output
        kills += 1
    else:
        raise AssertionError("it never came to the end")
    typist.join()
    assert not failures
    assert kills >= 2
    assert not Job.objects.exists()
    process_events(old)
    check_invariants(pool)
    assert not TestResult.objects.filter(completed_at__lt=DAY).exists()
    assert sum(s.dropped for s in Snapshot.objects.all()) == len(old)
    call_command("rebuild_users", replay=True, stdout=StringIO(), stderr=StringIO())
    check_invariants(pool)


def test_failed_events_go_beside_rows_that_workers_hold() -> None:
    """The look for old ones comes past every pending row; it must not wait for who holds one."""
    long_ago = datetime.now(UTC) - timedelta(days=100)
    pending, dead, held = (
        Outbox.objects.create(user_id=1, event=b"{}", failed_at=at)
        for at in (None, long_ago, long_ago)
    )
    worker = connection.copy()
    worker.connect()
    with worker.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM outbox WHERE id <> %s FOR UPDATE SKIP LOCKED", [dead.id])
        with connection.cursor() as own:
            own.execute("SET SESSION innodb_lock_wait_timeout = 1")
        out = StringIO()
        call_command("prune", "--failed-events=60d", stdout=out, stderr=StringIO())
        assert "failed events: 1 dropped" in out.getvalue()
        assert set(Outbox.objects.values_list("id", flat=True)) == {pending.id, held.id}
        cursor.execute("ROLLBACK")
    worker.close()
    connection.close()  # the next test has its own patience
