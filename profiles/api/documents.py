"""GET a user's achievements and progress: public unless the profile is private; a face."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest

from achievements import cache
from achievements.api.callers import is_owner_or_staff
from achievements.api.documents import Caller, DocumentView
from achievements.api.problems import refuse_unknown
from achievements.api.renderers import encode_json
from achievements.api.schema import ANYBODY, USER_ID, describe
from achievements.documents import Document, Stamp, fetch_document
from achievements.rulebooks import get_rulebook
from achievements.selectors import read_revision, read_user_achievements, read_user_progress
from profiles.api.shapes import UserAchievements, UserProgress
from profiles.selectors import is_private


class _UserDocumentView(DocumentView):
    """A document says by itself whether it is private, so a hit needs no query to know it."""

    vary: ClassVar = ("Authorization", "Cookie")

    def fetch(
        self,
        request: HttpRequest,
        caller: Caller,
        user_id: int,
        *,
        name: str,
        ttl_seconds: int,
        read: Callable[..., dict[str, Any]],
    ) -> Document:
        document = fetch_document(
            name,
            ttl_seconds=ttl_seconds,
            edition=get_rulebook().version,
            read_stamp=partial(_read_stamp, user_id),
            build=lambda: encode_json(read(user_id=user_id)),
        )
        if document.is_private and not _may_read(request, caller, user_id):
            raise refuse_unknown()
        return document


def _read_stamp(user_id: int) -> Stamp:
    return Stamp(read_revision(user_id=user_id), is_private(user_id=user_id))


def _may_read(request: HttpRequest, caller: Caller, user_id: int) -> bool:
    if caller is not None:
        return is_owner_or_staff(caller, user_id)
    # Only a session cookie is worth the query that finds its user.
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return has_session and is_owner_or_staff(request.user, user_id)


class UserAchievementsView(_UserDocumentView):
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
        return self.fetch(
            request,
            caller,
            user_id,
            name=cache.name_achievements(user_id),
            ttl_seconds=cache.ACHIEVEMENTS_TTL_SECONDS,
            read=read_user_achievements,
        )


class UserProgressView(_UserDocumentView):
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
        return self.fetch(
            request,
            caller,
            user_id,
            name=cache.name_progress(user_id),
            ttl_seconds=cache.PROGRESS_TTL_SECONDS,
            read=read_user_progress,
        )
