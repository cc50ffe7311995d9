"""What a local process has started itself is left behind by nothing but a crash of it alone."""

import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.process import LocalProcess
from tests.deploy.test_servers import wait_until_gone

ROOT = Path(__file__).resolve().parents[2]


class Family(LocalProcess):
    """A shell that starts one process more and waits for it."""

    name = "family"

    def build_command(self) -> list[str]:
        return ["sh", "-c", f"sleep 60 & echo $! >{self.folder}/$$; wait"]

    def is_ready(self) -> bool:
        file = self.folder / str(self.pid)
        return file.exists() and file.read_text().endswith("\n")

    @property
    def child_pid(self) -> int:
        return int((self.folder / str(self.pid)).read_text())


def is_alive(pid: int) -> bool:
    return not wait_until_gone(pid, timeout_seconds=0.3)


def test_stopping_ends_both() -> None:
    family = Family().start()
    pids = family.pid, family.child_pid
    family.remove()
    assert all(map(wait_until_gone, pids))


def test_a_crash_leaves_the_child_until_the_next_stop_or_start() -> None:
    with Family() as family:
        first = family.child_pid
        family.kill()
        assert is_alive(first)
        family.start()
        second = family.child_pid
        assert wait_until_gone(first)
        assert is_alive(second)
        family.kill()
    assert wait_until_gone(second)


def test_when_the_parent_is_killed_nobody_is_left() -> None:
    program = (
        "import time\n"
        "from tests.deploy.test_reaper import Family\n"
        "families = [Family().start() for _ in range(2)]\n"
        "families[1].kill()\n"
        "print(*[n for f in families for n in (f.pid, f.child_pid)], flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 4
    assert is_alive(pids[3])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(map(wait_until_gone, pids))
