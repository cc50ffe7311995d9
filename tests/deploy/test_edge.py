"""The edge answers as Django does: the same requests to both, and what each does in trouble."""

import os
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache as store

from achievements import keys
from achievements.engine import process_events
from achievements.rulebooks import publish_rulebook
from deploy.local.nginx import Edge
from deploy.local.process import HOST
from deploy.local.redis_cluster import RedisCluster, wait_until
from deploy.local.redis_sentinel import RedisSentinel
from deploy.local.servers import Redis
from profiles.models import Profile
from profiles.tokens import issue_token
from tests.api import stay_within
from tests.deploy.conftest import (
    LEFT_OUT,
    ORIGIN,
    PATIENCE,
    PRIVATE,
    PROFILE,
    UNKNOWN,
    USER,
    Site,
    compare,
)
from tests.factories import AchievementFactory, make_event, make_levels
from tests.streams import StartStream, StreamClient

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]

BY_EDGE = [
    pytest.param(PROFILE, {}, id="a profile"),
    pytest.param(PROFILE, {"Accept_Encoding": "gzip, deflate, br"}, id="as gzip"),
    pytest.param(PROFILE, {"method": "HEAD"}, id="only its head"),
    pytest.param(PROFILE, {"If_None_Match": '"0123456789abcdef"'}, id="a copy that is old"),
    pytest.param(PROFILE, {"If_None_Match": "*"}, id="any copy"),
    pytest.param(PROFILE, {"Accept": "application/json"}, id="JSON asked for"),
    pytest.param(PROFILE, {"Cookie": "colour=red"}, id="a cookie of anybody"),
    pytest.param(PROFILE, {"Origin": ORIGIN}, id="from a page that may"),
    pytest.param(PROFILE, {"Origin": "https://evil.example.org"}, id="from one that may not"),
    pytest.param(f"/api/v1/users/{USER}/progress", {}, id="progress"),
    pytest.param(f"/api/v1/users/{UNKNOWN}/achievements", {}, id="nobody known"),
    pytest.param("/api/v1/achievements", {}, id="the catalogue"),
    pytest.param("/api/v1/achievements", {"Accept_Encoding": "gzip"}, id="the catalogue, gzip"),
    pytest.param("/api/v1/achievements/typist-1", {}, id="a definition"),
    pytest.param(PROFILE, {"Accept_Encoding": "gzip;q=0, br"}, id="anything but gzip"),
    pytest.param(PROFILE, {"Accept_Encoding": "br;q=0.5, gzip;q=0.5"}, id="gzip, less"),
]
BY_DJANGO = [
    pytest.param(f"/api/v1/users/{PRIVATE}/achievements", {}, id="a private profile"),
    pytest.param(f"/api/v1/users/{PRIVATE}/progress", {"as": PRIVATE}, id="to its owner"),
    pytest.param(f"/api/v1/users/{PRIVATE}/achievements", {"as": USER}, id="to another"),
    pytest.param(PROFILE, {"as": USER}, id="with a token"),
    pytest.param(PROFILE, {"Authorization": "Bearer x"}, id="with a bad token"),
    pytest.param(PROFILE, {"Cookie": "a=b; sessionid=x"}, id="with a session"),
    pytest.param(f"{PROFILE}?fields=points,achievements.slug", {}, id="fields"),
    pytest.param(f"{PROFILE}?fields=nothing", {}, id="unknown fields"),
    pytest.param(PROFILE, {"Accept": "text/html"}, id="not as JSON"),
    pytest.param(PROFILE, {"method": "POST"}, id="posted"),
    pytest.param("/api/v1/achievements/secret", {}, id="a hidden definition"),
    pytest.param("/api/v1/achievements/none", {}, id="no definition"),
    pytest.param("/api/v1/users/0/achievements", {}, id="no user"),
    pytest.param("/api/v1//users/12345/achievements", {}, id="two slashes"),
    pytest.param("/api/v1/achievements/typist-1%0A", {}, id="a line's end"),
    pytest.param("/api/v1/users/%31/achievements", {}, id="digits in other words"),
    pytest.param("/api/v1/users/00012345/achievements", {}, id="zeros before the id"),
    pytest.param(f"/api/v1/users/{2**63}/achievements", {}, id="an id too large"),
    pytest.param(f"/api/v1/users/summaries?ids={USER},{PRIVATE}", {}, id="summaries"),
    pytest.param("/api/v1/nothing", {}, id="nothing at all"),
    pytest.param("/livez", {}, id="another page"),
    pytest.param(
        PROFILE,
        {"method": "OPTIONS", "Origin": ORIGIN, "Access_Control_Request_Method": "GET"},
        id="a preflight",
    ),
]


def test_the_same_request_gets_the_same_answer(site: Site) -> None:
    """One test, because the servers take longer to start than all of it takes."""
    for case in (*BY_EDGE, *BY_DJANGO):
        path: Any = case.values[0]
        options: Any = dict(case.values[1])  # type: ignore[call-overload]
        if "as" in options:
            options["Authorization"] = f"Bearer {issue_token(user_id=options.pop('as'))}"
        print(case.id)  # of the one that fails, the last
        for _ in range(PATIENCE):
            theirs = site.ask_django(path, **options)  # fills
            theirs = site.ask_django(path, **options)
            hits = site.count("hit")
            mine = site.ask_edge(path, **options)
            compare(mine, theirs)
            is_hit = site.count("hit") > hits
            if is_hit or case not in BY_EDGE:
                break
            time.sleep(1.1)
        assert is_hit == (case in BY_EDGE), case.id
        assert ("x-served-by" in mine.headers) == (case in BY_DJANGO), case.id

    etag = site.ask_django().headers["ETag"]
    for wanted in (etag, etag.removeprefix("W/"), f'"x", {etag}'):
        compare(site.ask_edge(If_None_Match=wanted), site.ask_django(If_None_Match=wanted))
        assert site.ask_edge(If_None_Match=wanted).status_code == 304
    # A page with Django's own words, which name the port.
    assert site.ask_edge(Host="evil.example.org").status_code == 400
    zipped = site.ask_edge(Accept_Encoding="gzip")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert int(zipped.headers["Content-Length"]) < len(zipped.content) / 2


