"""Dead letters (transports floor): what the engine cannot apply, with why and from where.

A limit keeps a bad deploy from diverting a whole topic: beyond it the worker stops.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from confluent_kafka import Message

from achievements.errors import AchievementsError
from achievements.producer import Header, Record
from achievements.topics import DEAD_LETTERS_TOPIC

MAX_CONSECUTIVE: Final = 100
MAX_SHARE: Final = 0.2
SHARE_WINDOW: Final = 1_000
MAX_VALUE_BYTES: Final = 32_768  # a larger value is cut; its position finds the whole
MAX_KEY_BYTES: Final = 1_024
MAX_HEADERS_BYTES: Final = 8_192  # all of them together; those beyond are left out
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

    def record_good(self, count: int) -> None:
        """Record messages of which none is a dead letter."""
        self.consecutive = 0
        self.newest.extend([False] * count)

    def check(self, outcomes: Sequence[bool]) -> None:
        """Record, in order, whether each message is a dead letter. Raises TooManyDeadLetters."""
        for is_dead in outcomes:
            self.consecutive = self.consecutive + 1 if is_dead else 0
            self.newest.append(is_dead)
            # A first batch that is bad as a whole is already enough: a worker that is started
            # again and again must not divert a batch each time.
            if self.consecutive >= self.max_consecutive:
                raise TooManyDeadLetters(f"{self.consecutive} dead letters in a row")
        dead = sum(self.newest)
        # A share of few messages says nothing.
        if len(self.newest) == self.newest.maxlen and dead > self.max_share * len(self.newest):
            raise TooManyDeadLetters(f"{dead} dead letters in {len(self.newest)} messages")


def make_record(letter: DeadLetter) -> Record:
    """Return the dead letter to publish: key and value as they were, the story in headers.

    What is too long is cut, or the cluster would refuse the letter and the worker would stop
    at this message for ever; `dlq.truncated` says how long the value, key and headers were.
    """
    message = letter.message
    value, key, headers = message.value() or b"", message.key() or b"", read_headers(message)
    kept = _cut_headers(headers)
    lengths = len(value), len(key), _measure_headers(headers)
    story = {
        "dlq.reason": letter.reason[:MAX_REASON_CHARACTERS],
        "dlq.topic": message.topic(),
        "dlq.partition": message.partition(),
        "dlq.offset": message.offset(),
        "dlq.timestamp": message.timestamp()[1],
        "dlq.at": datetime.now(UTC).isoformat(),
    }
    if lengths[0] > MAX_VALUE_BYTES or lengths[1] > MAX_KEY_BYTES or len(kept) < len(headers):
        story["dlq.truncated"] = " ".join(map(str, lengths))
    # A reason may repeat half a character of the message, which UTF-8 cannot say.
    told = [(name, str(content).encode(errors="replace")) for name, content in story.items()]
    return Record(
        DEAD_LETTERS_TOPIC,
        None if message.key() is None else key[:MAX_KEY_BYTES],
        None if message.value() is None else value[:MAX_VALUE_BYTES],
        [*kept, *told],
    )


def _cut_headers(headers: Sequence[Header]) -> list[Header]:
    kept: list[Header] = []
    for header in headers:
        if _measure_headers([*kept, header]) > MAX_HEADERS_BYTES:
            break
        kept.append(header)
    return kept


def _measure_headers(headers: Sequence[Header]) -> int:
    """Return their length in bytes; that of a text in characters is near enough."""
    return sum(len(name) + len(content or b"") for name, content in headers)


def read_headers(message: Message) -> list[Header]:
    """Return the headers as a list; the client hands over None when there are none."""
    headers = message.headers() or []
    return list(headers.items()) if isinstance(headers, dict) else list(headers)
