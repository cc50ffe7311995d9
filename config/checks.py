"""System checks across settings: combinations that start but would lose or leak something."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from achievements import failpoints
from achievements.partitions import list_user_tables, read_partition_count
from achievements.topics import EVENTS_PARTITIONS
from config.redis_cache import CLUSTER_SCHEMES, SENTINEL_SCHEMES, read_scheme

TAG = "laurel"
SHORTEST_SECRET = 32
MOST_PARTITIONS = 8192  # MySQL's own limit
NEVER_PARTITIONED = {
    "profiles"
}  # a short row a user; `repartition --table` may cut it all the same


def check_transport(
    app_configs: Iterable[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    if settings.EVENT_TRANSPORT == "kafka" and not settings.KAFKA_BOOTSTRAP_SERVERS:
        return [
            Error(
                "EVENT_TRANSPORT is kafka but KAFKA_BOOTSTRAP_SERVERS is empty.",
                hint="Set KAFKA_BOOTSTRAP_SERVERS=host:port,... or choose inline or celery.",
                id="laurel.E001",
            )
        ]
    if settings.EVENT_TRANSPORT == "celery" and not settings.CELERY_BROKER_URL:
        return [
            Error(
                "EVENT_TRANSPORT is celery but CELERY_BROKER_URL is empty.",
                hint="Set CELERY_BROKER_URL=redis://host:port/0 (not a Redis Cluster).",
                id="laurel.E002",
            )
        ]
    return []


def check_broker(app_configs: Iterable[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    scheme = read_scheme(settings.CELERY_BROKER_URL or "")
    if scheme in CLUSTER_SCHEMES:
        problem = "a queue's keys lie in different slots and cannot be changed in one step"
    elif scheme in SENTINEL_SCHEMES:
        problem = "Celery does not know this way to name Sentinels"
    else:
        return []
    return [
        Error(
            f"CELERY_BROKER_URL begins with {scheme}: {problem}.",
            hint="Set CELERY_BROKER_URL=redis://host:port/0, a Redis of its own.",
            id="laurel.E011",
        )
    ]


def check_shared_cache(
    app_configs: Iterable[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    if settings.REDIS_URL:
        return []
    if settings.WEB_WORKERS > 1 or settings.EVENT_TRANSPORT != "inline":
        return [
            Error(
                "Several processes would each keep a cache of their own: what one of them"
                " changes, the others go on serving stale.",
                hint="Set REDIS_URL, or run one process (WEB_WORKERS=1, EVENT_TRANSPORT=inline).",
                id="laurel.E003",
            )
        ]
    return []


def check_consumers(
    app_configs: Iterable[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    if settings.KAFKA_CONSUMERS <= EVENTS_PARTITIONS:
        return []
    return [
        Warning(
            f"KAFKA_CONSUMERS is {settings.KAFKA_CONSUMERS}, but the topic of events has"
            f" {EVENTS_PARTITIONS} partitions: the consumers beyond that have no work.",
            hint=f"Run at most {EVENTS_PARTITIONS} consumer processes on all machines together."
            " More work needs more partitions first: see docs/runbook.md.",
            id="laurel.W003",
        )
    ]


def check_secrets(app_configs: Iterable[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    if not settings.IS_PRODUCTION:
        return []
    found: list[CheckMessage] = []
    try:
        secret_key = settings.SECRET_KEY
    except ImproperlyConfigured:
        secret_key = ""
    if len(secret_key) < SHORTEST_SECRET or secret_key == settings.DEVELOPMENT_SECRET_KEY:
        found.append(
            Error(
                "SECRET_KEY is missing, short or the one of development.",
                hint=f"Set SECRET_KEY to at least {SHORTEST_SECRET} random characters.",
                id="laurel.E004",
            )
        )
    found.extend(_check_jwt())
    if settings.DEBUG:
        found.append(
            Error(
                "DEBUG is on in production: errors would show settings and source.",
                hint="Remove DEBUG, or unset LAUREL_ENV on a development machine.",
                id="laurel.E006",
            )
        )
    if not settings.ALLOWED_HOSTS:
        found.append(
            Error(
                "ALLOWED_HOSTS is empty in production: every request would be refused.",
                hint="Set ALLOWED_HOSTS=achievements.example.org,...",
                id="laurel.E009",
            )
        )
    return found


def _check_jwt() -> list[CheckMessage]:
    is_symmetric = settings.JWT_ALGORITHM.startswith("HS")
    key = settings.JWT_KEY
    if is_symmetric and (len(key) < SHORTEST_SECRET or key == settings.DEVELOPMENT_JWT_KEY):
        problem = "JWT_KEY is missing, short or the one of development."
    elif not is_symmetric and not key and not settings.JWT_JWKS_URL:
        problem = f"JWT_ALGORITHM is {settings.JWT_ALGORITHM} but there is no public key."
    elif not (settings.JWT_ISSUER and settings.JWT_AUDIENCE):
        problem = "JWT_ISSUER or JWT_AUDIENCE is empty: tokens meant for others would pass."
    else:
        return []
    return [
        Error(
            f"Bearer tokens cannot be trusted: {problem}",
            hint="Set JWT_ALGORITHM, JWT_KEY (or JWT_JWKS_URL), JWT_ISSUER and JWT_AUDIENCE to"
            " what the host site signs with.",
            id="laurel.E005",
        )
    ]


def check_isolation(
    app_configs: Iterable[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias, database in settings.DATABASES.items():
        if not str(database["ENGINE"]).endswith("mysql"):
            continue
        isolation = database.get("OPTIONS", {}).get("isolation_level")
        if isolation != "read committed":
            found.append(
                Error(
                    f"Database {alias!r} runs at isolation level {isolation!r}.",
                    hint="Remove isolation_level from the database URL: the engine needs READ"
                    " COMMITTED, because gap locks of stronger levels deadlock its batches.",
                    id="laurel.E007",
                )
            )
    return found


def check_replicas(app_configs: Iterable[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The URLs are not repeated: they hold passwords."""
    if not settings.REPLICAS:
        return []
    primary = _find_place(settings.DATABASES["default"])
    places = [_find_place(settings.DATABASES[alias]) for alias in settings.REPLICAS]
    if primary is None:
        problem = "it is set, but the database is SQLite, which has no replicas"
    elif None in places:
        problem = f"number {places.index(None) + 1} is not a MySQL or MariaDB database"
    elif primary in places:
        problem = f"number {places.index(primary) + 1} is the primary itself (DATABASE_URL)"
    elif len(set(places)) < len(places):
        problem = "a server is named twice"
    else:
        return []
    return [
        Error(
            f"REPLICA_URLS: {problem}.",
            hint="Name each replica once, as mysql://USER:PASSWORD@HOST:PORT/NAME, or unset it.",
            id="laurel.E012",
        )
    ]


