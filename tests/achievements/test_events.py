"""The event contract: what is accepted, and exactly how everything else is refused."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from achievements.events import (
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    Event,
    EventError,
    Problem,
    decode_batch,
    decode_event,
    decode_event_counting,
    encode_event,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CUSTOMERS_OWN = b"""{
  "userId": 12345,
  "testResultId": 67890,
  "eventType": "test_completed",
  "metrics": {
    "wpm": 85.5,
    "accuracy": 98.2,
    "testCount": 150
  }
}"""


def body(*, without: str = "", metrics: Any = None, **fields: Any) -> bytes:
    event = {
        "userId": 1,
        "testResultId": 2,
        "eventType": "test_completed",
        "metrics": {"wpm": 60} if metrics is None else metrics,
        **fields,
    }
    event.pop(without, None)
    return json.dumps(event).encode()


def raw(field: str, text: str) -> bytes:
    """A body with one value written out by hand."""
    return body(**{field: "@"}).replace(b'"@"', text.encode())


def raw_metric(name: str, text: str) -> bytes:
    return body(metrics={name: "@"}).replace(b'"@"', text.encode())


def refuse(data: bytes | str) -> Problem:
    with pytest.raises(EventError) as caught:
        decode_event(data, now=NOW)
    return caught.value.problem


class TestAccepted:
    def test_the_customer_s_own_example(self) -> None:
        event, unknown = decode_event_counting(CUSTOMERS_OWN, now=NOW)
        assert (event.user_id, event.test_result_id) == (12345, 67890)
        assert event.event_type == "test_completed"
        metrics = event.metrics
        assert (metrics.wpm, metrics.accuracy, metrics.test_count) == (85.5, 98.2, 150)
        assert metrics.raw_wpm is None
        assert metrics.language is None
        assert event.occurred_at == NOW
        assert event.utc_offset_minutes == 0
        assert unknown == 0

    def test_every_optional_field(self) -> None:
        metrics = {
            "wpm": 420, "rawWpm": 0, "accuracy": 100, "consistency": 0, "durationSeconds": 86400,
            "characters": 10_000_000, "length": 0, "mode": "m" * 40, "language": "é",
            "testCount": 0,
        }  # fmt: skip
        at = "2026-11-23T13:00:00+02:00"
        event = decode_event(body(metrics=metrics, occurredAt=at, utcOffsetMinutes=-840), now=NOW)
        assert json.loads(encode_event(event))["metrics"] == metrics
        assert event.occurred_at == NOW - timedelta(hours=1)
        assert event.utc_offset_minutes == -840

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(raw("userId", str(2**63 - 1)), id="the largest id"),
            pytest.param(raw_metric("wpm", "-0.0"), id="minus zero"),
            pytest.param(raw_metric("wpm", "0"), id="zero"),
            pytest.param(raw_metric("wpm", "6e1"), id="an exponent"),
            pytest.param(raw_metric("durationSeconds", "5e-324"), id="the smallest duration"),
            pytest.param(body(metrics={"testCount": 1}), id="testCount alone"),
            pytest.param(body(occurredAt="2026-11-23T12:05:00Z"), id="five minutes ahead"),
            pytest.param(body(occurredAt="2000-01-01T00:00:00Z"), id="the earliest time"),
            pytest.param(body(occurredAt=None), id="no time, said explicitly"),
            pytest.param(
                body(without="metrics", eventType="test_invalidated"), id="an invalidation"
            ),
            pytest.param(b" \n" + body() + b"\t ", id="white space around"),
        ],
    )
    def test_bounds_are_inside(self, data: bytes) -> None:
        assert isinstance(decode_event(data, now=NOW), Event)

    def test_text_is_read_like_bytes(self) -> None:
        text = CUSTOMERS_OWN.decode()
        assert encode_event(decode_event(text, now=NOW)) == encode_event(
            decode_event(CUSTOMERS_OWN, now=NOW)
        )

    def test_of_duplicate_keys_the_last_counts(self) -> None:
        event = decode_event(body().replace(b'"userId": 1', b'"userId": 1, "userId": 7'), now=NOW)
        assert event.user_id == 7


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "pointer", "code"),
        [
            *(
                pytest.param(body(without=field), f"/{field}", "missing", id=f"no {field}")
                for field in ("userId", "testResultId", "eventType", "metrics")
            ),
            *(
                pytest.param(raw(field, text), f"/{field}", code, id=f"{field} {text[:20]}")
                for field in ("userId", "testResultId")
                for text, code in (
                    ("0", "bound"), ("-1", "bound"), (str(2**63), "bound"), (str(2**64), "bound"),
                    ("9" * 400, "bound"), ('"1"', "type"), ("1.0", "type"), ("true", "type"),
                    ("null", "type"), ("[1]", "type"),
                )
            ),
            *(
                pytest.param(raw_metric(name, text), f"/metrics/{name}", code, id=f"{name} {text}")
                for name, text, code in (
                    ("wpm", "-0.001", "bound"), ("wpm", "420.001", "bound"),
                    ("wpm", '"60"', "type"),
                    ("wpm", "true", "type"), ("wpm", "1e400", "bound"), ("wpm", "{}", "type"),
                    ("rawWpm", "421", "bound"), ("accuracy", "100.1", "bound"),
                    ("consistency", "-1", "bound"), ("durationSeconds", "0", "bound"),
                    ("durationSeconds", "86401", "bound"), ("characters", "-1", "bound"),
                    ("characters", "10000001", "bound"), ("length", "15.5", "type"),
                    ("mode", '""', "bound"), ("mode", f'"{"m" * 41}"', "bound"),
                    ("mode", "7", "type"),
                    ("language", "[]", "type"), ("testCount", "1e30", "type"),
                    ("testCount", "10000001", "bound"),
                )
            ),
            pytest.param(body(metrics=[]), "/metrics", "type", id="metrics a list"),
            pytest.param(body(metrics={}), "/metrics", "missing", id="no metric at all"),
            pytest.param(body(metrics={"wpm": None}), "/metrics", "missing", id="only a null"),
            pytest.param(body(metrics={"speed": 1}), "/metrics", "missing", id="only unknown"),
            pytest.param(body(eventType="finished"), "/eventType", "bound", id="unknown type"),
            pytest.param(
                body(eventType="x - at `$.userId`"), "/eventType", "bound", id="a misleading type"
            ),
            pytest.param(body(eventType=1), "/eventType", "type", id="type a number"),
            pytest.param(
                body(occurredAt="2026-11-23T12:05:01Z"), "/occurredAt", "in_future", id="future"
            ),
            pytest.param(
                body(occurredAt="1999-12-31T23:59:59Z"), "/occurredAt", "too_old", id="too old"
            ),
            pytest.param(
                body(occurredAt="0001-01-01T00:00:00+23:59"), "/occurredAt", "too_old", id="year 1"
            ),
            pytest.param(
                body(occurredAt="9999-12-31T23:59:59-23:59"), "/occurredAt", "in_future", id="9999"
            ),
            *(
                pytest.param(body(occurredAt=at), "/occurredAt", "type", id=f"at {at}")
                for at in ("2026-11-22T00:00:00", "2026-11-22", "yesterday", "", 1_700_000_000)
            ),
            *(
                pytest.param(
                    body(utcOffsetMinutes=offset), "/utcOffsetMinutes", code, id=f"offset {offset}"
                )
                for offset, code in ((841, "bound"), (-841, "bound"), (None, "type"), (0.5, "type"))
            ),
            *(
                pytest.param(data, "", "type", id=f"a {data.decode()}")
                for data in (b"null", b"[]", b'"event"', b"7", b"true")
            ),
            *(
                pytest.param(data, "", "invalid_json", id=repr(data[:20]))
                for data in (
                    b"", b"{", b"{]", b"wpm", b"\xff", b"\xef\xbb\xbf{}", b"{'userId': 1}",
                    raw_metric("wpm", "NaN"), raw_metric("wpm", "Infinity"),
                    raw_metric("wpm", "01"), body() + b"x",
                    raw_metric("mode", '"@@"').replace(b"@@", b"\xff\xfe"),
                    body(note=1).replace(b'"note"', b'"\xc3\x28"'),
                )
            ),
            pytest.param(
                raw_metric("mode", '"\\ud800"'), "/metrics/mode", "invalid_json", id="half"
            ),
            pytest.param(body(note="x" * MAX_EVENT_BYTES), "", "too_large", id="too large"),
            pytest.param(raw("note", "[" * 8_000 + "]" * 8_000), "", "too_deep", id="too deep"),
        ],
    )  # fmt: skip
    def test_it_says_where_and_why(self, data: bytes, pointer: str, code: str) -> None:
        problem = refuse(data)
        assert (problem.pointer, problem.code) == (pointer, code)
        assert problem.detail.endswith(".")
        assert "`$" not in problem.detail or "x - at" in problem.detail

    def test_text_that_is_no_text(self) -> None:
        assert refuse(body(note="@").decode().replace("@", "\ud800")).code == "invalid_json"

    @settings(deadline=None)
    @given(st.binary(max_size=200) | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["userId", "testResultId", "eventType", "metrics", "x", "events"]),
            inner, max_size=4,
        ),
    ).map(lambda tree: json.dumps(tree).encode()))  # fmt: skip
    def test_nothing_but_an_event_error_comes_out(self, data: bytes) -> None:
        for decode in (decode_event, decode_batch):
            with suppress(EventError):
                decode(data, now=NOW)


class TestUnknownFields:
    def test_they_are_ignored_and_counted(self) -> None:
        data = body(metrics={"wpm": 60, "keys": [1, {"wpm": 2}], "a.b[0]": None}, site="x", seed={})
        event, unknown = decode_event_counting(data, now=NOW)
        assert unknown == 4
        assert event.metrics.wpm == 60

    @pytest.mark.parametrize(
        "text", ["1e400", "9" * 500, "{}", "[[[]]]", '"\\ud83d\\ude00"', '"\\u0000"', "-0"]
    )
    def test_what_is_in_them_does_not_matter(self, text: str) -> None:
        assert decode_event_counting(raw("note", text), now=NOW)[1] == 1

    def test_invalid_utf_8_in_them_is_never_read(self) -> None:
        data = body(note="@@").replace(b"@@", b"\xff\xfe")
        assert decode_event_counting(data, now=NOW)[1] == 1


class TestBatch:
    def test_a_single_object_is_a_batch_of_one(self) -> None:
        batch = decode_batch(CUSTOMERS_OWN, now=NOW)
        assert [e.test_result_id for e in batch.events] == [67890]
        assert (batch.rejected, batch.unknown_fields) == ([], 0)

    def test_bad_items_are_refused_beside_the_good_ones(self) -> None:
        items = [
            body(testResultId=1), b"7", body(testResultId=2, x=1), b"{}", raw_metric("wpm", "421"),
            body(note="x" * MAX_EVENT_BYTES), b'{"a":"\xff"}', body(testResultId=3),
        ]  # fmt: skip
        batch = decode_batch(b'{"events": [' + b",".join(items) + b"]}", now=NOW)
        assert [e.test_result_id for e in batch.events] == [1, 2, 3]
        assert [(r.index, r.problem.pointer, r.problem.code) for r in batch.rejected] == [
            (1, "", "type"),
            (3, "/userId", "missing"),
            (4, "/metrics/wpm", "bound"),
            (5, "", "too_large"),
            (6, "/userId", "missing"),
        ]
        assert batch.unknown_fields == 1

    def test_the_largest_batch(self) -> None:
        items = b",".join([body()] * MAX_BATCH_EVENTS)
        assert len(decode_batch(b'{"events":[' + items + b"]}", now=NOW).events) == 500

    @pytest.mark.parametrize(
        ("data", "pointer", "code"),
        [
            pytest.param(b'{"events": []}', "/events", "bound", id="none"),
            pytest.param(
                b'{"events":[' + b",".join([b"{}"] * 501) + b"]}", "/events", "bound", id="501"
            ),
            pytest.param(b'{"events": {}}', "/events", "type", id="an object"),
            pytest.param(b'{"events": null}', "/events", "type", id="null"),
            pytest.param(b"{}", "/userId", "missing", id="empty"),
            pytest.param(b"[]", "", "type", id="a list"),
            pytest.param(b"", "", "invalid_json", id="nothing"),
            pytest.param(b'{"events": [{}, nul]}', "", "invalid_json", id="broken"),
            pytest.param(b'{"events": [{}', "", "invalid_json", id="cut off"),
            pytest.param(b'{"events":' + b"[" * 10**6, "", "too_deep", id="deep"),
            pytest.param(b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}", "", "too_deep", id="2 MB"),
            pytest.param(b'"' + b"a" * 2 * 10**6 + b'"', "", "type", id="2 MB of text"),
            pytest.param(
                b'{"userId":"' + b"a" * 2 * 10**6 + b'"}', "", "too_large", id="2 MB single"
            ),
        ],
    )
    def test_a_body_that_is_no_batch(self, data: bytes, pointer: str, code: str) -> None:
        with pytest.raises(EventError) as caught:
            decode_batch(data, now=NOW)
        assert (caught.value.problem.pointer, caught.value.problem.code) == (pointer, code)


@given(
    st.builds(
        dict,
        wpm=st.floats(0, 420),
        accuracy=st.floats(0, 100),
        durationSeconds=st.floats(0, 86_400, exclude_min=True),
        mode=st.text(min_size=1, max_size=40).filter(str.isprintable),
    ),
    st.datetimes(datetime(2000, 1, 1), datetime(2026, 11, 23), timezones=st.just(UTC)),
    st.integers(-840, 840),
)
def test_what_is_encoded_decodes_to_the_same(
    metrics: dict[str, Any], at: datetime, offset: int
) -> None:
    sent = body(metrics=metrics, occurredAt=at.isoformat(), utcOffsetMinutes=offset)
    event = decode_event(sent, now=NOW)
    again = decode_event(encode_event(event), now=NOW)
    assert again == event
    assert again.occurred_at == at


def test_half_a_surrogate_pair_costs_its_own_item_alone() -> None:
    good = CUSTOMERS_OWN.decode()
    bad = good.replace('"wpm": 85.5', '"wpm": 85.5, "mode": "\\ud800"')
    batch = decode_batch(f'{{"events": [{good}, {bad}, {{}}, {good}]}}'.encode(), now=NOW)
    assert batch.events == [decode_event(CUSTOMERS_OWN, now=NOW)] * 2
    assert [(one.index, one.problem.code) for one in batch.rejected] == [
        (1, "invalid_json"),
        (2, "missing"),
    ]
    assert batch.rejected[0].problem.pointer == "/metrics/mode"
    deep = bad.replace("{", '{"note": ' + "[" * 600 + "]" * 600 + ", ", 1)
    batch = decode_batch(f'{{"events": [{good}, {deep}]}}'.encode(), now=NOW)
    assert len(batch.events) == 1
    assert [(one.index, one.problem.code) for one in batch.rejected] == [(1, "too_deep")]
    with pytest.raises(EventError) as caught:
        decode_batch(bad.encode(), now=NOW)
    assert caught.value.problem.pointer == "/metrics/mode"
    for body in (f'{{"events": [{good}, {bad}, NaN]}}', f"[{bad}]", f'{{"events": "{bad}"}}', bad):
        with pytest.raises(EventError):
            decode_batch(body.encode(), now=NOW)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (raw_metric("wpm", "421"), "Expected a number from 0 to 420."),
        (raw_metric("wpm", "1e400"), "Expected a number from 0 to 420."),
        (raw_metric("wpm", '"60"'), "Expected a number from 0 to 420, got text."),
        (raw_metric("durationSeconds", "0"), "Expected a number above 0 and up to 86400."),
        (raw_metric("mode", '""'), "Expected text of 1 to 40 characters."),
        (raw("userId", "1e400"), "Expected a whole number from 1 to 9223372036854775807."),
        (raw("eventType", '"foo"'), "Expected one of test_completed, test_invalidated."),
        (
            raw("occurredAt", '"today"'),
            "Expected a time with its offset, such as 2026-12-01T12:00:00Z.",
        ),
        (raw("metrics", "5"), "Expected an object, got a whole number."),
        (b'{"events": {}}', "Expected a list, got an object."),
        (b"[]", "Expected an object, got a list."),
    ],
)
def test_it_says_what_is_expected_in_the_words_of_json(data: bytes, detail: str) -> None:
    with pytest.raises(EventError) as caught:
        decode_batch(data, now=NOW)
    assert caught.value.problem.detail == detail
