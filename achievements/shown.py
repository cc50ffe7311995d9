"""The documents that are shown, from the cache or made anew (services floor)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from achievements import keys, live, replicas
from achievements.documents import Document, Stamp, cut_body, encode_json
from achievements.filling import Built, Recipe, fetch_document, fetch_documents, refresh_documents
from achievements.reading import read_here, read_users
from achievements.rulebooks import get_rulebook
from achievements.selectors import (
    Standing,
    read_catalogue,
    read_definition,
    read_profiles,
    read_standings,
    show_standings,
)

MAX_SUMMARIES: Final = 100
_AFTER_SUMMARY: Final = b',"achievements":['


class Summary(NamedTuple):
    """userId, points, unlockedCount and totalCount as JSON."""

    body: bytes
    is_private: bool


def fetch_profile(user_id: int) -> Document:
    name = keys.name_achievements(user_id)
    return fetch_document(name, _make_profile_recipe({name: user_id}))


def fetch_profiles(user_ids: Sequence[int]) -> dict[int, Document]:
    """Return many users' profiles: one read of the cache, and of the database for the rest."""
    by_name = {keys.name_achievements(user_id): user_id for user_id in user_ids}
    found = fetch_documents(list(by_name), _make_profile_recipe(by_name))
    return {user_id: found[name] for name, user_id in by_name.items()}


def fetch_summaries(user_ids: Sequence[int]) -> dict[int, Summary]:
    """Return what the profiles begin with, ready to send; the rest is not even unpacked."""
    return {
        user_id: Summary(cut_body(document, before=_AFTER_SUMMARY) + b"}", document.is_private)
        for user_id, document in fetch_profiles(user_ids).items()
    }


def fetch_progress(user_id: int) -> Document:
    """Return the progress document; the user counts as watched while it is in the cache."""
    name = keys.name_progress(user_id)
    return fetch_document(name, _make_progress_recipe({name: user_id}))


def refresh_progress(user_ids: Sequence[int]) -> dict[int, Standing]:
    """Renew the documents of users who are watched, after a commit; return what they say."""
    by_name = {keys.name_progress(user_id): user_id for user_id in user_ids}
    standings: dict[int, Standing] = {}
    refresh_documents(list(by_name), _make_progress_recipe(by_name, standings.update))
    return standings


def fetch_catalogue() -> Document:
    return fetch_document(keys.CATALOGUE, _make_catalogue_recipe(read_catalogue))


def fetch_definition(slug: str) -> Document:
    """Raises LookupError for what nobody may see."""

    def read() -> dict[str, Any]:
        document = read_definition(slug)
        if document is None:
            raise LookupError(slug)
        return document

    return fetch_document(keys.name_definition(slug), _make_catalogue_recipe(read))


def _make_profile_recipe(by_name: Mapping[str, int]) -> Recipe:
    def build(names: Sequence[str]) -> dict[str, Built]:
        found = read_users([by_name[name] for name in names], read_profiles)
        return {
            name: Built(
                encode_json(found.rows[by_name[name]]), found.stamps[by_name[name]], found.is_sure
            )
            for name in names
        }

    return Recipe(
        kind="achievements",
        edition=get_rulebook().version,
        ttl_seconds=lambda stamp: _choose_ttl(stamp, keys.ACHIEVEMENTS_TTL_SECONDS),
        build=build,
    )


def _make_progress_recipe(
    by_name: Mapping[str, int], tell: Callable[[Mapping[int, Standing]], None] | None = None
) -> Recipe:
    def build(names: Sequence[str]) -> dict[str, Built]:
        user_ids = [by_name[name] for name in names]
        if tell:  # after a commit: read where it was written
            found = read_here(user_ids, read_standings, revision_of=_revision_of)
            tell(found.rows)
        else:  # for a reader; marked before the rows are read, so that a later commit sees it
            live.mark_watched(user_ids)
            found = read_users(user_ids, read_standings, revision_of=_revision_of)
        return {
            keys.name_progress(user_id): Built(
                encode_json(show_standings(user_id, standing.entries)),
                found.stamps[user_id],
                found.is_sure,
            )
            for user_id, standing in found.rows.items()
        }

    return Recipe(
        kind="progress",
        edition=get_rulebook().version,
        ttl_seconds=lambda stamp: _choose_ttl(stamp, keys.PROGRESS_TTL_SECONDS),
        build=build,
    )


def _revision_of(standing: Standing) -> int:
    return standing.revision


def _make_catalogue_recipe(read: Callable[[], dict[str, Any]]) -> Recipe:
    def build(names: Sequence[str]) -> dict[str, Built]:
        document = replicas.ask_primary(read)
        is_sure = document is not None
        if document is None:
            document = replicas.read_alone(read)
        return {name: Built(encode_json(document), Stamp(0), is_sure) for name in names}

    return Recipe(
        kind="catalogue",
        # A publication is a new edition; beside it only rarity moves.
        edition=get_rulebook().version,
        ttl_seconds=lambda stamp: keys.DEFINITION_TTL_SECONDS,
        build=build,
        fresh_seconds=keys.CATALOGUE_FRESH_SECONDS,
    )


def _choose_ttl(stamp: Stamp, ttl_seconds: int) -> int:
    return ttl_seconds if stamp.revision else keys.UNKNOWN_USER_TTL_SECONDS
