import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from config import checks

GOOD_SECRET = "k" * 50
PRODUCTION = {
    "IS_PRODUCTION": True,
    "DEBUG": False,
    "SECRET_KEY": GOOD_SECRET,
    "JWT_ALGORITHM": "HS256",
    "JWT_KEY": GOOD_SECRET,
    "JWT_ISSUER": "https://typing.example",
    "JWT_AUDIENCE": "laurel",
    "ALLOWED_HOSTS": ["typing.example"],
    "REDIS_URL": "redis://cache:6379/0",
    "DATABASES": {
        "default": {
            "ENGINE": "django.db.backends.mysql",
            "OPTIONS": {"isolation_level": "read committed"},
        }
    },
}


def place(*hosts: str) -> dict[str, object]:
    """Databases on these hosts, the primary first; without a host it is SQLite."""
    names = ["default", *(f"replica_{n}" for n in range(1, len(hosts)))]
    return {
        name: {
            "ENGINE": "config.mysql" if host else "django.db.backends.sqlite3",
            "HOST": host,
            "OPTIONS": {"isolation_level": "read committed"},
        }
        for name, host in zip(names, hosts, strict=True)
    }


def run_checks() -> list[CheckMessage]:
    return [message for check in checks.ALL_CHECKS for message in check(None)]


def test_the_embedded_default_is_accepted(settings) -> None:
    settings.REDIS_URL = ""
    assert run_checks() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"EVENT_TRANSPORT": "kafka", "KAFKA_BOOTSTRAP_SERVERS": ""}, ["laurel.E001"]),
        ({"EVENT_TRANSPORT": "celery", "CELERY_BROKER_URL": None}, ["laurel.E002"]),
        ({"CELERY_BROKER_URL": "redis-cluster://b:1,c:1"}, ["laurel.E011"]),
        ({"CELERY_BROKER_URL": "rediss-cluster://b:1"}, ["laurel.E011"]),
        ({"CELERY_BROKER_URL": "redis-sentinel://b:1/laurel"}, ["laurel.E011"]),
        ({"REDIS_URL": "redis-cluster://b:1,c:1", "WEB_WORKERS": 4}, []),
        ({"REDIS_URL": "", "WEB_WORKERS": 4}, ["laurel.E003"]),
        (
            {"REDIS_URL": "", "EVENT_TRANSPORT": "celery", "CELERY_BROKER_URL": "redis://b/0"},
            ["laurel.E003"],
        ),
        ({"KAFKA_CONSUMERS": 50}, []),
        ({"KAFKA_CONSUMERS": 51}, ["laurel.W003"]),
        ({"SECRET_KEY": ""}, ["laurel.E004"]),
        ({"SECRET_KEY": "short"}, ["laurel.E004"]),
        ({"JWT_KEY": ""}, ["laurel.E005"]),
        ({"JWT_KEY": "", "JWT_ALGORITHM": "RS256", "JWT_JWKS_URL": ""}, ["laurel.E005"]),
        ({"JWT_KEY": "", "JWT_ALGORITHM": "RS256", "JWT_JWKS_URL": "https://h.example/k"}, []),
        ({"JWT_AUDIENCE": ""}, ["laurel.E005"]),
        ({"DEBUG": True}, ["laurel.E006"]),
        (
            {
                "DATABASES": {
                    "default": {
                        "ENGINE": "django.db.backends.mysql",
                        "OPTIONS": {"isolation_level": "repeatable read"},
                    }
                }
            },
            ["laurel.E007"],
        ),
        ({"REPLICAS": ["replica_1", "replica_2"], "DATABASES": place("a", "b", "c")}, []),
        ({"REPLICAS": ["replica_1"], "DATABASES": place("a", "A")}, ["laurel.E012"]),
        (
            {"REPLICAS": ["replica_1", "replica_2"], "DATABASES": place("a", "b", "b")},
            ["laurel.E012"],
        ),
        ({"REPLICAS": ["replica_1"], "DATABASES": place("a", "")}, ["laurel.E012"]),
        ({"REPLICAS": ["replica_1"], "DATABASES": place("", "b")}, ["laurel.E012", "laurel.W001"]),
        ({"USER_TABLE_PARTITIONS": 0}, ["laurel.E008"]),
        ({"USER_TABLE_PARTITIONS": 8193}, ["laurel.E008"]),
        ({"ALLOWED_HOSTS": []}, ["laurel.E009"]),
        (
            {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}},
            ["laurel.W001"],
        ),
    ],
)
def test_production(settings, monkeypatch, changes, expected) -> None:
    for name, value in {**PRODUCTION, **changes}.items():
        if name == "DATABASES":
            # pytest-django guards the connections: the checks only read the dictionary.
            monkeypatch.setattr(django_settings, "DATABASES", value)
        else:
            setattr(settings, name, value)
    found = run_checks()
    assert [message.id for message in found] == expected
    assert all(message.hint for message in found)


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_KEY"])
def test_the_secrets_of_development_are_refused_in_production(settings, monkeypatch, name) -> None:
    for key, value in PRODUCTION.items():
        if key != "DATABASES":
            setattr(settings, key, value)
    monkeypatch.setattr(django_settings, "DATABASES", PRODUCTION["DATABASES"])
    setattr(settings, name, getattr(settings, f"DEVELOPMENT_{name}"))
    assert [message.id for message in run_checks()] == [
        "laurel.E004" if name == "SECRET_KEY" else "laurel.E005"
    ]


def test_a_web_server_refuses_to_start_on_an_error(settings) -> None:
    settings.EVENT_TRANSPORT = "kafka"
    settings.KAFKA_BOOTSTRAP_SERVERS = ""
    settings.REDIS_URL = "redis://cache:6379/0"
    with pytest.raises(ImproperlyConfigured, match="KAFKA_BOOTSTRAP_SERVERS"):
        checks.refuse_wrong_settings()


def test_only_a_database_that_speaks_mysql_can_be_sharded(settings) -> None:
    settings.DATABASE_SHARDING = "vitess"
    found = [error.id for error in checks.check_sharding(None)]
    assert found == ([] if connection.vendor == "mysql" else ["laurel.E013"])
    settings.DATABASE_SHARDING = "none"
    assert checks.check_sharding(None) == []
