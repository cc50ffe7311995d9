"""POST /events: formats, refusals, who may, and what happens when nothing can be kept."""

import json
from typing import Any

import pytest
from django.db import OperationalError, connection

from achievements.models import Outbox, ServiceKey
from tests.api import CUSTOMER_EVENT, USER, Api, create_key, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")


def make_event(test_result_id: int, **changes: Any) -> dict[str, Any]:
    return {**CUSTOMER_EVENT, "testResultId": test_result_id, **changes}


def test_the_customers_event_is_accepted_and_shows_on_the_profile(api: Api, key: str) -> None:
    response = api.post("/events", CUSTOMER_EVENT, key=key)

    assert response.status_code == 202
    assert json.loads(response.content) == {"accepted": 1, "rejected": []}
    profile = json.loads(api.get(f"/users/{USER}/achievements").content)
    assert {one["slug"]: one["level"] for one in profile["achievements"]} == {
        "quick": 1,
        "typist": 3,  # testCount 150 passes the levels of 1, 10 and 100
    }
    assert profile["unlockedCount"] == 2
    assert not Outbox.objects.exists()


def test_a_repeated_event_has_one_effect(api: Api, key: str) -> None:
    for _ in range(3):
        assert api.post("/events", CUSTOMER_EVENT, key=key).status_code == 202
    listed = json.loads(api.get(f"/users/{USER}/notifications", user=USER).content)
    assert sorted((one["slug"], one["level"]) for one in listed["notifications"]) == sorted(
        {(one["slug"], one["level"]) for one in listed["notifications"]}
    )


def test_good_items_of_a_batch_are_processed_beside_bad_ones(api: Api, key: str) -> None:
    bad_speed = make_event(2, metrics={"wpm": 421, "accuracy": 98})
    no_user = {name: value for name, value in make_event(3).items() if name != "userId"}
    body = {"events": [make_event(1), bad_speed, no_user, make_event(4), 7]}

    answer = json.loads(api.post("/events", body, key=key).content)

    assert answer["accepted"] == 2
    assert [(one["index"], one["pointer"], one["code"]) for one in answer["rejected"]] == [
        (1, "/metrics/wpm", "bound"),
        (2, "/userId", "missing"),
        (4, "", "type"),
    ]
    assert "420" in answer["rejected"][0]["detail"]


def test_a_readable_batch_of_bad_items_is_still_202(api: Api, key: str) -> None:
    response = api.post("/events", {"events": [{}, []]}, key=key)
    assert response.status_code == 202
    assert json.loads(response.content)["accepted"] == 0


def test_500_events_are_accepted_and_501_are_refused(api: Api, key: str) -> None:
    events = [make_event(number, userId=number) for number in range(1, 502)]
    response = api.post("/events", {"events": events[:500]}, key=key)
    assert json.loads(response.content) == {"accepted": 500, "rejected": []}

    problem = read_problem(api.post("/events", {"events": events}, key=key), 400)
    assert problem["errors"][0]["pointer"] == "/events"


BAD_BODIES = {
    "empty": (b"", 400),
    "not-json": (b"{", 400),
    "trailing": (b"{}{}", 400),
    "array": (b"[]", 400),
    "string": (b'"event"', 400),
    "null": (b"null", 400),
    "nan": (b'{"userId": NaN}', 400),
    "infinity": (b'{"userId": 1, "testResultId": Infinity}', 400),
    "1e999": (json.dumps(make_event(1)).replace("85.5", "1e999").encode(), 400),
    "huge-integer": (b'{"userId": ' + b"9" * 5000 + b"}", 400),
    "not-utf-8": (b'{"userId": 1, "eventType": "\xff\xfe"}', 400),
    "utf-16": ('{"userId": 1}'.encode("utf-16"), 400),
    "brackets": (b"[" * 15_000, 400),
    "brackets-100k": (b"[" * 100_000, 400),
    "nested-events": (b'{"events": ' + b"[" * 100_000, 400),
    "nested-unknown": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    "events-string": (b'{"events": "x"}', 400),
    "events-empty": (b'{"events": []}', 400),
    "16-kib-single": (json.dumps({**make_event(1), "x": "y" * 17_000}).encode(), 413),
    "2-mb": (b'{"events": ["' + b"x" * 2_000_000 + b'"]}', 413),
}


