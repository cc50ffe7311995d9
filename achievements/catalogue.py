"""The catalogue as a YAML file (services floor): loaded by slug, dumped back the same.

Loading checks the whole file first and changes nothing when anything is wrong.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from django.contrib.staticfiles import finders
from django.utils.dateparse import parse_datetime

from achievements.definition import check_references
from achievements.definitions import HIDEABLE, find_problems, save_achievements
from achievements.events import Problem
from achievements.models import Achievement, Status
from achievements.rulebooks import define

MAX_FILE_BYTES: Final = 2_000_000
# In the order in which they are dumped.
_FIELDS: Final = {
    "slug": "slug",
    "name": "name",
    "lockedDescription": "locked_description",
    "unlockedDescription": "unlocked_description",
    "category": "category",
    "icon": "icon",
    "hidden": "hidden",
    "criteria": "criteria",
    "levels": "levels",
    "activeFrom": "active_from",
    "activeUntil": "active_until",
    "sortOrder": "sort_order",
    "status": "status",
}
_REQUIRED: Final = (*tuple(_FIELDS)[:6], "criteria")
_TEXT_LIMITS: Final = {
    "slug": 64, "name": 80, "lockedDescription": 240, "unlockedDescription": 240,
    "category": 40, "icon": 64,
}  # fmt: skip


class CatalogueError(ValueError):
    """A file that was not loaded; `lines` name file, slug and node of every problem."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass
class CatalogueDiff:
    """What loading changes, by slug; for a changed one, field -> (before, after)."""

    created: list[str] = field(default_factory=list)
    changed: dict[str, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)


def load_catalogue(path: Path, *, dry_run: bool = False) -> CatalogueDiff:
    """Create and update definitions by slug; those not in the file stay as they are.

    Raises CatalogueError, with nothing changed, when anything in the file is wrong.
    """
    entries = _read_entries(path)
    existing = {a.slug: a for a in Achievement.objects.all()}
    diff = CatalogueDiff()
    touched: list[Achievement] = []
    lines: list[str] = []
    wanted: dict[str, Achievement] = {}
    for index, entry in enumerate(entries):
        slug = entry.get("slug") if isinstance(entry, dict) else None
        if not isinstance(slug, str):
            slug = f"#{index + 1}"
        problems = _find_entry_problems(entry)
        if slug in wanted:
            problems.append(Problem("/slug", "duplicate", "This slug stands twice in the file."))
        lines += [_say(path, slug, problem) for problem in problems]
        if problems:
            continue
        achievement = existing.get(slug) or Achievement(slug=slug)
        changes = _apply_entry(achievement, entry)
        wanted[slug] = achievement
        if slug not in existing:
            diff.created.append(slug)
            touched.append(achievement)
        elif changes:
            diff.changed[slug] = changes
            touched.append(achievement)
        else:
            diff.unchanged.append(slug)
    if not lines:
        merged = {**existing, **wanted}
        for slug, problems in check_references(map(define, merged.values())).items():
            if slug in wanted:
                lines += [_say(path, slug, problem) for problem in problems]
    if lines:
        raise CatalogueError(lines)
    if touched and not dry_run:
        save_achievements(touched)
    return diff


def dump_catalogue(achievements: Iterable[Achievement]) -> str:
    """Return YAML that load_catalogue reads back to the same definitions."""
    entries = [_dump_entry(achievement) for achievement in achievements]
    return yaml.safe_dump({"achievements": entries}, sort_keys=False, allow_unicode=True, width=100)


