"""Copy and swap: triggers, slices, races, verification, and taking it back."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from achievements import shadow, shadow_rows
from achievements.models import Job
from achievements.repartition import abort_repartition, repartition_table
from achievements.shadow import RepartitionError
from tests.repartitioning import count_partitions, list_traces, read_checksum, run_sql
from tests.repartitioning import usual_partitions as usual_partitions

pytestmark = [
    pytest.mark.real,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("usual_partitions"),
]

UNLOCKS, COPY = "user_achievements", "user_achievements__new"
RUNS = "user_seen_tests"
ADD = f"INSERT INTO {UNLOCKS} VALUES (%s, %s, 1, '2026-03-02 12:00:00.5', NULL, 1, NULL, %s)"


def repartition(table: str, partitions: int, **options) -> list:
    return list(repartition_table(table=table, partitions=partitions, **options))


def read_rows(table: str) -> list:
    return run_sql(f"SELECT * FROM {table} ORDER BY user_id, achievement_id, level")


def add_unlocks(users: int, each: int = 1) -> None:
    for user in range(1, users + 1):
        for number in range(each):
            run_sql(ADD, user, number, None if user % 2 else f"reason {number}")


def test_odd_rows_come_over_as_they_are() -> None:
    """Long and empty blobs, one user with thousands of rows, ids at both ends of the range."""
    texts = [None, "", "-", ",", "a,b", 'it\'s "quoted" \\ \x00 é 🏅', "x" * 120]
    for number, text in enumerate(texts):
        run_sql(ADD, 2**63 - 1 - number, number, text)
        run_sql(ADD, -(2**63) + 1 + number, number, text)
    run_sql(f"INSERT INTO {UNLOCKS} SELECT 77, seq, 1, NOW(6), seq, 1, NULL, NULL"
            " FROM seq_1_to_5000")  # fmt: skip
    for number, size in enumerate([0, 1, 8_000, 60_000, 3_000_000]):
        run_sql(f"INSERT INTO {RUNS} VALUES (%s, 0, 1, 9, %s)", number, b"\x00\xff'" * (size // 3))
    rows, sums = read_rows(UNLOCKS), [read_checksum(UNLOCKS), read_checksum(RUNS)]
    for partitions in (16, 3, 1, 8):
        slices = repartition(UNLOCKS, partitions, slice_rows=100)
        assert sum(s.rows for s in slices if s.step == "verify") == len(rows) == 5014
        repartition(RUNS, partitions, slice_rows=2)
        assert count_partitions(UNLOCKS) == count_partitions(RUNS) == partitions
        assert [read_checksum(UNLOCKS), read_checksum(RUNS)] == sums
        assert read_rows(UNLOCKS) == rows
        assert list_traces() == []


def test_an_empty_table() -> None:
    assert [s.rows for s in repartition(UNLOCKS, 5)] == [0]
    assert count_partitions(UNLOCKS) == 5


WRITES = {
    "insert": ADD.replace("%s", "{}").format(50, 1, "'new'"),
    "several": f"INSERT INTO {UNLOCKS} VALUES (60,1,1,NOW(6),1,1,NULL,''),"
    " (3,9,2,NOW(6),1,1,NULL,NULL)",
    "upsert that inserts": f"INSERT INTO {UNLOCKS} VALUES (61,1,1,NOW(6),1,1,NULL,NULL)"
    " ON DUPLICATE KEY UPDATE rulebook_version = 9",
    "upsert that updates": f"INSERT INTO {UNLOCKS} VALUES (3,0,1,NOW(6),1,1,NULL,NULL)"
    " ON DUPLICATE KEY UPDATE rulebook_version = 9, revoked_reason = 'taken'",
    "upsert of both": f"INSERT INTO {UNLOCKS} VALUES (3,0,1,NOW(6),1,1,NULL,NULL),"
    " (62,0,1,NOW(6),1,1,NULL,NULL) ON DUPLICATE KEY UPDATE level = 7",
    "upsert that changes nothing": f"INSERT INTO {UNLOCKS} VALUES (3,0,1,NOW(6),1,1,NULL,NULL)"
    " ON DUPLICATE KEY UPDATE level = level",
    "insert ignore": f"INSERT IGNORE INTO {UNLOCKS} VALUES (3,0,1,NOW(6),1,1,NULL,'no'),"
    " (63,0,1,NOW(6),1,1,NULL,'yes')",
    "replace": f"REPLACE INTO {UNLOCKS} VALUES (3,0,1,NOW(6),1,1,NULL,'replaced')",
    "update": f"UPDATE {UNLOCKS} SET revoked_at = NOW(6) WHERE user_id < 5",
    "update of the key": f"UPDATE {UNLOCKS} SET achievement_id = 40 WHERE user_id = 3",
    "a user moves": f"UPDATE {UNLOCKS} SET user_id = user_id + 100 WHERE user_id IN (2, 3)",
    "delete": f"DELETE FROM {UNLOCKS} WHERE user_id IN (1, 4)",
    "delete all": f"DELETE FROM {UNLOCKS}",
}  # fmt: skip


@pytest.mark.parametrize("is_copied", [True, False], ids=["copied", "before the copy"])
@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_every_write_is_mirrored(write: str, is_copied: bool) -> None:
    add_unlocks(6)
    shadow.create_shadow(UNLOCKS, 3)
    copy = shadow_rows.make_copier(UNLOCKS)
    if is_copied:
        copy([1, 2, 3, 4, 5, 6])
    before = read_rows(UNLOCKS)
    run_sql(write)
    assert (read_rows(UNLOCKS) != before) == ("level = level" not in write)
    copy(range(200))
    assert read_rows(COPY) == read_rows(UNLOCKS)
    ours, copied = shadow_rows.make_comparer(UNLOCKS)(0, shadow_rows.HIGHEST_USER)
    assert ours == copied
    assert ours.rows == len(read_rows(UNLOCKS))


def test_a_write_that_is_rolled_back_leaves_the_copy_as_well() -> None:
    add_unlocks(2)
    shadow.create_shadow(UNLOCKS, 3)
    run_sql("BEGIN")
    run_sql(f"UPDATE {UNLOCKS} SET level = 9")
    run_sql("ROLLBACK")
    assert read_rows(COPY) == []


class Beside:
    """A second connection with a transaction of its own."""

    def __init__(self) -> None:
        self.connection = connection.copy()
        self.connection.inc_thread_sharing()
        self.connection.connect()

    def run(self, sql: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def beside():
    second = Beside()
    yield second
    second.close()


def start(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_until_blocked() -> None:
    for _ in range(100):
        # The server renews this table only when nobody has read it for a tenth of a second.
        threading.Event().wait(0.12)
        if run_sql("SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"):
            return
    raise AssertionError("nobody waits")


OPEN_WRITES = {
    "delete": f"DELETE FROM {UNLOCKS} WHERE user_id = 3",
    "update": f"UPDATE {UNLOCKS} SET revoked_reason = 'newer' WHERE user_id = 3",
    "upsert": f"INSERT INTO {UNLOCKS} VALUES (3,0,1,NOW(6),1,1,NULL,NULL)"
    " ON DUPLICATE KEY UPDATE revoked_reason = 'newer'",
    "a user moves": f"UPDATE {UNLOCKS} SET user_id = 4, achievement_id = 9 WHERE user_id = 3",
    "insert": f"INSERT INTO {UNLOCKS} VALUES (3,5,1,NOW(6),1,1,NULL,NULL)",
}


@pytest.mark.parametrize("write", OPEN_WRITES.values(), ids=list(OPEN_WRITES))
def test_the_copy_waits_for_a_writer_that_was_first(beside: Beside, write: str) -> None:
    """Read without a lock, the row would come over as it was before: a ghost after a deletion."""
    add_unlocks(6)
    shadow.create_shadow(UNLOCKS, 3)
    beside.run("BEGIN")
    beside.run(write)
    copying = start(lambda: shadow_rows.make_copier(UNLOCKS)(range(1, 10)))
    wait_until_blocked()
    beside.run("COMMIT")
    copying.join(30)
    assert read_rows(COPY) == read_rows(UNLOCKS)


@pytest.mark.parametrize("write", OPEN_WRITES.values(), ids=list(OPEN_WRITES))
def test_a_writer_comes_after_the_slice_that_was_first(beside: Beside, write: str) -> None:
    add_unlocks(6)
    shadow.create_shadow(UNLOCKS, 3)
    run_sql("BEGIN")
    shadow_rows.make_copier(UNLOCKS)(range(1, 7))
    writing = start(lambda: beside.run(write))
    if "INSERT" not in write or "DUPLICATE" in write:
        wait_until_blocked()
    else:
        writing.join(30)  # new rows need not wait: nothing of them is being copied
        assert not writing.is_alive()
    run_sql("COMMIT")
    writing.join(30)
    assert read_rows(COPY) == read_rows(UNLOCKS)


DAMAGES = {
    "a value": f"UPDATE {COPY} SET rulebook_version = rulebook_version + 1 WHERE user_id = 30",
    "a fraction of a second": f"UPDATE {COPY} SET unlocked_at = unlocked_at"
    " + INTERVAL 1 MICROSECOND WHERE user_id = 30",
    "null for a value": f"UPDATE {COPY} SET revoked_reason = NULL WHERE user_id = 30",
    "empty for null": f"UPDATE {COPY} SET revoked_reason = '' WHERE user_id = 29",
    "values exchanged": f"UPDATE {COPY} SET revoked_reason = IF(user_id = 30, 'reason 1',"
    " 'reason 0') WHERE user_id IN (28, 30)",
    "a lost row": f"DELETE FROM {COPY} WHERE user_id = 30",
    "a row too many": f"INSERT INTO {COPY} VALUES (30, 7, 1, NOW(6), 1, 1, NULL, NULL)",
    "a user too many": f"INSERT INTO {COPY} VALUES (9999, 7, 1, NOW(6), 1, 1, NULL, NULL)",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_difference_is_found_and_nothing_is_swapped(damage: str) -> None:
    add_unlocks(30)
    run_sql(f"UPDATE {UNLOCKS} SET revoked_reason = 'reason 1' WHERE user_id = 28")
    rows = read_rows(UNLOCKS)
    run = repartition_table(table=UNLOCKS, partitions=3, slice_rows=10)
    for done in run:
        if done.step == "verify":
            break
    run_sql(damage)
    with pytest.raises(RepartitionError, match="differ from their copy"):
        list(run)
    # It is found again: the cursor stands before it.
    with pytest.raises(RepartitionError, match=r"user_achievements: users (21|31) to .* --abort"):
        repartition(UNLOCKS, 3)
    assert count_partitions(UNLOCKS) == 8
    assert abort_repartition(UNLOCKS)
    assert list_traces() == []
    assert read_rows(UNLOCKS) == rows
    repartition(UNLOCKS, 3)
    assert read_rows(UNLOCKS) == rows


def test_nothing_to_take_back() -> None:
    assert not abort_repartition(UNLOCKS)


def test_triggers_that_were_lost_mean_a_new_start() -> None:
    add_unlocks(20)
    run = repartition_table(table=UNLOCKS, partitions=3, slice_rows=5)
    next(run)
    run_sql(f"DROP TRIGGER {UNLOCKS}__update")
    run_sql(f"UPDATE {UNLOCKS} SET level = 5 WHERE user_id = 1")
    slices = repartition(UNLOCKS, 3)
    assert sum(s.rows for s in slices if s.step == "copy") == 20
    assert run_sql(f"SELECT level FROM {UNLOCKS} WHERE user_id = 1") == [(5,)]


@pytest.mark.parametrize(
    "change", ["ADD COLUMN extra INT NULL", "ADD INDEX extra (achievement_id)"]
)
def test_a_table_that_was_altered_meanwhile_is_not_swapped(change: str) -> None:
    add_unlocks(20)
    run = repartition_table(table=UNLOCKS, partitions=3, slice_rows=5)
    next(run)
    run_sql(f"ALTER TABLE {UNLOCKS} {change}")
    try:
        with pytest.raises(RepartitionError, match="altered"):
            list(run)
        assert count_partitions(UNLOCKS) == 8
        abort_repartition(UNLOCKS)
    finally:
        run_sql(
            f"ALTER TABLE {UNLOCKS} {change.replace('ADD', 'DROP').partition('extra')[0]} extra"
        )


def test_triggers_of_others_are_not_left_behind() -> None:
    run_sql(f"CREATE TRIGGER audit BEFORE DELETE ON {UNLOCKS} FOR EACH ROW SET @gone = 1")
    try:
        with pytest.raises(RepartitionError, match="audit"):
            repartition(UNLOCKS, 3)
    finally:
        run_sql("DROP TRIGGER audit")
    assert list_traces() == []


def test_the_old_table_may_be_kept() -> None:
    add_unlocks(5)
    rows = read_rows(UNLOCKS)
    repartition(UNLOCKS, 3, should_keep_old=True)
    run_sql(f"DELETE FROM {UNLOCKS}")
    assert list_traces() == [f"{UNLOCKS}__old"]
    assert read_rows(f"{UNLOCKS}__old") == rows
    with pytest.raises(RepartitionError, match=f"DROP TABLE {UNLOCKS}__old first"):
        repartition(UNLOCKS, 8)
    run_sql(f"DROP TABLE {UNLOCKS}__old")
    repartition(UNLOCKS, 8)


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_trigger_or_an_old_table_of_others_beside_ours(is_begun: bool) -> None:
    """Of a run's own names, but made by somebody else: by a name alone nothing is dropped."""
    add_unlocks(20)
    if is_begun:
        run = repartition_table(table=UNLOCKS, partitions=3, slice_rows=5)
        next(run)
        run_sql(f"CREATE TABLE {UNLOCKS}__old AS SELECT 7 n")
    else:
        run_sql(
            f"CREATE TRIGGER {UNLOCKS}__delete BEFORE DELETE ON {UNLOCKS} FOR EACH ROW SET @n=1"
        )
    with pytest.raises(RepartitionError, match=f"{UNLOCKS}__(old|delete)"):
        repartition(UNLOCKS, 3)
    if is_begun:
        assert abort_repartition(UNLOCKS)
        assert list_traces() == [f"{UNLOCKS}__old"]
    else:
        assert list_traces() == [f"{UNLOCKS}__delete"]
        run_sql(f"DROP TRIGGER {UNLOCKS}__delete")


def test_another_number_has_to_wait() -> None:
    add_unlocks(20)
    run = repartition_table(table=UNLOCKS, partitions=3, slice_rows=5)
    next(run)
    with pytest.raises(RepartitionError, match="--partitions 3, or take it back with --abort"):
        repartition(UNLOCKS, 4)
    assert len(Job.objects.all()) == 1


def test_what_is_swapped_can_only_be_finished(monkeypatch) -> None:
    add_unlocks(5)

    def stop(table: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("achievements.shadow.drop_triggers", lambda table: None)
        patch.setattr("achievements.repartition._finish", lambda table, **options: stop(table))
        with pytest.raises(KeyboardInterrupt):
            repartition(UNLOCKS, 3)
    assert count_partitions(UNLOCKS) == 3
    run_sql(f"DELETE FROM {UNLOCKS} WHERE user_id = 1")
    with pytest.raises(RepartitionError, match="finish the run"):
        abort_repartition(UNLOCKS)
    assert repartition(UNLOCKS, 3) == []
    assert list_traces() == []
    assert len(read_rows(UNLOCKS)) == 4
