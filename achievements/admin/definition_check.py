"""What is wrong with a draft of a definition, and what it says in plain words (face)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from achievements.criteria import CriteriaError, count_open_targets, set_target
from achievements.criteria_parser import parse_criteria
from achievements.definitions import find_problems
from achievements.events import Problem
from achievements.explanation import NO_NAMES, describe

ARROW: Final = " → "


@dataclass
class Draft:
    """Every problem, and the sentences of what could be understood."""

    problems: list[Problem] = field(default_factory=list)
    summary: str = ""
    level_lines: list[str] = field(default_factory=list)
    points: int = 0  # of all levels


def check_draft(criteria: Any, levels: Any, names: Mapping[str, str] = NO_NAMES) -> Draft:
    """Check criteria together with their levels; nothing is stored."""
    draft = Draft(find_problems(criteria, levels))
    try:
        node = parse_criteria(criteria)
    except CriteriaError:
        return draft
    draft.summary = describe(node, names)
    if draft.problems:
        return draft
    draft.points = sum(level["points"] for level in levels)
    if count_open_targets(node):
        draft.level_lines = [
            f"Level {number}: {describe(set_target(node, level['target']), names)} "
            f"({level['points']} points)"
            for number, level in enumerate(levels, start=1)
        ]
    return draft


def is_of_levels(problem: Problem) -> bool:
    return problem.pointer.startswith("/levels")


def name_place(problem: Problem) -> str:
    """Turn the pointer into "criteria → all → 1 → atLeast" or "level 2 → target"."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in problem.pointer.split("/")[1:]]
    if parts[:1] == ["levels"] and len(parts) > 1:
        # Rows are numbered from 1 on the page, as the levels are for users.
        parts[:2] = [f"level {int(parts[1]) + 1}"]
    return ARROW.join(parts)


def describe_problem(problem: Problem) -> str:
    return f"{name_place(problem)}: {problem.detail}"
