"""Batches of messages: what the engine or the database refuses is found, and nothing else."""

import pytest
from confluent_kafka import Message

from achievements.batches import apply_or_isolate
from achievements.dead_letters import DeadLetter
from achievements.events import Event, encode_event
from achievements.topics import EVENTS_TOPIC
from tests.factories import make_event


def as_message(event: Event) -> Message:
    return Message(topic=EVENTS_TOPIC, partition=0, offset=0, value=encode_event(event))


def test_what_the_database_refuses_is_the_event_s_fault() -> None:
    from django.db import DataError, IntegrityError, InterfaceError, OperationalError

    events = [(as_message(make_event(1, n)), make_event(1, n)) for n in range(1, 9)]
    for fault in (DataError, IntegrityError, ValueError):
        letters: list[DeadLetter] = []
        applied: list[int] = []

        def apply(batch: list[Event], fault=fault, applied=applied) -> None:
            if any(e.test_result_id == 5 for e in batch):
                raise fault("five")
            applied.extend(e.test_result_id for e in batch)

        apply_or_isolate(events, letters, apply)
        assert applied == [1, 2, 3, 4, 6, 7, 8]
        assert [letter.reason for letter in letters] == [f"{fault.__name__}: five"]

    for absence in (OperationalError, InterfaceError):

        def fail(batch: list[Event], absence=absence) -> None:
            raise absence("away")

        letters = []
        with pytest.raises(absence):
            apply_or_isolate(events, letters, fail)
        assert letters == []
