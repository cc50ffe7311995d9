import os

import pytest
from django.db import connection

from config import health

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forget_migrations():
    health._AppliedMigrations.forget()


def test_liveness_needs_nothing(client, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readiness_is_ok_when_database_and_cache_answer(client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {"database": "ok", "cache": "ok"}}
    assert "no-store" in response["Cache-Control"]


def test_readiness_asks_for_migrations_only_until_they_are_applied(
    client, django_assert_num_queries
) -> None:
    client.get("/readyz")
    with django_assert_num_queries(1):
        client.get("/readyz")


def test_an_unapplied_migration_is_not_ready(client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "unapplied migrations"


def test_a_cache_that_is_away_only_degrades(client, settings) -> None:
    pytest.importorskip("django_redis")
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 0.2},
        }
    }
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_not_ready(client) -> None:
    from deploy.local.servers import MariaDB

    assert "DATABASE_URL" in os.environ
    with MariaDB({"innodb_log_file_size": "32M"}) as server:
        old = dict(connection.settings_dict)
        connection.close()
        connection.settings_dict.update(
            PORT=server.port, PASSWORD=server.password, NAME="laurel", CONN_HEALTH_CHECKS=True
        )
        try:
            assert client.get("/readyz").json()["checks"]["database"] == "unapplied migrations"
            server.kill()
            response = client.get("/readyz")
            assert response.status_code == 503
            assert response.json()["checks"]["database"] == "unreachable"
        finally:
            connection.close()
            connection.settings_dict.update(old)


def test_other_methods_are_refused(client) -> None:
    assert client.post("/livez").status_code == 405
