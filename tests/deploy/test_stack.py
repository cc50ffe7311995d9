import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from deploy.local.process import HOST, find_free_port
from tests.deploy.test_servers import can_connect, wait_until_gone

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {
    *("mariadb", "redis", "broker", "kafka"),
    *("worker", "beat", "consumers", "relay", "stream", "web"),
}

KEPT = ("PATH", "HOME", "LAUREL_KAFKA_JARS")

USER_ID = 424242

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


class RunningStack:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = find_free_port()
        self.output = data.parent / "output.txt"
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.stack"],
                cwd=ROOT,
                env={
                    **{name: os.environ[name] for name in KEPT if name in os.environ},
                    "STACK_DATA": str(data),
                    "PORT": str(self.port),
                    "LAUREL_ENV_FILE": "",
                },
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # As a shell without jobs starts what ends with &.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )

    def read(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, is_there: Callable[[], object], *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not is_there():
            assert self.process.poll() is None, self.read()
            assert time.monotonic() < deadline, self.read()
            time.sleep(0.1)

    def wait_until_up(self) -> dict[str, int]:
        """The process ids by name, read from the table."""
        self.wait_for(lambda: "Ctrl-C stops everything" in self.read(), seconds=240)
        rows = re.findall(r"^  (\w+) +running +(\d+) ", self.read(), re.MULTILINE)
        return {name: int(pid) for name, pid in rows}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(180)


@pytest.fixture
def data() -> Iterator[Path]:
    # Not pytest's own folder: that is closed to the user that the database runs as.
    folder = Path(tempfile.mkdtemp(prefix="laurel-stack-"))
    folder.chmod(0o711)
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start_stack(data: Path) -> Iterator[Callable[[], RunningStack]]:
    started: list[RunningStack] = []

    def start() -> RunningStack:
        started.append(RunningStack(data))
        return started[-1]

    yield start
    for stack in started:
        if stack.process.poll() is None:
            stack.process.kill()
            stack.process.wait()


def find_processes(data: Path) -> dict[int, str]:
    """Return the command lines of what descends from the stack on this data, by process id.

    Known by what they have inherited; Redis alone writes its title over that.
    """
    mark = f"STACK_DATA={data}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is another user's
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
    return found


def wait_until_none_is_left(data: Path, *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while left := find_processes(data):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def count_unlocks(stack: RunningStack, user_id: int) -> int:
    answer = httpx.get(
        f"http://{HOST}:{stack.port}/api/v1/users/{user_id}/achievements", timeout=30
    )
    return answer.json()["unlockedCount"]


def test_an_event_goes_through_everything_and_outlives_a_crash_of_everything(
    start_stack: Callable[[], RunningStack], data: Path
) -> None:
    stack = start_stack()
    pids = stack.wait_until_up()
    assert pids.keys() >= EXPECTED
    # What can be tried is said once it can be tried, and names who also serves the stream.
    said = stack.read()
    assert said.index("Laurel is on") > said.index("NAME")
    if "edge" in pids:
        port = re.search(r"^  edge +running +\d+ +(\d+)", said, re.MULTILINE)
        assert port
        assert f"Laurel is on http://{HOST}:{port[1]} " in said
    key = json.loads((data / "credentials.json").read_text())["service_key"]
    event = {
        "userId": USER_ID,
        "testResultId": 1,
        "eventType": "test_completed",
        "metrics": {"wpm": 85.5, "accuracy": 98.2, "testCount": 150},
    }
    answer = httpx.post(
        f"http://{HOST}:{stack.port}/api/v1/events",
        json=event,
        headers={"Authorization": f"Api-Key {key}"},
        timeout=30,
    )
    assert answer.status_code == 202, answer.text
    stack.wait_for(lambda: count_unlocks(stack, USER_ID) > 0, seconds=60)
    unlocks = count_unlocks(stack, USER_ID)

    # Nothing is left running without the one that would stop it: no worker of a worker either.
    running = find_processes(data)
    assert len(running) > len(pids), running
    stack.process.kill()
    stack.process.wait()
    assert all(wait_until_gone(pid) for pid in {*pids.values(), *running})
    wait_until_none_is_left(data)

    stack.output.unlink()
    stack = start_stack()
    pids = stack.wait_until_up()
    assert count_unlocks(stack, USER_ID) == unlocks

    # What dies is shown, is not started again, and does not take the others along.
    os.kill(pids["relay"], signal.SIGKILL)
    stack.wait_for(lambda: "relay was killed by signal 9" in stack.read(), seconds=30)
    assert wait_until_gone(pids["relay"])
    assert httpx.get(f"http://{HOST}:{stack.port}/readyz", timeout=30).status_code == 200

    assert stack.stop() == 1, stack.read()
    order = re.findall(r"^stopped (\w+) in", stack.read(), re.MULTILINE)
    assert order[0] == ("edge" if "edge" in pids else "web")
    assert order[-1] == "mariadb"
    assert all(wait_until_gone(pid) for pid in pids.values())
    wait_until_none_is_left(data)
    assert not can_connect(stack.port)


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.stack"],
        cwd=ROOT,
        env={**os.environ, "PORT": "70000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "PORT=70000 cannot be used" in done.stderr
