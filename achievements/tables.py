"""The engine's statements (storage floor): multi-row SQL for the tables of users.

Raw SQL, because a batch of 500 through model instances costs more than the database does.
Every statement names user_id, so each one touches only the partitions of its users.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections

from achievements.claims import IMPORTED, HeldLevel
from achievements.sources import name_database

TALLY_SLOTS: Final = 64
MAX_STATEMENT_BYTES: Final = 2_000_000  # well under the smallest max_allowed_packet in use
USERS_TALLY: Final = (0, 0)  # the pseudo achievement and level that count users


# One parameter, a JSON list of keys, as a table: joined straight to, each key is one exact look-up.
KEY_LIST: Final = "JSON_TABLE(%s, '$[*]' COLUMNS (id BIGINT PATH '$')) k"
_PAIR_LIST: Final = (
    "JSON_TABLE(%s, '$[*]' COLUMNS (user_id BIGINT PATH '$[0]', achievement_id INT PATH '$[1]')) k"
)


class StoredProgress(NamedTuple):
    revision: int
    state: bytes


class OutboxKey(NamedTuple):
    id: int
    user_id: int


class UnlockRow(NamedTuple):
    user_id: int
    achievement_id: int
    level: int
    unlocked_at: datetime
    test_result_id: int | None
    rulebook_version: int


class RevocationRow(NamedTuple):
    revoked_at: datetime
    revoked_reason: str
    user_id: int
    achievement_id: int
    level: int


class EvidenceRow(NamedTuple):
    unlocked_at: datetime
    test_result_id: int
    user_id: int
    achievement_id: int
    level: int
    taken_back_id: int


class NotificationRow(NamedTuple):
    user_id: int
    sequence: int
    achievement_id: int
    level: int
    created_at: datetime


class SeenRow(NamedTuple):
    user_id: int
    is_invalidation: bool
    first_id: int
    last_id: int
    ids: bytes


def is_mysql() -> bool:
    return connection.vendor == "mysql"


def is_sharded() -> bool:
    """Whether something between us and the tables must find the users in each statement."""
    return bool(settings.DATABASE_SHARDING != "none")


def lock_progress(user_ids: Sequence[int]) -> dict[int, StoredProgress]:
    """Lock and return the rows of these users, in order; users without a row are left out."""
    rows: dict[int, StoredProgress] = {}
    for part in _split(sorted(user_ids)):
        for user_id, revision, state in _lock_part(part):
            rows[user_id] = StoredProgress(revision, bytes(state))
    return rows


def _lock_part(user_ids: list[int]) -> list[Any]:
    if is_sharded():
        # Without partitions a look-up by the primary key goes in its order. The hint keeps a
        # short table from being scanned, which would wait for rows that nobody asked for.
        return fetch_all(
            "SELECT user_id, revision, state FROM user_progress FORCE INDEX (PRIMARY)"
            f" WHERE user_id IN ({_marks(user_ids)}) ORDER BY user_id FOR UPDATE",
            user_ids,
        )
    if is_mysql():
        # Over partitions, `IN (...) ORDER BY user_id` locks in another order than it returns,
        # and of a short table it locks every row. The join goes through the list as it stands.
        return fetch_all(
            f"SELECT p.user_id, p.revision, p.state FROM {KEY_LIST}"
            " STRAIGHT_JOIN user_progress p ON p.user_id = k.id FOR UPDATE",
            [list_keys(user_ids)],
        )
    # SQLite knows no row locks: its transactions start as the only writer (BEGIN IMMEDIATE).
    return fetch_all(
        f"SELECT user_id, revision, state FROM user_progress WHERE user_id IN ({_marks(user_ids)})",
        user_ids,
    )


def lock_outbox(limit: int) -> list[tuple[int, int, bytes]]:
    """Lock and return the oldest rows (id, user_id, event) that nobody else holds."""
    if settings.DATABASE_SHARDING == "tidb":
        lock = " FOR UPDATE"  # TiDB cannot skip: one worker drains at a time
    else:
        lock = " FOR UPDATE SKIP LOCKED" if is_mysql() else ""
    return fetch_all(
        f"SELECT id, user_id, event FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT %s{lock}",
        [limit],
    )


def delete_outbox(rows: Sequence[OutboxKey]) -> None:
    """Delete these rows without a look at the others, which may be locked."""
    if is_sharded():
        # A list would be scanned for in a short table, and no hint of an index comes through
        # a proxy in a DELETE.
        _update("DELETE FROM outbox WHERE id = %s AND user_id = %s", rows)
        return
    row_ids = [row.id for row in rows]
    with connection.cursor() as cursor:
        if is_mysql():
            cursor.execute(
                f"DELETE o FROM {KEY_LIST} STRAIGHT_JOIN outbox o ON o.id = k.id",
                [list_keys(row_ids)],
            )
        else:
            cursor.execute(f"DELETE FROM outbox WHERE id IN ({_marks(row_ids)})", row_ids)


def create_progress(user_ids: Sequence[int]) -> dict[int, StoredProgress]:
    """Create empty rows for these users and return all of them locked.

    Another worker may create one at the same time: whoever comes second waits for the
    first to commit and then reads what it wrote. An empty state means a new user.
    """
    _insert(
        "user_progress (user_id, revision, state)",
        [(user_id, 0, b"") for user_id in sorted(user_ids)],
        # Takes the exclusive lock at once; INSERT IGNORE would take a shared one and deadlock.
        mysql_conflict="ON DUPLICATE KEY UPDATE revision = revision",
        other_conflict="ON CONFLICT DO NOTHING",
    )
    return lock_progress(user_ids)


def store_progress(rows: Sequence[tuple[int, int, bytes]]) -> None:
    """Write (user_id, revision, state) of rows that are locked."""
    target = "user_progress (user_id, revision, state)"
    if is_mysql():
        _insert_packed(
            target,
            [f"({user_id},{revision},x'{state.hex()}')" for user_id, revision, state in rows],
            "ON DUPLICATE KEY UPDATE revision = VALUES(revision), state = VALUES(state)",
        )
        return
    _insert(
        target,
        rows,
        other_conflict=(
            "ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision,"
            " state = excluded.state"
        ),
    )


def _insert_packed(target: str, values: Sequence[str], conflict: str = "") -> None:
    """The hot statements, put together here: integers, and bytes as hexadecimal digits.

    Escaping bytes as text costs client and server more than twice what digits do, and the
    driver's executemany looks at every value and sends 64 kB at a time.
    """
    with connection.cursor() as cursor:
        for part in _split_texts(values):
            cursor.execute(f"INSERT INTO {target} VALUES {','.join(part)} {conflict}")


def insert_unlocks(rows: Sequence[UnlockRow]) -> None:
    """Insert unlocks; one that was revoked is earned again, one that stands is left as it is."""
    renewed = ("unlocked_at", "test_result_id", "rulebook_version")
    # MySQL assigns from left to right: revoked_at decides for the others, so it goes last.
    by_mysql = ", ".join(f"{c} = IF(revoked_at IS NULL, {c}, VALUES({c}))" for c in renewed)
    by_other = ", ".join(f"{c} = excluded.{c}" for c in renewed)
    _insert(
        "user_achievements (user_id, achievement_id, level, unlocked_at, test_result_id,"
        " rulebook_version)",
        rows,
        mysql_conflict=(
            f"ON DUPLICATE KEY UPDATE {by_mysql}, revoked_reason = NULL, revoked_at = NULL"
        ),
        other_conflict=(
            f"ON CONFLICT (user_id, achievement_id, level) DO UPDATE SET {by_other},"
            " revoked_reason = NULL, revoked_at = NULL WHERE revoked_at IS NOT NULL"
        ),
    )


def put_unlocks(rows: Sequence[UnlockRow]) -> None:
    """Write levels as they are given, over whatever stands there, revoked or not."""
    columns = ("unlocked_at", "test_result_id", "rulebook_version")
    by_mysql = ", ".join(f"{c} = VALUES({c})" for c in columns)
    by_other = ", ".join(f"{c} = excluded.{c}" for c in columns)
    rest = "revoked_reason = NULL, revoked_at = NULL"
    _insert(
        "user_achievements (user_id, achievement_id, level, unlocked_at, test_result_id,"
        " rulebook_version)",
        rows,
        mysql_conflict=f"ON DUPLICATE KEY UPDATE {by_mysql}, {rest}",
        other_conflict=(
            f"ON CONFLICT (user_id, achievement_id, level) DO UPDATE SET {by_other}, {rest}"
        ),
    )


def revoke_unlocks(rows: Sequence[RevocationRow]) -> None:
    _update(
        "UPDATE user_achievements SET revoked_at = %s, revoked_reason = %s"
        " WHERE user_id = %s AND achievement_id = %s AND level = %s AND revoked_at IS NULL",
        rows,
    )


def renew_evidence(rows: Sequence[EvidenceRow]) -> None:
    """Name another test for unlocks that stay although the test that earned them is taken back."""
    _update(
        "UPDATE user_achievements SET unlocked_at = %s, test_result_id = %s"
        " WHERE user_id = %s AND achievement_id = %s AND level = %s AND test_result_id = %s",
        rows,
    )


def read_revision_rows(user_ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return (user_id, revision) of the users who have a row."""
    rows: list[tuple[int, int]] = []
    for part in _split(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, revision FROM user_progress WHERE user_id IN ({_marks(part)})",
            part,
            using=name_database(),
        )
    return rows


