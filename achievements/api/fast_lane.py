"""The short way for ready documents, past the middleware that they do not need; a face.

Sessions, CSRF, messages, history and request logs cost ten times as much as a cached document.
A call with a session (staff) takes the long way as ever.
"""

from collections.abc import Callable
from typing import Final

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import Resolver404, resolve

from achievements.api.documents import DocumentView

PREFIX: Final = "/api/v1/"
# What the skipped middleware would have said, as far as it means something for JSON.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}


class FastLaneMiddleware:
    """Stands below the request counters, above everything else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.security, self.cors = SecurityMiddleware(get_response), CorsMiddleware(get_response)
        self.session_mark = f"{settings.SESSION_COOKIE_NAME}="

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        meta = request.META
        if (
            request.method not in {"GET", "HEAD"}
            or self.session_mark in meta.get("HTTP_COOKIE", "")
            or not request.path_info.startswith(PREFIX)
        ):
            return self.get_response(request)
        try:
            match = resolve(request.path_info)
        except Resolver404:
            return self.get_response(request)
        view_class = getattr(match.func, "view_class", None) or getattr(match.func, "cls", None)
        if view_class is None or not issubclass(view_class, DocumentView):
            return self.get_response(request)
        redirect = self.security.process_request(request)
        if redirect is not None:
            return redirect
        request.get_host()  # refuses hosts that are not ours
        request.resolver_match = match
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        # A copy that is still current keeps what was said with it, and its length.
        is_sent = response.status_code != 304
        if is_sent:
            for name, value in HEADERS.items():
                response[name] = value
            self.security.process_response(request, response)
        # Pages of other origins: the read itself is simple, only its answer has to allow them.
        self.cors.add_response_headers(request, response)
        if is_sent and not response.streaming:
            response["Content-Length"] = str(len(response.content))
        return response
