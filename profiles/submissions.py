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
_DIGEST_BYTES: Final = 8
# The digests of the key and of what was sent with it, and the id of the test.
_ENTRY: Final = Struct(f">{_DIGEST_BYTES}s{_DIGEST_BYTES}sq")


class KeyReused(Exception):
    """Something else was sent under this key before."""


class Submission(NamedTuple):
    test_result_id: int
    is_repeated: bool


def submit_once(*, user_id: int, key: str, sent: bytes, save: Callable[[], int]) -> Submission:
    """Return the test that `save` saves, or that it saved when it was sent before with this key.

    Both happen in one transaction. Raises KeyReused when something else was `sent` with it, and
    what `save` raises; then nothing is kept.
    """
    key_digest, sent_digest = _digest(key.encode()), _digest(sent)

    def submit() -> Submission:
        row = _lock_row(user_id)
        entries = list(_ENTRY.iter_unpack(row.packed))
        for known, known_sent, test_result_id in entries:
            if known == key_digest:
                if known_sent != sent_digest:
                    raise KeyReused
                return Submission(test_result_id, is_repeated=True)
        saved = save()
        entries.append((key_digest, sent_digest, saved))
        row.packed = b"".join(_ENTRY.pack(*entry) for entry in entries[-MOST_KEYS:])
        row.save(update_fields=["packed"])
        return Submission(saved, is_repeated=False)

    return run_transaction(submit)


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=_DIGEST_BYTES).digest()


def _lock_row(user_id: int) -> RecentSubmissions:
    locked = RecentSubmissions.objects.select_for_update()
    row = locked.filter(user_id=user_id).first()
    if row is None:
        RecentSubmissions.objects.bulk_create(
            [RecentSubmissions(user_id=user_id)], ignore_conflicts=True
        )
        row = locked.get(user_id=user_id)
    return row