def read_unlock_rows(user_ids: Sequence[int]) -> list[tuple[int, int, int, datetime]]:
    """Return (user_id, achievement_id, level, unlocked_at in UTC) of what these users hold."""
    rows: list[tuple[int, int, int, Any]] = []
    for part in _split(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, achievement_id, level, unlocked_at FROM user_achievements"
            f" WHERE user_id IN ({_marks(part)}) AND revoked_at IS NULL",
            part,
            using=name_database(),
        )
    return [(user, achievement, level, _read_time(at)) for user, achievement, level, at in rows]


def read_levels(
    pairs: Collection[tuple[int, int]],
) -> dict[int, dict[tuple[int, int], HeldLevel]]:
    """Return, by user and by (achievement_id, level), what there is of these
    (user_id, achievement_id), revoked levels included.
    """
    columns = "a.user_id, a.achievement_id, level, unlocked_at, rulebook_version, revoked_at"
    rows: list[Any] = []
    if pairs and is_mysql() and not is_sharded():
        # By list for the same reason as in lock_progress: each pair is one look-up.
        rows = fetch_all(
            f"SELECT {columns} FROM {_PAIR_LIST} STRAIGHT_JOIN user_achievements a"
            " ON a.user_id = k.user_id AND a.achievement_id = k.achievement_id",
            [f"[{','.join(f'[{user_id},{other}]' for user_id, other in sorted(pairs))}]"],
        )
    else:
        for part in _split(sorted({user_id for user_id, _ in pairs})):
            rows += fetch_all(
                f"SELECT {columns} FROM user_achievements a WHERE user_id IN ({_marks(part)})", part
            )
    held: dict[int, dict[tuple[int, int], HeldLevel]] = {}
    for user_id, achievement_id, level, at, version, revoked_at in rows:
        held.setdefault(user_id, {})[achievement_id, level] = HeldLevel(
            _read_time(at), version, revoked_at is not None
        )
    return held


