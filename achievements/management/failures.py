"""Why a command could not go on, where the database is the cause (face)."""

from typing import Final

from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError

from achievements.transactions import is_lock_conflict

_CAUSES: Final = (
    ((2002, 2003, 2005), "The database does not answer"),
    ((0, 1053, 1927, 2006, 2013, 2055), "The connection to the database was lost"),
    ((1290, 1792, 1836), "The server takes no writes now (is it a replica, or a former primary?)"),
    (
        (1044, 1045, 1142, 1143, 1227, 1370),
        "The account of DATABASE_URL may not do this (docs/runbook.md lists what it needs)",
    ),
    ((3, 28, 1021, 1114), "The disk is full"),
)
_LOCKED: Final = (
    "Rows stay locked: look for a transaction that stays open (information_schema.innodb_trx)"
)


def describe_failure(error: DatabaseFailure) -> str:
    """Return one sentence with the cause and the server's own words."""
    code = error.args[0] if error.args else 0
    cause = next((text for codes, text in _CAUSES if code in codes), "The database refused")
    if isinstance(error, InterfaceError):
        cause = "The connection to the database was lost"
    elif isinstance(error, OperationalError) and is_lock_conflict(error):
        cause = _LOCKED
    said = " ".join(str(part) for part in error.args if part)
    return f"{cause}: {said}." if said else f"{cause}."
