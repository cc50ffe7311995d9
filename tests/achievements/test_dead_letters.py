"""Dead letters: the limit, and letters that the cluster can always take."""

import pytest
from confluent_kafka import Message

from achievements.dead_letters import (
    MAX_HEADERS_BYTES,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    DeadLetter,
    DeadLetterLimit,
    TooManyDeadLetters,
    make_record,
    read_headers,
)

GOOD, BAD = False, True


def make_message(value: bytes | None, *, key: bytes | None = b"7", headers=None) -> Message:
    return Message(
        topic="achievement-events",
        partition=3,
        offset=41,
        key=key,
        value=value,
        headers=headers,
        timestamp=(1, 1_772_452_800_123),
    )


def make_story(letter: DeadLetter) -> dict[str, str]:
    return {
        name: content.decode()
        for name, content in make_record(letter).headers
        if isinstance(content, bytes)
    }


def test_a_letter_keeps_the_message_and_tells_its_story() -> None:
    message = make_message(b"{", headers=[("traceparent", b"00-1"), ("empty", None)])
    record = make_record(DeadLetter(message, "Not valid JSON."))
    assert record[:3] == ("achievement-events-dlq", b"7", b"{")
    assert list(record.headers)[:2] == [("traceparent", b"00-1"), ("empty", None)]
    story = make_story(DeadLetter(message, "Not valid JSON."))
    assert story["dlq.reason"] == "Not valid JSON."
    assert story["dlq.topic"] == "achievement-events"
    assert (story["dlq.partition"], story["dlq.offset"]) == ("3", "41")
    assert story["dlq.timestamp"] == "1772452800123"
    assert "dlq.truncated" not in story


@pytest.mark.parametrize(
    "message",
    [
        make_message(b"x" * 2_000_000),
        make_message(b"{}", key=b"k" * 1_000_000),
        make_message(b"{}", headers=[("h", b"x" * 900_000)]),
        make_message(b"{}", headers=[(f"h{n}", b"x" * 1_000) for n in range(900)]),
        make_message(b"x" * 900_000, key=b"k" * 900_000, headers=[("h" * 900_000, b"")]),
    ],
    ids=["value", "key", "header", "headers", "everything"],
)
def test_what_is_too_long_is_cut_and_said(message: Message) -> None:
    letter = DeadLetter(message, "too_large " * 1_000)
    record = make_record(letter)
    assert len(record.value or b"") <= MAX_VALUE_BYTES
    assert len(record.key or b"") <= MAX_KEY_BYTES
    size = sum(len(name) + len(content or b"") for name, content in record.headers)
    assert size < MAX_HEADERS_BYTES + 1_024
    assert make_story(letter)["dlq.truncated"].split()[:2] == [
        str(len(message.value() or b"")),
        str(len(message.key() or b"")),
    ]


def test_an_absent_key_and_value_stay_absent() -> None:
    record = make_record(DeadLetter(make_message(None, key=None), "empty"))
    assert (record.key, record.value) == (None, None)


def test_a_reason_that_no_text_can_hold() -> None:
    assert make_story(DeadLetter(make_message(b""), "half \ud83d"))["dlq.reason"] == "half ?"


def test_headers_are_a_list_even_when_there_are_none() -> None:
    assert read_headers(make_message(b"")) == []


def test_one_bad_message_in_five_hundred_never_stops_the_worker() -> None:
    limit = DeadLetterLimit()
    for _ in range(300):
        limit.record_good(400)
        limit.check([GOOD] * 99 + [BAD])


def test_bad_messages_that_come_alone_are_not_in_a_row() -> None:
    """Where few events come, a bad one is a batch of its own."""
    limit = DeadLetterLimit()
    for _ in range(500):
        limit.check([BAD])
        limit.record_good(9)


def test_a_row_of_bad_messages_stops_before_its_batch_is_diverted() -> None:
    limit = DeadLetterLimit(max_consecutive=100)
    limit.check([BAD] * 99 + [GOOD])
    limit.check([BAD] * 60)
    with pytest.raises(TooManyDeadLetters, match="100 dead letters in a row"):
        limit.check([BAD] * 40)


def test_a_first_batch_that_is_all_bad_is_enough() -> None:
    with pytest.raises(TooManyDeadLetters):
        DeadLetterLimit().check([BAD] * 100)


def test_a_share_of_many_messages_stops_the_worker() -> None:
    limit = DeadLetterLimit(max_share=0.2, window=1_000)
    for _ in range(9):
        limit.check(([BAD] * 3 + [GOOD] * 7) * 10)  # 900 say nothing yet
    with pytest.raises(TooManyDeadLetters, match="300 dead letters in 1000"):
        limit.check(([BAD] * 3 + [GOOD] * 7) * 10)