def test_an_unlock_and_a_publication_are_seen_at_once(site: Site) -> None:
    before = site.ask_edge()
    assert site.ask_edge().headers["ETag"] == before.headers["ETag"]
    process_events([make_event(USER, 3, wpm=100.0)])
    AchievementFactory(slug="newest", criteria={"best": "wpm", "atLeast": 90})
    publish_rulebook()
    process_events([make_event(USER, 4, wpm=100.0)])
    deadline = time.monotonic() + 15
    while site.ask_edge().json()["totalCount"] != before.json()["totalCount"] + 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    Profile.objects.create(user_id=USER, display_name="Ada", is_private=True)
    assert site.ask_edge().status_code == 404


def test_after_a_flush_it_knows_the_edition_again(site: Site) -> None:
    site.ask_edge()
    store.clear()
    assert store.get(keys.RULEBOOK) is None
    deadline = time.monotonic() + 20
    hits = site.count("hit")
    while site.count("hit") == hits:
        assert site.ask_edge().status_code == 200
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_calls_are_counted_by_edge_and_site_together(start_site: Callable[..., Site]) -> None:
    publish_rulebook()
    site = start_site(THROTTLE_PUBLIC="20/hour")
    stay_within(3600, seconds=120)
    name = f"calls:public:address:127.0.0.1:{int(time.time()) // 3600}"
    for _ in range(9):
        site.ask_django(X_Forwarded_For="127.0.0.1")
    site.ask_edge()  # the edge hears of them a second after its own first one
    wait_until(lambda: store.get(name) == 10)
    time.sleep(0.5)  # the answer is on its way
    answers = [site.ask_edge() for _ in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
    wait_until(lambda: store.get(name) == 22)
    refusal, theirs = answers[-1], site.ask_django()
    assert refusal.json().keys() == theirs.json().keys()
    assert refusal.headers.keys() - LEFT_OUT == theirs.headers.keys() - LEFT_OUT
    details = [re.sub(r"\d+", "N", answer.json()["detail"]) for answer in (refusal, theirs)]
    assert details == ["Try again in N seconds."] * 2
    assert site.count("limited") == 2


def test_without_redis_it_hands_over_and_without_the_site_it_serves_what_is_kept(
    start_site: Callable[..., Site],
) -> None:
    publish_rulebook()
    with Redis() as redis:
        site = start_site(REDIS_URL=redis.url)
        for _ in range(3):
            assert site.ask_edge().status_code == 200
        assert site.count("hit") > 0
        site.web.pause()
        assert site.ask_edge().status_code == 200
        site.web.resume()
        redis.kill()
        for _ in range(5):
            assert site.ask_edge().status_code == 200
        assert site.ask_edge("/readyz").json()["status"] == "degraded"
        redis.start()
        hits = site.count("hit")
        deadline = time.monotonic() + 20
        while site.count("hit") == hits:
            assert site.ask_edge().status_code == 200
            assert time.monotonic() < deadline
            time.sleep(0.1)
        site.web.stop()
        assert site.ask_edge().status_code == 200
        refused = site.ask_edge("/api/v1/users/5/achievements")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "5"
        assert refused.json()["code"] == "unavailable"


def test_it_finds_every_user_in_a_cluster_and_outlives_a_master(
    start_site: Callable[..., Site], redis_cluster: RedisCluster
) -> None:
    publish_rulebook()
    site = start_site(REDIS_URL=redis_cluster.url)
    paths = [f"/api/v1/users/{user}/achievements" for user in range(1, 31)]

    def is_all_hits() -> bool:
        hits = site.count("hit")
        assert all(site.ask_edge(path).status_code == 200 for path in paths)
        return site.count("hit") - hits == len(paths)

    assert not is_all_hits()
    wait_until(is_all_hits)
    dead = redis_cluster.find_master(keys.name_achievements(1))
    dead.kill()
    assert site.ask_edge(paths[0]).status_code == 200
    wait_until(is_all_hits)


def test_under_sentinel_it_asks_a_master_alone(
    start_site: Callable[..., Site], redis_sentinel: RedisSentinel
) -> None:
    publish_rulebook()
    first = redis_sentinel.master
    site = start_site(REDIS_URL=redis_sentinel.url)

    def is_hit() -> bool:
        hits = site.count("hit")
        assert site.ask_edge().status_code == 200
        return site.count("hit") > hits

    wait_until(is_hit)
    first.kill()
    redis_sentinel.wait_for_another_master(first)
    wait_until(is_hit)
    first.start()  # comes back as a replica
    time.sleep(3)
    process_events([make_event(USER, 9)])
    assert site.ask_edge().json() == site.ask_django().json()


def test_the_stream_comes_through_at_once(start_stream: StartStream) -> None:
    AchievementFactory(criteria={"count": "tests"}, levels=make_levels(1, 2, 3))
    publish_rulebook()
    place = f"{HOST}:{start_stream().port}"
    with (
        Edge(site=place, stream=place, environment=os.environ) as edge,
        StreamClient(edge.port, USER) as client,
    ):
        client.wait("resync")
        for number in (1, 2, 3):
            began = time.monotonic()
            process_events([make_event(USER, number)])
            assert client.wait("unlock").at - began < 5  # who hears nothing looks again after 30
        assert client.headers["Cache-Control"] == "no-store"
