"""Real MariaDB and Redis servers on this machine, each on a port and in a folder of its own."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.local.process import HOST, LocalProcess, StartError, find_program

MARIADB_OPTIONS: Mapping[str, str | int] = {
    "innodb_flush_log_at_trx_commit": 1,
    "innodb_buffer_pool_size": "256M",
    "innodb_log_file_size": "128M",
    "max_connections": 200,
    "character_set_server": "utf8mb4",
    "collation_server": "utf8mb4_unicode_ci",
}


class MariaDB(LocalProcess):
    """Options are those of the server; the user `laurel` owns the databases `laurel`, `laurel_*`
    and `test_laurel*`, and `admin` may do everything (SET GLOBAL among it).
    """

    name = "mariadb"
    package = "mariadb-server"

    def __init__(
        self,
        options: Mapping[str, str | int] | None = None,
        *,
        port: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.server_program = find_program(("mariadbd", "mysqld"), package=self.package)
        self.install_program = find_program(
            ("mariadb-install-db", "mysql_install_db"), package=self.package
        )
        super().__init__(port=port, folder=folder)
        self.options = {**MARIADB_OPTIONS, **(options or {})}
        self.password = secrets.token_hex(12)
        self.data_folder = self.folder / "data"
        self.socket_file = self.folder / "server.sock"

    @property
    def url(self) -> str:
        return f"mysql://laurel:{self.password}@{HOST}:{self.port}/laurel"

    @property
    def admin_url(self) -> str:
        return f"mysql://admin:{self.password}@{HOST}:{self.port}/laurel"

    def get_user(self) -> str | None:
        # The server refuses to run as root.
        return "mysql" if os.geteuid() == 0 else None

    def prepare(self) -> None:
        is_new = not self.data_folder.exists()
        self._create_files()
        if not is_new:
            return
        done = subprocess.run(
            [
                self.install_program,
                "--no-defaults",
                f"--datadir={self.data_folder}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb_log_file_size=8M",
            ],
            # As for the server itself, which deletes what others keep in a folder that is shared.
            env={**os.environ, "TMPDIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=self.get_user(),
            group=self.get_user(),
            extra_groups=[] if self.get_user() else None,
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(self.data_folder, ignore_errors=True)
            raise StartError(f"mariadb-install-db failed:\n{done.stdout.decode(errors='replace')}")

    def _create_files(self) -> None:
        self.data_folder.mkdir(exist_ok=True)
        init_file = self.folder / "init.sql"
        init_file.write_text(self._build_init_sql())
        init_file.chmod(0o600)
        if user := self.get_user():
            account = pwd.getpwnam(user)
            for path in (self.folder, self.data_folder, init_file):
                os.chown(path, account.pw_uid, account.pw_gid)

    def _build_init_sql(self) -> str:
        # The server reads one statement a line.
        password = self.password
        return "\n".join(
            (
                # Accounts are each server's own: nothing of this is for its replicas.
                "SET SESSION sql_log_bin = 0;",
                "CREATE DATABASE IF NOT EXISTS laurel CHARACTER SET utf8mb4;",
                f"CREATE OR REPLACE USER laurel@'%' IDENTIFIED BY '{password}';",
                "GRANT ALL PRIVILEGES ON `laurel`.* TO laurel@'%';",
                "GRANT ALL PRIVILEGES ON `laurel\\_%`.* TO laurel@'%';",
                "GRANT ALL PRIVILEGES ON `test\\_laurel%`.* TO laurel@'%';",
                "GRANT PROCESS ON *.* TO laurel@'%';",
                f"CREATE OR REPLACE USER admin@'%' IDENTIFIED BY '{password}';",
                "GRANT ALL PRIVILEGES ON *.* TO admin@'%' WITH GRANT OPTION;",
                "",
            )
        )

    def build_command(self) -> list[str]:
        return [
            self.server_program,
            "--no-defaults",
            f"--datadir={self.data_folder}",
            f"--socket={self.socket_file}",
            f"--pid-file={self.folder / 'server.pid'}",
            # Of its own: a server that starts deletes all temporary tables that it finds in there.
            f"--tmpdir={self.folder}",
            f"--init-file={self.folder / 'init.sql'}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            "--skip-name-resolve",
            "--skip-log-bin",
            *(f"--{name}={value}" for name, value in self.options.items()),
        ]

    def is_ready(self) -> bool:
        # It listens early, but greets only when the init file has run.
        return _exchange(self.port, b"", expected=b"")


class Redis(LocalProcess):
    """Keeps nothing on disk; options are those of the server."""

    name = "redis"
    package = "redis-server"

    def __init__(
        self,
        options: Mapping[str, str | int] | None = None,
        *,
        port: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.server_program = find_program(("redis-server",), package=self.package)
        super().__init__(port=port, folder=folder)
        self.options = dict(options or {})

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def build_command(self) -> list[str]:
        command = [self.server_program, "--port", str(self.port), "--bind", HOST]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        for name, value in self.options.items():
            command += [f"--{name}", str(value)]
        return command

    def is_ready(self) -> bool:
        # With a password it answers, too: that it wants one.
        return _exchange(self.port, b"PING\r\n", expected=(b"+PONG", b"-NOAUTH"))


def _exchange(port: int, question: bytes, *, expected: bytes | tuple[bytes, ...]) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(question)
            answer = connection.recv(64)
    except OSError:
        return False
    return bool(answer) and answer.startswith(expected)
