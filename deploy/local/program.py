"""The processes of the site itself as `make stack` starts them: a list, and how one is run."""

import http.client
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deploy.local.process import HOST, LocalProcess

ROOT = Path(__file__).resolve().parents[2]
SETTLED_SECONDS = 1.5


class Program(NamedTuple):
    """Arguments for Python; {port} and {folder} stand for the process's own."""

    name: str
    arguments: tuple[str, ...]
    ready_path: str = ""  # answers 200 when ready; without one it has to stay up for a moment


# In the order of starting. They stop the other way round: what brings work first.
PROGRAMS = (
    Program(
        "worker",
        (
            *("-m", "celery", "--quiet", "-A", "celery_app", "worker", "--concurrency", "1"),
            # With INFO it would show a sweep every five seconds.
            *("--loglevel", "WARNING", "--without-mingle", "--without-gossip"),
        ),
    ),
    Program(
        "beat",
        ("-m", "celery", "--quiet", "-A", "celery_app", "beat", "-s", "{folder}/schedule"),
    ),
    Program("consumers", ("manage.py", "consume_achievement_events", "--processes", "2")),
    Program("relay", ("manage.py", "relay_outbox")),
    Program(
        "stream",
        (
            *("-m", "uvicorn", "config.asgi:application", "--host", HOST, "--port", "{port}"),
            *("--http", "h11", "--ws", "none", "--lifespan", "on", "--no-access-log"),
            # The site reads forwarded addresses itself, and only those of TRUSTED_PROXIES.
            *("--no-proxy-headers", "--log-level", "warning", "--timeout-graceful-shutdown", "5"),
        ),
        ready_path="/readyz",
    ),
    Program(
        "web",
        (
            *("-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", "{port}"),
            *("--workers", "1", "--blocking-threads", "4", "--no-ws", "--log-level", "warning"),
            "config.wsgi:application",
        ),
        ready_path="/readyz",
    ),
)


class SiteProcess(LocalProcess):
    """One program of the list, on the environment that the servers gave."""

    stop_timeout_seconds = 30.0

    def __init__(
        self,
        program: Program,
        *,
        environment: Mapping[str, str],
        folder: Path,
        port: int | None = None,
    ) -> None:
        super().__init__(port=port, folder=folder)
        self.program = program
        self.name = program.name
        self.environment = environment
        self._began = 0.0

    @property
    def has_port(self) -> bool:
        return "{port}" in self.program.arguments

    def prepare(self) -> None:
        self._began = time.monotonic()

    def build_environment(self) -> Mapping[str, str]:
        return {**self.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def build_command(self) -> list[str]:
        arguments = (
            argument.replace("{port}", str(self.port)).replace("{folder}", str(self.folder))
            for argument in self.program.arguments
        )
        return [sys.executable, *arguments]

    def is_ready(self) -> bool:
        if not self.program.ready_path:
            return self.is_running and time.monotonic() - self._began > SETTLED_SECONDS
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", self.program.ready_path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
