"""Requests that hardly anybody sends: the edge answers as Django does, or with a problem."""

import socket
import time
from collections.abc import Callable

import pytest
from django.core.cache import cache as store

from achievements.rulebooks import publish_rulebook
from deploy.local.process import HOST
from tests.api import stay_within
from tests.deploy.conftest import ORIGIN, PATIENCE, PROFILE, Site, compare

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]

LONG_AGO, FAR_OFF = "Fri, 01 Jan 1999 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
HEADERS = [
    *[
        [("Accept-Encoding", text)]
        for text in (
            *("gzip", "GZIP", "x-gzip", "gzipped", "notgzip", "*", "identity", "br, *", ""),
            *("gzip;q=0", "gzip; q= 0", "gzip;Q=0", "gzip ;q=0.0", "gzip;q=0.000", "gzip;q=0.0000"),
            *("gzip;q=0.001", "gzip;q=abc", "gzip;q=0;x", "*;q=0", "*;q=0, gzip", "gzip;q=0, *"),
            *("gzip, gzip;q=0", "identity;q=0", "br;q=1.0, gzip;q=0.8, *;q=0.1", ",, gzip"),
        )
    ],
    [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")],
    [("Accept", "text/html"), ("Accept", "application/json")],
    [("Cookie", "a=b"), ("Cookie", "sessionid=x")],
    [("Origin", "https://evil.example.org"), ("Origin", ORIGIN)],
    [("If-Match", '"x"')],
    [("If-Match", "*")],
    [("If-Match", '"x"'), ("If-None-Match", "*")],
    [("If-Unmodified-Since", LONG_AGO)],
    [("If-Modified-Since", FAR_OFF)],
    [("If-None-Match", '"x"'), ("If-Modified-Since", FAR_OFF)],
    [("Range", "bytes=0-10")],
    [("Range", "bytes=0-10"), ("If-Range", '"x"')],
    [("X-Padding", "x" * 20_000)],
    [(f"X-{number}", "x") for number in range(90)],
]
HOSTS = [
    *(
        "LOCALHOST",
        "localhost:80",
        "localhost:99999",
        "localhost.",
        "127.0.0.1",
        "[::1]",
        "[::1]:8",
    ),
    *("localhost:abc", "localhost:", "evil.example.org", "user@localhost", "[::1", "::1"),
]


def test_odd_headers_get_the_same_answer(site: Site) -> None:
    for path in (PROFILE, "/api/v1/achievements"):
        for headers in HEADERS:
            site.ask_django(path)
            print(path, headers)  # of the one that fails, the last
            mine = site.ask_edge(path, more=headers)
            compare(mine, site.ask_django(path, more=headers))
    for host in HOSTS:
        print(host)
        mine, theirs = site.ask_edge(Host=host), site.ask_django(Host=host)
        assert mine.status_code == theirs.status_code
        if theirs.status_code == 200:
            compare(mine, theirs)
    long = f"{PROFILE}?{'a=1&' * 4000}"
    compare(site.ask_edge(long), site.ask_django(long))


def send(port: int, head: str, *headers: str) -> tuple[int, dict[str, str], str]:
    """What is answered to lines that no client would send; the status, the headers and the body."""
    lines = [head, "Host: localhost", f"Origin: {ORIGIN}", "Connection: close", *headers]
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with connection.makefile("rb") as file:
            answer = file.read().decode()
    head, _, body = answer.partition("\r\n\r\n")
    status, *found = head.split("\r\n")
    names = dict(line.lower().split(": ", 1) for line in found)
    return int(status.split()[1]), names, body


def test_what_nginx_refuses_is_a_problem_too(start_site: Callable[..., Site]) -> None:
    publish_rulebook()
    site = start_site()
    get = f"GET {PROFILE}"
    many = [f"X-{number}: x" for number in range(120)]
    cases = {
        ("POST /api/v1/events HTTP/1.1", "Content-Length: 3000000"): 413,
        (f"{get}?{'a' * 40_000} HTTP/1.1",): 414,
        (f"{get} HTTP/1.1", f"X-Padding: {'x' * 40_000}"): 431,
        (f"{get}%00 HTTP/1.1",): 400,
        (f"{get} HTTP/1.1", 'If-None-Match: "a"', 'If-None-Match: "b"'): 400,
        (f"TRACE {PROFILE} HTTP/1.1",): 405,
        (f"{get} HTTP/1.1", *many): 431,
        (f"{get} HTTP/1.1", *many, "Authorization: Bearer x"): 431,
        ("POST /api/v1/events HTTP/1.1", "Transfer-Encoding: other"): 501,
    }
    for lines, expected in cases.items():
        status, headers, body = send(site.edge.port, *lines)
        print(lines[0][:60], status, body)
        assert status == expected
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert f'"status":{status},"code":"' in body
        assert body.startswith('{"type":"about:blank","title":"')
        # Of a first line that cannot be read no header is read either.
        if status != 414 and "%00" not in lines[0]:
            assert headers["access-control-allow-origin"] == ORIGIN
    site.web.stop()
    away = site.ask_edge("/api/v1/users/7/achievements", Origin=ORIGIN)
    assert (away.status_code, away.json()["code"]) == (503, "unavailable")
    assert away.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("redirect", ["no", "", "yes"])
def test_production_says_the_same(start_site: Callable[..., Site], redirect: str) -> None:
    publish_rulebook()
    site = start_site(
        LAUREL_ENV="production",
        SECRET_KEY="abcdefghij0123456789" * 3,
        JWT_KEY="abcdefgh12345678" * 4,
        JWT_ISSUER="issuer",
        JWT_AUDIENCE="audience",
        ALLOWED_HOSTS="localhost,127.0.0.1,.Example.org",
        SECURE_SSL_REDIRECT=redirect,
        LOG_LEVEL="ERROR",
    )
    for proto in ("https", "http", "", "https, http", "http, https", "HTTPS"):
        for host in ("localhost", "a.example.org", "A.EXAMPLE.ORG:443", "evil.org"):
            for name in ({}, {"If_None_Match": "*"}):
                sent = {"Host": host, "X_Forwarded_Proto": proto, **name}
                is_ours = host != "evil.org" and (proto == "https" or redirect != "yes")
                print(sent)
                for _ in range(PATIENCE):
                    site.ask_django(**sent)
                    hits = site.count("hit")
                    mine = site.ask_edge(**sent)
                    compare(mine, site.ask_django(**sent))
                    is_hit = site.count("hit") > hits
                    if is_hit or not is_ours:
                        break
                    time.sleep(1.1)
                assert is_hit == is_ours


def test_whoever_answers_counts_the_same_address(start_site: Callable[..., Site]) -> None:
    publish_rulebook()
    site = start_site(THROTTLE_PUBLIC="50/day")
    stay_within(86_400, seconds=120)
    day = int(time.time()) // 86_400
    site.ask_django()
    site.ask_edge()
    for number, (forwarded, address) in enumerate(
        {
            "203.0.113.1": "203.0.113.1",
            "1.1.1.1, 203.0.113.2, 127.0.0.1": "203.0.113.2",
            "::ffff:203.0.113.3": "203.0.113.3",
            "2001:db8:1:2::9": "2001:db8:1:2::/64",
            "203.0.113.4:555": "203.0.113.4",
            "[2001:db9::1]:44": "2001:db9::/64",
            "203.000.113.005": "203.0.113.5",
            "garbage, 203.0.113.6": "203.0.113.6",
            "203.0.113.7, garbage": "127.0.0.1",
            "fe80::1%eth0": "127.0.0.1",
            "": "127.0.0.1",
        }.items()
    ):
        name = f"calls:public:address:{address}:{day}"
        for _ in range(PATIENCE):
            before = store.get(name) or 0
            hits = site.count("hit")
            site.ask_edge(X_Forwarded_For=forwarded)
            if site.count("hit") == hits + 1:
                break
            time.sleep(2.5)  # the site has counted it, as the edge tells what it counts
        assert site.count("hit") == hits + 1
        site.ask_edge(f"{PROFILE}?fields=points", X_Forwarded_For=forwarded)
        deadline = time.monotonic() + 30
        while (store.get(name) or 0) - before < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (store.get(name), number) == (before + 2, number), forwarded