@pytest.mark.parametrize(("body", "status"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_cannot_be_read_is_a_problem(
    api: Api, key: str, body: bytes, status: int
) -> None:
    problem = read_problem(api.post("/events", body, key=key), status)
    assert problem["detail"]
    assert problem["errors"]
    assert not Outbox.objects.exists()


BAD_EVENTS = {
    "user-id-missing": ({"userId": ...}, "/userId", "missing"),
    "user-id-zero": ({"userId": 0}, "/userId", "bound"),
    "user-id-negative": ({"userId": -1}, "/userId", "bound"),
    "user-id-65-bit": ({"userId": 2**63}, "/userId", "bound"),
    "user-id-float": ({"userId": 1.5}, "/userId", "type"),
    "user-id-text": ({"userId": "1"}, "/userId", "type"),
    "user-id-true": ({"userId": True}, "/userId", "type"),
    "user-id-null": ({"userId": None}, "/userId", "type"),
    "test-id-missing": ({"testResultId": ...}, "/testResultId", "missing"),
    "event-type-unknown": ({"eventType": "test_started"}, "/eventType", "bound"),
    "metrics-list": ({"metrics": []}, "/metrics", "type"),
    "metrics-empty": ({"metrics": {}}, "/metrics", "missing"),
    "wpm-negative": ({"metrics": {"wpm": -1}}, "/metrics/wpm", "bound"),
    "wpm-fast": ({"metrics": {"wpm": 420.5}}, "/metrics/wpm", "bound"),
    "accuracy": ({"metrics": {"accuracy": 100.1}}, "/metrics/accuracy", "bound"),
    "duration-zero": ({"metrics": {"durationSeconds": 0}}, "/metrics/durationSeconds", "bound"),
    "mode-empty": ({"metrics": {"mode": ""}}, "/metrics/mode", "bound"),
    "mode-long": ({"metrics": {"mode": "x" * 41}}, "/metrics/mode", "bound"),
    "test-count": ({"metrics": {"testCount": -1}}, "/metrics/testCount", "bound"),
    "future": ({"occurredAt": "2999-01-01T00:00:00Z"}, "/occurredAt", "in_future"),
    "past": ({"occurredAt": "1999-12-31T00:00:00Z"}, "/occurredAt", "too_old"),
    "no-zone": ({"occurredAt": "2026-01-01T00:00:00"}, "/occurredAt", None),
    "no-date": ({"occurredAt": "yesterday"}, "/occurredAt", None),
    "offset": ({"utcOffsetMinutes": 841}, "/utcOffsetMinutes", "bound"),
}


@pytest.mark.parametrize(("changes", "pointer", "code"), BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_one_bad_event_is_a_problem_with_a_pointer(
    api: Api, key: str, changes: dict[str, Any], pointer: str, code: str | None
) -> None:
    event = {name: value for name, value in make_event(1, **changes).items() if value is not ...}
    problem = read_problem(api.post("/events", event, key=key), 400)
    assert problem["code"] == "invalid"
    assert [one["pointer"] for one in problem["errors"]] == [pointer]
    if code is not None:
        assert problem["errors"][0]["code"] == code


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("text/plain", {}),
        ("application/x-www-form-urlencoded", {}),
        ("multipart/form-data; boundary=x", {}),
        ("application/json", {"Content-Encoding": "gzip"}),
    ],
)
def test_another_content_type_is_refused(
    api: Api, key: str, content_type: str, headers: dict[str, str]
) -> None:
    response = api.post(
        "/events", CUSTOMER_EVENT, key=key, content_type=content_type, headers=headers
    )
    wanted = "without content encoding" if headers else "Send application/json."
    assert wanted in read_problem(response, 415)["detail"]


def test_a_body_in_chunks_needs_a_length(api: Api, key: str) -> None:
    response = api.post("/events", b"", key=key, headers={"Transfer-Encoding": "chunked"})
    read_problem(response, 411)


def test_unknown_fields_are_ignored(api: Api, key: str) -> None:
    event = make_event(1, colour="red", metrics={"wpm": 90, "mood": [1, {}]})
    assert api.post("/events", event, key=key).status_code == 202


def test_only_a_key_with_the_scope_may_send(api: Api) -> None:
    response = api.post("/events", CUSTOMER_EVENT)
    read_problem(response, 401)
    assert response["WWW-Authenticate"].startswith("Api-Key")
    read_problem(api.post("/events", CUSTOMER_EVENT, user=USER), 403)
    assert "events:write" in str(
        read_problem(api.post("/events", CUSTOMER_EVENT, key=create_key()), 403)["detail"]
    )


def test_a_wrong_key_is_refused_and_not_repeated(api: Api, key: str) -> None:
    wrong = key[:-4] + "0000"
    response = api.post("/events", CUSTOMER_EVENT, key=wrong)
    read_problem(response, 401)
    assert wrong not in response.content.decode()
    read_problem(api.post("/events", CUSTOMER_EVENT, headers={"Authorization": "Api-Key"}), 401)


def test_a_revoked_key_works_until_its_verification_is_forgotten(api: Api, key: str) -> None:
    from achievements import cache

    assert api.post("/events", make_event(1), key=key).status_code == 202
    for found in ServiceKey.objects.all():
        found.revoked = True
        found.save()
    assert api.post("/events", make_event(2), key=key).status_code == 202
    cache.forget_service_key(key)  # what its time to live does within a minute
    read_problem(api.post("/events", make_event(3), key=key), 401)


def test_503_when_nothing_could_be_kept(api: Api, key: str) -> None:
    def refuse_writes(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "outbox" in sql and sql.startswith("INSERT"):
            raise OperationalError(1290, "The MariaDB server is running with read-only")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_writes):
        response = api.post("/events", CUSTOMER_EVENT, key=key)
    problem = read_problem(response, 503)
    assert int(response["Retry-After"]) > 0
    assert "MariaDB" not in str(problem)
