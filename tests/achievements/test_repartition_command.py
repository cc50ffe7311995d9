"""manage.py repartition: what it shows, and what it refuses and why."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from achievements.management.commands import repartition
from achievements.repartition import repartition_table
from achievements.repartition_plan import Plan, find_obstacle, read_free_bytes
from achievements.repartition_plan import make_plan as plan_table
from achievements.repartition_trial import Trial
from deploy.local.servers import MariaDB
from tests.faults.hammer import start_process
from tests.repartitioning import PARTITIONED, count_partitions, list_traces, run_sql
from tests.repartitioning import usual_partitions as usual_partitions

ROOT = Path(__file__).resolve().parents[2]
UNLOCKS = "user_achievements"

on_real_servers = [
    pytest.mark.real,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("usual_partitions"),
]


def make_plan(**fields) -> Plan:
    values = {
        "table": UNLOCKS, "method": "copy", "partitions_now": 8, "partitions": 16, "rows": 10**9,
        "is_big": True, "bytes": 10**11, "space_bytes": 10**11, "log_bytes": 0,
        "seconds": 20_000.0, "has_waiting_writers": False, "unfinished": None, "conflict": "",
    }  # fmt: skip
    return Plan(**{**values, **fields})


BIG = make_plan(space_bytes=3 * 10**11)
LOGGED = make_plan(log_bytes=10**11)
WAITING = make_plan(has_waiting_writers=True)


@pytest.mark.parametrize(
    ("plans", "options", "expected"),
    [
        ([make_plan()], {}, ""),
        ([make_plan()], {"free_bytes": 2 * 10**11}, ""),
        ([make_plan()], {"free_bytes": 10**10}, "100,000 MB are needed beside the table"),
        ([make_plan()], {"free_bytes": 10**10, "may_fill_disk": True}, ""),
        ([make_plan(), BIG], {"free_bytes": 2 * 10**11}, "300,000 MB"),
        ([make_plan(), BIG], {"free_bytes": 3 * 10**11}, ""),
        ([make_plan(), BIG], {"free_bytes": 3 * 10**11, "keeps_old": True}, "400,000 MB"),
        ([LOGGED, LOGGED], {"free_bytes": 2 * 10**11}, "300,000 MB"),
        ([WAITING], {}, "Use --method copy, or say --allow-l"),
        ([WAITING], {"may_lock": True}, ""),
        ([make_plan(has_waiting_writers=True, is_big=False)], {}, ""),
        ([make_plan(), make_plan(conflict="in the way")], {"may_lock": True}, "in the way"),
    ],
)
def test_obstacles(plans, options, expected) -> None:
    usual = {"may_lock": False, "may_fill_disk": False, "keeps_old": False, "free_bytes": None}
    obstacle = find_obstacle(plans, **{**usual, **options})
    assert expected in obstacle
    assert bool(obstacle) == bool(expected)


@pytest.mark.django_db
def test_sqlite_has_no_partitions() -> None:
    if connection.vendor == "mysql":
        pytest.skip("MySQL has")
    with pytest.raises(CommandError, match="sqlite has no partitions"):
        call_command("repartition", partitions=16)


@pytest.mark.real
def test_what_is_sharded_has_none_either(db, settings) -> None:
    settings.DATABASE_SHARDING = "vitess"
    with pytest.raises(CommandError, match="DATABASE_SHARDING=vitess"):
        call_command("repartition", partitions=16)


@pytest.mark.real
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--partitions must be from 1 to 1024"),
        ({"partitions": 0}, "--partitions must be from 1 to 1024"),
        ({"partitions": 1025}, "--partitions must be from 1 to 1024"),
        ({"partitions": 9, "slice": 0}, "--slice must be from 1 to 100000"),
        ({"partitions": 9, "pause": -1.0}, "--pause must be from 0 to 100"),
        ({"partitions": 9, "method": "alter", "keep_old": True}, "--keep-old goes with .* copy"),
        ({"partitions": 9, "table": ["achievements"]}, "--table must be one of .*not achievements"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_bad_arguments(options, message) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("repartition", **options)


class TestOnRealServers:
    pytestmark = on_real_servers

    def test_a_dry_run_shows_the_plan_and_changes_nothing(self, capsys) -> None:
        run_sql(f"INSERT INTO {UNLOCKS} SELECT seq, 1, 1, NOW(6), seq, 1, NULL, NULL"
                " FROM seq_1_to_3000")  # fmt: skip
        call_command("repartition", partitions=16, dry_run=True)
        output = capsys.readouterr().out
        assert "MariaDB" in output
        assert "ALGORITHM=INPLACE, LOCK=NONE PARTITION BY ...: refused (" in output
        assert "ALGORITHM=COPY, LOCK=NONE PARTITION BY ...: refused (LOCK=NONE is not" in output
        assert "--method alter blocks writers" in output
        for table in PARTITIONED:
            assert f"{table}: 8 -> 16 partitions by copy, about " in output
            assert count_partitions(table) == 8
        assert re.search(rf"{UNLOCKS}: .* MB; needs [\d.]+ MB more, about \d+ s; writers go on",
                         output)  # fmt: skip
        assert list_traces() == []

    def test_tables_that_are_done_already_are_left(self, capsys) -> None:
        call_command("repartition", partitions=16, table=[UNLOCKS])
        call_command("repartition", partitions=16)
        output = capsys.readouterr().out
        assert f"{UNLOCKS}: 16 partitions already, nothing to do" in output
        assert {count_partitions(table) for table in PARTITIONED} == {16}
        assert "Set USER_TABLE_PARTITIONS=16" in output

    def test_what_is_done_is_given_again_without_an_error_or_a_trial(
        self, capsys, monkeypatch
    ) -> None:
        monkeypatch.setattr(repartition, "try_server", None)
        call_command("repartition", partitions=8)
        output = capsys.readouterr().out
        assert "Nothing to do." in output
        assert f"{UNLOCKS}: 8 partitions already" in output

    @pytest.mark.parametrize("dry_run", [True, False])
    @pytest.mark.parametrize("name", ["trial", "new", "old"])
    @pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
    def test_what_is_not_its_own_stays(self, kind: str, name: str, dry_run: bool) -> None:
        """Refused before anything is made, whoever gave a table one of these names."""
        run_sql(f"CREATE {kind} {UNLOCKS}__{name} AS SELECT 7 n")
        try:
            with pytest.raises(CommandError, match=f"DROP TABLE {UNLOCKS}__{name} first"):
                call_command("repartition", partitions=16, table=[UNLOCKS], dry_run=dry_run)
            call_command("repartition", abort=True)
            assert run_sql(f"SELECT n FROM {UNLOCKS}__{name}") == [(7,)]
            assert list_traces() == [f"{UNLOCKS}__{name}"]
        finally:
            run_sql(f"DROP {kind} {UNLOCKS}__{name}")
        call_command("repartition", partitions=16, table=[UNLOCKS], dry_run=dry_run)

    def test_what_a_killed_trial_left_is_its_own(self) -> None:
        process = start_process(
            "repartition", "--partitions", 16, "--dry-run", module="manage",
            FAILPOINT="repartition_trial:kill",
        )  # fmt: skip
        process.communicate(timeout=60)
        assert any(name.endswith("__trial") for name in list_traces())
        call_command("repartition", partitions=16, dry_run=True)
        assert list_traces() == []

    def test_a_plan_that_locks_a_big_table_is_refused(self) -> None:
        run_sql(f"INSERT INTO {UNLOCKS} SELECT seq, 1, 1, NOW(6), seq, 1, NULL, NULL"
                " FROM seq_1_to_100001")  # fmt: skip
        options = {"partitions": 16, "table": [UNLOCKS], "method": "alter"}
        with pytest.raises(CommandError, match="more than 100,000 rows"):
            call_command("repartition", **options)
        assert count_partitions(UNLOCKS) == 8
        run_sql(f"DELETE FROM {UNLOCKS} WHERE user_id = 100001")
        call_command("repartition", **options)
        assert count_partitions(UNLOCKS) == 16
        run_sql(f"INSERT INTO {UNLOCKS} VALUES (100001, 1, 1, NOW(6), 1, 1, NULL, NULL)")
        call_command("repartition", **{**options, "partitions": 4, "allow_lock": True})
        assert count_partitions(UNLOCKS) == 4

    def test_an_unfinished_run_needs_what_is_left_alone(self, monkeypatch) -> None:
        run_sql(f"INSERT INTO {UNLOCKS} SELECT seq, 1, 1, NOW(6), seq, 1, NULL, REPEAT('r', 100)"
                " FROM seq_1_to_40000")  # fmt: skip
        trial = Trial({}, {UNLOCKS: 1_000.0})

        def plan() -> Plan:
            return plan_table(table=UNLOCKS, partitions=3, method="copy", trial=trial, pause=0.0)

        whole, half, copied = plan(), None, 0
        for done in repartition_table(table=UNLOCKS, partitions=3, slice_rows=1_000):
            copied += done.rows
            if half is None and done.step == "copy" and copied >= 20_000:
                half = plan()
            if done.step == "verify":
                break
        assert half is not None
        compared = plan()
        [[folder, database]] = run_sql("SELECT @@datadir, DATABASE()")
        taken = sum(f.stat().st_blocks for f in Path(folder, database).glob(f"{UNLOCKS}__new*"))
        assert taken * 512 <= whole.space_bytes
        assert taken or not os.access(folder, os.R_OK)
        assert compared.space_bytes == 0
        assert 0 < half.space_bytes < 0.8 * whole.space_bytes
        assert 0 < compared.seconds < half.seconds < whole.seconds
        monkeypatch.setattr(repartition, "read_free_bytes", lambda table: half.space_bytes // 2)
        # There was room at the beginning, and the copy has taken most of it since.
        call_command("repartition", partitions=3, table=[UNLOCKS])
        assert count_partitions(UNLOCKS) == 3
        with pytest.raises(CommandError, match=r"are needed beside .* --allow-full-disk"):
            call_command("repartition", partitions=16, table=[UNLOCKS])
        call_command("repartition", partitions=16, table=[UNLOCKS], allow_full_disk=True)
        assert count_partitions(UNLOCKS) == 16

    def test_taking_back_can_be_tried(self, capsys) -> None:
        run_sql(f"INSERT INTO {UNLOCKS} VALUES (5, 1, 1, NOW(6), 1, 1, NULL, NULL)")
        next(iter(repartition_table(table=UNLOCKS, partitions=3)))
        traces = list_traces()
        call_command("repartition", abort=True, dry_run=True)
        assert f"Would take back: {UNLOCKS} to 3 partitions (copy); {UNLOCKS}__new and" in (
            capsys.readouterr().out
        )
        assert list_traces() == traces
        call_command("repartition", abort=True)
        assert f"Taken back: {UNLOCKS} to 3 partitions" in capsys.readouterr().out
        assert list_traces() == []

    @pytest.mark.parametrize("clause", ["", "ALGORITHM=COPY, LOCK=NONE"])
    def test_the_server_is_held_to_what_it_accepted(self, monkeypatch, clause: str) -> None:
        """A clause that it took for the scratch is asked for the table as well."""
        answer = Trial({"ALGORITHM=INPLACE, LOCK=NONE": "no", clause: ""}, {UNLOCKS: 1.0})
        monkeypatch.setattr(repartition, "try_server", lambda *args, **options: answer)
        options = {"partitions": 16, "table": [UNLOCKS], "method": "alter"}
        if clause:
            with pytest.raises(CommandError, match=r"refused: .*LOCK=NONE is not supp"):
                call_command("repartition", **options)
        else:
            call_command("repartition", **options)
        assert count_partitions(UNLOCKS) == (8 if clause else 16)

    def test_one_at_a_time(self, monkeypatch) -> None:
        monkeypatch.setattr("achievements.shadow.TURN_SECONDS", 0)
        other = connection.copy()
        other.connect()
        with other.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(CONCAT('repartition ', DATABASE()), 30)")
            assert cursor.fetchone() == (1,)
        try:
            with pytest.raises(CommandError, match="Another repartition is running"):
                call_command("repartition", partitions=16)
            with other.cursor() as cursor:
                cursor.execute("DO RELEASE_ALL_LOCKS()")
        finally:
            other.close()

    def test_a_transaction_that_stays_open_holds_it_up_and_nobody_else(self, monkeypatch) -> None:
        """The writers pass between the attempts; giving up leaves a run that can go on."""
        monkeypatch.setattr("achievements.shadow.MAX_LOCK_ATTEMPTS", 2)
        run_sql(f"INSERT INTO {UNLOCKS} VALUES (5, 1, 1, NOW(6), 1, 1, NULL, NULL)")
        other = connection.copy()
        other.connect()
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"SELECT * FROM {UNLOCKS}")
            with pytest.raises(CommandError, match="the table was never free"):
                call_command("repartition", partitions=16, table=[UNLOCKS])
            run_sql(f"INSERT INTO {UNLOCKS} VALUES (6, 1, 1, NOW(6), 1, 1, NULL, NULL)")
            cursor.execute("COMMIT")
        other.close()
        call_command("repartition", partitions=16, table=[UNLOCKS])
        assert run_sql(f"SELECT COUNT(*) FROM {UNLOCKS}") == [(2,)]
        assert list_traces() == []

    def test_the_disk_is_seen_where_the_files_are(self) -> None:
        [[folder]] = run_sql("SELECT @@datadir")
        free = read_free_bytes(UNLOCKS)
        if os.access(folder, os.R_OK):
            assert free is not None
            assert free > 0
        else:
            assert free is None
        assert read_free_bytes("no_such_table") is None

    def test_a_table_that_was_never_partitioned(self) -> None:
        run_sql("INSERT INTO profiles VALUES (1, 'Ada', 0, NOW(6))")
        try:
            call_command("repartition", partitions=4, table=["profiles"])
            assert count_partitions("profiles") == 4
            assert run_sql("SELECT display_name FROM profiles") == [("Ada",)]
        finally:
            run_sql("ALTER TABLE profiles REMOVE PARTITIONING")


class OwnServer(MariaDB):
    """A server with a binary log, to break and to forbid things."""

    def ask(self, sql: str) -> list:
        import MySQLdb

        admin = MySQLdb.connect(
            host="127.0.0.1", port=self.port, user="admin", password=self.password
        )
        cursor = admin.cursor()
        cursor.execute(sql)
        rows = list(cursor.fetchall())
        admin.commit()
        admin.close()
        return rows

    def manage(self, *arguments: str, url: str = "", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "manage", *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url or self.url, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def list_traces(self) -> list[str]:
        tables = self.ask("SHOW TABLES FROM laurel LIKE '%\\_\\_%'")
        return [*(t for (t,) in tables), *(j for (j,) in self.ask("SELECT name FROM laurel.jobs"))]


RUN = ("repartition", "--partitions", "16", "--table", "user_progress", "--pause", "0")


def read_failure(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 1, output + errors
    assert "Traceback" not in errors
    return errors


@pytest.mark.real
def test_what_a_server_refuses_or_breaks_off_is_explained() -> None:
    options: dict[str, str | int] = {"innodb_log_file_size": "16M", "log-bin": "log"}
    with OwnServer({**options, "server-id": 1}) as server:
        migrate = server.manage("migrate")
        assert migrate.communicate(timeout=100)
        assert migrate.returncode == 0
        server.ask("INSERT INTO laurel.user_progress SELECT seq, 1, REPEAT('s', 300)"
                   " FROM laurel.seq_1_to_20000")  # fmt: skip

        refused = read_failure(server.manage(*RUN))
        assert "SET GLOBAL log_bin_trust_function_creators = 1" in refused
        server.ask("SET GLOBAL log_bin_trust_function_creators = 1")

        server.ask("CREATE USER tied@'%' IDENTIFIED BY 'word'")
        server.ask("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER"
                   " ON laurel.* TO tied@'%'")  # fmt: skip
        tied = f"mysql://tied:word@127.0.0.1:{server.port}/laurel"
        refused = read_failure(server.manage(*RUN, url=tied))
        assert re.search("may not do this .*TRIGGER command denied.* No table of users", refused)
        assert server.list_traces() == []

        server.ask("SET GLOBAL read_only = 1")
        assert "takes no writes now" in read_failure(server.manage(*RUN))
        server.ask("SET GLOBAL read_only = 0")

        slow = server.manage(*RUN, "--slice", "1000", FAILPOINT="repartition_copied:sleep 0.3")
        copied = "SELECT 1 FROM laurel.jobs WHERE name LIKE '%: copy' AND `cursor` > 0"
        while slow.poll() is None and not server.ask(copied):
            time.sleep(0.05)
        for (number,) in server.ask(
            "SELECT id FROM information_schema.processlist WHERE user = 'laurel'"
        ):
            server.ask(f"KILL {number}")
        broken = read_failure(slow)
        assert re.search("connection to the database was lost.* same command goes on", broken)

        # It goes on; and the binary log takes no more than the plan said.
        written = read_log_size(server)
        server.ask("GRANT TRIGGER ON laurel.* TO tied@'%'")
        resumed = server.manage(*RUN, url=tied)
        output, errors = resumed.communicate(timeout=100)
        assert resumed.returncode == 0, errors
        assert "goes on with an unfinished run" in output
        [told] = re.findall(r"and up to ([\d.]+) MB of binary log", output)
        assert 2_000_000 < read_log_size(server) - written < float(told) * 1e6
        assert "user_progress has 16 partitions" in output
        assert server.list_traces() == []


def read_log_size(server: OwnServer) -> int:
    return sum(row[1] for row in server.ask("SHOW BINARY LOGS"))
