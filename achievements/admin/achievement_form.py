"""The edit form of a definition (face): every problem on its node, nothing stored until sound."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from achievements.admin.definition_check import describe_problem, is_of_levels
from achievements.admin.definition_fields import (
    CriteriaField,
    IconSelect,
    LevelsField,
    SuggestWidget,
)
from achievements.admin.icons import list_icons
from achievements.definition import check_references
from achievements.definitions import HIDEABLE, find_problems
from achievements.events import Problem
from achievements.models import Achievement
from achievements.rulebooks import define

HIDDEN_PARTS = {
    "title": "Title",
    "icon": "Icon",
    "description": "Description",
    "count": "Progress towards it",
}


class AchievementForm(forms.ModelForm):  # type: ignore[type-arg]
    criteria = CriteriaField(
        help_text="One node, in JSON or YAML, such as "
        "{count: tests, where: {wpm: {gte: 100}}, atLeast: 10}. "
        "Leave one atLeast out where the levels set it."
    )
    levels = LevelsField(
        help_text="The points of each level. Targets rise from level to level; "
        "where the criteria set the target, give one level without."
    )
    hidden = forms.MultipleChoiceField(
        choices=[(part, HIDDEN_PARTS[part]) for part in HIDEABLE],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What users do not see until they unlock it. It is masked on the server.",
    )
    icon = forms.ChoiceField(widget=IconSelect)
    category = forms.SlugField(
        max_length=40,
        widget=SuggestWidget,
        help_text="One that is in use, or a new one: lower case, hyphens for spaces.",
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Achievement
        fields = (
            *("slug", "name", "category", "icon", "locked_description", "unlocked_description"),
            *("criteria", "levels", "active_from", "active_until", "hidden", "sort_order"),
        )
        help_texts = {
            "slug": "Permanent: unlocks, links and other criteria name it.",
            "locked_description": "What to do, shown before the unlock.",
            "unlocked_description": "What was done, shown after it.",
            "active_from": "Only tests finished from here on count. UTC; empty for always.",
            "active_until": "Only tests finished before this count.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "icon" in self.fields:
            names = dict.fromkeys([*filter(None, [self.instance.icon]), *list_icons()])
            icon = self.fields["icon"]
            assert isinstance(icon, forms.ChoiceField)
            icon.choices = [("", "Choose an icon"), *((name, name) for name in sorted(names))]
        if "category" in self.fields:
            widget = self.fields["category"].widget
            widget.suggestions = sorted(
                Achievement.objects.order_by().values_list("category", flat=True).distinct()
            )
        if "seen" in self.fields:
            self.fields["seen"].initial = self._read_stamp()

    def _read_stamp(self) -> str:
        updated_at = (
            Achievement.objects.filter(pk=self.instance.pk)
            .values_list("updated_at", flat=True)
            .first()
        )
        return updated_at.isoformat() if updated_at else ""

    def clean_seen(self) -> str:
        seen = str(self.cleaned_data["seen"])
        if seen and seen != self._read_stamp():
            raise forms.ValidationError(
                "Somebody else saved this achievement after you opened it. "
                "Open it again, so that their change is not lost."
            )
        return seen

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        begins, ends = cleaned.get("active_from"), cleaned.get("active_until")
        if begins and ends and begins >= ends:
            self.add_error("active_until", "Must be after the start.")
        if cleaned.get("criteria") is None or cleaned.get("levels") is None:
            return cleaned
        problems = find_problems(cleaned["criteria"], cleaned["levels"])
        for problem in problems or self._find_reference_problems(cleaned):
            field = "levels" if is_of_levels(problem) else "criteria"
            self.add_error(field, describe_problem(problem))
        return cleaned

    def _find_reference_problems(self, cleaned: dict[str, Any]) -> list[Problem]:
        """`unlocked` may name only what exists, and never lead back to itself."""
        slug = cleaned.get("slug") or self.instance.slug
        draft = Achievement(pk=0, slug=slug, criteria=cleaned["criteria"], levels=[])
        others = Achievement.objects.exclude(pk=self.instance.pk)
        return check_references([define(draft), *map(define, others)]).get(slug, [])
