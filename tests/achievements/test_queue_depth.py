"""What waits for Celery's workers, as an autoscaler reads it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from achievements.models import Outbox
from achievements.outbox import record_events
from achievements.queue_depth import read_queue_depth
from deploy.local.process import find_free_port
from tests.factories import make_event, new_user


def read_command(capsys) -> dict:
    call_command("queue_depth", "--json")
    return json.loads(capsys.readouterr().out)


@pytest.mark.django_db
def test_rows_and_the_age_of_the_oldest(capsys) -> None:
    assert read_command(capsys)["outboxRows"] == 0
    rows = [Outbox.objects.create(user_id=n, event=b"{}") for n in range(3)]
    Outbox.objects.filter(pk=rows[0].pk).update(created_at=timezone.now() - timedelta(seconds=90))
    Outbox.objects.filter(pk=rows[1].pk).update(failed_at=timezone.now())
    depth = read_command(capsys)
    assert (depth["outboxRows"], depth["setAside"]) == (2, 1)
    assert 89 < depth["outboxSeconds"] < 120
    call_command("queue_depth")
    assert "2 events wait, up to 9" in capsys.readouterr().out


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_tasks_in_the_broker(settings, monkeypatch) -> None:
    from celery import current_app
    from redis import Redis

    pool: Any = current_app.pool
    pool.force_close_all()  # its connections have the usual patience, of a second
    for name in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(current_app.conf.broker_transport_options, name, 30)
    broker = Redis.from_url(settings.CELERY_BROKER_URL)
    broker.delete("achievement-events")
    assert read_queue_depth()["tasks"] == 0
    settings.EVENT_TRANSPORT = "celery"
    record_events([make_event(new_user(), 1)])
    depth = read_queue_depth()
    assert (depth["outboxRows"], depth["tasks"]) == (1, 1)
    broker.delete("achievement-events")
    Outbox.objects.all().delete()


@pytest.mark.real
@pytest.mark.django_db
def test_a_broker_that_is_away_is_not_a_zero(monkeypatch, capsys) -> None:
    from celery import current_app

    dead = f"redis://127.0.0.1:{find_free_port()}/0"
    monkeypatch.setattr(
        current_app, "connection_for_read", lambda: current_app.connection_for_write(dead)
    )
    assert read_queue_depth()["tasks"] is None
    call_command("queue_depth")
    assert "no broker that answers." in capsys.readouterr().out
