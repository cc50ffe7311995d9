"""Several consumers on one machine: started again when they die, stopped together."""

import os
import signal
import time
from pathlib import Path
from threading import Event as Flag

import pytest
from django.core.management import CommandError, call_command

from achievements import supervisor
from tests.factories import make_broad_catalogue, make_event, new_user
from tests.faults.fleet import (
    Command,
    make_consumer,
    new_group,
    publish,
    wait_for_drain,
    wait_until,
)
from tests.invariants import check_invariants

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def find_children(process: Command) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_consumer_is_started_again(kafka, tmp_path) -> None:
    make_broad_catalogue()
    group = new_group()
    users = [new_user() for _ in range(40)]
    events = [make_event(user, n) for n in range(1, 5) for user in users]
    publish(events[:80])
    heartbeat = tmp_path / "alive"
    with make_consumer(group, "pair", "--processes=2", f"--heartbeat-file={heartbeat}") as pair:
        wait_for_drain(group)
        first = find_children(pair)
        assert len(first) == 2
        # The other one may have done it all before this one has begun.
        wait_until(lambda: {f.name for f in tmp_path.iterdir()} == {"alive.0", "alive.1"})
        os.kill(first[0], signal.SIGKILL)
        publish(events[80:])
        wait_until(lambda: len(set(find_children(pair)) - set(first)) == 1)
        wait_for_drain(group)
        children = find_children(pair)
        began = time.monotonic()
        pair.stop()
        assert pair.wait() == 0
        assert time.monotonic() - began < 25
        assert not any(map(is_alive, children))
        assert "child_ended" in pair.read_log()
    check_invariants(events)


def test_one_that_never_stays_up_ends_all(tmp_path, monkeypatch) -> None:
    """Five quick exits are enough; the one beside it is stopped in order."""
    script = tmp_path / "manage.py"
    script.write_text(
        "import pathlib, sys, time\n"
        "log = pathlib.Path(sys.argv[2])\n"
        "log.open('a').write('x')\n"
        "while sys.argv[1] == 'lasts' or not log.with_name('lasting').exists():\n"
        "    time.sleep(0.05)\n"
    )
    monkeypatch.setattr("sys.argv", [str(script)])
    monkeypatch.setattr(supervisor, "MAX_DELAY_SECONDS", 0.1)
    began = time.monotonic()
    lasting, quick = tmp_path / "lasting", tmp_path / "quick"
    assert not supervisor.supervise([["lasts", str(lasting)], ["ends", str(quick)]], Flag())
    assert (lasting.read_text(), quick.read_text()) == ("x", "x" * 6)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("processes", [0, 51, 1_000])
def test_more_processes_than_partitions_are_refused(processes: int) -> None:
    with pytest.raises(CommandError, match="50 partitions"):
        call_command("consume_achievement_events", processes=processes)


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"batch": 600}, {"max_batch": 6_000}, {"batch": 100, "max_batch": 50}]
)
def test_batches_out_of_bounds_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(CommandError, match="--batch must be"):
        call_command("consume_achievement_events", **options)
