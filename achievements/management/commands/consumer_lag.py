"""Say how far behind the workers are (face)."""

import json
from argparse import ArgumentParser
from typing import Any

from confluent_kafka import KafkaException
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from achievements.lag import read_lag
from achievements.topics import CONSUMER_GROUP


class Command(BaseCommand):
    help = "Print the lag of each partition, in events and in seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--group", default=CONSUMER_GROUP)
        parser.add_argument("--json", action="store_true", help="one JSON document")

    def handle(self, *, group: str, json: bool, **options: Any) -> None:
        if not settings.KAFKA_BOOTSTRAP_SERVERS:
            raise CommandError("KAFKA_BOOTSTRAP_SERVERS is not set.")
        try:
            rows = read_lag(group)
        except (KafkaException, KeyError) as error:
            raise CommandError(f"Kafka does not answer: {error}") from error
        total = sum(row["lagEvents"] for row in rows)
        oldest = max((row["lagSeconds"] for row in rows), default=0.0)
        if json:
            self.stdout.write(_dump(group, total, oldest, rows))
            return
        for row in rows:
            if row["lagEvents"]:
                self.stdout.write(
                    f"partition {row['partition']:>3}  {row['lagEvents']:>9} events"
                    f"  {row['lagSeconds']:>9.1f} s"
                )
        self.stdout.write(f"{total} events wait in {len(rows)} partitions, up to {oldest:.1f} s.")


def _dump(group: str, total: int, oldest: float, rows: list[dict[str, Any]]) -> str:
    return json.dumps(
        {"group": group, "lagEvents": total, "lagSeconds": oldest, "partitions": rows}
    )
