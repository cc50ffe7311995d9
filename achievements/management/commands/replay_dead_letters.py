"""Send dead letters to the events topic again (face)."""

import re
from argparse import ArgumentParser
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime
from tqdm import tqdm

from achievements.management.arguments import whole_number
from achievements.producer import EventProducer
from achievements.replay import (
    Filter,
    ReplayFailed,
    StoredLetter,
    count_letters,
    read_letters,
    replay_letters,
)
from achievements.topics import EVENTS_PARTITIONS

BATCH_LETTERS = 500


class Command(BaseCommand):
    help = (
        "Send dead letters to achievement-events again. They stay in their topic until it drops "
        "them; the engine recognises what it has applied before."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", help="only those whose reason matches this pattern")
        parser.add_argument(
            "--partition",
            type=whole_number(0, EVENTS_PARTITIONS - 1),
            help="only those of this original partition",
        )
        parser.add_argument("--since", help="only those set aside for messages since this time")
        parser.add_argument("--dry-run", action="store_true", help="count them by reason alone")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        if not settings.KAFKA_BOOTSTRAP_SERVERS:
            raise CommandError("KAFKA_BOOTSTRAP_SERVERS is not set.")
        wanted = _read_filter(options)
        reasons: Counter[str] = Counter()
        cut = sent = 0
        producer = EventProducer()
        batch: list[StoredLetter] = []
        try:
            with tqdm(total=count_letters(), unit="letter", disable=None) as bar:
                for letter in read_letters():
                    bar.update()
                    if not wanted.takes(letter):
                        continue
                    reasons[letter.reason] += 1
                    if letter.is_truncated:
                        cut += 1  # it would only fail again
                    elif not dry_run:
                        batch.append(letter)
                    if len(batch) == BATCH_LETTERS:
                        replay_letters(producer, batch)
                        sent += len(batch)
                        batch = []
            replay_letters(producer, batch)
            sent += len(batch)
        except (KafkaException, KeyError, ReplayFailed) as error:
            raise CommandError(f"Stopped after {sent} letters: {error}") from error
        finally:
            producer.close()
        for reason, count in reasons.most_common(20):
            self.stdout.write(f"{count:>8}  {reason}")
        self.stdout.write(
            f"{reasons.total()} match, {sent} sent, {cut} cut short and left"
            f"{' (dry run)' if dry_run else ''}."
        )


def _read_filter(options: dict[str, Any]) -> Filter:
    try:
        reason = re.compile(options["reason"]) if options["reason"] else None
    except re.error as error:
        raise CommandError(f"--reason is not a pattern: {error}") from error
    since_ms = None
    if options["since"]:
        try:
            since = parse_datetime(options["since"])
        except ValueError:
            since = None
        if since is None:
            raise CommandError("--since takes a time such as 2026-12-01T00:00:00Z.")
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        since_ms = int((since - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    return Filter(reason=reason, partition=options["partition"], since_ms=since_ms)
