"""Every error of the API as application/problem+json (RFC 9457); a face."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any, Final

import orjson
import structlog
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions

from achievements.errors import StillFilled
from achievements.events import EventError, Problem

logger = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5
CODES: Final = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
    422: "key_reused",
    429: "too_many_requests",
    500: "internal_error",
    501: "not_implemented",
    503: "unavailable",
}


class ProblemError(Exception):
    """A refusal with its status; `errors` name the fields that are wrong."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        errors: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.errors = errors
        self.headers = dict(headers or {})


def refuse_unknown() -> ProblemError:
    """The one 404: the same words for what does not exist and for what is not yours to see."""
    return ProblemError(404, "There is nothing here that you may see.")


def refuse_while_unavailable(detail: str) -> ProblemError:
    return ProblemError(503, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def build_problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    errors: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code or CODES.get(status, "error"),
        "detail": detail,
        "errors": [
            {"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in errors
        ],
    }
    response = HttpResponse(
        orjson.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers
    )
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def answer_error(error: Exception) -> HttpResponse:
    """The one place that turns an exception into an answer; what is unknown is a logged 500."""
    if isinstance(error, ProblemError):
        return build_problem(
            error.status,
            error.detail,
            code=error.code,
            errors=error.errors,
            headers=error.headers,
        )
    if isinstance(error, EventError):
        return _answer_bad_body(error.problem)
    if isinstance(error, exceptions.APIException):
        return _answer_framework(error)
    if isinstance(error, Http404):
        return answer_error(refuse_unknown())
    if isinstance(error, PermissionDenied):
        return build_problem(403, "You may not do this.")
    if isinstance(error, RequestDataTooBig):
        return build_problem(413, "The body is too large.")
    if isinstance(error, SuspiciousOperation | BadRequest | UnreadablePostError):
        return build_problem(400, "The request cannot be read.")
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("database_unavailable", error=type(error).__name__)
        return answer_error(refuse_while_unavailable("The database cannot be reached now."))
    if isinstance(error, StillFilled):
        logger.warning("document_still_filled", name=str(error))
        return answer_error(refuse_while_unavailable("The database is slow now."))
    logger.error("request_failed", exc_info=error)
    return build_problem(500, "Something went wrong on our side; it has been logged.")


def _answer_bad_body(problem: Problem) -> HttpResponse:
    if problem.code == "too_large":
        return build_problem(413, problem.detail, errors=[problem])
    return build_problem(400, "The body is not valid.", code="invalid", errors=[problem])


def _answer_framework(error: exceptions.APIException) -> HttpResponse:
    headers: dict[str, str] = {}
    if error.status_code == 401:
        headers["WWW-Authenticate"] = (
            getattr(error, "challenge", "")  # ours says more than the framework's
            or getattr(error, "auth_header", "")
            or 'Bearer realm="laurel"'
        )
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, ceil(getattr(error, "wait", None) or 1)))
    code = error.get_codes()
    detail = str(error.detail) if isinstance(error.detail, str) else "The request is not valid."
    if error.status_code == 415 and "encoding" not in detail:
        detail = f"{detail} Send application/json."
    return build_problem(
        error.status_code,
        detail,
        code=CODES.get(error.status_code, "") or (code if isinstance(code, str) else ""),
        headers=headers,
    )


def handle_exception(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Django REST framework's EXCEPTION_HANDLER."""
    # That module reads the default authentication classes while it loads, and they import this one.
    from rest_framework.views import set_rollback

    set_rollback()
    return answer_error(error)


@csrf_exempt
def answer_not_found(request: HttpRequest, **kwargs: object) -> HttpResponse:
    """Every address under /api/ that nothing else answers."""
    return answer_error(refuse_unknown())
