"""Publish, lock and retire (face): what each of them does, and the page that asks first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from achievements.admin.criteria_preview import read_names
from achievements.admin.definition_check import check_draft, describe_problem
from achievements.admin.holders import count_holders
from achievements.definitions import save_achievements
from achievements.models import Achievement, Status

REBUILD_HINT: Final = (
    "Users who already meet it get it with their next test that counts towards it; "
    "to reach all of them now, run: manage.py rebuild_users"
)


@dataclass(frozen=True)
class StatusChange:
    """One of the three changes, and the words around it."""

    name: str
    verb: str
    past: str
    to: Status
    allowed_from: frozenset[Status]
    consequence: str


CHANGES: Final = {
    change.name: change
    for change in (
        StatusChange(
            "publish",
            "Publish",
            "published",
            Status.LIVE,
            frozenset({Status.DRAFT, Status.LOCKED, Status.RETIRED}),
            "Every test counts towards it from the next seconds on, and it can no longer be "
            f"deleted. {REBUILD_HINT}.",
        ),
        StatusChange(
            "lock",
            "Lock",
            "locked",
            Status.LOCKED,
            frozenset({Status.LIVE}),
            "Nobody new can unlock it. Holders keep it, and it stays in the catalogue.",
        ),
        StatusChange(
            "retire",
            "Retire",
            "retired",
            Status.RETIRED,
            frozenset({Status.LIVE, Status.LOCKED}),
            "Nobody new can unlock it and it leaves the catalogue. Holders keep it and still "
            "see it.",
        ),
    )
}


def read_ids(values: Sequence[str]) -> list[int]:
    """Return the ids; Http404 for anything that is not a list of up to 1,000 of them."""
    if not 1 <= len(values) <= 1000 or not all(v.isascii() and v.isdigit() for v in values):
        raise Http404
    return [int(value) for value in values if len(value) < 19]


def confirm_change(request: HttpRequest, name: str, model_admin: Any) -> HttpResponse:
    """Ask on GET, do it on POST; both name the achievements in `id`."""
    change = CHANGES.get(name)
    if change is None:
        raise Http404
    if not request.user.has_perm("achievements.change_achievement"):
        raise PermissionDenied
    source = request.POST if request.method == "POST" else request.GET
    achievements = list(Achievement.objects.filter(pk__in=read_ids(source.getlist("id"))))
    names = read_names()
    drafts = {a.pk: check_draft(a.criteria, a.levels, names) for a in achievements}
    allowed = [a for a in achievements if a.status in change.allowed_from]
    broken = [a for a in allowed if change.to == Status.LIVE and drafts[a.pk].problems]
    movable = [a for a in allowed if a not in broken]
    if request.method == "POST":
        count = apply_change(change, [a.pk for a in movable], user=request.user)
        noun = "achievement" if count == 1 else "achievements"
        model_admin.message_user(request, f"{count} {noun} {change.past}.", messages.SUCCESS)
        if change.to == Status.LIVE and count:
            model_admin.message_user(request, REBUILD_HINT, messages.INFO)
        if len(achievements) == 1:
            return redirect("admin:achievements_achievement_change", achievements[0].pk)
        return redirect("admin:achievements_achievement_changelist")
    holders = count_holders(a.pk for a in movable)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{change.verb} {len(movable)} achievement{'s' * (len(movable) != 1)}?",
        "opts": model_admin.opts,
        "change": change,
        "rows": [(a, drafts[a.pk], holders[a.pk]) for a in movable],
        "broken": [(a, list(map(describe_problem, drafts[a.pk].problems))) for a in broken],
        "others": [a for a in achievements if a.status not in change.allowed_from],
        "back_url": reverse("admin:achievements_achievement_changelist"),
    }
    return TemplateResponse(request, "admin/achievements/achievement/confirm_change.html", context)


def apply_change(change: StatusChange, achievement_ids: Sequence[int], *, user: Any) -> int:
    """Move what may be moved and publish once, in one transaction; return how many moved."""
    with transaction.atomic():
        achievements = list(
            Achievement.objects.select_for_update().filter(
                pk__in=achievement_ids, status__in=change.allowed_from
            )
        )
        for achievement in achievements:
            achievement.status = change.to
            achievement._history_user = user  # type: ignore[attr-defined]
            achievement._change_reason = change.past  # type: ignore[attr-defined]
        if achievements:
            save_achievements(achievements)
    return len(achievements)
