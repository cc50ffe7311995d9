"""Documents in the cache: ready bytes with what must be known to send them (storage floor)."""

import hashlib
import random
import time
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson


class Stamp(NamedTuple):
    """What a document was made from: the revision of the user's row, and who may see it."""

    revision: int
    is_private: bool = False


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


def cut_body(document: Document, *, before: bytes) -> bytes:
    """Return what stands before the first `before`, which must be near the beginning."""
    if document.is_zipped:
        head = zlib.decompressobj(_GZIP).decompress(document.packed, _HEAD_BYTES)
    else:
        head = document.packed
    return head[: head.index(before)]


def cut_header(value: object) -> bytes:
    return value[:HEADER_LENGTH] if isinstance(value, bytes) else b""
