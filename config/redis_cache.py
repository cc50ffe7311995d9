"""The cache in Redis by REDIS_URL: one server, a Redis Cluster, or a master named by Sentinel."""

import re
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import unquote

from config.environment import SettingError

TIMEOUT_SECONDS: Final = 0.25

SINGLE_SCHEMES: Final = ("redis", "rediss", "unix")
CLUSTER_SCHEMES: Final = ("redis-cluster", "rediss-cluster")
SENTINEL_SCHEMES: Final = ("redis-sentinel", "rediss-sentinel")

_EXPECTED: Final = (
    "expected redis://[USER:PASSWORD@]HOST:PORT/DB,"
    " redis-cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT or"
    " redis-sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/SERVICE[/DB]"
    " (rediss, rediss-cluster and rediss-sentinel for TLS)."
)
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/?#]+):(\d{1,5})")


def read_scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ""


def build_cache(url: str, *, name: str) -> dict[str, Any]:
    """Django's CACHES entry for the URL of the variable `name`.

    Names in Redis are exactly the documented keys, and a cache that is away makes reads slower
    but never fails a request. An error never repeats the URL: it may hold a password.
    """
    scheme = read_scheme(url)
    location: str | list[str] = url
    options: dict[str, Any] = {}
    if scheme not in (*SINGLE_SCHEMES, *CLUSTER_SCHEMES, *SENTINEL_SCHEMES):
        raise SettingError(f"{name}: {_EXPECTED}")
    if find_spec("django_redis") is None:
        raise SettingError(f"{name} is set but django-redis is missing: see requirements.txt.")
    if scheme in CLUSTER_SCHEMES:
        location, options = _build_cluster(url, name)
    elif scheme in SENTINEL_SCHEMES:
        location, options = _build_sentinel(url, name)
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": location,
        "KEY_FUNCTION": "config.cache_names.keep_name",
        "OPTIONS": {
            "SERIALIZER": "config.redis_serializer.DocumentSerializer",
            "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
            "IGNORE_EXCEPTIONS": True,
            **options,
        },
    }


def _build_cluster(url: str, name: str) -> tuple[list[str], dict[str, Any]]:
    access, addresses, path = _split(url, name)
    if path not in ("", "0"):
        raise SettingError(f"{name}: a Redis Cluster has one database only, number 0.")
    # A list, because django-redis takes a text with commas for several servers.
    location = [f"{read_scheme(url)}://{_join(addresses)}"]
    return location, {
        "CLIENT_CLASS": "config.redis_cluster_client.ClusterClient",
        "SEEDS": addresses,
        "IS_ENCRYPTED": read_scheme(url).startswith("rediss"),
        **access,
    }


def _build_sentinel(url: str, name: str) -> tuple[list[str], dict[str, Any]]:
    access, addresses, path = _split(url, name)
    service, _, number = path.partition("/")
    if not re.fullmatch(r"[\w.-]+", service) or not re.fullmatch(r"\d{0,5}", number):
        raise SettingError(f"{name}: {_EXPECTED}")
    is_encrypted = read_scheme(url).startswith("rediss")
    # The factory reads the service's name where a host would be.
    location = [f"redis://{service}/{number or 0}"]
    return location, {
        "CLIENT_CLASS": "config.redis_sentinel_client.MasterClient",
        "CONNECTION_FACTORY": "config.redis_sentinel_client.MasterFactory",
        "SENTINELS": addresses,
        "CONNECTION_POOL_KWARGS": {"ssl": True} if is_encrypted else {},
        **access,
    }


def _split(url: str, name: str) -> tuple[dict[str, str], list[tuple[str, int]], str]:
    """The user's name and password where there are any, the addresses, and the path."""
    rest = url.partition("://")[2]
    access, _, rest = rest.rpartition("@")
    hosts, _, path = rest.partition("/")
    addresses = []
    for part in hosts.split(","):
        match = _ADDRESS.fullmatch(part.strip())
        if match is None or not 0 < int(match[2]) < 65_536:
            raise SettingError(f"{name}: {_EXPECTED}")
        addresses.append((match[1].strip("[]"), int(match[2])))
    if "?" in path or "#" in path:
        raise SettingError(f"{name}: {_EXPECTED}")
    user, _, password = access.partition(":")
    found = {"USERNAME": unquote(user), "PASSWORD": unquote(password)}
    return {key: text for key, text in found.items() if text}, addresses, path.rstrip("/")


def _join(addresses: list[tuple[str, int]]) -> str:
    return ",".join(f"{host}:{port}" for host, port in addresses)
