"""Publishing definitions and finding the rulebook in force (services floor).

A publication is a row: the definitions as they were and the places of their accumulators.
Each process compiles it once and asks for a newer one every two seconds, so that all
workers converge within five. Old ones are compiled again only to judge what they unlocked.
"""

import time
from functools import lru_cache
from typing import Any, Final

import msgspec
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from achievements import cache, replicas
from achievements.definition import Definition, Level, find_measures
from achievements.models import Accumulator, Achievement, Publication, Status
from achievements.rulebook import Rulebook

RECHECK_SECONDS: Final = 2.0


class _Holder:
    """This process's compiled rulebook, and when it was last compared with the database."""

    rulebook: Rulebook | None = None
    checked_at = 0.0


_holder = _Holder()


def get_rulebook() -> Rulebook:
    """Return the rulebook in force, at most two seconds old.

    Where there are replicas and the primary is away, nothing can be published: what is held goes
    on, or what a replica holds.
    """
    return (
        _find_recent()
        or replicas.ask_primary(refresh_rulebook)
        or _holder.rulebook
        or replicas.read_alone(refresh_rulebook)
    )


def get_rulebook_to_write() -> Rulebook:
    """Return the rulebook in force, asked of the database that is written to where it is due."""
    return _find_recent() or refresh_rulebook()


def _find_recent() -> Rulebook | None:
    is_recent = time.monotonic() - _holder.checked_at <= RECHECK_SECONDS
    return _holder.rulebook if is_recent else None


def refresh_rulebook() -> Rulebook:
    """Ask the database for the newest publication and compile it if it is another one."""
    version = find_newest_version()
    rulebook = _holder.rulebook
    if rulebook is None or rulebook.version != version:
        rulebook = compile_publication(version, read_publication(version))
        _holder.rulebook = rulebook
    if replicas.is_alone():
        return rulebook  # the primary has to confirm it before anybody else hears of it
    _holder.checked_at = time.monotonic()
    # (What a transaction reads of itself may never be true for others.)
    if version and not connection.in_atomic_block and not cache.holds_rulebook(version):
        # After a flush: whoever serves documents reads off it which of them are current.
        cache.write_rulebook(version, _read_stored(version))
    return rulebook


def find_newest_version() -> int:
    return Publication.objects.aggregate(newest=Max("version"))["newest"] or 0


def forget_rulebook() -> None:
    """Forget what this process compiled, and ask again on the next use."""
    _holder.rulebook = None
    get_past_rulebook.cache_clear()


@lru_cache(maxsize=32)
def get_past_rulebook(version: int) -> Rulebook:
    """Return the rulebook that was published as `version`."""
    return compile_publication(version, read_publication(version))


def read_publication(version: int) -> dict[str, Any]:
    """Read a publication: from the cache when it holds this version, else from the database."""
    if version == 0:
        return {"definitions": [], "positions": {}, "size": 0}
    cached = cache.read_rulebook(version)
    return _read_stored(version) if cached is None else cached


def _read_stored(version: int) -> dict[str, Any]:
    document: dict[str, Any] = Publication.objects.values_list("document", flat=True).get(
        version=version
    )
    return document


def compile_publication(version: int, document: dict[str, Any]) -> Rulebook:
    return Rulebook(
        version=version,
        definitions=msgspec.convert(document["definitions"], list[Definition]),
        positions=document["positions"],
        size=document["size"],
    )


def define(achievement: Achievement) -> Definition:
    """Return what the rulebook needs to know of an achievement."""
    return Definition(
        achievement_id=achievement.pk,
        slug=achievement.slug,
        criteria=achievement.criteria,
        levels=tuple(Level(lv.get("target"), lv["points"]) for lv in achievement.levels),
        is_live=achievement.status == Status.LIVE,
        active_from=achievement.active_from.timestamp() if achievement.active_from else None,
        active_until=achievement.active_until.timestamp() if achievement.active_until else None,
    )


def publish_rulebook() -> int:
    """Publish today's definitions and return the version; call it in the change's transaction.

    Publishing is serial: the first publication is locked before the definitions are read,
    so that of two changes at a time the later version holds both.
    """
    with transaction.atomic():
        Publication.objects.select_for_update().order_by("version").first()
        achievements = Achievement.objects.exclude(status=Status.DRAFT).order_by("pk")
        definitions = [define(achievement) for achievement in achievements]
        document = {
            "definitions": msgspec.to_builtins(definitions),
            "positions": _place_accumulators(definitions),
            "size": Accumulator.objects.count(),
        }
        publication = Publication.objects.create(document=document)
        version = publication.version
        transaction.on_commit(lambda: _announce(version, document))
    forget_rulebook()
    return version


def _announce(version: int, document: dict[str, Any]) -> None:
    cache.write_rulebook(version, document)
    cache.forget_definitions()


def _place_accumulators(definitions: list[Definition]) -> dict[str, int]:
    """Keep the places of accumulators in use, retire the others, append the new ones."""
    needed = find_measures(definitions)
    positions = {
        accumulator.key: accumulator.position
        for accumulator in Accumulator.objects.filter(retired_at=None)
    }
    unused = [position for key, position in positions.items() if key not in needed]
    Accumulator.objects.filter(position__in=unused).update(retired_at=timezone.now())
    added = [key for key in needed if key not in positions]
    size = Accumulator.objects.count()
    Accumulator.objects.bulk_create(
        Accumulator(position=size + offset, key=key) for offset, key in enumerate(added)
    )
    positions.update((key, size + offset) for offset, key in enumerate(added))
    return {key: positions[key] for key in needed}
