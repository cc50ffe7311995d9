"""The edge's configuration: every form of REDIS_URL, what is refused, nothing that breaks out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.nginx import Edge
from deploy.local.process import HOST, find_free_port
from deploy.local.servers import Redis
from deploy.nginx.configuration import (
    ConfigurationError,
    quote,
    write_calls,
    write_command,
    write_redis,
)

TWO = '{ "10.0.0.1:1", "10.0.0.2:2" }'
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("url", "nodes", "is_cluster", "greetings"),
    [
        pytest.param("redis://10.0.0.1:1/0", '{ "10.0.0.1:1" }', "false", 0, id="one server"),
        pytest.param("redis://localhost", '{ "127.0.0.1:6379" }', "false", 0, id="no port"),
        pytest.param(
            "redis://:p%20w@10.0.0.1:1/2", '{ "10.0.0.1:1" }', "false", 2, id="password, database"
        ),
        pytest.param(
            "redis-cluster://u:p@10.0.0.1:1,10.0.0.2:2",
            '{ "10.0.0.1:1", "10.0.0.2:2" }',
            "true",
            1,
            id="a cluster",
        ),
        pytest.param(
            "redis-sentinel://s:1/main/0",
            TWO,
            "false",
            0,
            id="Sentinel",
        ),
    ],
)
def test_every_redis_that_the_site_takes(
    url: str, nodes: str, is_cluster: str, greetings: int
) -> None:
    options = write_redis(url, sentinel_nodes="10.0.0.1:1,10.0.0.2:2")
    assert f"nodes = {nodes}, is_cluster = {is_cluster}," in options
    assert f"greetings = {greetings} " in options


@pytest.mark.parametrize(
    "url", ["", "rediss://h:1", "memcached://h", "redis-other://h", "redis://redis:6379/0"]
)
def test_another_one_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        write_redis(url)


def test_sentinel_needs_the_servers() -> None:
    with pytest.raises(ConfigurationError, match="EDGE_REDIS_NODES"):
        write_redis("redis-sentinel://s:1/main")


@pytest.mark.parametrize("rate", ["fast", "10/fortnight", "-1/minute"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(ConfigurationError, match="THROTTLE_PUBLIC"):
        write_calls(rate)


def test_text_cannot_leave_its_quotes() -> None:
    assert quote('a"] = os.execute("x") --\n') == (
        '"a\\034] \\061 os.execute\\040\\034x\\034\\041 --\\010"'
    )
    assert quote("ü$x") == '"\\195\\188\\036x"'
    assert write_command(["AUTH", "p w"]) == "*2\r\n$4\r\nAUTH\r\n$3\r\np w\r\n"


def test_the_command_says_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.nginx"],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": "rediss://:secret@h:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "secret" not in done.stderr
    assert done.stdout == ""


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

            found = httpx.get(f"http://{HOST}:{edge.port}/api/v1/users/5/achievements")
    assert found.status_code == 200
    assert found.json() == {"userId": 5}
    assert found.headers["ETag"] == f'W/"{etag}"'
