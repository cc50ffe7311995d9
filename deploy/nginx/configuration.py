"""Writes the edge's configuration from the site's own settings."""

from collections.abc import Sequence
from pathlib import Path
from string import Template
from types import ModuleType

from deploy.nginx.lua_text import quote, write_list, write_set
from deploy.nginx.redis_options import ConfigurationError, write_redis

FOLDER = Path(__file__).parent
MODULE_FOLDERS = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules")
LUA_MODULE = "ngx_http_lua_module.so"
FORWARDED_PROTO = (
    "if ($http_x_forwarded_proto) { set $forwarded_proto $http_x_forwarded_proto; }",
)


def find_modules() -> Path | None:
    """The folder of nginx's modules, where the one for Lua is installed."""
    found = (Path(folder) for folder in MODULE_FOLDERS)
    return next((folder for folder in found if (folder / LUA_MODULE).exists()), None)


def write_configuration(
    *,
    listen: str,
    site: str,
    state: Path,
    settings: ModuleType,
    stream: str = "",
    workers: str = "auto",
    user: str = "",
) -> str:
    """Return nginx.conf. `listen`, `site` and `stream` are HOST:PORT, `state` a folder it may use.

    `settings` is config.settings, which read the environment. Raises ConfigurationError.
    """
    modules = find_modules()
    if modules is None:
        raise ConfigurationError(
            f"{LUA_MODULE} is not installed: apt-get install -y nginx libnginx-mod-http-lua"
        )
    template = Template((FOLDER / "edge.conf.template").read_text(encoding="utf-8"))
    trusted = settings.TRUSTED_PROXIES
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
        hsts=write_hsts(getattr(settings, "SECURE_HSTS_SECONDS", 0)),
        redis_options=write_redis(settings.REDIS_URL, settings.CACHES["default"]),
        call_options=write_calls(settings.API_THROTTLE_RATES["public"]),
        edge_options=write_edge(settings),
    )


def write_real_ip(trusted: Sequence[str]) -> list[str]:
    if not trusted:
        return []
    believed = [f"set_real_ip_from {network};" for network in trusted]
    return [*believed, "real_ip_header X-Forwarded-For;", "real_ip_recursive on;"]


def write_hsts(seconds: int) -> str:
    return f'"max-age={seconds}; includeSubDomains; preload"' if seconds else '""'


def write_calls(rate: tuple[int, int] | None) -> str:
    if rate is None:
        return "{}"
    return f"{{ limit = {rate[0]}, window_seconds = {rate[1]} }}"


def write_edge(settings: ModuleType) -> str:
    needs_https = bool(getattr(settings, "SECURE_SSL_REDIRECT", False))
    return (
        f"{{ origins = {write_set(settings.CORS_ALLOWED_ORIGINS)},"
        f" hosts = {write_list(host.lower() for host in settings.ALLOWED_HOSTS)},"
        f" needs_https = {str(needs_https).lower()}, session_cookie = 'sessionid',"
        f" exposed = {quote(', '.join(settings.CORS_EXPOSE_HEADERS))} }}"
    )


def indent(width: int, lines: Sequence[str]) -> str:
    return "\n".join(" " * width + line for line in lines)
