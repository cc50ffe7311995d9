"""What all views of the API have in common; a face."""

from typing import Any

from django.http import HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from achievements.api.parsers import BodyParser
from achievements.api.throttling import write_allowance
from achievements.events import MAX_EVENT_BYTES


class ApiView(APIView):
    """A view of the framework. Order: who calls, how often, and only then whether they may."""

    throttle_policy = "private"
    max_body_bytes = MAX_EVENT_BYTES
    parser_classes = (BodyParser,)
    http_method_names = ["get", "head", "post"]

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        except APIException:
            # Calls with a wrong credential count too, by address, or guessing would be free.
            self.check_throttles(request)
            raise

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        write_allowance(answer, getattr(request._request, "allowance", None))
        keep_private(answer)
        return answer


def keep_private(response: HttpResponseBase) -> None:
    """Answers to one caller are never kept by anything between us and the caller."""
    response.headers.setdefault("Cache-Control", "no-store")
