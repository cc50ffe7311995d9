"""rebuild_users stopped by SIGKILL, and beside live events."""

import re
import threading
import time

import pytest
from django.core.management import call_command
from django.db import connection

from achievements.engine import process_events
from achievements.models import Job, UserAchievement
from achievements.rebuild import rebuild_users
from tests.factories import make_achievement, make_broad_catalogue, make_event, store_history
from tests.faults.hammer import make_pool, start_process
from tests.invariants import check_invariants

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]


def publish_more() -> None:
    from achievements.rulebooks import publish_rulebook

    make_achievement("precise", {"count": "tests", "where": {"accuracy": {"gte": 99}}}, 2, 4)
    make_achievement("slow", {"count": "tests", "where": {"wpm": {"lt": 70}}}, 3)
    publish_rulebook()


def test_a_rebuild_that_was_killed_goes_on_where_it_was() -> None:
    make_broad_catalogue()
    pool = make_pool(120, tests=8)
    store_history(pool)
    process_events(pool)
    publish_more()
    process = start_process(
        "rebuild_users", "--slice", 10, module="manage", FAILPOINT="after_commit:sleep 0.6"
    )
    deadline = time.monotonic() + 60
    while not Job.objects.filter(cursor__gt=0).exists():
        assert process.poll() is None
        assert process.stdout is not None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    process.kill()
    process.wait()
    cursor = Job.objects.get().cursor
    assert 0 < cursor < max(e.user_id for e in pool)
    rest = start_process("rebuild_users", "--slice", 10, module="manage")
    output = rest.communicate(timeout=120)[0]
    assert rest.returncode == 0, output
    resumed = re.search(r"Resuming after user (\d+)", output)
    assert resumed is not None
    assert int(resumed[1]) >= cursor
    assert not Job.objects.exists()
    check_invariants(pool, are_told=False)


@pytest.mark.parametrize("should_replay", [False, True])
def test_a_rebuild_beside_live_events(should_replay: bool) -> None:
    make_broad_catalogue()
    pool = make_pool(60, tests=12)
    before = [e for e in pool if e.test_result_id <= 6]
    live = [e for e in pool if e.test_result_id > 6]
    store_history(before)
    process_events(before)
    publish_more()
    failures: list[BaseException] = []

    def type_on() -> None:
        try:
            for start in range(0, len(live), 20):
                batch = live[start : start + 20]
                store_history(batch)
                process_events(batch)
                process_events(batch[::-1])
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=type_on)
    thread.start()
    for number in range(3):
        for _ in rebuild_users(
            job_name=f"beside {number}", should_replay=should_replay, slice_users=7
        ):
            pass
    thread.join(60)
    assert failures == []
    call_command("rebuild_users")
    held = check_invariants(pool, are_told=False)
    told = UserAchievement.objects.count()
    assert told == sum(sum(levels.values()) for levels in held.values())


def test_a_new_user_of_events_and_a_rebuild_at_once() -> None:
    """Both create the row; the test is counted once."""
    make_broad_catalogue()
    users = range(7_000_001, 7_000_021)
    events = [make_event(user, 5, wpm=95.0) for user in users]
    store_history(events)
    failures: list[BaseException] = []

    def work(action) -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=work, args=(action,))
        for action in (
            lambda: [process_events(events[n : n + 4]) for n in range(0, 20, 4)],
            lambda: list(rebuild_users(job_name="race", slice_users=3)),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    check_invariants(events, are_told=False)
