"""POST /events: services hand in finished and invalidated tests; a face."""

import structlog
from django.db import DatabaseError
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from achievements import metrics
from achievements.api.authentication import ApiKeyAuthentication, BearerAuthentication
from achievements.api.callers import require_scope
from achievements.api.parsers import read_body
from achievements.api.problems import refuse_while_unavailable
from achievements.api.schema import SERVICE, describe
from achievements.api.shapes import AcceptedEvents, EventBatch
from achievements.api.views import ApiView
from achievements.errors import NotDurable
from achievements.events import Event, decode_batch
from achievements.outbox import accept_events

logger = structlog.get_logger(__name__)

SCOPE = "events:write"


class EventsView(ApiView):
    throttle_policy = "events"
    max_body_bytes = 1024 * 1024
    authentication_classes = [ApiKeyAuthentication, BearerAuthentication]

    @describe(
        name="events_accept",
        summary="Hand in one event, or up to 500",
        auth=SERVICE,
        bodies=(Event, EventBatch),
        answer=AcceptedEvents,
        status=202,
        problems=(401, 403),
    )
    def post(self, request: Request) -> Response:
        """The body is one event, or `{"events": [...]}`.

        A batch is answered with 202 whenever it can be read, also when every item of it was
        refused: `rejected` names each by its index. One event by itself that is not valid is
        a 400. An event that was handed in before is accepted again and has no second effect.
        503 means that nothing was kept: send it again.
        """
        require_scope(request.user, SCOPE)
        batch = decode_batch(read_body(request), now=timezone.now())
        if batch.events:
            try:
                accept_events(batch.events)
            except (DatabaseError, NotDurable) as error:
                logger.warning("events_not_durable", error=type(error).__name__)
                raise refuse_while_unavailable("The events could not be kept.") from error
        metrics.UNKNOWN_FIELDS.inc(batch.unknown_fields)
        rejected = [
            {
                "index": one.index,
                "pointer": one.problem.pointer,
                "code": one.problem.code,
                "detail": one.problem.detail,
            }
            for one in batch.rejected
        ]
        return Response({"accepted": len(batch.events), "rejected": rejected}, status=202)
