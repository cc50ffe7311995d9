"""The file that says what a former site's achievements are here (services floor).

achievements:
  17: first-steps                  # their id: our slug, level 1
  18: {slug: centurion, level: 3}
ignore: [19]                       # not imported, on purpose
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from django.utils.text import slugify

from achievements.models import Achievement, Status

MAX_FILE_BYTES: Final = 2_000_000
_KEYS: Final = ("achievements", "ignore")


class MappingError(ValueError):
    """A file that cannot be used; each line names the file, the entry and what is wrong."""


class LegacyMapping(NamedTuple):
    levels: dict[int, tuple[int, int]]  # their id -> our id and level
    ignored: frozenset[int]


class _UniqueKeys(yaml.SafeLoader):
    """YAML says that keys are unique; its loader lets the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        seen = set()
        for name, _ in node.value:
            key = self.construct_object(name)
            if key in seen:
                raise yaml.YAMLError(
                    f"{key!r} stands twice, again in line {name.start_mark.line + 1}"
                )
            seen.add(key)
        return mapping


def read_mapping(path: Path) -> LegacyMapping:
    """Read the file against the definitions here. Raises MappingError with every problem."""
    document = _load(path)
    problems = [
        f"{key!r}: unknown; known: {', '.join(_KEYS)}." for key in document if key not in _KEYS
    ]
    entries = document.get("achievements")
    if not isinstance(entries, dict) or not entries:
        problems.append("achievements: must map ids of the former site to slugs.")
        entries = {}
    ignored = document.get("ignore") or []
    if not isinstance(ignored, list) or not all(type(i) is int for i in ignored):
        problems.append("ignore: must be a list of ids of the former site.")
        ignored = []
    here = {a.slug: a for a in Achievement.objects.all()}
    levels: dict[int, tuple[int, int]] = {}
    for legacy_id, entry in entries.items():
        found = _read_entry(legacy_id, entry, here)
        if isinstance(found, str):
            problems.append(f"achievements: {legacy_id!r}: {found}")
        else:
            levels[legacy_id] = found
    problems += [f"ignore: {i}: is mapped as well." for i in ignored if i in entries]
    if problems:
        raise MappingError("\n".join(f"{path}: {problem}" for problem in problems))
    return LegacyMapping(levels, frozenset(ignored))


def propose_entries(names: Mapping[int, str], ids: Iterable[Any]) -> list[str]:
    """Return lines for the file: each id with the slug that its name makes, if there is one."""
    slugs = set(Achievement.objects.exclude(status=Status.DRAFT).values_list("slug", flat=True))
    lines = []
    for legacy_id in ids:
        name = names.get(legacy_id, "")
        slug = slugify(name)
        lines.append(f"  {legacy_id}: {slug if slug in slugs else '?'}  # {' '.join(name.split())}")
    return lines


def _load(path: Path) -> dict[Any, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MappingError(f"{path}: larger than {MAX_FILE_BYTES} bytes.")
        document = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 (it is safe)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, TypeError) as error:
        raise MappingError(f"{path}: cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise MappingError(f"{path}: must begin with `achievements:`.")
    return document


def _read_entry(
    legacy_id: Any, entry: Any, here: Mapping[str, Achievement]
) -> tuple[int, int] | str:
    """Return our id and level, or what is wrong."""
    if type(legacy_id) is not int:
        return "the id must be a whole number, without quotes."
    if isinstance(entry, str):
        entry = {"slug": entry}
    if not isinstance(entry, dict) or not {"slug"} <= entry.keys() <= {"slug", "level"}:
        return "must be a slug, or {slug: ..., level: ...}."
    slug, level = entry["slug"], entry.get("level", 1)
    achievement = here.get(slug) if isinstance(slug, str) else None
    if achievement is None:
        return f"there is no achievement {slug!r} here."
    if achievement.status == Status.DRAFT:
        return f"{slug!r} is a draft: publish it first, as locked where nobody new shall get it."
    if type(level) is not int or not 1 <= level <= len(achievement.levels):
        return f"level {level!r}: {slug!r} has the levels 1 to {len(achievement.levels)}."
    return achievement.pk, level
