"""The user look-up (face): one user by id, for support; never a list of users."""

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET

from achievements.admin.user_id import read_user_id
from achievements.admin.user_report import NEWEST, UserReport, read_report

PERMISSION: Final = "achievements.view_userprogress"


@require_GET
def show_user(request: HttpRequest) -> HttpResponse:
    """Show what is known of `?user=ID`; 404 for a user that nothing is known of."""
    if not may_look_up(request):
        raise PermissionDenied
    text = request.GET.get("user", "").strip()
    report: UserReport | None = None
    problem, status = "", 200
    if text:
        user_id = read_user_id(text)
        if user_id is None:
            problem = "A user id is a positive whole number."
            status = 400
        else:
            report = read_report(user_id)
            if not report.is_known:
                problem = f"Nothing is known of user {user_id}: no tests, progress or unlocks."
                report, status = None, 404
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "User look-up",
        "text": text,
        "problem": problem,
        "report": report,
        "newest": NEWEST,
    }
    return TemplateResponse(request, "admin/achievements/user_lookup.html", context, status=status)


def may_look_up(request: HttpRequest) -> bool:
    return bool(request.user.has_perm(PERMISSION))


def list_urls() -> list[URLPattern]:
    return [path("user-lookup/", admin.site.admin_view(show_user), name="achievements_user_lookup")]


# The theme's site asks for further addresses here: this page belongs to no model.
admin.site.extra_urls = list_urls  # type: ignore[attr-defined]
