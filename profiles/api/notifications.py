"""A user's notifications: list and mark read; a face."""

from typing import Annotated

import msgspec
from drf_spectacular.utils import OpenApiParameter
from msgspec import Meta
from rest_framework.request import Request
from rest_framework.response import Response

from achievements.api.callers import require_owner, require_reader
from achievements.api.parsers import read_body
from achievements.api.problems import ProblemError
from achievements.api.schema import OWNER, OWNER_OR_STAFF, USER_ID, describe
from achievements.api.views import ApiView
from achievements.events import MAX_ID, Id, Problem, refuse_unreadable
from achievements.notifications import mark_read
from achievements.selectors import list_notifications
from profiles.api.shapes import MarkedNotifications, Notifications

DEFAULT_PAGE = 20
LARGEST_PAGE = 100


class ReadUpTo(msgspec.Struct, rename="camel"):
    """Everything up to this sequence number has been seen."""

    up_to: Annotated[Id, Meta(description="A `sequence` of the list.")]


_decoder = msgspec.json.Decoder(ReadUpTo)


class NotificationsView(ApiView):
    @describe(
        name="notifications_list",
        summary="A user's notifications, newest first",
        auth=OWNER_OR_STAFF,
        answer=Notifications,
        parameters=[
            USER_ID,
            OpenApiParameter(
                "cursor",
                {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
                description="The nextCursor of the page before.",
            ),
            OpenApiParameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": DEFAULT_PAGE},
            ),
        ],
        problems=(400, 401, 404),
    )
    def get(self, request: Request, user_id: int) -> Response:
        """Pages stay in place while new ones arrive. `nextCursor` is null on the last page."""
        require_reader(request.user, user_id)
        before = _read_number(request, "cursor", largest=MAX_ID)
        limit = _read_number(request, "limit", largest=LARGEST_PAGE) or DEFAULT_PAGE
        # One more than asked tells whether there is a further page.
        found = list_notifications(user_id=user_id, before=before, limit=limit + 1)
        page = found[:limit]
        next_cursor = str(page[-1]["sequence"]) if len(found) > limit else None
        return Response({"notifications": page, "nextCursor": next_cursor})


def _read_number(request: Request, name: str, *, largest: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    # Length first: Python takes quadratic time over very long numbers.
    is_number = len(text) <= 19 and text.isascii() and text.isdecimal()
    if not is_number or not 1 <= int(text) <= largest:
        detail = f"{name} must be a whole number from 1 to {largest}."
        problem = Problem(f"/{name}", "bound" if is_number else "type", detail)
        raise ProblemError(400, detail, code="invalid", errors=[problem])
    return int(text)


class ReadNotificationsView(ApiView):
    @describe(
        name="notifications_read",
        summary="Mark notifications as read",
        auth=OWNER,
        body=ReadUpTo,
        answer=MarkedNotifications,
        parameters=[USER_ID],
        problems=(401, 403),
    )
    def post(self, request: Request, user_id: int) -> Response:
        """Marks everything up to `upTo`; what was read before stays as it is."""
        require_owner(request.user, user_id)
        body = read_body(request)
        with refuse_unreadable(body):
            wanted = _decoder.decode(body)
        return Response({"markedCount": mark_read(user_id=user_id, up_to=wanted.up_to)})
