"""Reads that are mostly answered with ready bytes from the cache; a face.

They bypass the framework's own request handling (content negotiation, serialisation,
authenticators), which costs more than everything else in such a read.
"""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from rest_framework.exceptions import APIException
from rest_framework.views import APIView

from achievements.api.authentication import identify
from achievements.api.callers import EndUser, Service
from achievements.api.problems import ProblemError, answer_error
from achievements.api.throttling import Allowance, name_caller, take_allowance, write_allowance
from achievements.documents import Document

Caller = EndUser | Service | None


class DocumentView(APIView):
    """A plain Django view: a view class of the framework only for the API's description.

    Subclasses define `get(request, caller, **ids) -> Document`.
    """

    throttle_policy = "public"
    http_method_names = ["get", "head"]
    cache_control = "no-cache"  # keep it, but ask each time whether it is current
    vary: ClassVar[tuple[str, ...]] = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        allowance: Allowance | None = None
        response: HttpResponseBase
        try:
            refusal: APIException | None = None
            caller: Caller = None
            if "HTTP_AUTHORIZATION" in request.META:
                try:
                    caller = identify(request)
                except APIException as error:
                    refusal = error
            allowance = take_allowance(
                policy=self.throttle_policy, caller=name_caller(caller, request)
            )
            if allowance is not None and not allowance.is_allowed:
                raise ProblemError(429, f"Try again in {allowance.reset_seconds} seconds.")
            if refusal is not None:
                refusal.status_code = 401
                raise refusal
            response = self._answer(request, caller, kwargs)
        except Exception as error:  # noqa: BLE001 - every error is answered; unknown ones are logged
            response = answer_error(error)
        write_allowance(response, allowance)
        return response

    def _answer(
        self, request: HttpRequest, caller: Caller, ids: dict[str, Any]
    ) -> HttpResponseBase:
        if request.method not in {"GET", "HEAD"}:
            raise ProblemError(405, "This can only be read.", headers={"Allow": "GET, HEAD"})
        if not _accepts_json(request.META.get("HTTP_ACCEPT", "")):
            raise ProblemError(406, "The answer is application/json.")
        document: Document = self.get(request, caller, **ids)  # type: ignore[attr-defined]
        etag = f'"{document.etag}"'
        wanted = request.META.get("HTTP_IF_NONE_MATCH")
        response: HttpResponse
        if wanted is not None and _holds(wanted, etag):
            response = HttpResponseNotModified()
        else:
            response = HttpResponse(document.body, content_type="application/json")
        response["ETag"] = etag
        response["Cache-Control"] = (
            "private, no-cache" if document.is_private else self.cache_control
        )
        if self.vary:
            patch_vary_headers(response, self.vary)
        return response


def _holds(wanted: str, etag: str) -> bool:
    if wanted == etag:
        return True
    known = parse_etags(wanted)
    return "*" in known or etag in {one.removeprefix("W/") for one in known}


def _accepts_json(accept: str) -> bool:
    if not accept or "*/*" in accept or "application/json" in accept:
        return True
    return "application/*" in accept
