"""How documents are filled: once, and never with what a commit has overtaken (storage floor)."""

import math
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from django.core.cache import cache as store

from achievements import cache, metrics, replicas
from achievements.documents import (
    Document,
    Stamp,
    build_document,
    cut_header,
    decode_document,
    encode_document,
)
from achievements.errors import StillFilled
from achievements.outage import Shelter

logger = structlog.get_logger(__name__)

_LEASE: Final = b"lease:"
_LEASE_SECONDS: Final = 60  # longer than a build may take: DATABASE_TIMEOUT_SECONDS
# After how long somebody else fills as well, who has died may be the filler; and how often.
_HELP_AFTER_SECONDS: Final = 1.0
_HELP_EVERY_SECONDS: Final = 5
# A reader who waits holds a thread of the server that others could be answered by.
MOST_WAIT_SECONDS: Final = 3.0
_WAIT_STEP_SECONDS: Final = 0.005
_EARLY_SECONDS: Final = 1.0


class Built(NamedTuple):
    """A body as it was read from the database, with the stamp that was read before it.

    What is not sure to be current is given to whoever asks, and never put into the cache.
    """

    body: bytes
    stamp: Stamp
    is_sure: bool = True


_shelter: Final = Shelter[Document]()


class Recipe(NamedTuple):
    """How the documents of one kind are made and how long they are kept.

    `build` reads the database: every name in one go, a stamp and a body each; the stamps are
    read first.
    """

    kind: str  # for the metrics
    edition: int
    ttl_seconds: Callable[[Stamp], int]
    build: Callable[[Sequence[str]], Mapping[str, Built]]
    fresh_seconds: int | None = None  # older ones are refreshed before their time


def fetch_document(name: str, recipe: Recipe, *, waiting_since: float | None = None) -> Document:
    """Return the cached document, or build it; of all readers of a cold name one fills it.

    Whoever fills puts a lease under the name first and replaces nothing but that very lease, so
    a commit that deletes the name meanwhile is never covered up by what was read before it.
    A document that is about to end is refreshed by one reader while the others still get it.
    Raises StillFilled when it is not there after three seconds, and what building raises.
    """
    began = time.monotonic() if waiting_since is None else waiting_since
    while True:
        value = _read(name)
        document = _accept(value, recipe)
        if document is not None:
            metrics.DOCUMENTS.labels(recipe.kind, "hit").inc()
            if (
                is_due(document, recipe)
                and not replicas.is_primary_away()
                and cache.call(store.add, f"{name}:early", 1, 1)
            ):
                return _refresh(name, recipe, document, cut_header(value))
            return document
        # While the primary is away, nothing that could replace a lease is sure to be current.
        lease = None if replicas.is_primary_away() else _take_leases({name: value})[name]
        waited = time.monotonic() - began
        if lease == b"" and waited > _HELP_AFTER_SECONDS:
            held = _find_lease(value)
            if held and _may_help(name):
                lease = held
        if lease:
            metrics.DOCUMENTS.labels(recipe.kind, "miss").inc()
            return _fill([name], recipe, {name: lease})[name]
        if lease is None:
            metrics.DOCUMENTS.labels(recipe.kind, "away").inc()
            key = f"{recipe.edition}:{name}"
            return _shelter.get(key, lambda: _fill([name], recipe, {})[name])
        if waited > MOST_WAIT_SECONDS:
            metrics.DOCUMENTS.labels(recipe.kind, "refused").inc()
            raise StillFilled(name)
        time.sleep(_WAIT_STEP_SECONDS)


def _may_help(name: str) -> bool:
    """Whether this reader is the one, of all processes, who fills beside a filler that is late."""
    return bool(cache.call(store.add, f"{name}:help", 1, _HELP_EVERY_SECONDS))


def _find_lease(value: object) -> bytes:
    """The lease of somebody else: whoever of both is ready first replaces it.

    As safe as one's own: it was seen before anything is read, and a commit deletes it.
    """
    return value if isinstance(value, bytes) and value.startswith(_LEASE) else b""


def _refresh(name: str, recipe: Recipe, document: Document, header: bytes) -> Document:
    try:
        newer = _fill([name], recipe, {name: header})[name]
    except Exception:
        logger.exception("document_not_refreshed", name=name)
        return document  # its time is not over
    return newer if newer.expires_at > newer.built_at else document


