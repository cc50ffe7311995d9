"""Lag as operators and autoscalers see it: from the workers' gauges and from the cluster."""

import json
import time

import pytest
from django.core.management import CommandError, call_command

from achievements import metrics
from achievements.lag import read_lag
from tests.factories import make_broad_catalogue, make_event, new_user
from tests.faults.fleet import (
    consuming,
    drain,
    new_group,
    publish,
    publish_to,
    read_committed,
    wait_until,
)

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def read_gauges(gauge) -> dict[str, float]:
    return {
        sample.labels["partition"]: sample.value
        for metric in gauge.collect()
        for sample in metric.samples
    }


def run_command(capsys, *arguments: str) -> str:
    call_command("consumer_lag", *arguments)
    return str(capsys.readouterr().out)


def test_lag_in_events_and_seconds(kafka, capsys) -> None:
    make_broad_catalogue()
    user, group = new_user(), new_group()
    publish([make_event(user, n) for n in range(1, 8)])
    drain(group)
    partition = next(iter(read_committed(group)))
    publish_to(partition, [b"{"])
    time.sleep(1.1)
    publish_to(partition, [b"{"] * 4)
    publish_to((partition + 1) % 50, [b"{"] * 2)  # nobody ever committed there
    document = json.loads(run_command(capsys, "--json", f"--group={group}"))
    assert (document["group"], document["lagEvents"]) == (group, 7)
    assert 1 < document["lagSeconds"] < 20
    rows = {row["partition"]: row for row in document["partitions"]}
    assert len(rows) == 50
    row = rows[partition]
    assert (row["end"], row["committed"], row["lagEvents"]) == (12, 7, 5)
    assert 1 < row["lagSeconds"] < 20
    other = rows[(partition + 1) % 50]
    assert (other["committed"], other["lagEvents"]) == (None, 2)
    assert 0 < other["lagSeconds"] < 15
    assert sum(r["lagSeconds"] for r in rows.values()) == row["lagSeconds"] + other["lagSeconds"]
    text = run_command(capsys, f"--group={group}")
    assert "7 events wait in 50 partitions" in text


def test_a_long_backlog_is_read_at_once(kafka) -> None:
    publish([make_event(user, n) for user in range(1, 301) for n in range(1, 41)])
    rows = read_lag(new_group())
    assert sum(row["lagEvents"] for row in rows) == 12_000
    assert all(row["lagSeconds"] > 0 for row in rows if row["lagEvents"])


def test_workers_report_their_partitions(kafka, monkeypatch) -> None:
    monkeypatch.setattr("achievements.consumer.LAG_EVERY_SECONDS", 0.2)
    make_broad_catalogue()
    user, group = new_user(), new_group()
    publish([make_event(user, 1)])
    with consuming(group) as consumer:
        wait_until(lambda: read_committed(group))
        partition = next(iter(read_committed(group)))
        wait_until(lambda: read_gauges(metrics.LAG_EVENTS).get(str(partition)) == 0)
        wait_until(lambda: read_gauges(metrics.LAG_SECONDS)[str(partition)] == 0)
        # The database goes away: what was fetched and not applied still waits.
        monkeypatch.setattr("achievements.engine.run_batch", refuse)
        publish([make_event(user, n) for n in range(2, 6)])
        wait_until(lambda: read_gauges(metrics.LAG_EVENTS)[str(partition)] == 4)
        wait_until(lambda: read_gauges(metrics.LAG_SECONDS)[str(partition)] > 0.5)
        consumer.stop.set()
    assert consumer.error is None


def test_what_was_applied_before_a_restart_does_not_wait(kafka, monkeypatch) -> None:
    monkeypatch.setattr("achievements.consumer.LAG_EVERY_SECONDS", 0.2)
    make_broad_catalogue()
    user, group = new_user(), new_group()
    publish([make_event(user, n) for n in range(1, 6)])
    drain(group)
    partition = str(next(iter(read_committed(group))))
    metrics.LAG_EVENTS.labels(partition).set(99)
    with consuming(group):
        wait_until(lambda: read_gauges(metrics.LAG_EVENTS).get(partition) == 0)


def refuse(work) -> None:
    from django.db import OperationalError

    raise OperationalError("away")


def test_a_cluster_that_is_away_is_said(settings) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = ""
    with pytest.raises(CommandError, match="not set"):
        call_command("consumer_lag")
