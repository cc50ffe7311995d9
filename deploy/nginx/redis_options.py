"""Writes what redis.lua has to know, from the site's own reading of REDIS_URL."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from deploy.nginx.lua_text import quote, write_list

KINDS = {"redis": "single", "redis-cluster": "cluster", "redis-sentinel": "sentinel"}


class ConfigurationError(ValueError):
    """A variable holds what the edge cannot use; the message names it."""


def write_redis(url: str, cache: Mapping[str, Any]) -> str:
    """Return the options of redis.lua; `cache` is the site's CACHES entry for the URL.

    An error never repeats the URL: it may hold a password.
    """
    kind = KINDS.get(url.partition("://")[0].lower())
    if kind is None:
        raise ConfigurationError(
            "REDIS_URL: the edge needs the site's redis://HOST:PORT, redis-cluster://HOST:PORT,..."
            " or redis-sentinel://HOST:PORT,.../SERVICE; TLS to Redis is for a local proxy."
        )
    service = ""
    if kind == "single":
        # Here, because the site's own check of the URL says it better where the package is missing.
        from redis.connection import parse_url

        access = parse_url(url)  # type: ignore[no-untyped-call]
        addresses = [(access.get("host", "localhost"), access.get("port", 6379))]
        name, password = access.get("username", ""), access.get("password", "")
        database = access.get("db", 0)
    else:
        options = cache["OPTIONS"]
        addresses = options["SEEDS" if kind == "cluster" else "SENTINELS"]
        name, password = options.get("USERNAME", ""), options.get("PASSWORD", "")
        database = 0
    if kind == "sentinel":
        place = urlsplit(cache["LOCATION"][0])  # where a host would be stands the service
        service, database = place.netloc, int(place.path.strip("/"))
    greeting = [["AUTH", *filter(None, (name, password))]] if password else []
    if database:
        greeting.append(["SELECT", str(database)])
    return (
        f"{{ kind = {quote(kind)}, service = {quote(service)},"
        f" nodes = {write_list(write_node(host, port) for host, port in addresses)},"
        f" greeting = {quote(''.join(map(write_command, greeting)))},"
        f" greetings = {len(greeting)} }}"
    )


def write_node(host: str, port: int) -> str:
    """Return address:port. Names are refused: nginx's sockets look up none without a resolver."""
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        raise ConfigurationError(
            f"REDIS_URL: the edge reaches Redis by its address, not by the name {host!r}."
        ) from None
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def write_command(words: Sequence[str]) -> str:
    """Return a command as Redis's protocol has it, whatever its words hold."""
    lines = [f"*{len(words)}"]
    for word in words:
        lines += [f"${len(word.encode())}", word]
    return "".join(line + "\r\n" for line in lines)
