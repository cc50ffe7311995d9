"""The event contract (pure floor): what a finished or invalidated test looks like on the wire.

An event is decoded and validated in one step by msgspec. Identity is
(user_id, event_type, test_result_id); everything else is content.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from achievements.expected import list_expected, say_expected
from achievements.surrogates import find_half_character, read_tolerantly, write_tolerantly

MAX_EVENT_BYTES: Final = 16_384
MAX_BATCH_EVENTS: Final = 500
MAX_CLOCK_SKEW: Final = timedelta(minutes=5)
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # bounds the width of a streak's day set

TEST_COMPLETED: Final = "test_completed"
TEST_INVALIDATED: Final = "test_invalidated"

MAX_ID: Final = 2**63 - 1
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
Speed = Annotated[float, Meta(ge=0, le=420)]
Percentage = Annotated[float, Meta(ge=0, le=100)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Amount = Annotated[int, Meta(ge=0, le=10_000_000)]
Word = Annotated[str, Meta(min_length=1, max_length=40)]
OffsetMinutes = Annotated[int, Meta(ge=-840, le=840)]
Moment = Annotated[datetime, Meta(tz=True)]


class Metrics(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What was measured; an absent metric is None and fails every condition on it."""

    wpm: Speed | None = None
    raw_wpm: Speed | None = None
    accuracy: Percentage | None = None
    consistency: Percentage | None = None
    duration_seconds: Seconds | None = None
    characters: Amount | None = None
    length: Amount | None = None
    mode: Word | None = None
    language: Word | None = None
    test_count: Amount | None = None


class Event(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One finished (or invalidated) test of one user."""

    user_id: Id
    test_result_id: Id
    event_type: Literal["test_completed", "test_invalidated"]
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    occurred_at: Moment | None = None
    utc_offset_minutes: OffsetMinutes = 0


class _StrictMetrics(Metrics, forbid_unknown_fields=True):
    pass


class _StrictEvent(Event, forbid_unknown_fields=True):
    metrics: _StrictMetrics = msgspec.field(default_factory=_StrictMetrics)


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the closed registry of metrics that criteria may name."""

    name: str
    is_text: bool
    unit: str
    noun: str
    maximum: float = 0
    is_positive: bool = False  # above 0, where others may be 0
    is_whole: bool = False


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("wpm", False, "wpm", "speed", 420),
        Metric("rawWpm", False, "wpm", "raw speed", 420),
        Metric("accuracy", False, "%", "accuracy", 100),
        Metric("consistency", False, "%", "consistency", 100),
        Metric("durationSeconds", False, "seconds", "duration", 86_400, is_positive=True),
        Metric("characters", False, "characters", "characters", 10_000_000, is_whole=True),
        Metric("length", False, "", "length", 10_000_000, is_whole=True),
        Metric("mode", True, "modes", "mode"),
        Metric("language", True, "languages", "language"),
    )
}
# One C-level call reads every metric of an event, in the order of METRICS.
read_metrics: Callable[[Metrics], tuple[Any, ...]] = attrgetter(
    "wpm", "raw_wpm", "accuracy", "consistency", "duration_seconds",
    "characters", "length", "mode", "language",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field: an RFC 6901 pointer, a code, a sentence with the bound."""

    pointer: str
    code: str
    detail: str


class EventError(ValueError):
    """An event that breaks the contract; `problem` names the field and the bound."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.pointer or '/'}: {problem.detail}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused item of a batch."""

    index: int
    problem: Problem


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """What came out of a request body: events in order, refusals with their index."""

    events: list[Event]
    rejected: list[Rejection]
    unknown_fields: int


_strict = msgspec.json.Decoder(_StrictEvent)
_lenient = msgspec.json.Decoder(Event)
_batch = msgspec.json.Decoder(_Batch)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])  # what is ignored is not even read
encode_event: Callable[[Event], bytes] = msgspec.json.Encoder().encode

_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_BOUND_SIGNS = (">=", "<=", " > ", " < ", "length", "Invalid enum", "out of range")
_EXPECTED = list_expected(Event, Metrics)
_FIELD = re.compile(r"missing required field `(?P<field>[^`]*)`")


def decode_event(body: bytes | str, *, now: datetime) -> Event:
    """Decode one event; one without `occurredAt` gets `now`. Raises EventError."""
    event, _ = decode_event_counting(body, now=now)
    return event


def decode_event_counting(body: bytes | str, *, now: datetime) -> tuple[Event, int]:
    """Like decode_event, with the number of unknown fields that were ignored."""
    if len(body) > MAX_EVENT_BYTES:
        raise EventError(Problem("", "too_large", f"Event larger than {MAX_EVENT_BYTES} bytes."))
    unknown = 0
    try:
        event: Event = _strict.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # Rare: either a field we do not know, which is ignored and counted, or a bad event.
        with refuse_unreadable(body):
            event = _lenient.decode(body)
            unknown = _count_unknown_fields(body)
    _check(event, now)
    return event, unknown


