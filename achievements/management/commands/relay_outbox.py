"""Publish the outbox to Kafka until stopped (face)."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from achievements.relay import Relay, RelayFailed
from achievements.stopping import stop_on_signals


class Command(BaseCommand):
    help = (
        "Publish recorded events to Kafka. Start as many as you like: one works, the others "
        "stand by and take over."
    )

    def handle(self, **options: Any) -> None:
        if not settings.KAFKA_BOOTSTRAP_SERVERS:
            raise CommandError("KAFKA_BOOTSTRAP_SERVERS is not set.")
        try:
            Relay(stop_on_signals()).run()
        except RelayFailed as error:
            raise CommandError(f"The database failed too often: {error}") from error