def read_states(user_ids: Sequence[int]) -> dict[int, bytes]:
    """Return the packed rows of the users who have one, without a lock."""
    rows: dict[int, bytes] = {}
    for part in _split(sorted(user_ids)):
        found = fetch_all(
            f"SELECT user_id, state FROM user_progress WHERE user_id IN ({_marks(part)})", part
        )
        rows.update((user_id, bytes(state)) for user_id, state in found)
    return rows


def _read_time(value: Any) -> datetime:
    """MySQL gives a naive time in UTC, SQLite a text of one."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return at.replace(tzinfo=UTC)


def read_origins(user_ids: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return (user_id, achievement_id, level, rulebook_version) of what these users earned here.

    What was imported is left out: no rulebook of ours can say that it was not earned.
    """
    rows: list[tuple[int, int, int, int]] = []
    for part in _split(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, achievement_id, level, rulebook_version FROM user_achievements"
            f" WHERE user_id IN ({_marks(part)}) AND revoked_at IS NULL"
            f" AND rulebook_version <> {IMPORTED}",
            part,
        )
    return rows


def read_revoked(user_ids: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (user_id, achievement_id, level) of what these users lost."""
    rows: list[tuple[int, int, int]] = []
    for part in _split(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, achievement_id, level FROM user_achievements"
            f" WHERE user_id IN ({_marks(part)}) AND revoked_at IS NOT NULL",
            part,
        )
    return rows


def insert_notifications(rows: Sequence[NotificationRow]) -> None:
    _insert("notifications (user_id, sequence, achievement_id, level, created_at)", rows)


def insert_seen(rows: Sequence[SeenRow]) -> None:
    target = "user_seen_tests (user_id, is_invalidation, first_id, last_id, ids)"
    if is_mysql():
        values = [f"({user},{kind:d},{a},{b},x'{ids.hex()}')" for user, kind, a, b, ids in rows]
        _insert_packed(target, values)
    else:
        _insert(target, rows)


def read_seen(
    user_ids: Sequence[int], *, lowest: int = 0, highest: int = 2**63 - 1
) -> list[tuple[int, bool, bytes]]:
    """Return (user_id, is_invalidation, packed ids) of the archived runs that touch the range."""
    rows: list[tuple[int, bool, bytes]] = []
    for part in _split(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, is_invalidation, ids FROM user_seen_tests"
            f" WHERE user_id IN ({_marks(part)}) AND first_id <= %s AND last_id >= %s",
            [*part, highest, lowest],
        )
    return [(user_id, bool(kind), bytes(ids)) for user_id, kind, ids in rows]


def add_tallies(changes: dict[tuple[int, int], int], *, slot: int) -> None:
    """Add to the holders of (achievement_id, level), in order, in this worker's slot."""
    _insert(
        "tallies (achievement_id, level, slot, holders)",
        [(*key, slot, change) for key, change in sorted(changes.items()) if change],
        mysql_conflict="ON DUPLICATE KEY UPDATE holders = holders + VALUES(holders)",
        other_conflict=(
            "ON CONFLICT (achievement_id, level, slot)"
            " DO UPDATE SET holders = holders + excluded.holders"
        ),
    )


def list_keys(keys: Sequence[int]) -> str:
    """Return the parameter of KEY_LIST."""
    return f"[{','.join(map(str, keys))}]"


def fetch_all(
    sql: str, parameters: Sequence[Any] = (), *, using: str = DEFAULT_DB_ALIAS
) -> list[Any]:
    """Only what is displayed is read `using` another database than the one that is written."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _insert(
    target: str,
    rows: Sequence[Sequence[Any]],
    *,
    mysql_conflict: str = "",
    other_conflict: str = "",
) -> None:
    if not rows:
        return
    adapt = _adapter()
    conflict = mysql_conflict if is_mysql() else other_conflict
    marks = _marks(rows[0])
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {target} VALUES ({marks}) {conflict}",
            [tuple(map(adapt, row)) for row in rows],
        )


def _split_texts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a statement's values so that no part is longer than the server takes."""
    start = size = 0
    for end, text in enumerate(texts):
        size += len(text) + 1
        if size > MAX_STATEMENT_BYTES and end > start:
            yield texts[start:end]
            start, size = end, len(text) + 1
    if start < len(texts):
        yield texts[start:]


def _update(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement once a row; for what hardly ever happens."""
    adapt = _adapter()
    with connection.cursor() as cursor:
        cursor.executemany(statement, [tuple(map(adapt, row)) for row in rows])


def _adapter() -> Callable[[Any], Any]:
    """Datetimes go to the driver as the backend stores them: naive UTC."""
    adapt = connection.ops.adapt_datetimefield_value
    return lambda value: adapt(value) if isinstance(value, datetime) else value


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("%s" for _ in values)


def _split(values: list[int], size: int = 500) -> list[list[int]]:
    # SQLite allows a limited number of parameters; MySQL plans long IN lists worse.
    return [values[start : start + size] for start in range(0, len(values), size)]
