"""GET what moves for a user, while it moves (Server-Sent Events); a face."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.views import APIView

from achievements.api.authentication import identify
from achievements.api.callers import EndUser, Service
from achievements.api.problems import ProblemError, answer_error, refuse_unknown
from achievements.api.schema import OWNER, USER_ID, describe
from achievements.api.throttling import Allowance, name_caller, take_allowance, write_allowance
from achievements.api.views import keep_private
from achievements.events import MAX_ID, Problem
from profiles.api.hub import get_hub, prepare
from profiles.api.shapes import StreamEvents

CONTENT_TYPE: Final = "text/event-stream"
# Where the server puts what ends a connection at once (config/asgi.py).
ABORT: Final = "laurel.abort"


class EventStreamResponse(StreamingHttpResponse):
    """Its events come straight from the hub, and end when the client does.

    Middleware may wrap what it likes around `streaming_content`: nothing would close the
    generators inside such a wrapper in time.
    """

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, content_type=CONTENT_TYPE)
        self._events = events
        self["X-Accel-Buffering"] = "no"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events


class StreamView(APIView):
    """A plain asynchronous view: one of the framework only for the API's description."""

    throttle_policy = "private"
    http_method_names = ["get"]

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        allowance: Allowance | None = None
        response: HttpResponseBase
        try:
            # In a thread: keys may be fetched, and calls are counted in Redis.
            caller, allowance, refusal = await sync_to_async(self._identify)(request)
            if allowance is not None and not allowance.is_allowed:
                raise ProblemError(429, f"Try again in {allowance.reset_seconds} seconds.")
            if refusal is not None:
                refusal.status_code = 401
                raise refusal
            response = await self.get(request, caller, **kwargs)
        except Exception as error:  # noqa: BLE001 - every error is answered; unknown ones are logged
            response = answer_error(error)
        write_allowance(response, allowance)
        keep_private(response)
        return response

    @describe(
        name="users_stream",
        summary="What moves for a user, while it moves",
        auth=OWNER,
        answer=StreamEvents,
        media_type=CONTENT_TYPE,
        parameters=[
            USER_ID,
            OpenApiParameter(
                "Last-Event-ID",
                {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_ID},
                OpenApiParameter.HEADER,
                description="The newest `id` that was received: what follows it comes again.",
            ),
        ],
        problems=(400, 401, 404, 501),
    )
    async def get(
        self, request: HttpRequest, caller: EndUser | Service | None, user_id: int
    ) -> HttpResponseBase:
        """Server-Sent Events: `progress`, `unlock` and `resync`, until the token ends.

        `unlock` has the notification's sequence as its `id`. `resync` names what to read now:
        at the beginning, and whenever something may have been missed. A line that begins with
        a colon comes every 15 seconds when nothing else does.
        """
        if request.method != "GET":
            raise ProblemError(405, "This can only be read.", headers={"Allow": "GET"})
        if not _accepts_events(request.META.get("HTTP_ACCEPT", "")):
            raise ProblemError(406, f"The answer is {CONTENT_TYPE}.")
        if caller is None:
            raise NotAuthenticated("This needs the Bearer token of its owner.")
        if not isinstance(caller, EndUser) or caller.user_id != user_id:
            raise refuse_unknown()
        asked = _read_last_event_id(request)
        if not isinstance(request, ASGIRequest) or not settings.REDIS_URL:
            raise ProblemError(
                501, "The stream needs the ASGI server (uvicorn config.asgi:application) and Redis."
            )
        hub = get_hub()
        abort: Callable[[], object] | None = request.scope.get(ABORT)
        stream = hub.admit(user_id, abort=abort)
        stream.begin(asked=asked, newest=await hub.read(prepare, user_id))
        return EventStreamResponse(hub.write(stream, expires_at=caller.expires_at))

    def _identify(
        self, request: HttpRequest
    ) -> tuple[EndUser | Service | None, Allowance | None, APIException | None]:
        caller: EndUser | Service | None = None
        refusal: APIException | None = None
        try:
            caller = identify(request)
        except APIException as error:
            refusal = error
        # Calls with a wrong credential count too, by address, or guessing would be free.
        allowance = take_allowance(policy=self.throttle_policy, caller=name_caller(caller, request))
        return caller, allowance, refusal


def _accepts_events(accept: str) -> bool:
    wanted = [part.partition(";")[0].strip() for part in accept.split(",")]
    return not accept or any(one in {"*/*", "text/*", CONTENT_TYPE} for one in wanted)


def _read_last_event_id(request: HttpRequest) -> int | None:
    text = request.META.get("HTTP_LAST_EVENT_ID", "").strip()
    if not text:
        return None
    if len(text) > 19 or not text.isascii() or not text.isdecimal() or int(text) > MAX_ID:
        detail = f"Last-Event-ID must be a whole number from 0 to {MAX_ID}."
        raise ProblemError(
            400, detail, code="invalid", errors=[Problem("/Last-Event-ID", "type", detail)]
        )
    return int(text)
