"""The ASGI application: for the live stream, which WSGI would buffer."""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import django
from asgiref.sync import ThreadSensitiveContext
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django.setup(set_prefix=False)

from config.checks import refuse_wrong_settings  # noqa: E402  (needs the apps to be loaded)
from profiles.api.hub import close_hub, end_streams_with  # noqa: E402
from profiles.api.stream import ABORT  # noqa: E402

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class StreamHandler(ASGIHandler):
    """Django's handler, which holds no thread for as long as a stream is open."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is served, not {scope['type']}.")
        # ASGI has no word for it, so a client that does not read would keep what it was sent.
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if transport is not None:
            scope[ABORT] = transport.abort
        await self.handle(scope, receive, send)

    async def run_get_response(self, request: HttpRequest) -> HttpResponseBase:
        # Django has this around the whole answer. A stream would then keep its thread, and the
        # thread its connection to the database.
        async with ThreadSensitiveContext():
            return await super().run_get_response(request)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end. Its own way of stopping is to wait, so streams end before."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                for number in (signal.SIGTERM, signal.SIGINT):
                    end_streams_with(number)
                await send({"type": "lifespan.startup.complete"})
            else:
                await close_hub()
                await send({"type": "lifespan.shutdown.complete"})
                return


application = StreamHandler()

refuse_wrong_settings()
