import time

import pytest
from kombu.exceptions import OperationalError

from celery_app import EVENTS_QUEUE, TASK_TIME_LIMIT_SECONDS, VISIBILITY_TIMEOUT_SECONDS, app


def test_a_message_survives_its_worker() -> None:
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1
    assert [queue.name for queue in app.conf.task_queues] == [EVENTS_QUEUE]
    assert VISIBILITY_TIMEOUT_SECONDS > TASK_TIME_LIMIT_SECONDS


def test_every_beat_entry_names_a_task_that_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


@pytest.mark.real
@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "never-answers"])
def test_a_dead_broker_costs_a_request_little(is_silent) -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if is_silent:
            listener.listen(16)
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        began = time.monotonic()
        with app.connection_for_write(url) as connection, pytest.raises(OperationalError):
            app.send_task("achievements.process_outbox", connection=connection)
        assert time.monotonic() - began < 10  # of itself it would try for ever
