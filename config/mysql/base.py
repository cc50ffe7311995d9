"""MySQL and MariaDB for Django: connections that only read, and primaries that handed over."""

from django.db.backends.mysql import base
from MySQLdb import Error


class DatabaseWrapper(base.DatabaseWrapper):
    """A database with FOR_READS in its settings refuses every write, whatever its account may."""

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if self.settings_dict.get("FOR_READS"):
            with self.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ ONLY")

    def is_usable(self) -> bool:
        """Whether the server answers, and may still be written to.

        Django asks this of a connection that it kept, before its first use in a request or task,
        and after an error. A primary that hands over turns read-only, and goes on answering: only
        a new connection reaches its successor, behind the same name or address.
        """
        if self.settings_dict.get("FOR_READS"):
            return bool(super().is_usable())
        try:
            cursor = self.connection.cursor()
            cursor.execute("SELECT @@global.read_only")
            return not cursor.fetchone()[0]
        except Error:
            return False
