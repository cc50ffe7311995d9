"""Dead letters (transports floor): what the engine cannot apply, with why and from where.

A limit keeps a bad deploy from diverting a whole topic: beyond it the worker stops.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from confluent_kafka import Message

from achievements.errors import AchievementsError
from achievements.producer import Record
from achievements.topics import DEAD_LETTERS_TOPIC

MAX_CONSECUTIVE: Final = 100
MAX_SHARE: Final = 0.2
SHARE_WINDOW: Final = 1_000
MAX_VALUE_BYTES: Final = 32_768  # a larger value is cut; its position finds the whole
MAX_REASON_CHARACTERS: Final = 500


class DeadLetter(NamedTuple):
    """A message that is set aside, and why."""

    message: Message
    reason: str


class TooManyDeadLetters(AchievementsError):
    """Nearly everything is refused: the fault is ours, not the messages'."""


class DeadLetterLimit:
    """Counts what is set aside among the newest messages."""

    def __init__(
        self,
        *,
        max_consecutive: int = MAX_CONSECUTIVE,
        max_share: float = MAX_SHARE,
        window: int = SHARE_WINDOW,
    ) -> None:
        self.max_consecutive = max_consecutive
        self.max_share = max_share
        self.consecutive = 0
        self.newest: deque[bool] = deque(maxlen=window)

    def check(self, outcomes: Sequence[bool]) -> None:
        """Record, in order, whether each message is a dead letter. Raises TooManyDeadLetters."""
        for is_dead in outcomes:
            self.consecutive = self.consecutive + 1 if is_dead else 0
            self.newest.append(is_dead)
            if self.consecutive > self.max_consecutive:
                raise TooManyDeadLetters(f"{self.consecutive} dead letters in a row")
        dead = sum(self.newest)
        # A share of few messages says nothing.
        if len(self.newest) == self.newest.maxlen and dead > self.max_share * len(self.newest):
            raise TooManyDeadLetters(f"{dead} dead letters in {len(self.newest)} messages")


def make_record(letter: DeadLetter) -> Record:
    """Return the dead letter to publish: key and value as they were, the story in headers."""
    message = letter.message
    value = message.value()
    story = {
        "dlq.reason": letter.reason[:MAX_REASON_CHARACTERS],
        "dlq.topic": message.topic(),
        "dlq.partition": message.partition(),
        "dlq.offset": message.offset(),
        "dlq.timestamp": message.timestamp()[1],
        "dlq.at": datetime.now(UTC).isoformat(),
    }
    if value is not None and len(value) > MAX_VALUE_BYTES:
        story["dlq.truncated"] = len(value)
        value = value[:MAX_VALUE_BYTES]
    told = [(name, str(content)) for name, content in story.items()]
    return Record(DEAD_LETTERS_TOPIC, message.key(), value, [*read_headers(message), *told])


def read_headers(message: Message) -> list[tuple[str, str | bytes | None]]:
    """Return the headers as a list; the client hands over None when there are none."""
    headers = message.headers() or []
    return list(headers.items()) if isinstance(headers, dict) else list(headers)