def fetch_documents(names: Sequence[str], recipe: Recipe) -> dict[str, Document]:
    """Return the documents of many names: one read of the cache, one build for all that lack.

    What somebody else is filling at the moment is waited for.
    """
    values = cache.call(store.get_many, names) or {}
    found = {}
    for name in names:
        value = None if cache.is_doubtful(name) else values.get(name)
        document = _accept(value, recipe)
        if document is not None:
            found[name] = document
    metrics.DOCUMENTS.labels(recipe.kind, "hit").inc(len(found))
    missing = [name for name in names if name not in found]
    if missing:
        began = time.monotonic()
        is_away = replicas.is_primary_away()
        taken = {} if is_away else _take_leases({name: values.get(name) for name in missing})
        leases = {name: lease for name, lease in taken.items() if lease}
        if leases:
            metrics.DOCUMENTS.labels(recipe.kind, "miss").inc(len(leases))
            found.update(_fill(list(leases), recipe, leases))
        for name in missing:
            if name not in leases:
                found[name] = fetch_document(name, recipe, waiting_since=began)
    return found


def refresh_documents(names: Sequence[str], recipe: Recipe) -> dict[str, Document]:
    """Build documents again after a commit that deleted them; who reads meanwhile waits for it."""
    leases = _take_leases(dict.fromkeys(names))
    return _fill(names, recipe, {name: lease for name, lease in leases.items() if lease})


def _read(name: str) -> object:
    return None if cache.is_doubtful(name) else cache.call(store.get, name)


def _accept(value: object, recipe: Recipe) -> Document | None:
    document = decode_document(value)
    # A newer one than ours, too: others know of a publication that we shall hear of.
    return document if document is not None and document.edition >= recipe.edition else None


def is_due(document: Document, recipe: Recipe) -> bool:
    """Whether this reader should refresh it now: the likelier, the nearer its end (XFetch).

    After Vattani, Chierichetti and Lowenstein, "Optimal probabilistic cache stampede prevention"
    (VLDB 2015), with one second for the time that a build takes: ours take milliseconds, for
    which only the very hottest names would ever be refreshed early.
    """
    now = time.time()
    if recipe.fresh_seconds is not None and now - document.built_at > recipe.fresh_seconds:
        return True
    return now - _EARLY_SECONDS * math.log(1 - random.random()) >= document.expires_at


def _take_leases(values: Mapping[str, object]) -> dict[str, bytes | None]:
    """Put a lease where nothing is, or in place of what is not accepted: of an older edition, or
    of another release.

    Returns each lease; empty when somebody else was faster; None when the cache is away.
    """
    changes = [
        cache.Change(
            name,
            b"" if _find_lease(value) else cut_header(value),
            _LEASE + secrets.token_hex(8).encode(),
            _LEASE_SECONDS,
        )
        for name, value in values.items()
    ]
    started = time.monotonic()
    answers = cache.change(changes)
    unknown = [one for one, taken in zip(changes, answers, strict=True) if taken is None]
    if time.monotonic() - started < cache.SLOW_SECONDS:
        # What was not answered may be done, and nobody would fill that lease.
        cache.change([cache.Change(one.name, one.value) for one in unknown])
    else:
        for one in unknown:  # or may be done yet
            cache.forget_later(one.name)
    return {
        one.name: None if taken is None else one.value if taken else b""
        for one, taken in zip(changes, answers, strict=True)
    }


def _fill(
    names: Sequence[str], recipe: Recipe, expected: Mapping[str, bytes]
) -> dict[str, Document]:
    """Build, and put each document where what is `expected` under its name still stands.

    One that is not sure to be current has no time to live, and is not put anywhere.
    """
    try:
        built = recipe.build(names)
    except BaseException:
        _give_up(expected)
        raise
    documents, changes, unsure = {}, [], {}
    for name in names:
        body, stamp, is_sure = built[name]
        ttl_seconds = recipe.ttl_seconds(stamp) if is_sure else 0
        documents[name] = document = build_document(
            body, stamp=stamp, edition=recipe.edition, ttl_seconds=ttl_seconds
        )
        if name in expected and not is_sure:
            unsure[name] = expected[name]
        elif name in expected:
            lifetime = document.expires_at - document.built_at
            value = encode_document(document)
            changes.append(cache.Change(name, expected[name], value, lifetime))
    _give_up(unsure)
    _change(changes)
    return documents


def _give_up(expected: Mapping[str, bytes]) -> None:
    """Let somebody else fill these names at once; what is no lease stays as it is."""
    _change([cache.Change(name, kept) for name, kept in expected.items() if _find_lease(kept)])


def _change(changes: Sequence[cache.Change]) -> None:
    """A lease that could not be replaced would be waited for to its end, once the cache is back."""
    for one, done in zip(changes, cache.change(changes), strict=True):
        if done is None and _find_lease(one.expected):
            cache.forget_later(one.name)
