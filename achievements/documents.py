"""Documents in the cache: ready bytes with what must be known to send them (storage floor)."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.core.cache import cache as store

from achievements import cache


class Stamp(NamedTuple):
    """What a document depends on; read before and after it is filled."""

    revision: int
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A response body ready to send, with what must be known to send it.

    `edition` is the published rulebook it was built with; `built_at` seconds since 1970.
    """

    body: bytes
    etag: str
    revision: int
    edition: int
    built_at: int
    is_private: bool


# A fixed layout in ASCII, so that a proxy can cut it off without a library:
# L1, p(rivate) or o(pen), revision 16, edition 8, built_at 8, etag 16 hexadecimal digits, newline.
_HEADER_LENGTH: Final = 2 + 1 + 16 + 8 + 8 + 16 + 1


def build_document(body: bytes, *, stamp: Stamp, edition: int) -> Document:
    return Document(
        body=body,
        etag=hashlib.blake2b(body, digest_size=8).hexdigest(),
        revision=stamp.revision,
        edition=edition,
        built_at=int(time.time()),
        is_private=stamp.is_private,
    )


def encode_document(document: Document) -> bytes:
    flag = "p" if document.is_private else "o"
    header = (
        f"L1{flag}{document.revision:016x}{document.edition:08x}"
        f"{document.built_at:08x}{document.etag}\n"
    )
    return header.encode() + document.body


def decode_document(value: object) -> Document | None:
    """None for anything that is not a document of this layout: another release wrote it."""
    if not isinstance(value, bytes) or len(value) < _HEADER_LENGTH or value[:2] != b"L1":
        return None
    try:
        return Document(
            body=value[_HEADER_LENGTH:],
            etag=value[35:51].decode("ascii"),
            revision=int(value[3:19], 16),
            edition=int(value[19:27], 16),
            built_at=int(value[27:35], 16),
            is_private=value[2:3] == b"p",
        )
    except ValueError:
        return None


_FILL_SECONDS: Final = 5
_WAIT_STEP_SECONDS: Final = 0.005
_WAIT_STEPS: Final = 60


def fetch_document(
    name: str,
    *,
    ttl_seconds: int,
    edition: int,
    read_stamp: Callable[[], Stamp],
    build: Callable[[], bytes],
    fresh_seconds: int | None = None,
) -> Document:
    """Return the cached document, or build it; of several readers of a cold name one fills it.

    An older document never survives a newer commit: the stamp is read before the document is
    built and again after it was set, and a stamp that moved on deletes the name. (A commit that
    the second reading does not see yet deletes it itself.) `read_stamp` asks the database.
    """
    document = _read_document(name, edition, fresh_seconds)
    if document is not None:
        return document
    lock = f"{name}:fill"
    has_lock = cache.call(store.add, lock, 1, _FILL_SECONDS)
    if has_lock is False:
        document = _wait_for_document(name, edition, fresh_seconds)
        # Whoever holds the lock is slow or gone: answer from the database, leave filling to it.
        return document or build_document(build(), stamp=read_stamp(), edition=edition)
    try:
        document = _read_document(name, edition, fresh_seconds) if has_lock else None
        return document or _fill(name, ttl_seconds, edition, read_stamp, build)
    finally:
        if has_lock:
            store.delete(lock)


def _fill(
    name: str,
    ttl_seconds: int,
    edition: int,
    read_stamp: Callable[[], Stamp],
    build: Callable[[], bytes],
) -> Document:
    stamp = read_stamp()
    document = build_document(build(), stamp=stamp, edition=edition)
    cache.call(store.set, name, encode_document(document), ttl_seconds)
    if read_stamp() != stamp:
        cache.forget((name,))
    return document


def _read_document(name: str, edition: int, fresh_seconds: int | None) -> Document | None:
    if cache.is_doubtful(name):
        return None
    document = decode_document(cache.call(store.get, name))
    if document is None or document.edition != edition:
        return None
    if fresh_seconds is not None and time.time() - document.built_at > fresh_seconds:
        return None
    return document


def _wait_for_document(name: str, edition: int, fresh_seconds: int | None) -> Document | None:
    for _ in range(_WAIT_STEPS):
        time.sleep(_WAIT_STEP_SECONDS)
        document = _read_document(name, edition, fresh_seconds)
        if document is not None:
            return document
    return None
