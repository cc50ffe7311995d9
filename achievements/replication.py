"""What a replica says of its own replication (storage floor)."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.db import Error as DatabaseFailure
from django.db import connections

logger = structlog.get_logger(__name__)

# It may not be asked, or does not know the statement. Everything else is a server in trouble.
_REFUSALS: Final = frozenset({1044, 1064, 1142, 1227, 1235})
# MariaDB and MySQL name the same columns differently.
_SOURCE_NAMES: Final = {
    "Slave_SQL_Running": "Replica_SQL_Running",
    "Slave_IO_Running": "Replica_IO_Running",
    "Seconds_Behind_Master": "Seconds_Behind_Source",
}


def find_fault(row: Mapping[str, Any], *, max_lag_seconds: float) -> str | None:
    """Return what is wrong with one row of SHOW REPLICA STATUS."""
    applying, receiving, seconds = (row.get(a, row.get(b)) for a, b in _SOURCE_NAMES.items())
    if applying != "Yes":
        return "applies nothing"
    if receiving != "Yes":
        return "receives nothing"
    if seconds is not None and seconds > max_lag_seconds:
        return f"{seconds} s behind"
    return None


class Replication:
    """Asks one replica, as long as the account may and the server understands."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._may_ask = True

    def find_fault(self, *, max_lag_seconds: float) -> str | None:
        """None also for a server that follows nobody. Raises when it does not answer."""
        if not self._may_ask:
            return None
        try:
            with connections[self.database].cursor() as cursor:
                cursor.execute("SHOW REPLICA STATUS")
                names = [column[0] for column in cursor.description]
                rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except DatabaseFailure as error:
            if not _REFUSALS.intersection(error.args[:1]):
                raise
            self._may_ask = False
            logger.warning(
                "replication_not_shown",
                database=self.database,
                error=str(error),
                hint="GRANT REPLICA MONITOR (MySQL: REPLICATION CLIENT) ON *.* to its account;"
                " without it a replica is known to lag by the users that are read from it.",
            )
            return None
        faults = (find_fault(row, max_lag_seconds=max_lag_seconds) for row in rows)
        return next(filter(None, faults), None)
