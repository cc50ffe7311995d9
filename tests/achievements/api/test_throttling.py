"""Limits: headers, refusals, whose address is believed, other processes, a cache that is away."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import RequestFactory

from achievements.api.addresses import read_client_address
from achievements.api.throttling import take_allowance
from tests.api import CUSTOMER_EVENT, USER, Api, create_key, read_problem, stay_within

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tight(settings: Any) -> None:
    stay_within(3600, seconds=10)
    settings.API_THROTTLE_RATES = dict.fromkeys(settings.API_THROTTLE_RATES, (2, 3600))


@pytest.mark.usefixtures("catalogue", "tight")
@pytest.mark.parametrize("path", ["/achievements", f"/users/{USER}/notifications", "/events"])
def test_the_limit_and_its_headers(api: Api, path: str) -> None:
    options: dict[str, Any] = {"user": USER}
    method = "GET"
    if path == "/events":
        method, options = "POST", {"key": create_key("events:write"), "body": CUSTOMER_EVENT}
    for remaining in ("1", "0"):
        response = api.call(method, path, **options)
        assert response.status_code in {200, 202}
        assert response["RateLimit-Limit"] == "2"
        assert response["RateLimit-Remaining"] == remaining
        assert 1 <= int(response["RateLimit-Reset"]) <= 3600
        assert response["RateLimit-Policy"].endswith(";q=2;w=3600")
    response = api.call(method, path, **options)
    read_problem(response, 429)
    assert 1 <= int(response["Retry-After"]) <= 3600
    assert response["RateLimit-Remaining"] == "0"


@pytest.mark.usefixtures("catalogue", "tight")
def test_callers_do_not_use_up_each_others_limit(api: Api) -> None:
    for _ in range(3):
        api.get("/achievements", user=1)
    assert api.get("/achievements", user=1).status_code == 429
    assert api.get("/achievements", user=2).status_code == 200
    assert api.get("/achievements").status_code == 200


@pytest.mark.usefixtures("catalogue", "tight")
@pytest.mark.parametrize("path", ["/achievements", f"/users/{USER}/notifications"])
def test_wrong_credentials_count_by_address(api: Api, path: str) -> None:
    headers = {"Authorization": "Bearer guess"}
    statuses = [api.get(path, headers=headers).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]


@pytest.mark.usefixtures("catalogue")
def test_no_limit_means_no_header(api: Api, settings: Any) -> None:
    settings.API_THROTTLE_RATES = dict.fromkeys(settings.API_THROTTLE_RATES)
    assert not api.get("/achievements").has_header("RateLimit-Limit")


ADDRESSES = {
    "direct": ("203.0.113.7", "", "203.0.113.7"),
    "stranger-claims": ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
    "one-proxy": ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
    "two-proxies": ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
    "spoofed-left": ("10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
    "garbage": ("10.0.0.1", "<script>", "10.0.0.1"),
    "garbage-behind": ("10.0.0.1", "junk, 10.0.0.2", "10.0.0.2"),
    "proxy-alone": ("10.0.0.1", "", "10.0.0.1"),
    "ipv6": ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
    "ipv4-mapped": ("::ffff:203.0.113.7", "", "203.0.113.7"),
    "socket": ("", "198.51.100.1", "unknown"),
}


@pytest.mark.parametrize(("peer", "forwarded", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    settings: Any, peer: str, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert read_client_address(request) == expected


@pytest.mark.usefixtures("catalogue", "tight")
def test_a_forged_header_is_no_way_around(api: Api) -> None:
    statuses = [
        api.get("/achievements", headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code
        for n in range(4)
    ]
    assert statuses == [200, 200, 429, 429]


@pytest.mark.usefixtures("catalogue", "tight")
def test_a_cache_that_is_away_lets_calls_pass(api: Api, settings: Any) -> None:
    settings.CACHES = {
        "default": {
            **settings.CACHES["default"],
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {
                "SERIALIZER": "config.redis_serializer.DocumentSerializer",
                "SOCKET_CONNECT_TIMEOUT": 0.2,
                "IGNORE_EXCEPTIONS": True,
            },
        }
    }
    for _ in range(4):
        response = api.get("/achievements")
        assert response.status_code == 200
        assert not response.has_header("RateLimit-Limit")
        assert api.get(f"/users/{USER}/achievements").status_code == 200
    key = create_key("events:write")
    assert api.post("/events", CUSTOMER_EVENT, key=key).status_code == 202


_CALLER = """
import django; django.setup()
from achievements import cache
from achievements.api.throttling import take_allowance
from django.conf import settings
cache.SLOW_SECONDS = 60  # a machine that stalls is no cache that is away
settings.API_THROTTLE_RATES = {"public": (50, 86_400)}
taken = [take_allowance(policy="public", caller="test") for _ in range(25)]
print(sum(one.is_allowed for one in taken))
"""


@pytest.mark.real
def test_the_limit_holds_across_processes() -> None:
    stay_within(86_400, seconds=60)
    cache.clear()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CALLER], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    allowed = sum(int(process.communicate(timeout=60)[0]) for process in processes)
    assert allowed == 50


def test_a_window_ends(settings: Any) -> None:
    import time_machine

    settings.API_THROTTLE_RATES = {"public": (1, 60)}
    with time_machine.travel(1_000_000_020, tick=False) as clock:
        first = take_allowance(policy="public", caller="a")
        assert first is not None
        assert first.is_allowed
        second = take_allowance(policy="public", caller="a")
        assert second is not None
        assert not second.is_allowed
        clock.shift(second.reset_seconds)
        third = take_allowance(policy="public", caller="a")
        assert third is not None
        assert third.is_allowed