def _read_entries(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CatalogueError([f"{path}: larger than {MAX_FILE_BYTES} bytes."])
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CatalogueError([f"{path}: cannot be read: {error}"]) from error
    entries = document.get("achievements") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise CatalogueError([f"{path}: needs a list called achievements."])
    return entries


def _say(path: Path, slug: Any, problem: Problem) -> str:
    return f"{path}: {slug}: {problem.pointer or '/'}: {problem.detail}"


def _find_entry_problems(entry: Any) -> list[Problem]:
    if not isinstance(entry, dict):
        return [Problem("", "type", "An entry must be an object.")]
    known = {*_FIELDS, "points"}
    problems = [
        Problem(f"/{name}", "unknown_field", f"Known fields: {', '.join(sorted(known))}.")
        for name in entry
        if name not in known
    ]
    problems += [
        Problem(f"/{name}", "missing", "This field is required.")
        for name in _REQUIRED
        if name not in entry
    ]
    for name, limit in _TEXT_LIMITS.items():
        text = entry.get(name, "-")
        if not isinstance(text, str) or not 1 <= len(text) <= limit:
            problems.append(Problem(f"/{name}", "bound", f"Must be a text of 1 to {limit}."))
    for name in ("slug", "category", "icon"):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", str(entry.get(name, "-"))) and name in entry:
            problems.append(Problem(f"/{name}", "bound", "Only lowercase letters, digits and -."))
    if problems:
        return problems
    return [*_find_value_problems(entry), *find_problems(entry["criteria"], _levels_of(entry))]


def _find_value_problems(entry: Mapping[str, Any]) -> Iterable[Problem]:
    if ("points" in entry) == ("levels" in entry):
        yield Problem("/points", "unexpected", "Give either points or levels.")
    hidden = entry.get("hidden", [])
    if not isinstance(hidden, list) or any(part not in HIDEABLE for part in hidden):
        yield Problem("/hidden", "bound", f"A list of any of {', '.join(HIDEABLE)}.")
    if entry.get("status", Status.LIVE) not in Status.values:
        yield Problem("/status", "bound", f"One of {', '.join(Status.values)}.")
    order = entry.get("sortOrder", 0)
    if type(order) is not int or not 0 <= order <= 1_000_000:
        yield Problem("/sortOrder", "bound", "A whole number from 0 to 1000000.")
    for name in ("activeFrom", "activeUntil"):
        if entry.get(name) is not None and _moment(entry[name]) is None:
            yield Problem(f"/{name}", "type", "A time such as 2026-12-01T00:00:00Z.")
    since, until = _moment(entry.get("activeFrom")), _moment(entry.get("activeUntil"))
    if since and until and since >= until:
        yield Problem("/activeUntil", "bound", "Must be after activeFrom.")
    if not finders.find(f"achievements/icons/{entry['icon']}.svg"):
        yield Problem("/icon", "unknown_icon", f"There is no icon {entry['icon']}.svg.")


def _levels_of(entry: Mapping[str, Any]) -> Any:
    if "points" in entry:
        return [{"target": None, "points": entry["points"]}]
    levels = entry.get("levels")
    if not isinstance(levels, list):
        return levels
    return [{"target": None, **lv} if isinstance(lv, dict) else lv for lv in levels]


def _moment(value: Any) -> datetime | None:
    """Read a time; one without an offset is UTC, as YAML hands over what it parsed itself."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    moment = parse_datetime(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _apply_entry(achievement: Achievement, entry: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    defaults = {"hidden": [], "status": Status.LIVE, "sortOrder": 1000}
    changes = {}
    for name, attribute in _FIELDS.items():
        value = entry.get(name, defaults.get(name))
        if name == "levels":
            value = _levels_of(entry)
        elif name.startswith("active"):
            value = _moment(value)
        before = getattr(achievement, attribute)
        if before != value:
            changes[name] = (before, value)
            setattr(achievement, attribute, value)
    return changes


def _dump_entry(achievement: Achievement) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for name, attribute in _FIELDS.items():
        value = getattr(achievement, attribute)
        if name == "levels" and len(value) == 1 and value[0].get("target") is None:
            entry["points"] = value[0]["points"]
        elif name.startswith("active"):
            if value is not None:
                entry[name] = value.isoformat()
        elif value != []:
            entry[name] = value
    return entry
