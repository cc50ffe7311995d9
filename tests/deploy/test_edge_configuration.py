"""The edge's configuration: every form of REDIS_URL, what is refused, nothing that breaks out."""

import subprocess
import sys
from pathlib import Path

import pytest

from config.redis_cache import build_cache
from deploy.local.nginx import Edge
from deploy.local.process import HOST, find_free_port
from deploy.local.redis_cluster import wait_until
from deploy.local.servers import Redis
from deploy.nginx.lua_text import quote, write_list
from deploy.nginx.redis_options import ConfigurationError, write_command, write_redis

ROOT = Path(__file__).resolve().parents[2]


def write_options(url: str) -> str:
    return write_redis(url, build_cache(url, name="REDIS_URL"))


@pytest.mark.parametrize(
    ("url", "kind", "nodes", "greeting"),
    [
        ("redis://10.0.0.1:1/0", "single", ["10.0.0.1:1"], []),
        ("redis://localhost", "single", ["127.0.0.1:6379"], []),
        ("redis://[::1]:7/0", "single", ["[::1]:7"], []),
        ("redis://:p%20w@10.0.0.1:1/2", "single", ["10.0.0.1:1"], ["AUTH", "p w", "SELECT", "2"]),
        ("redis://u:p@10.0.0.1:1", "single", ["10.0.0.1:1"], ["AUTH", "u", "p"]),
        ("redis://10.0.0.1:1?db=2", "single", ["10.0.0.1:1"], ["SELECT", "2"]),
        ("redis://10.0.0.1:1/0?password=x", "single", ["10.0.0.1:1"], ["AUTH", "x"]),
        (
            "redis-cluster://u:p@10.0.0.1:1,[::1]:2",
            "cluster",
            ["10.0.0.1:1", "[::1]:2"],
            ["AUTH", "u", "p"],
        ),
        (
            "redis-sentinel://:p@10.0.0.1:1,10.0.0.2:2/main/3",
            "sentinel",
            ["10.0.0.1:1", "10.0.0.2:2"],
            ["AUTH", "p", "SELECT", "3"],
        ),
    ],
)
def test_every_redis_is_read_as_the_site_reads_it(
    url: str, kind: str, nodes: list[str], greeting: list[str]
) -> None:
    options = write_options(url)
    assert f'kind = "{kind}", service = "{"main" if kind == "sentinel" else ""}"' in options
    assert f"nodes = {write_list(nodes)}," in options
    words = [
        word for word in ("AUTH", "u", "p", "p w", "x", "SELECT", "2", "3") if word in greeting
    ]
    for word in words:
        assert quote(f"\r\n{word}\r\n")[1:-1] in options
    assert f"greetings = {len({'AUTH', 'SELECT'} & set(greeting))} " in options


@pytest.mark.parametrize("url", ["", "memcached://h", "redis-other://h"])
def test_no_redis_at_all_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        write_redis(url, {})


@pytest.mark.parametrize("url", ["rediss://h:1", "redis://redis:6379/0"])
def test_one_that_the_site_takes_and_the_edge_cannot_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        write_options(url)


def write(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.nginx"],
        cwd=ROOT,
        env={"LAUREL_ENV_FILE": "", "REDIS_URL": "redis://10.0.0.1:1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.real
def test_variables_mean_what_they_mean_to_the_site() -> None:
    production = {"LAUREL_ENV": "production", "ALLOWED_HOSTS": "A.example.org"}
    for text, needs in {"": "false", "no": "false", "yes": "true", "1": "true"}.items():
        done = write(**production, SECURE_SSL_REDIRECT=text)
        assert f"needs_https = {needs}," in done.stdout
    assert 'hosts = { "a.example.org" }' in done.stdout
    assert "max-age=31536000; includeSubDomains; preload" in done.stdout
    assert "preload" not in write(**production, SECURE_HSTS_SECONDS="0").stdout
    assert "limit = 5, window_seconds = 60 " in write(THROTTLE_PUBLIC=" 5/Minute ").stdout
    for name, value in {
        "THROTTLE_PUBLIC": "0/minute",
        "TRUSTED_PROXIES": "proxy",
        "SECURE_SSL_REDIRECT": "perhaps",
        "REDIS_URL": "redis-sentinel://10.0.0.1:1",
    }.items():
        done = write(**{**production, name: value})
        assert (done.returncode, done.stdout) == (1, "")
        assert name in done.stderr
        assert "Traceback" not in done.stderr


def test_text_cannot_leave_its_quotes() -> None:
    assert quote('a"] = os.execute("x") --\n') == (
        '"a\\034] \\061 os.execute\\040\\034x\\034\\041 --\\010"'
    )
    assert quote("ü$x") == '"\\195\\188\\036x"'
    assert write_command(["AUTH", "p w"]) == "*2\r\n$4\r\nAUTH\r\n$3\r\np w\r\n"


@pytest.mark.real
def test_the_command_says_what_is_wrong() -> None:
    done = write(REDIS_URL="rediss://:secret@h:1")
    assert done.returncode == 1
    assert "secret" not in done.stderr
    assert done.stdout == ""
    done = write(REDIS_URL="")
    assert done.returncode == 1
    assert done.stderr.startswith("REDIS_URL: ")


@pytest.mark.real
def test_a_password_with_anything_in_it_and_a_database(tmp_path: Path) -> None:
    password = "p w\"'$;\\ü"
    with Redis({"requirepass": password}) as redis:
        from urllib.parse import quote as escape

        from redis import Redis as Client

        url = f"redis://:{escape(password, safe='')}@{HOST}:{redis.port}/3"
        client = Client(host=HOST, port=redis.port, password=password, db=3)
        client.set("achievements:rulebook", b'{"version":7,"document":{}}')
        etag = "0123456789abcdef"
        header = f"L2o-{1:016x}{7:08x}{1:08x}{2**32 - 1:08x}{etag}\n"
        client.set("user:{5}:achievements", header.encode() + b'{"userId":5}')
        with Edge(site=f"{HOST}:{find_free_port()}", environment={"REDIS_URL": url}) as edge:
            import httpx

            address = f"http://{HOST}:{edge.port}/api/v1/users/5/achievements"
            wait_until(lambda: httpx.get(address).status_code == 200)
            found = httpx.get(address)
    assert found.json() == {"userId": 5}
    assert found.headers["ETag"] == f'W/"{etag}"'
