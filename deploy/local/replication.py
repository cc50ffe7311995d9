"""MariaDB primaries and replicas on this machine, with GTIDs; each can become the other."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from deploy.local.process import HOST
from deploy.local.servers import MariaDB

REPLICATION_OPTIONS: Mapping[str, str | int] = {
    "log_bin": "binlog",
    "log_slave_updates": 1,  # so that others can follow it once it is the primary
    "gtid_strict_mode": 1,
    "binlog_format": "ROW",
    "slave_net_timeout": 10,
}
RETRY_SECONDS = 1


class ReplicatedMariaDB(MariaDB):
    """A server that others can follow, or that follows another one; `number` is its own."""

    def __init__(
        self,
        number: int = 1,
        options: Mapping[str, str | int] | None = None,
        *,
        follows: MariaDB | None = None,
        port: int | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(
            {**REPLICATION_OPTIONS, "server_id": number, **(options or {})},
            port=port,
            folder=folder,
        )
        self.follows = follows
        if follows is not None:
            self.name = f"replica-{number - 1}"
            # Read only from the first moment: what is written here by mistake has no way back.
            self.options["read_only"] = 1
            self.password = follows.password  # a successor is reached as its primary was

    def start(self) -> Self:
        super().start()
        if self.follows is not None:
            self.follow(self.follows)  # each time: its primary may have another password by now
        return self

    def follow(self, primary: MariaDB) -> None:
        """Follow from where this server is; a new one takes over everything."""
        self.run("STOP SLAVE")
        self.run(
            f"CHANGE MASTER TO MASTER_HOST = '{HOST}', MASTER_PORT = {primary.port},"
            f" MASTER_USER = 'admin', MASTER_PASSWORD = '{primary.password}',"
            f" MASTER_CONNECT_RETRY = {RETRY_SECONDS}, MASTER_USE_GTID = slave_pos"
        )
        self.run("START SLAVE")
        self.follows = primary

    def promote(self) -> None:
        """Follow nobody any longer and take writes; whatever was received is applied by now."""
        self.run("STOP SLAVE")
        self.run("RESET SLAVE ALL")
        self.run("SET GLOBAL read_only = 0")
        self.options.pop("read_only", None)
        self.follows = None

    def read_position(self) -> str:
        """The GTIDs that this server has: those of its primary, and its own."""
        return str(self.run("SELECT @@gtid_current_pos")[0][0])

    def count_applied(self) -> int:
        """The sequence of the newest transaction; the highest has most, in one domain."""
        return int(self.read_position().rpartition("-")[2] or 0)

    def has_applied_all(self) -> bool:
        """Whether everything that was received is applied."""
        status = self.show_status()
        return bool(
            status["Read_Master_Log_Pos"] == status["Exec_Master_Log_Pos"]
            and status["Master_Log_File"] == status["Relay_Master_Log_File"]
        )

    def has_reached(self, position: str) -> bool:
        return bool(self.run(f"SELECT MASTER_GTID_WAIT('{position}', 0.05)")[0][0] == 0)

    def show_status(self) -> dict[str, Any]:
        """What SHOW REPLICA STATUS says; empty for a server that follows nobody."""
        with self.connect() as cursor:
            cursor.execute("SHOW REPLICA STATUS")
            names = [column[0] for column in cursor.description]
            return {
                name: value
                for row in cursor.fetchall()
                for name, value in zip(names, row, strict=True)
            }

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement as `admin`, who may do everything."""
        with self.connect() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    @contextlib.contextmanager
    def connect(self) -> Iterator[Any]:
        import MySQLdb  # the server is there without the driver, too

        connection = MySQLdb.connect(
            host=HOST, port=self.port, user="admin", password=self.password, autocommit=True
        )
        try:
            cursor = connection.cursor()
            if self.follows is not None:
                # What a replica wrote to its log would part it from its primary.
                cursor.execute("SET SESSION sql_log_bin = 0")
            yield cursor
        finally:
            connection.close()
