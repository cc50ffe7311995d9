"""The Kafka topics and how clients talk to them (transports floor)."""

import socket
from typing import Any, Final

from django.conf import settings

EVENTS_TOPIC: Final = "achievement-events"
DEAD_LETTERS_TOPIC: Final = "achievement-events-dlq"
EVENTS_PARTITIONS: Final = 50  # no more consumers than this can work at a time
CONSUMER_GROUP: Final = "achievement-workers"


def make_key(user_id: int) -> bytes:
    """The key of an event: its user's id in decimal digits, so that a user keeps a partition."""
    return b"%d" % user_id


def make_producer_settings(*, timeout_seconds: float) -> dict[str, Any]:
    """Every message acknowledged by all replicas, none twice, none out of its order."""
    return {
        **_client_settings(),
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.timeout.ms": int(timeout_seconds * 1000),
        "queue.buffering.max.messages": 200_000,
    }


def make_consumer_settings(*, group: str, instance: str, session_seconds: int) -> dict[str, Any]:
    """Offsets are committed by hand, after the database; a member that returns keeps its place."""
    return {
        **_client_settings(),
        "group.id": group,
        "group.instance.id": instance,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_seconds * 1000,
        "heartbeat.interval.ms": session_seconds * 1000 // 10,
        "max.poll.interval.ms": 300_000,
        "socket.timeout.ms": 10_000,  # a stop waits for the last commit, and has 25 s in all
        # An answer with the first event alone would cost the cluster more than the events do.
        "fetch.min.bytes": 32_768,
        "fetch.wait.max.ms": 25,
        "queued.max.messages.kbytes": 16_384,  # what one process may hold of a long backlog
    }


def make_admin_settings() -> dict[str, Any]:
    return _client_settings()


def _client_settings() -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "client.id": f"laurel-{socket.gethostname()}",
        # Partitions that are added are found this soon; what they hold meanwhile waits.
        "topic.metadata.refresh.interval.ms": 60_000,
        "reconnect.backoff.max.ms": 1_000,
    }
