"""Every cache key and lifetime, and the rule by which documents are filled (storage floor).

Through Django's cache API alone: Redis when configured, otherwise this process. A cache that
is away or slow is a miss and never an error.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NamedTuple, TypeVar, cast

import orjson
import structlog
from django.core.cache import cache

logger = structlog.get_logger(__name__)
T = TypeVar("T")

ACHIEVEMENTS_TTL_SECONDS: Final = 3600
PROGRESS_TTL_SECONDS: Final = 15 * 60
LIVE_PROGRESS_TTL_SECONDS: Final = 15 * 60
DEFINITION_TTL_SECONDS: Final = 24 * 3600
RECOMMENDATIONS_TTL_SECONDS: Final = 48 * 3600
SERVICE_KEY_TTL_SECONDS: Final = 60  # also the longest time that a revoked key goes on working

# The rarity in a definition moves with every unlock; the definition itself with a publication.
CATALOGUE_FRESH_SECONDS: Final = 300

CATALOGUE: Final = "achievements:all"
RULEBOOK: Final = "achievements:rulebook"
WAKEUP: Final = "outbox:wakeup"  # a task to drain the outbox is on its way
WAKEUP_TTL_SECONDS: Final = 5


# The braces around a user id are literal: Redis Cluster keeps a user's keys in one slot by them.
def name_achievements(user_id: int) -> str:
    return f"user:{{{user_id}}}:achievements"


def name_progress(user_id: int) -> str:
    return f"user:{{{user_id}}}:achievement_progress"


def name_live_progress(user_id: int, achievement_id: int) -> str:
    return f"user:{{{user_id}}}:achievement:{achievement_id}:progress"


def name_recommended(user_id: int) -> str:
    return f"user:{{{user_id}}}:recommended_achievements"


def name_personal(user_id: int) -> str:
    return f"user:{{{user_id}}}:personal_achievements"


def name_definition(slug: str) -> str:
    """The public id of an achievement is its slug."""
    return f"achievement:{slug}"


def name_service_key(key: str) -> str:
    """By the hash of the key: whoever reads the cache learns no key."""
    return f"service_key:{hashlib.sha256(key.encode()).hexdigest()}"


def name_calls(policy: str, caller: str, window: int) -> str:
    return f"calls:{policy}:{caller}:{window}"


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
    has_lock = _guard(cache.add, lock, 1, _FILL_SECONDS)
    if has_lock is False:
        document = _wait_for_document(name, edition, fresh_seconds)
        # Whoever holds the lock is slow or gone: answer from the database, leave filling to it.
        return document or build_document(build(), stamp=read_stamp(), edition=edition)
    try:
        document = _read_document(name, edition, fresh_seconds) if has_lock else None
        return document or _fill(name, ttl_seconds, edition, read_stamp, build)
    finally:
        if has_lock:
            cache.delete(lock)


def _fill(
    name: str,
    ttl_seconds: int,
    edition: int,
    read_stamp: Callable[[], Stamp],
    build: Callable[[], bytes],
) -> Document:
    stamp = read_stamp()
    document = build_document(build(), stamp=stamp, edition=edition)
    _guard(cache.set, name, encode_document(document), ttl_seconds)
    if read_stamp() != stamp:
        forget((name,))
    return document


def _read_document(name: str, edition: int, fresh_seconds: int | None) -> Document | None:
    if name in _debts.names:
        forget(())
        return None
    document = decode_document(_guard(cache.get, name))
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


def forget_achievements(user_ids: Iterable[int]) -> None:
    """After the commit of an unlock or a revocation; repeatable."""
    forget(map(name_achievements, user_ids))


def forget_progress(user_ids: Iterable[int]) -> None:
    """After the commit of an event; repeatable."""
    forget(map(name_progress, user_ids))


def forget_user(user_id: int) -> None:
    forget((name_achievements(user_id), name_progress(user_id)))


def forget_definitions(slugs: Iterable[str] = ()) -> None:
    """After a publication. (A definition of an older edition is not served in any case.)"""
    forget((CATALOGUE, *map(name_definition, slugs)))


def write_rulebook(version: int, document: dict[str, Any]) -> None:
    """Keep the published definitions; without a TTL, as the next publication replaces them."""
    value = orjson.dumps({"version": version, "document": document})
    _guard(cache.set, RULEBOOK, value, None)


def read_rulebook(version: int) -> dict[str, Any] | None:
    """The publication, if it is the one that the cache holds."""
    value = _guard(cache.get, RULEBOOK)
    if not isinstance(value, bytes):
        return None
    kept = orjson.loads(value)
    return kept["document"] if kept.get("version") == version else None


def forget(names: Iterable[str]) -> None:
    """Delete the names in one command; what a cache that is away missed is deleted later."""
    with _debts.lock:
        wanted = {*names, *_debts.names}
        _debts.names.clear()
    if not wanted:
        return
    cache.delete_many(sorted(wanted))
    # The backend keeps its own failures to itself; only a cache that is away answers nothing.
    if cast(bool | None, cache.has_key(min(wanted))) is None:
        _debts.owe(wanted)


class _Debts:
    """Names that could not be deleted while the cache was away, kept by this process.

    Beyond the bound, and when the process ends first, such a document lives until its TTL.
    """

    most_names = 50_000

    def __init__(self) -> None:
        self.lock = Lock()
        self.names: set[str] = set()

    def owe(self, names: set[str]) -> None:
        with self.lock:
            room = self.most_names - len(self.names)
            self.names.update(sorted(names)[:room])
        logger.warning("cache_not_invalidated", names=len(names), kept=min(len(names), room))


_debts = _Debts()


class _Breaker:
    """Two slow answers in a row: the cache is left alone for a second, reads take the database."""

    slow_seconds = 0.2
    rest_seconds = 1.0
    slow_in_a_row = 0
    closed_until = 0.0


def _guard(operation: Callable[..., T], *arguments: Any) -> T | None:
    """Call the cache; None when it is away or resting. (The backend ignores its own failures.)"""
    started = time.monotonic()
    if started < _Breaker.closed_until:
        return None
    try:
        return operation(*arguments)
    finally:
        ended = time.monotonic()
        if ended - started < _Breaker.slow_seconds:
            _Breaker.slow_in_a_row = 0
        else:
            _Breaker.slow_in_a_row += 1
            if _Breaker.slow_in_a_row >= 2:
                _Breaker.closed_until = ended + _Breaker.rest_seconds


def count_call(policy: str, caller: str, *, window: int, ttl_seconds: int) -> int | None:
    """Count one call across all processes and return the count; None when the cache is away."""
    name = name_calls(policy, caller, window)
    for _ in range(2):
        try:
            return _guard(cache.incr, name)
        except ValueError:  # nobody called in this window yet
            if _guard(cache.add, name, 1, ttl_seconds):
                return 1
    return None


def read_service_key(key: str) -> Any:
    return _guard(cache.get, name_service_key(key))


def keep_service_key(key: str, value: dict[str, Any]) -> None:
    _guard(cache.set, name_service_key(key), value, SERVICE_KEY_TTL_SECONDS)


def forget_service_key(key: str) -> None:
    forget((name_service_key(key),))


def claim_wakeup() -> bool:
    """Whether a task has to be sent: none is waiting to be started, or nobody can tell."""
    return _guard(cache.add, WAKEUP, 1, WAKEUP_TTL_SECONDS) is not False


def forget_wakeup() -> None:
    _guard(cache.delete, WAKEUP)
