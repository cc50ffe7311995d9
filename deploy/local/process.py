"""A child process that is waited for until it is ready; it and its own never outlive its parent."""

import contextlib
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.reaper import Reaper, kill_group

HOST = "127.0.0.1"
FOLDER_PREFIX = "laurel-local-"
LOWEST_PORT = 10_240
PR_SET_PDEATHSIG = 1
_PORT_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_claims: list[socket.socket] = []
_chance = random.SystemRandom()  # two test runs that seed the usual one would choose the same ports
_libc = ctypes.CDLL(None, use_errno=True)
_reaper = Reaper()


class StartError(RuntimeError):
    """A process did not become ready; the message holds the end of its own log."""


class MissingProgram(RuntimeError):
    """A program is not installed; the message holds the command that installs it."""

    def __init__(
        self, program: str, package: str, *, installer: str = "apt-get install -y"
    ) -> None:
        super().__init__(f"{program} is not installed: {installer} {package}")
        self.program = program
        self.package = package


def find_program(names: tuple[str, ...], *, package: str) -> str:
    # Debian keeps servers in sbin, which is not on an ordinary user's PATH.
    search_path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    for name in names:
        if found := shutil.which(name, path=search_path):
            return found
    raise MissingProgram(names[0], package)


def _claim(port: int) -> socket.socket:
    """Keep a port for this process until it ends: its UDP side, which no server here uses.

    Other runs beside this one see it taken, also before the server starts and while it is down.
    Raises OSError when somebody has it.
    """
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind((HOST, port))
    except OSError:
        claim.close()
        raise
    return claim


def find_free_port() -> int:
    """A port outside the range that the kernel gives to outgoing connections.

    Inside that range a client that reconnects while its server is down can take the server's own
    port, and the server then never starts again.
    """
    lowest_outgoing = int(_PORT_RANGE_FILE.read_text().split()[0])
    for _ in range(1000):
        port = _chance.randrange(LOWEST_PORT, lowest_outgoing) if lowest_outgoing > 20_000 else 0
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind((HOST, port))
            port = int(listener.getsockname()[1])
            _claims.append(_claim(port))
            return port
    raise StartError("No free port was found.")


def make_folder() -> Path:
    """A folder that carries our process id, so that a later start can tell it was left behind."""
    _remove_abandoned_folders()
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))


def _remove_abandoned_folders() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        match = re.match(rf"{FOLDER_PREFIX}(\d+)-", folder.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            shutil.rmtree(folder, ignore_errors=True)


class LocalProcess(ABC):
    """One process with its log, its port and a folder of its own; a folder that is given is kept.

    Start it from the main thread: the kernel ties its life to the thread that started it.
    """

    name: str
    start_timeout_seconds = 90.0
    stop_timeout_seconds = 20.0

    def __init__(self, *, port: int | None = None, folder: Path | None = None) -> None:
        self.port = port or find_free_port()
        self.keeps_folder = folder is not None
        self.folder = folder or make_folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def build_command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    def prepare(self) -> None:  # noqa: B027  (most have nothing to prepare)
        """Whatever must exist before the first start."""

    def build_environment(self) -> Mapping[str, str]:
        return os.environ

    def get_user(self) -> str | None:
        """The account to run as when started by root; None keeps the current one."""
        return None

    @property
    def log_file(self) -> Path:
        return self.folder / "output.log"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} has not been started.")
        return self.process.pid

    def start(self) -> Self:
        """Starts, or starts again on the same port and data, and returns when it is ready."""
        if self.is_running:
            return self
        self._end_group()  # what a crash has left would still hold the port
        self.prepare()
        user = self.get_user()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.build_command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.build_environment()),
                user=user,
                group=user,
                extra_groups=[] if user else None,
                # A group of its own: Ctrl-C in the terminal reaches us alone, and we stop it.
                process_group=0,
                # Runs after the change of user, which would clear the signal again.
                preexec_fn=_die_with_parent(os.getpid()),
            )
        _reaper.remember(self.pid)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout_seconds
        while not self.is_ready():
            if not self.is_running:
                raise StartError(f"{self.name} ended while starting:\n{self.read_log_end()}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{self.name} was not ready after {self.start_timeout_seconds:.0f} s:\n"
                    f"{self.read_log_end()}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it in its own orderly way; data and port stay for another start."""
        if self.process is None:
            return
        if self.is_running:
            self.resume()  # a paused process would not see the signal
            self.process.terminate()
        try:
            self.process.wait(self.stop_timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._end_group()

    def kill(self) -> None:
        """Ends it as a crash would; data and port stay for another start.

        What it has started itself may live on, as after a crash, until the next stop or start.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _end_group(self) -> None:
        if self.process is None:
            return
        # A process of this number would be a stranger: ours is over, and was waited for.
        if not Path(f"/proc/{self.pid}").exists():
            kill_group(self.pid)
        _reaper.forget(self.pid)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.is_running:
            self.process.send_signal(number)

    def remove(self) -> None:
        """Stops it and deletes its folder, unless that was given."""
        self.stop()
        if not self.keeps_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def read_log_end(self, line_count: int = 25) -> str:
        with contextlib.suppress(FileNotFoundError):
            lines = self.log_file.read_text(errors="replace").splitlines()
            return "\n".join(lines[-line_count:])
        return "(no log)"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def _die_with_parent(parent_pid: int) -> Callable[[], None]:
    """Makes the child ask the kernel to kill it when the thread that started it ends."""

    def ask() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it ended before the request was made
            os._exit(1)

    return ask
