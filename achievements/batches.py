"""Batches of messages (transports floor): applied; what cannot be is found and set aside.

A dead letter has to be in its topic before the batch counts as applied; the batch may be applied
again as often as that takes.
"""

from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import Message

from achievements import metrics
from achievements.dead_letters import DeadLetter, DeadLetterLimit, make_record
from achievements.engine import process_events
from achievements.errors import NotDurable
from achievements.events import Event, EventError
from achievements.messages import Place, decode_message, place_of
from achievements.producer import EventProducer
from achievements.transactions import is_fault_of_events

logger = structlog.get_logger(__name__)


class BatchApplier:
    """Gives batches to the engine and the rest to the topic of dead letters, within a limit."""

    def __init__(self) -> None:
        self.producer = EventProducer()
        self.limit = DeadLetterLimit()
        self.judged: set[Place] = set()  # of the batch in hand, what the limit has counted

    def apply(self, messages: Sequence[Message]) -> None:
        """Apply a batch, or what is left of one that was tried before.

        Raises TooManyDeadLetters, and what passes by itself: NotDurable when a dead letter was
        not acknowledged, a failure of the database, StaleRulebook.
        """
        letters: list[DeadLetter] = []
        events: list[tuple[Message, Event]] = []
        for message in messages:
            try:
                events.append((message, decode_message(message)))
            except EventError as error:
                letters.append(DeadLetter(message, str(error)))
        apply_or_isolate(events, letters)
        if letters or self.judged:
            self._bury(messages, letters)
        else:
            self.limit.record_good(len(messages))

    def finish(self) -> None:
        """The batch in hand is through: the next messages are new to the limit."""
        self.judged.clear()

    def close(self) -> None:
        self.producer.close()

    def _bury(self, messages: Sequence[Message], letters: list[DeadLetter]) -> None:
        """Publish dead letters; nothing is committed before the cluster has them."""
        dead = {place_of(letter.message) for letter in letters}
        places = [place_of(message) for message in messages]
        self.limit.check([place in dead for place in places if place not in self.judged])
        self.judged.update(places)
        acknowledged = self.producer.publish([make_record(letter) for letter in letters])
        if not all(acknowledged):
            raise NotDurable("the topic of dead letters does not acknowledge")
        metrics.DEAD_LETTERS.inc(len(letters))
        for letter in letters:
            logger.warning(
                "dead_letter",
                reason=letter.reason,
                partition=letter.message.partition(),
                offset=letter.message.offset(),
            )


def apply_or_isolate(
    events: Sequence[tuple[Message, Event]],
    letters: list[DeadLetter],
    apply: Callable[[list[Event]], object] = process_events,
) -> None:
    """Apply events; what makes the engine itself fail is found by halving and set aside.

    Raises what is not the events' fault: a database that is away, a stale rulebook.
    """
    if not events:
        return
    try:
        apply([event for _, event in events])
        return
    except Exception as error:
        if not is_fault_of_events(error):
            raise
        if len(events) == 1:
            logger.exception("event_not_applied")
            letters.append(DeadLetter(events[0][0], f"{type(error).__name__}: {error}"))
            return
    # Not in the handler: the log would tell the error once for each halving.
    middle = len(events) // 2
    apply_or_isolate(events[:middle], letters, apply)
    apply_or_isolate(events[middle:], letters, apply)
