"""POST /test-results and its outcome: an end user's finished test; a face."""

from typing import Annotated, Final

import msgspec
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from msgspec import Meta
from rest_framework.request import Request
from rest_framework.response import Response

from achievements.api.callers import require_end_user, require_owner
from achievements.api.parsers import read_body
from achievements.api.problems import ProblemError, refuse_unknown
from achievements.api.schema import ID_SCHEMA, OWNER, describe
from achievements.api.views import ApiView
from achievements.events import (
    EARLIEST,
    MAX_CLOCK_SKEW,
    Amount,
    EventError,
    Id,
    Moment,
    OffsetMinutes,
    Percentage,
    Problem,
    Seconds,
    Speed,
    Word,
    refuse_unreadable,
)
from achievements.outcomes import read_outcome
from profiles.api.shapes import Outcome, SavedTestResult
from profiles.history import event_of
from profiles.selectors import find_test_result
from profiles.services import save_test_result
from profiles.submissions import MOST_KEYS, KeyReused, Submission, submit_once


class NewTestResult(msgspec.Struct, rename="camel", kw_only=True):
    """A finished test of the token's user, with the bounds of the event contract."""

    wpm: Speed
    accuracy: Percentage
    duration_seconds: Seconds
    raw_wpm: Speed | None = None
    consistency: Percentage | None = None
    characters: Amount | None = None
    mode: Word | None = None
    length: Amount | None = None
    language: Word | None = None
    completed_at: Annotated[
        Moment | None, Meta(description="From 2000 to 5 minutes from now; default: now.")
    ] = None
    utc_offset_minutes: OffsetMinutes = 0
    user_id: Annotated[
        Id | None, Meta(description="Not needed. If it is not the token's own user: 403.")
    ] = None


_MOST_KEY_LENGTH: Final = 255
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": _MOST_KEY_LENGTH, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="Chosen by the client for each test, such as a UUID. Sent again with the same key"
    f" (of the user's {MOST_KEYS} newest) it is the same test, and the answer has"
    " `Idempotency-Replayed: true`; with another body it is a 422.",
)

_decoder = msgspec.json.Decoder(NewTestResult)


def decode_test_result(body: bytes) -> NewTestResult:
    """Raises EventError; unknown fields are ignored."""
    with refuse_unreadable(body):
        result = _decoder.decode(body)
    at = result.completed_at
    if at is not None and at > timezone.now() + MAX_CLOCK_SKEW:
        detail = "completedAt is more than 5 minutes ahead of now."
        raise EventError(Problem("/completedAt", "in_future", detail))
    if at is not None and at < EARLIEST:
        raise EventError(Problem("/completedAt", "too_old", "completedAt is before 2000-01-01."))
    return result


def read_idempotency_key(request: Request) -> str | None:
    """Raises EventError."""
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not 1 <= len(key) <= _MOST_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        detail = f"Idempotency-Key: 1 to {_MOST_KEY_LENGTH} printable ASCII characters."
        raise EventError(Problem("/Idempotency-Key", "bound", detail))
    return key


class TestResultsView(ApiView):
    __test__ = False  # pytest: this is a view
    throttle_policy = "results"

    @describe(
        name="test_results_save",
        summary="Save a finished test",
        auth=OWNER,
        body=NewTestResult,
        answer=SavedTestResult,
        status=201,
        parameters=[IDEMPOTENCY_KEY],
        problems=(401, 403, 422),
    )
    def post(self, request: Request) -> Response:
        """Saved first, then checked against every achievement: follow the `outcome` link."""
        user_id = require_end_user(request.user)
        new = decode_test_result(read_body(request))
        if new.user_id is not None:
            require_owner(request.user, new.user_id)
        key = read_idempotency_key(request)

        def save() -> int:
            return save_test_result(
                user_id=user_id,
                wpm=new.wpm,
                accuracy=new.accuracy,
                duration_seconds=new.duration_seconds,
                raw_wpm=new.raw_wpm,
                consistency=new.consistency,
                characters=new.characters,
                mode=new.mode,
                length=new.length,
                language=new.language,
                completed_at=new.completed_at,
                utc_offset_minutes=new.utc_offset_minutes,
            ).id

        if key is None:
            done = Submission(save(), is_repeated=False)
        else:
            try:
                done = submit_once(
                    user_id=user_id, key=key, sent=msgspec.json.encode(new), save=save
                )
            except KeyReused:
                detail = "Another test was sent with this Idempotency-Key: each needs its own."
                problem = Problem("/Idempotency-Key", "reused", detail)
                raise ProblemError(422, detail, errors=[problem]) from None
        outcome = reverse("outcome", kwargs={"test_result_id": done.test_result_id})
        headers = {"Location": outcome}
        if done.is_repeated:
            headers["Idempotency-Replayed"] = "true"
        return Response(
            {"testResultId": done.test_result_id, "outcome": outcome}, status=201, headers=headers
        )


class OutcomeView(ApiView):
    @describe(
        name="test_results_outcome",
        summary="What a test brought about",
        auth=OWNER,
        answer=Outcome,
        parameters=[
            OpenApiParameter("test_result_id", ID_SCHEMA, OpenApiParameter.PATH, required=True)
        ],
        problems=(401, 403, 404),
    )
    def get(self, request: Request, test_result_id: int) -> Response:
        """`pending` until the test was checked; then what it unlocked and what it moved."""
        user_id = require_end_user(request.user)
        result = find_test_result(user_id=user_id, test_result_id=test_result_id)
        if result is None:
            raise refuse_unknown()
        return Response(read_outcome(user_id=user_id, event=event_of(result)))