@contextmanager
def refuse_unreadable(body: bytes | str) -> Iterator[None]:
    """Turn every way in which this JSON can fail to decode into an EventError."""
    try:
        try:
            yield
        except msgspec.ValidationError as error:
            raise EventError(problem_of(error)) from None
        except UnicodeError:
            raise EventError(_find_problem(body, "A text is not valid UTF-8.")) from None
        except msgspec.DecodeError as error:
            raise EventError(_find_problem(body, f"Not valid JSON: {error}.")) from None
    except RecursionError:
        raise EventError(Problem("", "too_deep", "JSON is nested too deeply.")) from None


def _find_problem(body: bytes | str, detail: str) -> Problem:
    """What it is that the decoder calls broken; may raise RecursionError."""
    pointer = find_half_character(read_tolerantly(body, errors="surrogatepass"))
    if pointer is not None:
        return Problem(pointer, "invalid_json", "This text holds half a character.")
    return Problem("", "invalid_json", detail)


def _check(event: Event, now: datetime) -> None:
    """The bounds that a type cannot say; stamps the arrival time where none was sent."""
    at = event.occurred_at
    if at is None:
        event.occurred_at = now
    elif at > now + MAX_CLOCK_SKEW:
        raise EventError(
            Problem("/occurredAt", "in_future", "occurredAt is more than 5 minutes ahead of now.")
        )
    elif at < EARLIEST:
        raise EventError(Problem("/occurredAt", "too_old", "occurredAt is before 2000-01-01."))
    if event.event_type == TEST_COMPLETED and not _is_measured(event.metrics):
        raise EventError(
            Problem("/metrics", "missing", "test_completed needs at least one metric.")
        )


def _is_measured(metrics: Metrics) -> bool:
    return metrics.wpm is not None or any(
        value is not None for value in msgspec.structs.astuple(metrics)
    )


def order_of(event: Event) -> tuple[float, int]:
    """The tests' own order: by time, then by id."""
    assert event.occurred_at is not None
    return event.occurred_at.timestamp(), event.test_result_id


def decode_batch(body: bytes, *, now: datetime) -> DecodedBatch:
    """Decode one event object or {"events": [...]} of up to 500.

    A bad item is refused beside the good ones. Raises EventError where the body as a
    whole cannot be read: not JSON, no events, or too many of them.
    """
    with refuse_unreadable(body):
        items = _split_batch(body)
    if items is UNSET:
        event, unknown = decode_event_counting(body, now=now)
        return DecodedBatch([event], [], unknown)
    if not 1 <= len(items) <= MAX_BATCH_EVENTS:
        raise EventError(
            Problem("/events", "bound", f"events must hold 1 to {MAX_BATCH_EVENTS} items.")
        )
    return _decode_items(items, now)


def _split_batch(body: bytes) -> list[msgspec.Raw] | UnsetType:
    try:
        return _batch.decode(body).events
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Half a surrogate pair, which JavaScript writes as JSON, may cost its own item alone.
        document = read_tolerantly(body)
        items = document.get("events") if isinstance(document, dict) else None
        if not isinstance(items, list):
            raise
        return [msgspec.Raw(write_tolerantly(item)) for item in items]  # decoded strictly below


def _decode_items(items: Sequence[msgspec.Raw], now: datetime) -> DecodedBatch:
    events: list[Event] = []
    rejected: list[Rejection] = []
    unknown = 0
    for index, item in enumerate(items):
        try:
            event, count = decode_event_counting(bytes(item), now=now)
        except EventError as error:
            rejected.append(Rejection(index, error.problem))
        else:
            events.append(event)
            unknown += count
    return DecodedBatch(events, rejected, unknown)


def problem_of(error: msgspec.ValidationError) -> Problem:
    """Turn msgspec's message into a JSON pointer, a code and the sentence without the path."""
    text = str(error)
    path = _PATH.search(text)
    pointer = "".join(_pointer_parts(path["path"])) if path else ""
    detail = text[: path.start()] if path else text
    missing = _FIELD.search(detail)
    if missing:
        return Problem(f"{pointer}/{missing['field']}", "missing", "This field is required.")
    is_bound = any(sign in detail for sign in _BOUND_SIGNS)
    expected = _EXPECTED.get(pointer.rpartition("/")[2])
    return Problem(pointer, "bound" if is_bound else "type", say_expected(detail, expected))


def _pointer_parts(path: str) -> Iterator[str]:
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
        yield f"/{name or index}"


def _count_unknown_fields(body: bytes | str) -> int:
    fields = _fields.decode(body)
    metrics = _fields.decode(fields["metrics"]) if "metrics" in fields else {}
    return len(fields.keys() - _EVENT_FIELDS) + len(metrics.keys() - _METRIC_FIELDS)


_EVENT_FIELDS = {field.encode_name for field in msgspec.structs.fields(Event)}
_METRIC_FIELDS = {field.encode_name for field in msgspec.structs.fields(Metrics)}
