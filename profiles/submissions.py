"""A finished test that is sent again has one effect (services floor).

Whoever lost the answer cannot know whether the test was saved, and sends it again under the same
idempotency key. The row of its user is locked first, so that two that come at once are one.
"""

import hashlib
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from achievements.transactions import run_transaction
from profiles.models import RecentSubmissions

# The newest tests that were sent with a key; an older key is a new test.
MOST_KEYS: Final = 32
_KEY_BYTES: Final = 8
_ENTRY: Final = Struct(f">{_KEY_BYTES}sq")  # digest of the key, id of the test


class Submission(NamedTuple):
    test_result_id: int
    is_repeated: bool


def submit_once(*, user_id: int, key: str, save: Callable[[], int]) -> Submission:
    """Return the test that `save` saves, or that it saved when it was sent before with this key.

    Both happen in one transaction. Raises what `save` raises; then nothing is kept.
    """
    digest = hashlib.blake2b(key.encode(), digest_size=_KEY_BYTES).digest()

    def submit() -> Submission:
        row = _lock_row(user_id)
        entries = list(_ENTRY.iter_unpack(row.packed))
        for known, test_result_id in entries:
            if known == digest:
                return Submission(test_result_id, is_repeated=True)
        saved = save()
        entries.append((digest, saved))
        row.packed = b"".join(_ENTRY.pack(*entry) for entry in entries[-MOST_KEYS:])
        row.save(update_fields=["packed"])
        return Submission(saved, is_repeated=False)

    return run_transaction(submit)


def _lock_row(user_id: int) -> RecentSubmissions:
    locked = RecentSubmissions.objects.select_for_update()
    row = locked.filter(user_id=user_id).first()
    if row is None:
        RecentSubmissions.objects.bulk_create(
            [RecentSubmissions(user_id=user_id)], ignore_conflicts=True
        )
        row = locked.get(user_id=user_id)
    return row
