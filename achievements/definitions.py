"""Checking and saving definitions (services floor): the one way for the admin and the catalogue."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db import transaction

from achievements.criteria import CriteriaError, Reach, find_target_problem, walk
from achievements.criteria_parser import parse_criteria
from achievements.events import Problem
from achievements.models import Achievement, Status
from achievements.reachable import find_unreachable_target
from achievements.rulebooks import find_newest_version, publish_rulebook

MAX_POINTS: Final = 10_000
MAX_LEVELS: Final = 50
HIDEABLE: Final = ("title", "icon", "description", "count")
# A change of these is a new version of the rule; texts and icons may change freely.
RULE_FIELDS: Final = ("criteria", "levels", "active_from", "active_until")
_SHOWN_FIELDS: Final = (
    *("status", "name", "locked_description", "unlocked_description"),
    *("category", "icon", "hidden", "sort_order"),
)


def find_problems(criteria: Any, levels: Any) -> list[Problem]:
    """Return everything wrong with a rule; pointers start at /criteria or /levels."""
    problems = _find_level_problems(levels)
    try:
        node = parse_criteria(criteria, pointer="/criteria", is_new=True)
    except CriteriaError as error:
        return [*error.problems, *problems]
    if problems:
        return problems
    open_leaves = [n for n in walk(node) if isinstance(n, Reach) and n.at_least is None]
    targets = [level.get("target") for level in levels]
    if not open_leaves:
        if targets != [None]:
            detail = "The criteria set every target; leave one atLeast out for the levels to set."
            return [Problem("/levels/0/target", "unexpected", detail)]
        return []
    if len(open_leaves) > 1:
        detail = "Only one node may leave out atLeast, for the levels to set."
        return [Problem("/criteria", "open_targets", detail)]
    return _find_ladder_problems(open_leaves[0], targets)


def _find_ladder_problems(leaf: Reach, targets: Sequence[Any]) -> list[Problem]:
    problems = []
    previous: float = 0
    for index, target in enumerate(targets):
        pointer = f"/levels/{index}/target"
        if target is None:
            detail = "A target is needed: the criteria leave it to the levels."
            problems.append(Problem(pointer, "missing", detail))
            continue
        found = find_target_problem(leaf.measure, target)
        found = found or find_unreachable_target(leaf.measure, target)
        if found:
            problems.append(Problem(pointer, *found))
        elif target <= previous:
            detail = f"Targets must rise: this one must be above {previous:g}."
            problems.append(Problem(pointer, "bound", detail))
        else:
            previous = target
    return problems


def _find_level_problems(levels: Any) -> list[Problem]:
    if not isinstance(levels, list) or not 1 <= len(levels) <= MAX_LEVELS:
        return [Problem("/levels", "bound", f"There must be 1 to {MAX_LEVELS} levels.")]
    problems = []
    for index, level in enumerate(levels):
        pointer = f"/levels/{index}"
        if not isinstance(level, dict) or level.keys() - {"target", "points"}:
            detail = "A level is an object with target and points."
            problems.append(Problem(pointer, "type", detail))
            continue
        points = level.get("points")
        if type(points) is not int or not 0 <= points <= MAX_POINTS:
            detail = f"points must be a whole number from 0 to {MAX_POINTS}."
            problems.append(Problem(f"{pointer}/points", "bound", detail))
    return problems


def save_achievements(achievements: Iterable[Achievement]) -> int:
    """Save checked definitions in one transaction, and return the version of the rulebook in force.

    A changed rule gets the next version. Users who already meet it get it from
    rebuild_users, not from here. Only what others see or are judged by is published: a
    publication costs every document of the cache.
    """
    is_to_publish = False
    with transaction.atomic():
        for achievement in achievements:
            # Locked, so that nobody changes it between the comparison and the save.
            before = Achievement.objects.select_for_update().filter(pk=achievement.pk).first()
            is_other_rule = before is not None and _differ(before, achievement, RULE_FIELDS)
            if before and is_other_rule:
                achievement.version = before.version + 1
            is_draft = {a.status for a in (before, achievement) if a} == {Status.DRAFT}
            if not is_draft and (
                before is None or is_other_rule or _differ(before, achievement, _SHOWN_FIELDS)
            ):
                is_to_publish = True
            achievement.save()
        return publish_rulebook() if is_to_publish else find_newest_version()


def _differ(one: Achievement, other: Achievement, names: Sequence[str]) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in names)
