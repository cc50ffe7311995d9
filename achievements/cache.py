"""What is kept in the cache, and how it is kept true (storage floor); keys.py has the names.

Through Django's cache: Redis when configured, otherwise this process. A cache that is away or
slow is a miss and never an error.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any, Final, NamedTuple, TypeVar, cast

import orjson
import structlog
from django.core.cache import cache as store

from achievements import keys
from achievements.debts import Debts

try:
    from redis.exceptions import RedisError
except ImportError:  # the embedded default has no Redis
    _FAILURES: tuple[type[Exception], ...] = (OSError,)
else:
    _FAILURES = (OSError, RedisError)

logger = structlog.get_logger(__name__)
T = TypeVar("T")

SLOW_SECONDS: Final = 0.2  # a server that does not answer at all takes 0.25
_RULEBOOK_MARK: Final = b'{"version":%d,'
_RULEBOOK_HEAD: Final = re.compile(rb'{"version":(\d+),')

# Compared and set in one step, so that nothing can come between.
_REPLACE: Final = """\
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return 1"""


def forget_user(user_id: int) -> None:
    forget((keys.name_achievements(user_id), keys.name_progress(user_id)))


def forget_definitions(slugs: Iterable[str] = ()) -> None:
    """After a publication. (A definition of an older edition is not served in any case.)"""
    forget((keys.CATALOGUE, *map(keys.name_definition, slugs)))


def write_rulebook(version: int, document: Mapping[str, Any]) -> None:
    """Keep the published definitions; without a TTL, as the next publication replaces them."""
    # The version comes first: whoever serves documents reads it off the first bytes.
    value = orjson.dumps({"version": version, "document": document})
    call(store.set, keys.RULEBOOK, value, None)


def read_rulebook(version: int) -> dict[str, Any] | None:
    """The publication, if it is the one that the cache holds."""
    value = call(store.get, keys.RULEBOOK)
    if not isinstance(value, bytes) or not value.startswith(_RULEBOOK_MARK % version):
        return None
    document: dict[str, Any] = orjson.loads(value)["document"]
    return document


def holds_rulebook(version: int) -> bool:
    """Whether this publication or a newer one is kept; so says a cache that is away, too."""
    if is_redis():
        head = ask_redis(lambda client: client.getrange(keys.RULEBOOK, 0, 31))
    else:
        head = store.get(keys.RULEBOOK) or b""
    if head is None:
        return True
    kept = _RULEBOOK_HEAD.match(bytes(head))
    return kept is not None and int(kept[1]) >= version


def forget(names: Iterable[str]) -> None:
    """Delete the names in one command; what a cache that is away missed is deleted later."""
    owed = _debts.copy()
    wanted = {*names, *owed}
    if not wanted:
        return
    if not is_redis():
        with _process_lock:  # a fill compares and sets in two steps
            store.delete_many(wanted)
    # Redis's backend keeps its failures to itself; without one it says how many it deleted.
    elif cast(Callable[..., int | None], store.delete_many)(sorted(wanted)) is None:
        _debts.owe(wanted)
        return
    _debts.settle(owed)


def forget_later(name: str) -> None:
    """Delete the name before this process reads it again: nobody knows what stands there."""
    _debts.owe({name})


def is_doubtful(name: str) -> bool:
    """Whether what stands under this name may be something that should have been deleted."""
    if name not in _debts:
        return False
    call(forget, ())  # not while the cache rests: this is asked by readers
    return True


_debts = Debts(pay=lambda: call(forget, ()))
_process_lock = Lock()  # makes one step of several, as Redis does, where the cache is this process


class _Breaker:
    """Two slow answers in a row: the cache is left alone for a second, reads take the database."""

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
        if ended - started < SLOW_SECONDS:
            _Breaker.slow_in_a_row = 0
        else:
            _Breaker.slow_in_a_row += 1
            if _Breaker.slow_in_a_row >= 2:
                _Breaker.closed_until = ended + _Breaker.rest_seconds


class Change(NamedTuple):
    """Set a name whose value still begins with `expected`, or that has none where that is empty.

    Without a time to live the name is deleted.
    """

    name: str
    expected: bytes
    value: bytes = b""
    ttl_seconds: int = 0


def change(changes: Sequence[Change]) -> list[bool | None]:
    """Do these in one trip; say of each whether it was done, None when the cache did not answer."""
    if not changes or not is_redis():
        return [_change_here(one) for one in changes]
    return ask_redis(partial(_send_changes, changes)) or [None] * len(changes)


def _send_changes(changes: Sequence[Change], client: Any) -> list[bool | None]:
    pipeline = client.pipeline(transaction=False)
    for name, expected, value, ttl_seconds in changes:
        if expected:
            pipeline.eval(_REPLACE, 1, name, expected, value, ttl_seconds)
        else:
            pipeline.set(name, value, ex=ttl_seconds, nx=True)
    # One server of several may be away: what the others did is done.
    answers = pipeline.execute(raise_on_error=False)
    return [None if isinstance(one, Exception) else bool(one) for one in answers]


def _change_here(one: Change) -> bool:
    with _process_lock:
        if not one.expected:
            return bool(store.add(one.name, one.value, one.ttl_seconds))
        kept = store.get(one.name)
        if not isinstance(kept, bytes) or not kept.startswith(one.expected):
            return False
        if one.ttl_seconds:
            store.set(one.name, one.value, one.ttl_seconds)
        else:
            store.delete(one.name)
        return True


def is_redis() -> bool:
    """Whether the cache is Redis of any kind, and not this process."""
    return getattr(store, "client", None) is not None


def ask_redis(operation: Callable[[Any], T]) -> T | None:
    """Call the client below Django's cache; None when Redis is away.

    What goes past the backend would raise what the backend ignores; so would finding the client.
    """
    try:
        return call(lambda: operation(cast(Any, store).client.get_client(write=True)))
    except _FAILURES as error:
        logger.warning("cache_failed", error=str(error))
        return None


def count_call(policy: str, caller: str, *, window: int, ttl_seconds: int) -> int | None:
    """Count one call across all processes and return the count; None when the cache is away."""
    name = keys.name_calls(policy, caller, window)
    for _ in range(2):
        try:
            return call(store.incr, name)
        except ValueError:  # nobody called in this window yet
            if call(store.add, name, 1, ttl_seconds):
                return 1
    return None


def read_service_key(key: str) -> Any:
    return call(store.get, keys.name_service_key(key))


def keep_service_key(key: str, value: dict[str, Any]) -> None:
    call(store.set, keys.name_service_key(key), value, keys.SERVICE_KEY_TTL_SECONDS)


def forget_service_key(key: str) -> None:
    forget((keys.name_service_key(key),))


def claim_wakeup() -> bool:
    """Whether a task has to be sent: none is waiting to be started, or nobody can tell."""
    return call(store.add, keys.WAKEUP, 1, keys.WAKEUP_TTL_SECONDS) is not False


def forget_wakeup() -> None:
    store.delete(keys.WAKEUP)  # also while the breaker rests: what stays would hold back tasks
