"""Who is looked at, and what those who look are told (storage floor); keys.py has the names.

A user counts as watched from when somebody reads their progress, or opens their stream. For
everybody else a commit costs one question here, and writes nothing. What is written of an
achievement ends with the watch: after that no event would follow it.
"""

import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final, NamedTuple

import orjson
from django.core.cache import cache as store

from achievements import cache, keys

MOST_AT_ONCE: Final = 1000
_process_lock = Lock()  # where the cache is this process, one step of several

# An older revision never replaces a newer one, whichever worker comes last.
_KEEP_NEWEST: Final = """\
for i, name in ipairs(KEYS) do
  local kept = redis.call('GET', name)
  local revision = kept and tonumber(string.match(kept, '^{"revision":(%d+)'))
  if not revision or revision <= tonumber(ARGV[1]) then
    redis.call('SET', name, ARGV[i + 2], 'PX', ARGV[2])
  end
end"""


class News(NamedTuple):
    """What moved for one user. Each value is JSON that begins with `{"revision":`."""

    watched_until: float  # Unix time
    revision: int
    progress: Mapping[int, bytes]  # by achievement
    message: bytes


def mark_watched(user_ids: Sequence[int], *, seconds: int = keys.WATCHED_SECONDS) -> int | None:
    """Say that somebody looks at these users; return how many of them were not marked already.

    None when the cache is away.
    """
    now = time.time()
    if not cache.is_redis():
        names = [keys.name_watched(user_id) for user_id in user_ids]
        marked = store.get_many(names)
        store.set_many(dict.fromkeys(names, now + seconds), seconds)
        return len(names) - len(marked)

    def mark(client: Any) -> int:
        pipeline = client.pipeline(transaction=False)
        # Whose time is over has to go first, or marking them again would not count as new.
        pipeline.zremrangebyscore(keys.WATCHED, "-inf", now)
        for start in range(0, len(user_ids), MOST_AT_ONCE):
            part = user_ids[start : start + MOST_AT_ONCE]
            pipeline.zadd(keys.WATCHED, dict.fromkeys(part, now + seconds))
        return sum(pipeline.execute()[1:])

    return cache.ask_redis(mark)


def find_watched(user_ids: Sequence[int]) -> dict[int, float]:
    """Return which of these users are watched, and until when; nobody when the cache is away."""
    if not cache.is_redis():
        names = {keys.name_watched(user_id): user_id for user_id in user_ids}
        return {names[name]: until for name, until in store.get_many(names).items()}
    now = time.time()
    ends = cache.ask_redis(lambda client: client.zmscore(keys.WATCHED, user_ids)) or []
    return {u: end for u, end in zip(user_ids, ends, strict=False) if end is not None and end > now}


def tell(news: Mapping[int, News]) -> None:
    """Keep each achievement's progress unless a newer one is kept, then tell the open streams.

    Without Redis there are no streams.
    """
    if not cache.is_redis():
        with _process_lock:
            for user_id, one in news.items():
                _keep_newest(user_id, one)
        return

    def send(client: Any) -> object:
        pipeline = client.pipeline(transaction=False)
        for user_id, one in news.items():
            if one.progress:
                names = [keys.name_live_progress(user_id, a) for a in one.progress]
                arguments = (one.revision, _measure_life(one), *one.progress.values())
                pipeline.eval(_KEEP_NEWEST, len(names), *names, *arguments)
            pipeline.publish(keys.name_live_channel(user_id), one.message)
        return pipeline.execute()

    cache.ask_redis(send)


def _keep_newest(user_id: int, news: News) -> None:
    values = {keys.name_live_progress(user_id, a): value for a, value in news.progress.items()}
    kept = store.get_many(values)
    newer = {n for n, value in kept.items() if orjson.loads(value)["revision"] > news.revision}
    wanted = {name: value for name, value in values.items() if name not in newer}
    store.set_many(wanted, _measure_life(news) / 1000)


def _measure_life(news: News) -> int:
    """Return for how many milliseconds the progress is kept: as long as events follow it."""
    left = min(news.watched_until - time.time(), keys.LIVE_PROGRESS_TTL_SECONDS)
    return max(1, int(left * 1000))
