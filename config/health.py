"""Liveness and readiness for orchestrators and load balancers."""

import secrets

import structlog
from django.conf import settings
from django.core.cache import cache as default_cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from achievements import replicas

logger = structlog.get_logger(__name__)

UNREACHABLE = "unreachable"
# Enough names to meet every master of a Redis Cluster.
PROBE_NAMES = tuple(f"readyz:probe:{number}" for number in range(16))


@require_safe
@never_cache
def show_liveness(request: HttpRequest) -> JsonResponse:
    """The process answers. Depends on nothing: restarting it would not mend a dependency."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def show_readiness(request: HttpRequest) -> JsonResponse:
    """503 when requests cannot be served; 200 and `degraded` when they are slower, or only read."""
    checks = {"database": check_database(), "cache": check_cache()}
    can_read = False
    if replicas.are_configured():
        answering, every = replicas.count_answering(), len(settings.REPLICAS)
        checks["replicas"] = "ok" if answering == every else f"{answering} of {every}"
        can_read = answering > 0
    if checks["database"] != "ok" and not (checks["database"] == UNREACHABLE and can_read):
        return JsonResponse({"status": "unavailable", "checks": checks}, status=503)
    status = "ok" if set(checks.values()) == {"ok"} else "degraded"
    return JsonResponse({"status": status, "checks": checks})


def check_database() -> str:
    # Where there are replicas, it says within their short time whether the primary is away.
    if replicas.are_configured() and replicas.ask_primary(lambda: True) is None:
        return UNREACHABLE
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        return "ok" if _has_all_migrations() else "unapplied migrations"
    except DatabaseError as error:
        logger.warning("database_not_ready", error=str(error))
        # A connection that broke is closed, or every later probe would meet it again.
        connection.close()
        return UNREACHABLE


def check_cache() -> str:
    # The cache ignores its own failures, so only a value that comes back proves that it works.
    values = dict.fromkeys(PROBE_NAMES, secrets.token_hex(8))
    default_cache.set_many(values, timeout=10)
    found = default_cache.get_many(PROBE_NAMES)
    if found == values:
        return "ok"
    return "partly unreachable" if values.items() & found.items() else "unreachable"


def _has_all_migrations() -> bool:
    if _AppliedMigrations.are_known():
        return True
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return False
    _AppliedMigrations.remember()
    return True


class _AppliedMigrations:
    """Reading the migration files is slow, and what is applied stays so while the process lives."""

    _known = False

    @classmethod
    def are_known(cls) -> bool:
        return cls._known

    @classmethod
    def remember(cls) -> None:
        cls._known = True

    @classmethod
    def forget(cls) -> None:
        cls._known = False
