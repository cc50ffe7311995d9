"""Documents in the cache: ready bytes with what must be known to send them (storage floor)."""

import hashlib
import math
import random
import secrets
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson
import structlog
from django.core.cache import cache as store

from achievements import cache, metrics
from achievements.outage import Shelter

logger = structlog.get_logger(__name__)


class Stamp(NamedTuple):
    """What a document was made from: the revision of the user's row, and who may see it."""

    revision: int
    is_private: bool = False


class Built(NamedTuple):
    """A body as it was read from the database, with the stamp that was read before it."""

    body: bytes
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Document:
    """A response body ready to send, with what must be known to send it.

    `edition` is the published rulebook it was built with; times are seconds since 1970.
    """

    packed: bytes  # gzip when is_zipped, else the body itself
    is_zipped: bool
    etag: str  # of the body
    revision: int
    edition: int
    built_at: int
    expires_at: int
    is_private: bool

    @property
    def body(self) -> bytes:
        return zlib.decompress(self.packed, _GZIP) if self.is_zipped else self.packed


# A fixed layout in ASCII, so that a proxy can cut it off without a library: L2, p(rivate) or
# o(pen), z(ipped) or - , revision 16, edition 8, built_at 8, expires_at 8, etag 16 hexadecimal
# digits, newline.
HEADER_LENGTH: Final = 2 + 1 + 1 + 16 + 8 + 8 + 8 + 16 + 1
_GZIP: Final = 31  # zlib's wbits for the gzip format
_ZIP_LEVEL: Final = 3
_ZIP_FROM_BYTES: Final = 1024  # below it the headers of a response are most of it anyway

_HEAD_BYTES: Final = 256
_LEASE: Final = b"lease:"
_LEASE_SECONDS: Final = 5
_WAIT_STEP_SECONDS: Final = 0.005
_EARLY_SECONDS: Final = 1.0
_JITTER: Final = 0.1


