"""The pages: shells around the public API's documents, and the demo sign-in (a face)."""

import re
from typing import Any, NotRequired, TypedDict

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django.views.defaults import bad_request

from achievements.api.problems import build_problem
from profiles.models import Profile
from profiles.tokens import TokenRefused, issue_token

logger = structlog.get_logger(__name__)

API_PATH = "/api/"
DEMO_SESSION_KEY = "demo_user_id"
DEMO_TOKEN_TTL_SECONDS = 3600
DEMO_TYPISTS_LISTED = 20
LARGEST_USER_ID = 2**63 - 1
_USER_ID = re.compile("[1-9][0-9]{0,18}")


class DemoTypist(TypedDict):
    user_id: int
    name: str


class Viewer(TypedDict):
    """What every page knows of its viewer; outside development that is nothing.

    In production the host site's own profiles/identity.html puts the token into the page, and
    the scripts read who is typing from it: this server side never learns it.
    """

    debug_links: bool
    viewer_id: NotRequired[int | None]
    laurel_token: NotRequired[str]


@never_cache
@require_safe
def show_home(request: HttpRequest) -> HttpResponse:
    if settings.DEBUG and "as" in request.GET:
        sign_demo_typist_in(request, wanted=request.GET["as"])
    context: dict[str, Any] = {**describe_viewer(request), "section": "type"}
    if settings.DEBUG:
        context["demo_typists"] = list_demo_typists(also_user_id=context["viewer_id"])
    return render(request, "profiles/home.html", context)


@never_cache
@require_safe
def show_profile(request: HttpRequest, user_id: int) -> HttpResponse:
    """The gallery of one typist; the same 404 for a private profile as for no page at all.

    The page is sent with the 404 too: only the owner's token, which the API checks, opens it.
    """
    if not 1 <= user_id <= LARGEST_USER_ID:
        return show_not_found(request)
    viewer = describe_viewer(request)
    is_own_profile = viewer.get("viewer_id") == user_id
    profile = Profile.objects.filter(user_id=user_id).first()
    is_private = profile is not None and profile.is_private and not is_own_profile
    name = profile.display_name if profile is not None and not is_private else ""
    context = {
        **viewer,
        "user_id": user_id,
        "name": name or f"Typist {user_id}",
        "is_private": is_private,
        "is_found": not is_private,
        "is_own_profile": is_own_profile,
    }
    return render(request, "profiles/profile.html", context, status=404 if is_private else 200)


@require_safe
def show_icon(request: HttpRequest) -> HttpResponse:
    return redirect(static("profiles/favicon.svg"))


@csrf_exempt
def show_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if request.path_info.startswith(API_PATH):
        return build_problem(404, "There is no such address in the API.")
    return render(request, "profiles/404.html", {"debug_links": settings.DEBUG}, status=404)


def show_bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A host that is not ours, above all: the address of the API speaks as the API does."""
    if request.path_info.startswith(API_PATH):
        return build_problem(400, "The request cannot be read.")
    return bad_request(request, exception)


def show_server_error(request: HttpRequest) -> HttpResponse:
    """Without the request: no session or user is read, as the database may be what broke."""
    if request.path_info.startswith(API_PATH):
        return build_problem(500, "Something broke on our side.")
    return HttpResponse(
        render_to_string("profiles/500.html", {"debug_links": settings.DEBUG}), status=500
    )


def describe_viewer(request: HttpRequest) -> Viewer:
    if not settings.DEBUG:
        return {"debug_links": False}
    user_id = request.session.get(DEMO_SESSION_KEY)
    if user_id is None:
        return {"debug_links": True, "viewer_id": None}
    try:
        token = issue_token(user_id=user_id, ttl_seconds=DEMO_TOKEN_TTL_SECONDS)
    except TokenRefused as error:
        logger.warning("demo_sign_in_refused", reason=str(error))
        return {"debug_links": True, "viewer_id": None}
    return {"debug_links": True, "viewer_id": user_id, "laurel_token": token}


def sign_demo_typist_in(request: HttpRequest, *, wanted: str) -> None:
    """Remember the typist named by `?as=ID`; anything else signs out. Development only."""
    is_user_id = _USER_ID.fullmatch(wanted) and int(wanted) <= LARGEST_USER_ID
    request.session[DEMO_SESSION_KEY] = int(wanted) if is_user_id else None


def list_demo_typists(*, also_user_id: int | None) -> list[DemoTypist]:
    typists: list[DemoTypist] = [
        {"user_id": profile.user_id, "name": profile.display_name or f"Typist {profile.user_id}"}
        for profile in Profile.objects.order_by("user_id")[:DEMO_TYPISTS_LISTED]
    ]
    if also_user_id is not None and all(one["user_id"] != also_user_id for one in typists):
        typists.append({"user_id": also_user_id, "name": f"Typist {also_user_id}"})
    return typists
