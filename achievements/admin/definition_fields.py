"""Form fields of a definition (face): a tree of criteria, rows of levels, an icon to look at."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django import forms
from django.urls import reverse
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES, TEXTAREA_CLASSES

from achievements.admin.criteria_text import format_tree, read_criteria
from achievements.admin.icons import find_icon_url
from achievements.definitions import MAX_LEVELS

SPARE_ROWS: Final = 2  # for browsers without JavaScript
EMPTY_ROW: Final = {"target": "", "points": ""}


class CriteriaWidget(forms.Textarea):
    """A box for JSON or YAML with room beside it for the sentence, which admin.js fills."""

    template_name = "admin/achievements/widgets/criteria.html"

    def __init__(self) -> None:
        classes = " ".join([*TEXTAREA_CLASSES, "laurel-code"])
        super().__init__({"class": classes, "rows": 12, "spellcheck": "false"})

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["preview_url"] = reverse("admin:achievements_achievement_preview")
        return context

    class Media:
        css = {"all": ["achievements/admin.css"]}
        js = ["achievements/admin.js"]


class CriteriaField(forms.Field):
    """The decoded tree; its meaning is checked by the form, together with the levels."""

    widget = CriteriaWidget
    empty_values = (None,)  # an empty list is read, and refused with its reason

    def to_python(self, value: Any) -> Any:
        text = value if isinstance(value, str) else ""
        return read_criteria(text) if text.strip() else None

    def prepare_value(self, value: Any) -> str:
        # What was typed comes back as text, letter for letter; what is stored comes as a tree.
        if value is None or isinstance(value, str):
            return value or ""
        return format_tree(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != initial)
        except forms.ValidationError:
            return True


class LevelsWidget(forms.Widget):
    """Rows of target and points, named levels-0-target, levels-0-points and so on."""

    template_name = "admin/achievements/widgets/levels.html"

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        rows = []
        for index in range(MAX_LEVELS + SPARE_ROWS + 1):
            target = data.get(f"{name}-{index}-target")
            points = data.get(f"{name}-{index}-points")
            if target is None and points is None:
                break
            rows.append({"target": (target or "").strip(), "points": (points or "").strip()})
        return rows

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return f"{name}-0-points" not in data

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        rows = [row for row in value or [] if row != EMPTY_ROW]
        rows += [EMPTY_ROW] * (SPARE_ROWS if rows else SPARE_ROWS + 1)
        context["rows"] = [
            {"number": index + 1, "name": f"{name}-{index}", **_show_level(row)}
            for index, row in enumerate(rows)
        ]
        context["input_class"] = " ".join(c for c in INPUT_CLASSES if c != "max-w-2xl")
        context["max_levels"] = MAX_LEVELS
        return context


def _show_level(row: Mapping[str, Any]) -> dict[str, str]:
    target = row.get("target")
    if isinstance(target, float) and target == int(target):
        target = int(target)
    return {"target": "" if target is None else str(target), "points": str(row["points"])}


class LevelsField(forms.Field):
    """A list of {"target": number or None, "points": whole number}; empty rows are left out."""

    widget = LevelsWidget

    def to_python(self, value: Any) -> list[dict[str, Any]]:
        rows = [row for row in value or [] if row["target"] or row["points"]]
        errors: list[str] = []
        levels = []
        for number, row in enumerate(rows, start=1):
            levels.append(
                {
                    "target": _read_number(row["target"], f"level {number} → target", errors),
                    "points": _read_points(row["points"], f"level {number} → points", errors),
                }
            )
        if len(levels) > MAX_LEVELS:
            errors.append(f"An achievement may have at most {MAX_LEVELS} levels.")
        if errors:
            raise forms.ValidationError(errors)
        return levels

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.to_python(data) != (initial or [])
        except forms.ValidationError:
            return True


def _read_number(text: str, place: str, errors: list[str]) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        errors.append(f"{place}: must be a number.")
        return None
    return int(number) if number == int(number) else number


def _read_points(text: str, place: str, errors: list[str]) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        errors.append(f"{place}: must be a whole number from 0 to 10000.")
        return 0
    return int(text)


class IconSelect(forms.Select):
    """A list of the shipped icons; the chosen one is shown beside it."""

    template_name = "admin/achievements/widgets/icon.html"

    def __init__(self, choices: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__({"class": " ".join(SELECT_CLASSES)}, choices)

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        option["attrs"]["data-src"] = find_icon_url(str(value))
        return option

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["icon_url"] = find_icon_url(str(value or ""))
        return context


class SuggestWidget(forms.TextInput):
    """A text box that suggests what others have used."""

    template_name = "admin/achievements/widgets/suggest.html"
    suggestions: Iterable[str] = ()

    def __init__(self) -> None:
        super().__init__({"class": " ".join(INPUT_CLASSES)})

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"]["attrs"]["list"] = f"{name}-suggestions"
        context["suggestions"] = self.suggestions
        return context
