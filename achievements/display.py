"""How definitions look (services floor): texts, masks and plain sentences, kept per rulebook.

A hidden achievement shows nothing that it hides, its slug included: until a user holds it,
its public name is an opaque one that cannot be turned back without the secret key.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from django.conf import settings
from django.templatetags.static import static

from achievements.criteria import Node, set_target
from achievements.definition import find_slugs
from achievements.explanation import describe
from achievements.gauge import Gauge, make_gauge
from achievements.models import Achievement, Status
from achievements.rarity import get_rarity
from achievements.rulebook import Rulebook
from achievements.rulebooks import define, get_rulebook

MASKED_NAME: Final = "???"
MASKED_DESCRIPTION: Final = "Hidden until you unlock it."
MASKED_ICON: Final = "secret"


@dataclass(frozen=True)
class Display:
    """One definition as it is shown; `nodes[n]` is level n + 1 with its target filled in."""

    achievement: Achievement
    node: Node
    nodes: tuple[Node, ...]
    gauges: tuple[Gauge, ...]  # of the nodes

    @cached_property
    def id(self) -> int:
        return int(self.achievement.pk)

    @cached_property
    def is_live(self) -> bool:
        return self.achievement.status == Status.LIVE

    @cached_property
    def is_retired(self) -> bool:
        return self.achievement.status == Status.RETIRED

    @cached_property
    def opaque_slug(self) -> str:
        return make_opaque_slug(self.achievement.slug)

    @cached_property
    def top_level(self) -> int:
        return len(self.nodes)

    def hides(self, part: str, *, held: int) -> bool:
        return not held and part in self.achievement.hidden

    def slug_for(self, *, held: int) -> str:
        return self.opaque_slug if self.hides("title", held=held) else self.achievement.slug

    def shows_rule(self, *, held: int) -> bool:
        """Whether the rule may be told: its sentences say every number that it counts to."""
        return not self.hides("description", held=held) and not self.hides("count", held=held)

    def show_name(self, *, held: int) -> str:
        return MASKED_NAME if self.hides("title", held=held) else self.achievement.name

    def show(self, *, held: int) -> dict[str, Any]:
        """Return slug, name, description, category and icon for someone who holds level `held`."""
        achievement = self.achievement
        description = achievement.unlocked_description if held else achievement.locked_description
        is_undescribed = self.hides("description", held=held)
        icon = MASKED_ICON if self.hides("icon", held=held) else achievement.icon
        return {
            "slug": self.slug_for(held=held),
            "name": self.show_name(held=held),
            "description": MASKED_DESCRIPTION if is_undescribed else description,
            "category": achievement.category,
            "icon": find_icon(icon),
        }

    def sum_points(self, held: int) -> int:
        return sum(level["points"] for level in self.achievement.levels[:held])


class Catalogue:
    """Every published definition, in order, and the ways to find one."""

    def __init__(self, rulebook: Rulebook, displays: list[Display]) -> None:
        self.rulebook = rulebook
        self.displays = displays
        self.by_id = {display.id: display for display in displays}
        self.by_slug = {display.achievement.slug: display for display in displays}
        self.by_opaque_slug = {display.opaque_slug: display for display in displays}
        self.names = {slug: display.achievement.name for slug, display in self.by_slug.items()}
        asked = set().union(*(find_slugs(display.node) for display in displays))
        self._unpublished = dict.fromkeys(asked - self.by_slug.keys(), MASKED_NAME)
        self.public_names = self.name_for({})

    def find(self, slug: str) -> Display | None:
        """Find a definition by its slug or by its opaque one."""
        return self.by_slug.get(slug) or self.by_opaque_slug.get(slug)

    def find_shown(self, slug: str) -> Display | None:
        """Find what the public may see under this very name: a masked one by its mask alone."""
        display = self.find(slug)
        return display if display and display.slug_for(held=0) == slug else None

    def name_for(self, held: Mapping[int, int]) -> dict[str, str]:
        """Return every name as someone sees it who holds these levels, by achievement id."""
        return self._unpublished | {
            slug: display.show_name(held=held.get(display.id, 0))
            for slug, display in self.by_slug.items()
        }

    def count_live(self) -> int:
        return sum(display.is_live for display in self.displays)

    def describe(self, display: Display) -> dict[str, Any]:
        """Return the public entry of one definition, masked for someone who does not hold it."""
        achievement = display.achievement
        shows_rule = display.shows_rule(held=0)
        levels = [
            {
                "level": number,
                "target": level["target"] if not display.hides("count", held=0) else None,
                "points": level["points"],
                "sentence": describe(node, self.public_names) if shows_rule else MASKED_DESCRIPTION,
                "rarity": get_rarity(achievement.pk, number),
            }
            for number, (level, node) in enumerate(
                zip(achievement.levels, display.nodes, strict=True), start=1
            )
        ]
        return {
            **display.show(held=0),
            "hidden": bool(achievement.hidden),
            "status": achievement.status,
            "levels": levels,
            "rarity": levels[0]["rarity"],
        }


def get_catalogue() -> Catalogue:
    """Return the definitions of the rulebook in force."""
    return _read_catalogue(get_rulebook())


@lru_cache(maxsize=2)
def _read_catalogue(rulebook: Rulebook) -> Catalogue:
    displays = []
    for achievement in Achievement.objects.filter(pk__in=rulebook.definitions):
        node = define(achievement).parse()
        nodes = tuple(set_target(node, level.get("target")) for level in achievement.levels)
        gauges = tuple(make_gauge(node, rulebook) for node in nodes)
        displays.append(Display(achievement, node, nodes, gauges))
    return Catalogue(rulebook, displays)


@lru_cache(maxsize=1024)
def find_icon(name: str) -> str:
    """Return the address of an icon; asking the storage costs more than all else of an entry."""
    return static(f"achievements/icons/{name}.svg")


def make_opaque_slug(slug: str) -> str:
    digest = hmac.new(settings.SECRET_KEY.encode(), slug.encode(), hashlib.sha256).hexdigest()
    return f"hidden-{digest[:12]}"
