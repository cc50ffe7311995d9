"""Writes the edge's configuration from the site's own environment variables."""

import os
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlsplit

FOLDER = Path(__file__).parent
MODULE_FOLDERS = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules")
LUA_MODULE = "ngx_http_lua_module.so"
FORWARDED_PROTO = (
    "if ($http_x_forwarded_proto) { set $forwarded_proto $http_x_forwarded_proto; }",
)
NO = {"0", "false", "no", "off"}
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
# As CORS_EXPOSE_HEADERS in config/settings.py; the contract test holds both together.
EXPOSED = (
    "ETag, Location, Retry-After, WWW-Authenticate,"
    " RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy"
)


class ConfigurationError(ValueError):
    """A variable holds what the edge cannot use; the message names it."""


def find_modules() -> Path | None:
    """The folder of nginx's modules, where the one for Lua is installed."""
    found = (Path(folder) for folder in MODULE_FOLDERS)
    return next((folder for folder in found if (folder / LUA_MODULE).exists()), None)


def write_configuration(
    *,
    listen: str,
    site: str,
    state: Path,
    stream: str = "",
    workers: str = "auto",
    user: str = "",
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Return nginx.conf. `listen`, `site` and `stream` are HOST:PORT, `state` a folder it may use.

    Read from the environment, as by the site: REDIS_URL, ALLOWED_HOSTS, CORS_ALLOWED_ORIGINS,
    THROTTLE_PUBLIC, TRUSTED_PROXIES, SECURE_HSTS_SECONDS with LAUREL_ENV=production; and, with
    Sentinel, EDGE_REDIS_NODES. Raises ConfigurationError.
    """
    modules = find_modules()
    if modules is None:
        raise ConfigurationError(
            f"{LUA_MODULE} is not installed: apt-get install -y nginx libnginx-mod-http-lua"
        )
    trusted = split(environment.get("TRUSTED_PROXIES", ""))
    is_production = environment.get("LAUREL_ENV") == "production"
    hsts_seconds = environment.get("SECURE_HSTS_SECONDS", "31536000") if is_production else "0"
    has_hsts = hsts_seconds != "0"
    hsts = f'"max-age={hsts_seconds}; includeSubDomains; preload"'
    template = Template((FOLDER / "edge.conf.template").read_text(encoding="utf-8"))
    return template.substitute(
        modules=modules,
        workers=workers,
        state=state,
        user=f"user {user};" if user else "",
        lua=FOLDER,
        listen=listen,
        site=site,
        stream=stream or site,
        real_ip=indent(4, write_real_ip(trusted)),
        forwarded_proto=indent(8, FORWARDED_PROTO if trusted else ()),
        hsts=hsts if has_hsts else '""',
        redis_options=write_redis(
            environment.get("REDIS_URL", ""), sentinel_nodes=environment.get("EDGE_REDIS_NODES", "")
        ),
        call_options=write_calls(environment.get("THROTTLE_PUBLIC") or "6000/minute"),
        edge_options=write_edge(
            origins=split(environment.get("CORS_ALLOWED_ORIGINS", "")),
            hosts=split(environment.get("ALLOWED_HOSTS") or "localhost,127.0.0.1,[::1]"),
            needs_https=is_production
            and environment.get("SECURE_SSL_REDIRECT", "yes").lower() not in NO,
        ),
    )


def write_real_ip(trusted: Sequence[str]) -> list[str]:
    if not trusted:
        return []
    believed = [f"set_real_ip_from {network};" for network in trusted]
    return [*believed, "real_ip_header X-Forwarded-For;", "real_ip_recursive on;"]


def write_redis(url: str, *, sentinel_nodes: str = "") -> str:
    """Return the options of redis.lua for any REDIS_URL that the site takes but rediss://."""
    parts = urlsplit(url)
    kind = parts.scheme.partition("-")[2]
    if parts.scheme.partition("-")[0] != "redis" or kind not in {"", "cluster", "sentinel"}:
        raise ConfigurationError(
            "REDIS_URL: the edge needs redis://HOST:PORT, redis-cluster://HOST:PORT,... or"
            " redis-sentinel://...; TLS to Redis is for a local proxy."
        )
    credentials, _, places = parts.netloc.rpartition("@")
    if kind == "sentinel":
        # It asks the servers themselves, one after the other; Sentinel only knows their names.
        places = sentinel_nodes
        if not places:
            raise ConfigurationError("EDGE_REDIS_NODES: name the Redis servers, HOST:PORT,...")
    name, _, password = (unquote(part) for part in credentials.partition(":"))
    greeting = [["AUTH", *filter(None, (name, password))]] if password else []
    database = parts.path.rpartition("/")[2]
    if kind != "cluster" and database.isdigit() and database != "0":
        greeting.append(["SELECT", database])
    nodes = [read_node(place) for place in split(places)]
    return (
        f"{{ nodes = {write_list(nodes)}, is_cluster = {str(kind == 'cluster').lower()},"
        f" greeting = {quote(''.join(map(write_command, greeting)))},"
        f" greetings = {len(greeting)} }}"
    )


def read_node(place: str) -> str:
    """Return address:port. Names are refused: nginx's sockets look up none without a resolver."""
    host, _, port = place.rpartition(":") if ":" in place else (place, "", "6379")
    address = "127.0.0.1" if host == "localhost" else host
    try:
        ip_address(address)
    except ValueError:
        raise ConfigurationError(
            f"REDIS_URL: the edge reaches Redis by its address, not by the name {host!r}."
        ) from None
    return f"{address}:{port}"


def write_command(words: Sequence[str]) -> str:
    """Return a command as Redis's protocol has it, whatever its words hold."""
    lines = [f"*{len(words)}"]
    for word in words:
        lines += [f"${len(word.encode())}", word]
    return "".join(line + "\r\n" for line in lines)


def write_calls(rate: str) -> str:
    if rate.lower() == "off":
        return "{}"
    calls, _, unit = rate.lower().partition("/")
    if not calls.isdecimal() or unit not in UNITS:
        raise ConfigurationError(f"THROTTLE_PUBLIC={rate!r}: expected CALLS/minute, or off.")
    return f"{{ limit = {calls}, window_seconds = {UNITS[unit]} }}"


def write_edge(*, origins: Sequence[str], hosts: Sequence[str], needs_https: bool) -> str:
    allowed = ", ".join(f"[{quote(origin)}] = true" for origin in origins)
    return (
        f"{{ origins = {{ {allowed} }}, hosts = {write_list(hosts)},"
        f" needs_https = {str(needs_https).lower()}, session_cookie = 'sessionid',"
        f" exposed = {quote(EXPOSED)} }}"
    )


def write_list(texts: Sequence[str]) -> str:
    return "{ " + ", ".join(map(quote, texts)) + " }"


def quote(text: str) -> str:
    """Return a string of Lua: every byte that is not plainly harmless as its number."""
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.:/,*[]"
    escaped = (c if c in safe else "".join(f"\\{n:03d}" for n in c.encode()) for c in text)
    return '"' + "".join(escaped) + '"'


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def indent(width: int, lines: Sequence[str]) -> str:
    return "\n".join(" " * width + line for line in lines)
