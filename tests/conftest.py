"""Chooses what the tests run on: --stack=embedded (default) or --stack=real.

The servers of the real stack are started before Django reads its settings, on ports of their own,
and stopped when the run ends.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from deploy.local.__main__ import start_servers
from deploy.local.process import MissingProgram, StartError
from deploy.local.worker import CeleryWorker

# Helpers, too, say what they compared.
pytest.register_assert_rewrite(
    *(f"tests.{name}" for name in ("achievements", "api", "factories", "faults", "invariants")),
    "tests.legacy",
)
pytest_plugins = [
    "tests.kafka",
    "tests.redis_servers",
    "tests.replication",
    "tests.streams",
    "tests.statements.plugin",
]

# A machine that is busy with the rest of the suite may stop for longer than 200 ms.
hypothesis.settings.register_profile("laurel", deadline=None)
hypothesis.settings.load_profile("laurel")

ROOT = Path(__file__).resolve().parent.parent
STACKS = ("embedded", "real")
_SETTING_NAMES = (
    *("LAUREL_ENV", "DEBUG", "DATABASE_URL", "DATABASE_ADMIN_URL", "REDIS_URL", "WEB_WORKERS"),
    *(
        "CELERY_BROKER_URL",
        "KAFKA_BOOTSTRAP_SERVERS",
        "INFLUXDB_URL",
        "SECRET_KEY",
        "ALLOWED_HOSTS",
    ),
    *("JWT_ALGORITHM", "JWT_KEY", "JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE", "TRUSTED_PROXIES"),
    *("CORS_ALLOWED_ORIGINS", "USER_TABLE_PARTITIONS", "REPLICA_URLS", "ACHIEVEMENTS_HISTORY"),
    "DATABASE_SHARDING",
)
_running = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stack",
        choices=STACKS,
        default="embedded",
        help="embedded: SQLite, cache in the process. real: MariaDB, Redis, a Celery broker, and "
        "Kafka from the first test that needs it.",
    )


# Before pytest-django, which sets Django up in the same hook but last.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    if settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests choose their settings.")
    for name in _SETTING_NAMES:
        os.environ.pop(name, None)
    # A shell that starts us in the background lets us ignore Ctrl-C, and our children inherit it:
    # those that tests stop by it would never stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Runs that `make test` divides the suite into judge what all of them sent; theirs alone: a
    # run that a test starts has its own.
    shared_folder = os.environ.pop("SHARED_STATEMENTS_FOLDER", None)
    folder = tempfile.mkdtemp(prefix="laurel-tests-")
    _running.callback(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="config.settings",
        LAUREL_ENV_FILE="",
        DATABASE_URL=f"sqlite:///{folder}/laurel.sqlite3",
        # Tests of the Celery stage choose that transport themselves and start a worker.
        EVENT_TRANSPORT="inline",
        LOG_LEVEL="WARNING",
    )
    if config.getoption("--stack") == "real" and not config.option.collectonly:
        try:
            servers = start_servers(["mariadb", "redis", "broker"], _running, _SMALL_MARIADB)
        except (MissingProgram, StartError) as error:
            _running.close()
            raise pytest.UsageError(f"--stack=real: {error}") from error
        os.environ.update(servers)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="tests.statements.settings",
            STATEMENTS_FOLDER=shared_folder or folder,
            SHARED_REDIS_URL=servers["REDIS_URL"],
        )
    # Reads them now: pytest-django sets Django up only when they are loaded.
    assert settings.DATABASES


# A file of 128 MB is not worth its disk here; what is durable stays durable.
_SMALL_MARIADB: dict[str, str | int] = {"innodb_log_file_size": "32M"}


def pytest_unconfigure(config: pytest.Config) -> None:
    _running.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--stack") == "real":
        return
    left_out = [item for item in items if _needs_servers(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _needs_servers(item)]


def _needs_servers(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("real", "kafka"))


def pytest_report_header(config: pytest.Config) -> str:
    return f"stack: {config.getoption('--stack')}"


@pytest.fixture(autouse=True)
def _patient_with_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stalls is no slow cache; see `impatient_with_the_cache`."""
    monkeypatch.setattr("achievements.cache.SLOW_SECONDS", 60.0)


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """No test sees what another one cached, in the cache or in this process."""
    yield
    from achievements.cache import _Breaker, _debts
    from achievements.filling import _shelter
    from achievements.rarity import forget_tallies
    from achievements.replicas import forget_replicas
    from achievements.rulebooks import forget_rulebook

    forget_rulebook()
    forget_tallies()
    forget_replicas()
    _shelter.forget()
    _debts.settle(_debts.copy())
    _Breaker.slow_in_a_row, _Breaker.closed_until = 0, 0.0
    from django.conf import settings
    from django.core.cache import cache

    if settings.configured:
        cache.clear()


@pytest.fixture
def start_celery_worker(
    transactional_db: None,
) -> Iterator[Callable[..., CeleryWorker]]:
    """Starts real workers on the test's own database and broker; only in tests marked `real`."""
    from django.db import connection

    with ExitStack() as workers:

        def start(*, with_beat: bool = False, **environment: str) -> CeleryWorker:
            url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
            worker = CeleryWorker(
                python=sys.executable,
                root=ROOT,
                environment={
                    **os.environ,
                    "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}",
                    "EVENT_TRANSPORT": "celery",
                    "LOG_LEVEL": "INFO",
                    **environment,
                },
                with_beat=with_beat,
            )
            return workers.enter_context(worker)

        yield start
