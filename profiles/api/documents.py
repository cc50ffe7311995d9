"""GET a user's achievements and progress: public unless the profile is private; a face."""

from typing import ClassVar

from django.conf import settings
from django.http import HttpRequest

from achievements.api.callers import is_owner_or_staff
from achievements.api.documents import Caller, DocumentView
from achievements.api.problems import ProblemError, refuse_unknown
from achievements.api.schema import ANYBODY, USER_ID, USER_IDS, describe
from achievements.documents import Document, Stamp, build_document
from achievements.events import MAX_ID, Problem
from achievements.shown import MAX_SUMMARIES, fetch_profile, fetch_progress, fetch_summaries
from profiles.api.shapes import UserAchievements, UserProgress, UserSummaries


class _UserDocumentView(DocumentView):
    """A document says by itself whether it is private, so a hit needs no query to know it."""

    vary: ClassVar = ("Authorization", "Cookie")

    def show(
        self, document: Document, request: HttpRequest, caller: Caller, user_id: int
    ) -> Document:
        if document.is_private and not _may_read(request, caller, user_id):
            raise refuse_unknown()
        return document


def _may_read(request: HttpRequest, caller: Caller, user_id: int) -> bool:
    if caller is not None:
        return is_owner_or_staff(caller, user_id)
    # Only a session cookie is worth the query that finds its user.
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return has_session and is_owner_or_staff(request.user, user_id)


class UserAchievementsView(_UserDocumentView):
    shape = UserAchievements

    @describe(
        name="users_achievements",
        summary="A profile: what a user has unlocked",
        auth=ANYBODY,
        answer=UserAchievements,
        parameters=[USER_ID],
        problems=(401, 404),
        has_etag=True,
    )
    def get(self, request: HttpRequest, caller: Caller, user_id: int) -> Document:
        """A user without any test has an empty profile; a private one is a 404 to others."""
        return self.show(fetch_profile(user_id), request, caller, user_id)


class UserSummariesView(DocumentView):
    shape = UserSummaries
    vary: ClassVar = ("Authorization", "Cookie")

    @describe(
        name="users_summaries",
        summary="Points and counts of up to 100 users, as for leaderboards and friends",
        auth=ANYBODY,
        answer=UserSummaries,
        parameters=[USER_IDS],
        problems=(400, 401),
        has_etag=True,
    )
    def get(self, request: HttpRequest, caller: Caller) -> Document:
        """Whoever you may not see is left out; a user without any test has no points."""
        user_ids = _read_ids(request.GET.get("ids", ""))
        summaries = fetch_summaries(user_ids)
        shown = [
            summary.body
            for user_id, summary in summaries.items()
            if not summary.is_private or _may_read(request, caller, user_id)
        ]
        is_own = any(summary.is_private for summary in summaries.values())
        body = b'{"users":[' + b",".join(shown) + b"]}"
        return build_document(body, stamp=Stamp(0, is_own), edition=0)


def _read_ids(text: str) -> list[int]:
    """Return distinct ids in their order. Raises ProblemError (400)."""
    found: dict[int, None] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        is_number = part.isascii() and part.isdecimal() and len(part) <= len(str(MAX_ID))
        if not is_number or not 1 <= int(part) <= MAX_ID:
            raise _refuse_ids(f"ids: each is a whole number from 1 to {MAX_ID}.", "type")
        found[int(part)] = None
    if not 1 <= len(found) <= MAX_SUMMARIES:
        raise _refuse_ids(f"ids must name 1 to {MAX_SUMMARIES} users.", "bound")
    return list(found)


def _refuse_ids(detail: str, code: str) -> ProblemError:
    problem = Problem("/ids", code, detail)
    return ProblemError(400, detail, code="invalid", errors=[problem])


class UserProgressView(_UserDocumentView):
    shape = UserProgress

    @describe(
        name="users_progress",
        summary="How far a user is with what is ahead",
        auth=ANYBODY,
        answer=UserProgress,
        parameters=[USER_ID],
        problems=(401, 404),
        has_etag=True,
    )
    def get(self, request: HttpRequest, caller: Caller, user_id: int) -> Document:
        """Derived from the user's tests; the same privacy as the profile."""
        return self.show(fetch_progress(user_id), request, caller, user_id)
