"""The MariaDB of the storage bench: one server, restarted with other options on the same data."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final

import MySQLdb
from django.core.management import call_command

from bench.timing import say
from deploy.local.process import HOST
from deploy.local.servers import MariaDB

# Data files are read past the page cache of the system, and no start brings back what was in
# memory before: after a restart the buffer pool is empty, and every page comes from the disk.
OPTIONS: Final[dict[str, str | int]] = {
    "innodb_flush_log_at_trx_commit": 1,
    "innodb_flush_method": "O_DIRECT",
    "innodb_buffer_pool_load_at_startup": "OFF",
    "innodb_buffer_pool_dump_at_shutdown": "OFF",
    "innodb_log_file_size": "2G",
    "innodb_io_capacity": 5000,  # of an SSD; the default is that of a spinning disk
    "innodb_io_capacity_max": 20_000,
    "max_heap_table_size": "1G",
    "tmp_table_size": "1G",
    "sort_buffer_size": "256M",
    "table_open_cache": 4000,
}
PATIENCE_SECONDS: Final = 600.0  # gigabytes of changed pages are written before it ends
FEW_PAGES: Final = 200
HOME: Final = "laurel"


class Database:
    """The server, and which of its databases Django's connection works in."""

    def __init__(self, stack: ExitStack, *, pool: str) -> None:
        self.server = MariaDB({**OPTIONS, "innodb_buffer_pool_size": pool})
        self.server.start_timeout_seconds = self.server.stop_timeout_seconds = PATIENCE_SECONDS
        stack.enter_context(self.server)

    def restart(self, *, pool: str) -> None:
        """Start again with an empty buffer pool of this size."""
        from django.db import connection

        connection.close()
        self.server.stop()
        self.server.options["innodb_buffer_pool_size"] = pool
        self.server.start()

    def settle(self) -> None:
        """Wait until what changed is on the disk, so that nobody's turn pays for another's."""
        with closing(self._connect_admin()) as admin, closing(admin.cursor()) as cursor:
            cursor.execute("SELECT @@innodb_max_dirty_pages_pct")
            usual = cursor.fetchone()[0]
            cursor.execute("SET GLOBAL innodb_max_dirty_pages_pct = 0")
            while read_status("Innodb_buffer_pool_pages_dirty") > FEW_PAGES:
                time.sleep(0.2)
            cursor.execute(f"SET GLOBAL innodb_max_dirty_pages_pct = {usual}")

    def _connect_admin(self) -> Any:
        server = self.server
        return MySQLdb.connect(host=HOST, port=server.port, user="admin", password=server.password)

    def measure_bytes(self, name: str, table: str) -> int:
        """Return the bytes of a table's files, of all its partitions, on the disk."""
        files = (self.server.data_folder / name).glob(f"{table}*.ibd")
        return sum(file.stat().st_size for file in files)

    def measure_pages(self, name: str, table: str) -> int:
        """Return the bytes of the pages in use: files are ahead of them by some megabytes each."""
        from achievements.statements import fetch_all

        fetch_all(f"ANALYZE TABLE {name}.{table}")
        ((size,),) = fetch_all(
            "SELECT data_length + index_length FROM information_schema.tables"
            " WHERE table_schema = %s AND table_name = %s",
            [name, table],
        )
        return int(size)


def start_site(stack: ExitStack, *, pool: str) -> Database:
    """Start the server, set up Django on it and create the tables."""
    say("starting MariaDB")
    database = Database(stack, pool=pool)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="config.settings",
        LAUREL_ENV_FILE=os.devnull,  # nothing from a developer's own file
        DATABASE_URL=database.server.url,
        DATABASE_ADMIN_URL=database.server.admin_url,
        DATABASE_TIMEOUT_SECONDS="3600",  # rows are made inside the server, millions at once
        DEBUG="off",
        EVENT_TRANSPORT="inline",
        ACHIEVEMENTS_HISTORY="",  # the host site sends events only
        USER_TABLE_PARTITIONS="8",
        LOG_LEVEL="WARNING",
    )
    import django

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)  # icons have hashed names
    return database


def execute(sql: str, parameters: Sequence[Any] = ()) -> int:
    """Return how many rows it changed."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)  # without any, a % stays one
        return int(cursor.rowcount)


@contextmanager
def use(name: str) -> Iterator[None]:
    """Let Django's connection, and the project's own code with it, work in another database."""
    execute(f"USE {name}")
    try:
        yield
    finally:
        execute(f"USE {HOME}")


def read_status(name: str) -> int:
    """Return a counter of the server."""
    from achievements.statements import fetch_all

    return int(fetch_all("SHOW GLOBAL STATUS LIKE %s", [name])[0][1])
