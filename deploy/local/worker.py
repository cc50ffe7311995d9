"""A real Celery worker beside the local servers."""

from collections.abc import Mapping
from pathlib import Path

from deploy.local.process import LocalProcess


class CeleryWorker(LocalProcess):
    """Consumes every queue that celery_app.py declares, in one process of one slot by default."""

    name = "celery worker"

    def __init__(
        self,
        *,
        python: str,
        root: Path,
        environment: Mapping[str, str],
        pool: str = "prefork",
        slots: int = 1,
        with_beat: bool = False,
    ) -> None:
        super().__init__()
        self.python = python
        self.root = root
        self.environment = environment
        self.pool = pool
        self.slots = slots
        self.with_beat = with_beat

    def build_environment(self) -> Mapping[str, str]:
        return {**self.environment, "PYTHONPATH": str(self.root), "PYTHONUNBUFFERED": "1"}

    def build_command(self) -> list[str]:
        command = [self.python, "-m", "celery", "-A", "celery_app", "worker"]
        command += ["--pool", self.pool, "--concurrency", str(self.slots), "--loglevel", "INFO"]
        command += ["--without-mingle", "--without-gossip", "-n", f"local-{self.port}@%h"]
        if self.with_beat:
            command += ["--beat", "--schedule", str(self.folder / "schedule")]
        return command

    def is_ready(self) -> bool:
        # Anywhere: where tasks wait, their lines follow at once.
        return " ready." in self.log_file.read_text(errors="replace")
