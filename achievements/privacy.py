"""The plug for who may see a user's documents (services floor).

The host site names a source in the setting ACHIEVEMENTS["PRIVACY"]; without one, every
profile is public.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string


class PrivacySource(Protocol):
    def __call__(self, user_ids: Sequence[int], /) -> Collection[int]:
        """Return those of these users whose documents only they and staff may see.

        Must read what is committed at the call. Whoever changes it calls cache.forget_user
        after the commit.
        """


def _hide_nobody(user_ids: Sequence[int]) -> Collection[int]:
    return ()


@lru_cache(maxsize=4)
def _load(path: str) -> PrivacySource:
    return cast(PrivacySource, import_string(path)) if path else _hide_nobody


def find_private(user_ids: Sequence[int]) -> Collection[int]:
    return _load(settings.ACHIEVEMENTS.get("PRIVACY", ""))(user_ids)
