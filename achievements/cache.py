"""Every cache key and lifetime, and the rule by which documents are filled (storage floor).

Through Django's cache API alone: Redis when configured, otherwise this process. A cache that
is away or slow is a miss and never an error.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final, TypeVar, cast

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
    call(cache.set, RULEBOOK, value, None)


def read_rulebook(version: int) -> dict[str, Any] | None:
    """The publication, if it is the one that the cache holds."""
    value = call(cache.get, RULEBOOK)
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
    deleted = cast(Callable[..., int | None], cache.delete_many)(sorted(wanted))
    # The backend keeps its failures to itself. Redis counts what it deleted, other caches do not
    # say; then only a cache that is away cannot answer whether it has a key.
    if deleted is None and cast(bool | None, cache.has_key(min(wanted))) is None:
        _debts.owe(wanted)


def is_doubtful(name: str) -> bool:
    """Whether a document under this name may be one that should have been deleted."""
    if name not in _debts.names:
        return False
    forget(())
    return True


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


def call(operation: Callable[..., T], *arguments: Any) -> T | None:
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
            return call(cache.incr, name)
        except ValueError:  # nobody called in this window yet
            if call(cache.add, name, 1, ttl_seconds):
                return 1
    return None


def read_service_key(key: str) -> Any:
    return call(cache.get, name_service_key(key))


def keep_service_key(key: str, value: dict[str, Any]) -> None:
    call(cache.set, name_service_key(key), value, SERVICE_KEY_TTL_SECONDS)


def forget_service_key(key: str) -> None:
    forget((name_service_key(key),))


def claim_wakeup() -> bool:
    """Whether a task has to be sent: none is waiting to be started, or nobody can tell."""
    return call(cache.add, WAKEUP, 1, WAKEUP_TTL_SECONDS) is not False


def forget_wakeup() -> None:
    cache.delete(WAKEUP)  # also while the breaker rests: what stays would hold back tasks
