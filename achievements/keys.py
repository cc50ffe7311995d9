"""Every cache key and how long it lives (storage floor).

filling.py puts a lease under a document's own name, and `:early` and `:help` behind it.
"""

import hashlib
from typing import Final

ACHIEVEMENTS_TTL_SECONDS: Final = 3600
PROGRESS_TTL_SECONDS: Final = 15 * 60
LIVE_PROGRESS_TTL_SECONDS: Final = 15 * 60
WATCHED_SECONDS: Final = PROGRESS_TTL_SECONDS
DEFINITION_TTL_SECONDS: Final = 24 * 3600
RECOMMENDATIONS_TTL_SECONDS: Final = 48 * 3600
# A user without any test: kept for a moment only, as anybody can ask for any number.
UNKNOWN_USER_TTL_SECONDS: Final = 60
SERVICE_KEY_TTL_SECONDS: Final = 60  # also the longest time that a revoked key goes on working

# The rarity in a definition moves with every unlock; the definition itself with a publication.
CATALOGUE_FRESH_SECONDS: Final = 300

CATALOGUE: Final = "achievements:all"
RULEBOOK: Final = "achievements:rulebook"
WATCHED: Final = "achievements:watched"  # a sorted set: user id -> until when it is watched
WAKEUP: Final = "outbox:wakeup"  # a task to drain the outbox is on its way
WAKEUP_TTL_SECONDS: Final = 5


# The braces around a user id are literal: Redis Cluster keeps a user's keys in one slot by them.
def name_achievements(user_id: int) -> str:
    return f"user:{{{user_id}}}:achievements"


def name_progress(user_id: int) -> str:
    return f"user:{{{user_id}}}:achievement_progress"


def name_live_progress(user_id: int, achievement_id: int) -> str:
    return f"user:{{{user_id}}}:achievement:{achievement_id}:progress"


def name_live_channel(user_id: int) -> str:
    """A channel, not a key: what moves is published there while the user is watched."""
    return f"user:{{{user_id}}}:live"


def name_watched(user_id: int) -> str:
    """In place of WATCHED where the cache is this process."""
    return f"{WATCHED}:{user_id}"


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
