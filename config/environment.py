"""Readers of environment variables that fail loudly, naming the variable and what it may hold."""

import ipaddress
from collections.abc import Collection
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()

MYSQL_SQL_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


class SettingError(ImproperlyConfigured):
    """An environment variable holds something that cannot be used."""


def read_text(name: str, default: str = "") -> str:
    return str(env.str(name, default=default)).strip()


def read_secret(name: str, *, development_default: str, is_production: bool) -> str:
    """A secret has a default in development only; in production a missing one reads as empty."""
    return read_text(name, "" if is_production else development_default)


def read_flag(name: str, default: bool) -> bool:
    text = read_text(name, "yes" if default else "no").lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise SettingError(f"{name}={text!r}: expected yes or no.")


def read_int(name: str, default: int, *, low: int | None = None, high: int | None = None) -> int:
    text = read_text(name, str(default)) or str(default)
    try:
        value = int(text)
    except ValueError:
        raise SettingError(f"{name}={text!r}: expected a whole number.") from None
    if (low is not None and value < low) or (high is not None and value > high):
        raise SettingError(f"{name}={value}: expected a number from {low} to {high}.")
    return value


def read_choice(name: str, default: str, allowed: Collection[str]) -> str:
    value = read_text(name, default) or default
    if value not in allowed:
        raise SettingError(f"{name}={value!r}: expected one of {', '.join(allowed)}.")
    return value


def read_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in read_text(name, default).split(",") if part.strip()]


def read_networks(name: str) -> list[str]:
    """Addresses or networks in CIDR notation, comma separated."""
    networks = read_list(name)
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise SettingError(
                f"{name}: {network!r} is not an IP address or network (10.0.0.0/8)."
            ) from None
    return networks


def read_rate(name: str, default: str) -> tuple[int, int] | None:
    """Calls a window: 600/minute is (600, 60); off is None."""
    text = read_text(name, default).lower() or default
    if text == "off":
        return None
    calls, _, unit = text.partition("/")
    seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}.get(unit)
    if not calls.isdecimal() or int(calls) < 1 or seconds is None:
        raise SettingError(f"{name}={text!r}: expected CALLS/second, minute, hour or day, or off.")
    return int(calls), seconds


def read_database(name: str, default: str, *, base_dir: Path) -> dict[str, Any]:
    """A Django database dictionary from a URL of sqlite, mysql or mariadb.

    Query parameters of the URL become driver options and win over the defaults set here.
    """
    return _build_database(read_text(name, default) or default, name=name, base_dir=base_dir)


def read_replicas(
    name: str, *, primary: dict[str, Any], timeout_seconds: int, base_dir: Path
) -> dict[str, dict[str, Any]]:
    """The databases replica_1, replica_2 ... of a list of URLs, and the primary for short reads.

    Empty without any URL.
    """
    urls = read_list(name)
    if not urls:
        return {}
    databases = {"primary_reads": primary}
    for number, url in enumerate(urls, start=1):
        databases[f"replica_{number}"] = _build_database(url, name=name, base_dir=base_dir)
    timeouts = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), timeout_seconds)
    return {
        alias: {
            **database,
            "OPTIONS": {**database["OPTIONS"], **timeouts},
            "FOR_READS": True,
            # One that fails is asked over a new connection, or another one is asked.
            "CONN_HEALTH_CHECKS": False,
            "TEST": {"MIRROR": "default"},
        }
        for alias, database in databases.items()
    }


def _build_database(url: str, *, name: str, base_dir: Path) -> dict[str, Any]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"sqlite", "mysql", "mariadb"}:
        # The URL is not repeated: it may hold a password.
        raise SettingError(
            f"{name}: expected sqlite:///PATH or mysql://USER:PASSWORD@HOST:PORT/NAME."
        )
    try:
        if scheme == "sqlite":
            return _build_sqlite(env.db_url_config(url), base_dir=base_dir)
        return _build_mysql(env.db_url_config(f"mysql://{rest}", engine="config.mysql"), name=name)
    except ValueError:
        raise SettingError(f"{name}: a port, or a number of its options, is none.") from None


def _build_sqlite(database: dict[str, Any], *, base_dir: Path) -> dict[str, Any]:
    file = str(database["NAME"])
    if file != ":memory:":
        path = base_dir / file  # an absolute path stays as it is
        path.parent.mkdir(parents=True, exist_ok=True)
        file = str(path)
    return {
        **database,
        "NAME": file,
        "OPTIONS": {
            # IMMEDIATE takes the write lock when the transaction begins: a transaction that reads
            # and then writes would otherwise fail at once when another one wrote in between.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": (
                "PRAGMA journal_mode=WAL;"
                "PRAGMA synchronous=NORMAL;"
                "PRAGMA temp_store=MEMORY;"
                "PRAGMA cache_size=-20000"
            ),
            **database.get("OPTIONS", {}),
        },
        # A file, so that tests with several threads meet the same locks as in service.
        "TEST": {"NAME": None if file == ":memory:" else f"{file}.test"},
    }


def _build_mysql(database: dict[str, Any], *, name: str) -> dict[str, Any]:
    if not database["NAME"]:
        raise SettingError(f"{name}: the URL names no database.")
    options: dict[str, Any] = {
        "charset": "utf8mb4",
        # Gap locks of REPEATABLE READ deadlock the engine's locked reads of missing users.
        "isolation_level": "read committed",
        "init_command": f"SET sql_mode='{MYSQL_SQL_MODE}'",
        "connect_timeout": 5,
        "read_timeout": read_int("DATABASE_TIMEOUT_SECONDS", 60, low=1, high=86_400),
        "write_timeout": read_int("DATABASE_TIMEOUT_SECONDS", 60, low=1, high=86_400),
        **database.get("OPTIONS", {}),
    }
    for key in ("connect_timeout", "read_timeout", "write_timeout"):
        options[key] = int(options[key])
    options["isolation_level"] = str(options["isolation_level"]).replace("-", " ").lower()
    return {
        **database,
        "OPTIONS": options,
        "CONN_MAX_AGE": 300,
        "CONN_HEALTH_CHECKS": True,
        "TEST": {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_unicode_ci"},
    }