def encode_json(data: object) -> bytes:
    """Times come out in RFC 3339, in UTC as `Z`."""
    return orjson.dumps(data, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def build_document(
    body: bytes, *, stamp: Stamp, edition: int, ttl_seconds: int = 0, now: float | None = None
) -> Document:
    packed = zlib.compress(body, _ZIP_LEVEL, _GZIP) if len(body) >= _ZIP_FROM_BYTES else body
    built_at = int(now or time.time())
    # Documents that were filled together must not all end together.
    lifetime = max(1, round(ttl_seconds * (1 - _JITTER * random.random()))) if ttl_seconds else 0
    return Document(
        packed=packed,
        is_zipped=packed is not body,
        etag=hashlib.blake2b(body, digest_size=8).hexdigest(),
        revision=stamp.revision,
        edition=edition,
        built_at=built_at,
        expires_at=built_at + lifetime,
        is_private=stamp.is_private,
    )


def encode_document(document: Document) -> bytes:
    flags = ("p" if document.is_private else "o") + ("z" if document.is_zipped else "-")
    header = (
        f"L2{flags}{document.revision:016x}{document.edition:08x}"
        f"{document.built_at:08x}{document.expires_at:08x}{document.etag}\n"
    )
    return header.encode() + document.packed


def decode_document(value: object) -> Document | None:
    """None for anything that is not a document of this layout: a lease, or another release's."""
    if not isinstance(value, bytes) or len(value) < HEADER_LENGTH or value[:2] != b"L2":
        return None
    try:
        return Document(
            packed=value[HEADER_LENGTH:],
            is_zipped=value[3:4] == b"z",
            etag=value[44:60].decode("ascii"),
            revision=int(value[4:20], 16),
            edition=int(value[20:28], 16),
            built_at=int(value[28:36], 16),
            expires_at=int(value[36:44], 16),
            is_private=value[2:3] == b"p",
        )
    except ValueError:
        return None


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


def fetch_document(name: str, recipe: Recipe) -> Document:
    """Return the cached document, or build it; of all readers of a cold name one fills it.

    Whoever fills puts a lease under the name first and replaces nothing but that very lease, so
    a commit that deletes the name meanwhile is never covered up by what was read before it.
    A document that is about to end is refreshed by one reader while the others still get it.
    """
    deadline = time.monotonic() + _LEASE_SECONDS
    while True:
        value = _read(name)
        document = _accept(value, recipe)
        if document is not None:
            metrics.DOCUMENTS.labels(recipe.kind, "hit").inc()
            if is_due(document, recipe) and cache.call(store.add, f"{name}:early", 1, 1):
                return _refresh(name, recipe, document, cut_header(value))
            return document
        lease = _take_lease(name, value)
        if lease:
            metrics.DOCUMENTS.labels(recipe.kind, "miss").inc()
            return _fill([name], recipe, {name: lease})[name]
        if lease is None or time.monotonic() > deadline:
            metrics.DOCUMENTS.labels(recipe.kind, "away").inc()
            key = f"{recipe.edition}:{name}"
            return _shelter.get(key, lambda: _fill([name], recipe, {})[name])
        time.sleep(_WAIT_STEP_SECONDS)


def _refresh(name: str, recipe: Recipe, document: Document, header: bytes) -> Document:
    try:
        return _fill([name], recipe, {name: header})[name]
    except Exception:
        logger.exception("document_not_refreshed", name=name)
        return document  # its time is not over


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
        metrics.DOCUMENTS.labels(recipe.kind, "miss").inc(len(missing))
        taken = {name: _take_lease(name, values.get(name)) for name in missing}
        leases = {name: lease for name, lease in taken.items() if lease}
        if leases:
            found.update(_fill(list(leases), recipe, leases))
        found.update({n: fetch_document(n, recipe) for n in missing if n not in leases})
    return found


def refresh_documents(names: Sequence[str], recipe: Recipe) -> dict[str, Document]:
    """Build documents again after a commit that deleted them; who reads meanwhile waits for it."""
    leases = {name: _take_lease(name, None) for name in names}
    return _fill(names, recipe, {name: lease for name, lease in leases.items() if lease})


def cut_body(document: Document, *, before: bytes) -> bytes:
    """Return what stands before the first `before`, which must be near the beginning."""
    if document.is_zipped:
        head = zlib.decompressobj(_GZIP).decompress(document.packed, _HEAD_BYTES)
    else:
        head = document.packed
    return head[: head.index(before)]


def cut_header(value: object) -> bytes:
    return value[:HEADER_LENGTH] if isinstance(value, bytes) else b""


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


def _take_lease(name: str, value: object) -> bytes | None:
    """Put a lease where nothing is, or in place of what is not accepted: of an older edition, or
    of another release.

    Returns the lease; empty when somebody else was faster; None when the cache is away.
    """
    lease = _LEASE + secrets.token_hex(8).encode()
    if isinstance(value, bytes) and value and not value.startswith(_LEASE):
        taken = cache.call(cache.replace, name, cut_header(value), lease, _LEASE_SECONDS)
    else:
        taken = cache.call(store.add, name, lease, _LEASE_SECONDS)
    if taken is None:
        return None
    return lease if taken else b""


def _fill(
    names: Sequence[str], recipe: Recipe, expected: Mapping[str, bytes]
) -> dict[str, Document]:
    """Build, and put each document where what is `expected` under its name still stands."""
    try:
        built = recipe.build(names)
    except BaseException:
        for name, kept in expected.items():
            if kept.startswith(_LEASE):
                cache.call(cache.drop, name, kept)
        raise
    documents = {}
    for name in names:
        body, stamp = built[name]
        ttl_seconds = recipe.ttl_seconds(stamp)
        documents[name] = document = build_document(
            body, stamp=stamp, edition=recipe.edition, ttl_seconds=ttl_seconds
        )
        if name in expected:
            lifetime = document.expires_at - document.built_at
            value = encode_document(document)
            cache.call(cache.replace, name, expected[name], value, lifetime)
    return documents
