"""Events that go to Kafka all the time while a test breaks something."""

from itertools import count
from threading import Event as Flag
from threading import Thread

from achievements.events import Event, encode_event
from achievements.producer import EventProducer, Record
from achievements.topics import EVENTS_TOPIC, make_key
from tests.factories import make_event, new_user

BATCH, BATCHES_PER_SECOND = 25, 10


class SteadyEvents:
    """Publishes new events all the time, each of them once: no duplicate replaces a lost one."""

    def __init__(self, users: int) -> None:
        self.users = users
        self.sent: list[Event] = []
        self.error: BaseException | None = None
        self._is_over = Flag()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> "SteadyEvents":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(30)
        assert self.error is None, self.error

    def _run(self) -> None:
        users = [new_user() for _ in range(self.users)]
        events = (
            make_event(user, test, wpm=50.0 + test * 7 % 90, accuracy=90.0 + test % 10)
            for test in count(1)
            for user in users
        )
        producer = EventProducer(timeout_seconds=20)
        try:
            while not self._is_over.wait(1 / BATCHES_PER_SECOND):
                batch = [next(events) for _ in range(BATCH)]
                records = [
                    Record(EVENTS_TOPIC, make_key(e.user_id), encode_event(e)) for e in batch
                ]
                assert all(producer.publish(records))
                self.sent += batch
        except BaseException as error:
            self.error = error
        finally:
            producer.close()
