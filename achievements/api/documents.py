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
from achievements.api.fields import read_fields, select_fields
from achievements.api.problems import ProblemError, answer_error
from achievements.api.throttling import Allowance, name_caller, take_allowance, write_allowance
from achievements.documents import Document

Caller = EndUser | Service | None


class DocumentView(APIView):
    """A plain Django view: a view class of the framework only for the API's description.

    Subclasses define `get(request, caller, **ids) -> Document`, of the given shape.
    """

    shape: type
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
        patch_vary_headers(response, (*self.vary, "Accept-Encoding"))
        return response

    def _answer(
        self, request: HttpRequest, caller: Caller, ids: dict[str, Any]
    ) -> HttpResponseBase:
        if request.method not in {"GET", "HEAD"}:
            raise ProblemError(405, "This can only be read.", headers={"Allow": "GET, HEAD"})
        if not _accepts_json(request.META.get("HTTP_ACCEPT", "")):
            raise ProblemError(406, "The answer is application/json.")
        fields = read_fields(request, self.shape)
        document: Document = self.get(request, caller, **ids)  # type: ignore[attr-defined]
        if fields:
            document = select_fields(document, fields)
        # Weak: the same document as gzip is the same document.
        etag = f'W/"{document.etag}"'
        wanted = request.META.get("HTTP_IF_NONE_MATCH")
        response: HttpResponse
        if wanted is not None and _holds(wanted, document.etag):
            response = HttpResponseNotModified()
        elif document.is_zipped and accepts_gzip(request.META.get("HTTP_ACCEPT_ENCODING", "")):
            response = HttpResponse(document.packed, content_type="application/json")
            response["Content-Encoding"] = "gzip"
        else:
            response = HttpResponse(document.body, content_type="application/json")
        response["ETag"] = etag
        response["Cache-Control"] = (
            "private, no-cache" if document.is_private else self.cache_control
        )
        return response


def _holds(wanted: str, etag: str) -> bool:
    return f'"{etag}"' in wanted or "*" in parse_etags(wanted)


def accepts_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding allows gzip; every browser's does, in its first words."""
    for part in accepted.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _accepts_json(accept: str) -> bool:
    if not accept or "*/*" in accept or "application/json" in accept:
        return True
    return "application/*" in accept
