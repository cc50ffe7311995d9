"""The sentence beside the criteria box (face): parses a draft and stores nothing."""

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from achievements.admin.criteria_text import read_criteria
from achievements.admin.definition_check import check_draft, is_of_levels, name_place
from achievements.admin.definition_fields import LevelsField, LevelsWidget
from achievements.models import Achievement


@require_POST
def preview_criteria(request: HttpRequest) -> JsonResponse:
    """Answer {"summary", "levels": [sentence], "problems": [{"place", "detail"}]}."""
    if not request.user.has_perm("achievements.view_achievement") and not request.user.has_perm(
        "achievements.change_achievement"
    ):
        raise PermissionDenied
    problems: list[dict[str, str]] = []
    levels: list[dict[str, Any]] = []
    text = request.POST.get("criteria", "")
    if not text.strip():
        return _answer("The sentence appears here while you type.", [], [])
    try:
        criteria = read_criteria(text)
    except ValidationError as error:
        return _answer("", [], [{"place": "criteria", "detail": m} for m in error.messages])
    try:
        rows = LevelsWidget().value_from_datadict(request.POST, {}, "levels")
        levels = LevelsField(required=False).to_python(rows)
    except ValidationError as error:
        problems = [{"place": "", "detail": message} for message in error.messages]
    draft = check_draft(criteria, levels, read_names())
    problems += [
        {"place": name_place(problem), "detail": problem.detail}
        for problem in draft.problems
        # What could not be read as rows is said above, by the row.
        if not (problems and is_of_levels(problem))
    ]
    return _answer(draft.summary, draft.level_lines, problems)


def read_names() -> dict[str, str]:
    return dict(Achievement.objects.values_list("slug", "name"))


def _answer(summary: str, levels: list[str], problems: list[dict[str, str]]) -> JsonResponse:
    return JsonResponse({"summary": summary, "levels": levels, "problems": problems})
