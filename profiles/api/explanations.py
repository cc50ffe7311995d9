"""GET why a user has, or has not yet, an achievement; a face."""

from rest_framework.request import Request
from rest_framework.response import Response

from achievements.api.callers import require_reader
from achievements.api.problems import refuse_unknown
from achievements.api.schema import OWNER_OR_STAFF, SLUG, USER_ID, describe
from achievements.api.views import ApiView
from achievements.reasons import explain_achievement
from profiles.api.shapes import Explanation


class ExplanationView(ApiView):
    @describe(
        name="users_explanation",
        summary="Why, or why not yet",
        auth=OWNER_OR_STAFF,
        answer=Explanation,
        parameters=[USER_ID, SLUG],
        problems=(401, 404),
    )
    def get(self, request: Request, user_id: int, slug: str) -> Response:
        """Each condition with its current value, its target, and whether it is met."""
        require_reader(request.user, user_id)
        explanation = explain_achievement(
            user_id=user_id, slug=slug, should_unmask=bool(request.user.is_staff)
        )
        if explanation is None:
            raise refuse_unknown()
        return Response(explanation)
