"""Sends the reads of what is displayed to where they belong (achievements/sources.py)."""

from functools import lru_cache

from django.db import DEFAULT_DB_ALIAS, models

from achievements.partitions import list_user_tables
from achievements.sources import get_source


class DatabaseRouter:
    """In use where REPLICA_URLS names replicas. Everything else stays with the primary."""

    def db_for_read(self, model: type[models.Model], **hints: object) -> str | None:
        source = get_source()
        if source is None:
            return None
        return source.users if model._meta.db_table in _name_user_tables() else source.others

    def db_for_write(self, model: type[models.Model], **hints: object) -> str:
        # Also of an object that was read elsewhere.
        return DEFAULT_DB_ALIAS

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return None if db == DEFAULT_DB_ALIAS else False


@lru_cache(maxsize=1)
def _name_user_tables() -> frozenset[str]:
    return frozenset(list_user_tables())
