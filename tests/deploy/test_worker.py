import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real


def test_a_worker_starts_on_the_tests_database_and_stops_in_order(start_celery_worker) -> None:
    worker = start_celery_worker()
    assert "achievements.process_outbox" in worker.log_file.read_text()
    began = time.monotonic()
    worker.stop()
    assert worker.process.returncode == 0
    assert time.monotonic() - began < 15


def test_no_process_of_a_killed_worker_is_left(start_celery_worker) -> None:
    worker = start_celery_worker()
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    assert children
    worker.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
