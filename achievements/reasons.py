"""Why a user holds an achievement, or why not yet (services floor)."""

from functools import partial
from typing import Any, Final

from achievements.display import MASKED_DESCRIPTION, Catalogue, Display, get_catalogue
from achievements.explanation import Explanation, describe
from achievements.models import UserAchievement
from achievements.progress import Progress
from achievements.reading import read_user
from achievements.snapshots import find_cut
from achievements.standing import (
    Standpoint,
    read_progress,
    show_amounts,
    write_time,
)

PARTIAL_NOTE: Final = (
    "Some of your tests are not kept here, so goals that were added later count from the day"
    " they were published."
)
DROPPED_NOTE: Final = (
    "Your tests before {day} are counted but no longer kept, so goals that were added after"
    " they had been dropped count from that day."
)
WAITING_NOTE: Final = "Your earlier tests are still being counted for this achievement."


def explain_achievement(
    *, user_id: int, slug: str, should_unmask: bool = False
) -> dict[str, Any] | None:
    """Return why the user holds an achievement, or why not yet; None for an unknown slug.

    It speaks of the next level, or of the highest one when all are held. Staff may see
    what is hidden from the user (`should_unmask`).
    """
    return read_user(user_id, partial(_explain, user_id, slug, should_unmask))


def _explain(user_id: int, slug: str, should_unmask: bool) -> dict[str, Any] | None:
    catalogue = get_catalogue()
    display = catalogue.find(slug)
    if display is None:
        return None
    row = read_progress(user_id, catalogue)
    held = row.unlocked.get(display.id, 0)
    if not held and (
        display.is_retired or (not should_unmask and slug != display.slug_for(held=0))
    ):
        return None
    level = min(held + 1, display.top_level)
    unlock = (
        UserAchievement.objects.filter(
            user_id=user_id, achievement_id=display.id, level=held
        ).first()
        if held
        else None
    )
    shown = display.show(held=held or should_unmask)
    document: dict[str, Any] = {
        "slug": shown["slug"],
        "name": shown["name"],
        "level": level,
        "heldLevel": held,
        "met": held >= level,
        "sentence": MASKED_DESCRIPTION,
        "conditions": [],
        "unlockedAt": write_time(unlock.unlocked_at) if unlock else None,
        "evidence": _show_evidence(unlock),
        "note": _note(catalogue, display, row, user_id),
    }
    if display.shows_rule(held=held or should_unmask):
        node = display.nodes[level - 1]
        names = catalogue.names if should_unmask else catalogue.name_for(row.unlocked)
        found = Standpoint(catalogue, row).explain(node, names)
        if held >= level:
            _mark_met(found)
        document["sentence"] = describe(node, names)
        document["conditions"] = [_show_condition(found)]
    return document


def _show_condition(found: Explanation) -> dict[str, Any]:
    return {
        "sentence": found.sentence,
        "met": found.met,
        **show_amounts(found),
        "children": [_show_condition(child) for child in found.children],
    }


def _mark_met(found: Explanation) -> None:
    """What is held is held, also where a newer rule asks for more than the user has done."""
    found.met, found.percent = True, 100


def _show_evidence(unlock: UserAchievement | None) -> dict[str, Any] | None:
    if unlock is None:
        return None
    return {"testResultId": unlock.test_result_id, "rulebookVersion": unlock.rulebook_version}


def _note(catalogue: Catalogue, display: Display, row: Progress, user_id: int) -> str | None:
    rule = catalogue.rulebook.rules_by_id.get(display.id)
    if rule is None:
        return (
            "This achievement is closed: nobody new can unlock it." if not display.is_live else None
        )
    if rule.needs > row.held:
        return WAITING_NOTE
    if row.is_partial:
        return PARTIAL_NOTE
    cut_at = find_cut(user_id)
    return DROPPED_NOTE.format(day=f"{cut_at:%Y-%m-%d}") if cut_at else None