def _find_place(database: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return a server's host and port; None where there is no server."""
    if not str(database["ENGINE"]).endswith("mysql"):
        return None
    return str(database.get("HOST", "")).lower(), int(database.get("PORT") or 3306)


def check_partitions(
    app_configs: Iterable[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    if 1 <= settings.USER_TABLE_PARTITIONS <= MOST_PARTITIONS:
        return []
    return [
        Error(
            f"USER_TABLE_PARTITIONS is {settings.USER_TABLE_PARTITIONS}.",
            hint=f"MySQL allows 1 to {MOST_PARTITIONS} partitions a table; 8 to 64 are usual.",
            id="laurel.E008",
        )
    ]


def check_sqlite_in_production(
    app_configs: Iterable[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    engine = str(settings.DATABASES["default"]["ENGINE"])
    if settings.IS_PRODUCTION and engine.endswith("sqlite3"):
        return [
            Warning(
                "The database is SQLite in production: one writer at a time, one machine.",
                hint="Set DATABASE_URL=mysql://user:password@host:3306/name.",
                id="laurel.W001",
            )
        ]
    return []


def check_partition_counts(
    app_configs: Iterable[AppConfig] | None,
    databases: Iterable[str] | None = None,
    **kwargs: object,
) -> list[CheckMessage]:
    """Asks the database, so it runs with `check --database default` and `migrate` alone."""
    is_sharded = settings.DATABASE_SHARDING != "none"
    wanted = 0 if is_sharded else settings.USER_TABLE_PARTITIONS
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "mysql":
            continue
        existing = set(connection.introspection.table_names())
        counts = {
            table: read_partition_count(connection, table)
            for table in list_user_tables()
            if table in existing and table not in NEVER_PARTITIONED
        }
        different = [f"{table} has {count}" for table, count in counts.items() if count != wanted]
        if different:
            found.append(
                Warning(
                    f"USER_TABLE_PARTITIONS is {wanted}, but {', '.join(different)}.",
                    hint="The setting is read when a table is created. Set it to what the tables"
                    " have, or change them while they are in use:"
                    f" manage.py repartition --partitions {wanted}.",
                    id="laurel.W002",
                )
            )
    return found


def check_sharding(app_configs: Iterable[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    if settings.DATABASE_SHARDING == "none" or connections["default"].vendor == "mysql":
        return []
    return [
        Error(
            f"DATABASE_SHARDING is {settings.DATABASE_SHARDING}, but DATABASE_URL is not of MySQL.",
            hint="Let DATABASE_URL name its MySQL port (VTGate's, TiDB's), or set"
            " DATABASE_SHARDING=none.",
            id="laurel.E013",
        )
    ]


def check_failpoints(
    app_configs: Iterable[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    if not (settings.IS_PRODUCTION and failpoints.armed):
        return []
    return [
        Error(
            f"FAILPOINT arms {', '.join(failpoints.armed)} in production.",
            hint="Unset FAILPOINT: it is for tests of crashes alone.",
            id="laurel.E010",
        )
    ]


ALL_CHECKS: tuple[Callable[..., list[CheckMessage]], ...] = (
    check_transport,
    check_broker,
    check_shared_cache,
    check_consumers,
    check_secrets,
    check_isolation,
    check_replicas,
    check_partitions,
    check_sqlite_in_production,
    check_sharding,
    check_failpoints,
)


def register_checks() -> None:
    for check in ALL_CHECKS:
        checks.register(check, TAG)
    checks.register(check_partition_counts, checks.Tags.database, TAG)


def refuse_wrong_settings() -> None:
    """Web servers run no system checks of their own: stop here instead of serving wrongly."""
    errors = [
        message for check in ALL_CHECKS for message in check(None) if message.level >= checks.ERROR
    ]
    if errors:
        raise ImproperlyConfigured("\n".join(str(error) for error in errors))
