"""Consume events from Kafka until stopped (face)."""

import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from prometheus_client import start_http_server

from achievements.consumer import (
    BATCH_EVENTS,
    MAX_BATCH_EVENTS,
    ConsumerOptions,
    EventConsumer,
)
from achievements.errors import AchievementsError
from achievements.management.arguments import PORT
from achievements.stopping import stop_on_signals
from achievements.supervisor import supervise
from achievements.topics import CONSUMER_GROUP, EVENTS_PARTITIONS


class Command(BaseCommand):
    help = (
        "Apply events from the topic achievement-events. One process a core. Exits non-zero "
        "when it should be started again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        def add(name: str, default: Any, words: str, **kwargs: Any) -> None:
            parser.add_argument(name, default=default, help=f"{words} (%(default)s)", **kwargs)

        add("--processes", 1, "copies to supervise", type=int)
        add("--instance", socket.gethostname(), "name in the group")
        add("--group", CONSUMER_GROUP, "name of the group")
        add("--batch", BATCH_EVENTS, "events a transaction", type=int)
        add("--max-batch", MAX_BATCH_EVENTS, "up to this while there is lag", type=int)
        add("--session-seconds", 20, "silence after which Kafka gives its work away", type=int)
        add("--max-failures", 30, "in a row, then exit", type=int)
        parser.add_argument(
            "--from-beginning", action="store_true", help="replay what the topic still holds"
        )
        parser.add_argument("--heartbeat-file", type=Path, help="touched while it is alive")
        parser.add_argument(
            "--metrics-port", type=PORT, help="serves /metrics; copies count up from it"
        )

    def handle(self, **options: Any) -> None:
        processes = options["processes"]
        if not 1 <= processes <= EVENTS_PARTITIONS:
            raise CommandError(
                f"--processes must be 1 to {EVENTS_PARTITIONS}: the topic has"
                f" {EVENTS_PARTITIONS} partitions, and more consumers than that have no work."
            )
        if not 1 <= options["batch"] <= options["max_batch"] <= 5_000:
            raise CommandError("--batch must be 1 to --max-batch, and that at most 5000.")
        if (options["metrics_port"] or 1) + processes - 1 > 65_535:
            raise CommandError("--metrics-port leaves no port for each of the --processes.")
        if not settings.KAFKA_BOOTSTRAP_SERVERS:
            raise CommandError("KAFKA_BOOTSTRAP_SERVERS is not set.")
        stop = stop_on_signals()
        if processes > 1:
            if not supervise([_copy(options, number) for number in range(processes)], stop):
                raise CommandError("A consumer could not stay up; its log says why.")
            return
        if options["metrics_port"]:
            start_http_server(options["metrics_port"])
        try:
            EventConsumer(_read_options(options), stop).run()
        except (AchievementsError, KafkaException) as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error


def _read_options(options: dict[str, Any]) -> ConsumerOptions:
    return ConsumerOptions(
        instance=options["instance"],
        group=options["group"],
        batch_events=options["batch"],
        max_batch_events=options["max_batch"],
        session_seconds=options["session_seconds"],
        max_failures=options["max_failures"],
        from_beginning=options["from_beginning"],
        heartbeat_file=options["heartbeat_file"],
    )


def _copy(options: dict[str, Any], number: int) -> list[str]:
    """Return the command line of one copy: as ours, with a name and a port of its own."""
    arguments = [
        "consume_achievement_events",
        f"--instance={options['instance']}-{number}",
        f"--group={options['group']}",
        f"--batch={options['batch']}",
        f"--max-batch={options['max_batch']}",
        f"--session-seconds={options['session_seconds']}",
        f"--max-failures={options['max_failures']}",
    ]
    if options["from_beginning"]:
        arguments.append("--from-beginning")
    if options["heartbeat_file"]:
        arguments.append(f"--heartbeat-file={options['heartbeat_file']}.{number}")
    if options["metrics_port"]:
        arguments.append(f"--metrics-port={options['metrics_port'] + number}")
    return arguments
