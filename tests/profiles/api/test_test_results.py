"""POST /test-results and the outcome: saved, checked, shown; refusals."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connection

from profiles.api.shapes import Outcome, SavedTestResult
from profiles.models import TestResult
from tests.api import OTHER, TEST_RESULT, USER, Api, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")


def save(api: Api, user: int = USER, **changes: Any) -> Any:
    response = api.post("/test-results", {**TEST_RESULT, **changes}, user=user)
    assert response.status_code == 201, response.content
    return json.loads(response.content)


def test_a_finished_test_is_saved_checked_and_shown(api: Api) -> None:
    response = api.post("/test-results", TEST_RESULT, user=USER)
    assert response.status_code == 201
    saved = msgspec.json.decode(response.content, type=SavedTestResult)
    assert response["Location"] == saved.outcome

    outcome = api.get(saved.outcome, user=USER)
    decoded = msgspec.json.decode(outcome.content, type=Outcome)
    assert decoded.status == "processed"
    assert {(one.slug, one.level) for one in decoded.unlocks} == {("typist", 1), ("quick", 1)}
    profile = json.loads(api.get(f"/users/{USER}/achievements").content)
    assert {one["slug"] for one in profile["achievements"]} == {"typist", "quick"}


def test_everything_sent_is_kept(api: Api) -> None:
    at = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
    saved = save(
        api,
        rawWpm=90,
        consistency=88.5,
        characters=430,
        mode="words",
        length=50,
        language="german",
        completedAt="2026-03-01T14:30:15.25+02:00",
        utcOffsetMinutes=120,
        userId=USER,
        colour="red",
    )
    result = TestResult.objects.get(user_id=USER, id=saved["testResultId"])
    assert result.completed_at == at
    assert (result.raw_wpm, result.consistency, result.characters) == (90, 88.5, 430)
    assert (result.mode, result.length, result.language) == ("words", 50, "german")
    assert result.utc_offset_minutes == 120


def test_defaults(api: Api) -> None:
    before = datetime.now(UTC)
    saved = save(api)
    result = TestResult.objects.get(user_id=USER, id=saved["testResultId"])
    assert (result.mode, result.language) == ("time", "english")
    assert before - timedelta(seconds=1) <= result.completed_at <= datetime.now(UTC)


FUTURE = (datetime.now(UTC) + timedelta(days=365)).isoformat()
BAD = {
    "wpm-missing": ({"wpm": ...}, "/wpm", "missing"),
    "accuracy-missing": ({"accuracy": ...}, "/accuracy", "missing"),
    "duration-missing": ({"durationSeconds": ...}, "/durationSeconds", "missing"),
    "wpm-null": ({"wpm": None}, "/wpm", "type"),
    "wpm-text": ({"wpm": "85"}, "/wpm", "type"),
    "wpm-true": ({"wpm": True}, "/wpm", "type"),
    "wpm-list": ({"wpm": [85]}, "/wpm", "type"),
    "wpm-negative": ({"wpm": -0.5}, "/wpm", "bound"),
    "wpm-fast": ({"wpm": 421}, "/wpm", "bound"),
    "raw-wpm-fast": ({"rawWpm": 421}, "/rawWpm", "bound"),
    "accuracy": ({"accuracy": 101}, "/accuracy", "bound"),
    "consistency": ({"consistency": -1}, "/consistency", "bound"),
    "duration-zero": ({"durationSeconds": 0}, "/durationSeconds", "bound"),
    "duration-days": ({"durationSeconds": 86_401}, "/durationSeconds", "bound"),
    "characters": ({"characters": -1}, "/characters", "bound"),
    "characters-float": ({"characters": 1.5}, "/characters", "type"),
    "length": ({"length": 10_000_001}, "/length", "bound"),
    "mode": ({"mode": ""}, "/mode", "bound"),
    "mode-number": ({"mode": 1}, "/mode", "type"),
    "language": ({"language": "x" * 41}, "/language", "bound"),
    "future": ({"completedAt": FUTURE}, "/completedAt", "in_future"),
    "past": ({"completedAt": "1999-12-31T23:59:59Z"}, "/completedAt", "too_old"),
    "no-zone": ({"completedAt": "2026-01-01T00:00:00"}, "/completedAt", None),
    "year-0": ({"completedAt": "0001-01-01T00:00:00+23:59"}, "/completedAt", None),
    "offset": ({"utcOffsetMinutes": -841}, "/utcOffsetMinutes", "bound"),
    "user-id": ({"userId": "me"}, "/userId", "type"),
}


@pytest.mark.parametrize(("changes", "pointer", "code"), BAD.values(), ids=BAD)
def test_a_bad_field_is_named(
    api: Api, changes: dict[str, Any], pointer: str, code: str | None
) -> None:
    body = {name: v for name, v in {**TEST_RESULT, **changes}.items() if v is not ...}
    problem = read_problem(api.post("/test-results", body, user=USER), 400)
    assert [one["pointer"] for one in problem["errors"]] == [pointer]
    if code:
        assert problem["errors"][0]["code"] == code
    assert not TestResult.objects.exists()


UNREADABLE = {
    "empty": (b"", 400),
    "not-json": (b"{", 400),
    "array": (b"[]", 400),
    "null": (b"null", 400),
    "nan": (b'{"wpm": NaN, "accuracy": 1, "durationSeconds": 1}', 400),
    "infinite": (b'{"wpm": 1e999, "accuracy": 1, "durationSeconds": 1}', 400),
    "not-utf-8": (b'{"wpm": 1, "accuracy": 1, "durationSeconds": 1, "mode": "\xff"}', 400),
    "brackets": (b"[" * 16_000, 400),
    "brackets-100k": (b"[" * 100_000, 413),
    "2-mb": (b" " * 2_000_000, 413),
}


@pytest.mark.parametrize(("body", "status"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cannot_be_read(api: Api, body: bytes, status: int) -> None:
    read_problem(api.post("/test-results", body, user=USER), status)
    assert not TestResult.objects.exists()


def test_half_a_character_is_named(api: Api) -> None:
    half = b'{"wpm": 1, "accuracy": 1, "durationSeconds": 1, "mode": "\\ud83d"}'
    problem = read_problem(api.post("/test-results", half, user=USER), 400)
    assert [one["pointer"] for one in problem["errors"]] == ["/mode"]
    assert problem["errors"][0]["detail"] == "This text holds half a character."


def test_another_content_type(api: Api) -> None:
    response = api.post("/test-results", b"wpm=85", user=USER, content_type="text/plain")
    read_problem(response, 415)


def test_another_users_id_is_refused(api: Api) -> None:
    response = api.post("/test-results", {**TEST_RESULT, "userId": OTHER}, user=USER)
    read_problem(response, 403)
    assert not TestResult.objects.exists()


def test_the_outcome_is_the_owners(api: Api) -> None:
    outcome = save(api)["outcome"]
    read_problem(api.get(outcome), 401)
    read_problem(api.get(outcome, user=OTHER), 404)
    read_problem(api.get("/test-results/1/outcome", user=USER), 404)


@pytest.mark.parametrize("test_id", ["0", "-1", "01", "abc", str(2**63), "9" * 400, "%00", "1.5"])
def test_a_wrong_id_in_the_address_is_404(api: Api, test_id: str) -> None:
    read_problem(api.get(f"/test-results/{test_id}/outcome", user=USER), 404)
    for path in ("achievements", "progress", "notifications"):
        read_problem(api.get(f"/users/{test_id}/{path}", user=USER), 404)


def test_503_when_the_result_cannot_be_kept(api: Api) -> None:
    def refuse_writes(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT"):
            raise OperationalError(1290, "The MariaDB server is running with read-only")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_writes):
        response = api.post("/test-results", TEST_RESULT, user=USER)
    read_problem(response, 503)
    assert response["Retry-After"]


def test_an_invalidated_test_takes_back_what_it_unlocked(
    api: Api, django_capture_on_commit_callbacks: Any
) -> None:
    from profiles.services import invalidate_test_result

    saved = save(api)
    with django_capture_on_commit_callbacks(execute=True):
        assert invalidate_test_result(
            user_id=USER, test_result_id=saved["testResultId"], reason="a script typed it"
        )
    assert not invalidate_test_result(
        user_id=USER, test_result_id=saved["testResultId"], reason="again"
    )
    profile = json.loads(api.get(f"/users/{USER}/achievements").content)
    assert profile["achievements"] == []
