"""Events that are handed in all the time while a test breaks something."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import count
from threading import Event as Flag
from threading import Thread
from typing import Self

from django.db import DatabaseError, connection

from achievements.events import Event, encode_event
from achievements.outbox import accept_events
from achievements.producer import EventProducer, Record
from achievements.topics import EVENTS_TOPIC, make_key
from tests.factories import make_event, new_user

BATCH, BATCHES_PER_SECOND = 25, 10


class Steady(ABC):
    """Hands in new events in a thread, each of them until it is accepted."""

    def __init__(self, users: int) -> None:
        self.users = users
        self.accepted: list[Event] = []
        self.error: BaseException | None = None
        self.is_over = Flag()
        self._thread = Thread(target=self._guard)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self._thread.join(30)
        assert self.error is None, self.error

    @abstractmethod
    def run(self, events: Iterator[Event]) -> None:
        """Hand in events until it is over."""

    def _guard(self) -> None:
        users = [new_user() for _ in range(self.users)]
        try:
            self.run(
                make_event(user, test, wpm=50.0 + test * 7 % 90, accuracy=90.0 + test % 10)
                for test in count(1)
                for user in users
            )
        except BaseException as error:
            self.error = error
        finally:
            connection.close()


class SteadyRecords(Steady):
    """To Kafka, each of them once: no duplicate replaces a lost one."""

    def run(self, events: Iterator[Event]) -> None:
        producer = EventProducer(timeout_seconds=20)
        try:
            while not self.is_over.wait(1 / BATCHES_PER_SECOND):
                batch = [next(events) for _ in range(BATCH)]
                records = [
                    Record(EVENTS_TOPIC, make_key(e.user_id), encode_event(e)) for e in batch
                ]
                assert all(producer.publish(records))
                self.accepted += batch
        finally:
            producer.close()


class SteadyCalls(Steady):
    """Into the outbox one by one, as web processes do, and again when the database refuses."""

    refusals = 0

    def run(self, events: Iterator[Event]) -> None:
        for event in events:
            while not self._hand_in(event):
                self.refusals += 1
                if self.is_over.wait(0.1):
                    return
            self.accepted.append(event)
            if self.is_over.wait(0.01):
                return

    def _hand_in(self, event: Event) -> bool:
        try:
            accept_events([event])
        except DatabaseError:
            connection.close()
            return False
        return True
