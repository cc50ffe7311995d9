"""After the commit: what those who look see, at what cost for the others, whatever the order."""

import threading
import time
from typing import Any

import orjson
import pytest
from django.core.cache import cache as store
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from achievements import cache, effects, keys, live
from achievements.engine import process_events
from achievements.models import Achievement, Notification, UserProgress
from achievements.rebuild import rebuild_user
from achievements.rulebooks import publish_rulebook
from achievements.shown import fetch_progress
from config.redis_cache import build_cache
from deploy.local.process import find_free_port
from profiles.models import TestResult
from tests.factories import (
    NOON,
    invalidate,
    make_achievement,
    make_event,
    new_user,
    store_history,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ids() -> dict[str, int]:
    """Achievement ids by slug: levels, a best, a run, and two that ask for others."""
    make_achievement("typist", {"count": "tests"}, 1, 3, 100)
    make_achievement("fast", {"best": "wpm", "atLeast": 90})
    make_achievement("flow", {"run": "tests", "where": {"accuracy": {"gte": 95}}, "atLeast": 5})
    make_achievement("clean", {"count": "tests", "where": {"accuracy": {"gte": 98}}, "atLeast": 9})
    make_achievement("both", {"all": [{"unlocked": "fast"}, {"unlocked": "typist"}]})
    make_achievement("dark", {"count": "tests", "atLeast": 50}, hidden=["count", "title"])
    publish_rulebook()
    return dict(Achievement.objects.values_list("slug", "pk"))


@pytest.fixture
def user() -> int:
    return new_user()


def read_live(user_id: int, achievement_id: int) -> Any:
    value = store.get(keys.name_live_progress(user_id, achievement_id))
    return None if value is None else orjson.loads(value)


def list_live(user_id: int, ids: dict[str, int]) -> dict[str, Any]:
    found = {slug: read_live(user_id, number) for slug, number in ids.items()}
    return {slug: value for slug, value in found.items() if value is not None}


def read_document(user_id: int) -> dict[str, Any]:
    """As it is in the cache, without a query."""
    with CaptureQueriesContext(connection) as queries:
        body: dict[str, Any] = orjson.loads(fetch_progress(user_id).body)
    assert [one["sql"] for one in queries if "publications" not in one["sql"]] == []
    return {entry["slug"]: entry for entry in body["achievements"]}


def test_a_watched_users_progress_follows_every_event(user: int, ids: dict[str, int]) -> None:
    fetch_progress(user)
    for number in range(1, 5):
        process_events([make_event(user, number, wpm=60.0 + number, accuracy=96.0)])
        document = read_document(user)
        assert document["flow"]["current"] == number
        kept = list_live(user, ids)
        revision = UserProgress.objects.get(user_id=user).revision
        for slug in ("typist", "fast", "flow"):
            value = kept[slug]
            assert value["revision"] == revision
            assert value["asOf"].endswith("Z")
            assert {n: value[n] for n in document[slug]} == document[slug]
        assert "dark" not in kept  # what hides its count shows none


@pytest.fixture
def crowd(ids: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seven who are watched, in parts of three."""
    monkeypatch.setattr(effects, "_USERS_AT_ONCE", 3)
    users = [new_user() for _ in range(7)]
    process_events([make_event(user, 1) for user in users])
    for user in users:
        fetch_progress(user)
    return users


def test_many_who_are_watched_are_renewed_in_parts(
    crowd: list[int], ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, sizes = live.tell, []

    def count(news: Any) -> None:
        sizes.append(len(news))
        tell(news)

    monkeypatch.setattr(live, "tell", count)
    process_events([make_event(user, 2) for user in crowd])
    assert sizes == [3, 3, 1]
    for user in crowd:
        assert list_live(user, ids)["typist"]["current"] == 2
        assert read_document(user)["typist"]["current"] == 2


def test_what_breaks_a_run_is_relevant_too(user: int, ids: dict[str, int]) -> None:
    fetch_progress(user)
    for number in range(1, 4):
        process_events([make_event(user, number, accuracy=96.0)])
    assert read_live(user, ids["flow"])["current"] == 3
    before = read_live(user, ids["clean"])
    process_events([make_event(user, 4, accuracy=90.0)])
    assert read_live(user, ids["flow"])["current"] == 0
    assert read_document(user)["flow"]["current"] == 0
    assert read_live(user, ids["clean"]) == before


def test_what_is_complete_and_what_asks_for_it(user: int, ids: dict[str, int]) -> None:
    fetch_progress(user)
    process_events([make_event(user, 1)])
    assert read_live(user, ids["both"])["percent"] == 50
    process_events([make_event(user, 2, wpm=95.0)])
    for slug in ("fast", "both"):
        value = read_live(user, ids[slug])
        assert value["percent"] == 100
        assert "slug" not in value
        assert slug not in read_document(user)


def test_a_test_that_is_taken_back(user: int, ids: dict[str, int]) -> None:
    events = [make_event(user, number, accuracy=96.0) for number in (1, 2, 3)]
    store_history(events)
    process_events(events)
    fetch_progress(user)
    TestResult.objects.filter(user_id=user, id=3).update(invalidated_at=NOON)
    process_events([invalidate(user, 3)])
    assert read_document(user)["typist"]["current"] == 2
    for slug in ("typist", "flow", "fast", "both", "clean"):
        assert read_live(user, ids[slug])["revision"] == 2


def test_a_rebuild_renews_everything(user: int, ids: dict[str, int]) -> None:
    process_events([make_event(user, 1)])
    make_achievement("late", {"count": "tests", "atLeast": 1})
    publish_rulebook()
    fetch_progress(user)
    rebuild_user(user)
    ids |= Achievement.objects.values_list("slug", "pk")
    live_values = list_live(user, ids)
    assert set(live_values) == set(ids) - {"dark"}
    assert live_values["late"]["percent"] == 100


def test_nothing_is_written_for_whom_nobody_watches(user: int, ids: dict[str, int]) -> None:
    process_events([make_event(user, 1)])
    with CaptureQueriesContext(connection) as queries:
        process_events([make_event(user, 2, wpm=95.0)])
    assert list_live(user, ids) == {}
    assert store.get(keys.name_progress(user)) is None
    table = UserProgress._meta.db_table
    reads = [one["sql"] for one in queries if table in one["sql"] and "SELECT" in one["sql"]]
    assert len(reads) == 1  # the engine's own


@pytest.mark.real
def test_the_commands_for_whom_nobody_watches(user: int, ids: dict[str, int]) -> None:
    def count_commands() -> dict[str, int]:
        stats = cache_client().info("commandstats")
        return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}

    users = [new_user() for _ in range(50)]
    process_events([make_event(user_id, 1) for user_id in users])
    cache_client().config_resetstat()
    process_events([make_event(user_id, 2, wpm=95.0) for user_id in users])
    counted = count_commands()
    for name in ("config|resetstat", "info", "ping", "client|setinfo", "select", "hello"):
        counted.pop(name, None)
    counted.pop("getrange", None)  # the look for another rulebook comes by the clock
    # For a batch, not for a user: the old documents go, and one question who is watched.
    assert counted.pop("zmscore") == 1
    assert counted == {"del": 1}


@pytest.mark.real
def test_the_commands_for_who_is_watched(user: int, ids: dict[str, int]) -> None:
    process_events([make_event(user, 1)])
    fetch_progress(user)
    cache_client().config_resetstat()
    process_events([make_event(user, 2)])
    stats = cache_client().info("commandstats")
    assert stats["cmdstat_publish"]["calls"] == 1
    assert stats["cmdstat_eval"]["calls"] == 2  # the document under its lease, the live values


def cache_client() -> Any:
    backend: Any = store
    return backend.client.get_client(write=True)


@pytest.mark.real
def test_the_message_says_what_moved_and_how_many_notifications(
    user: int, ids: dict[str, int]
) -> None:
    fetch_progress(user)
    channel = cache_client().pubsub()
    channel.subscribe(keys.name_live_channel(user))
    channel.get_message(timeout=5)
    process_events([make_event(user, 1, accuracy=90.0)])
    process_events([make_event(user, 2, accuracy=90.0, wpm=95.0)])
    messages = [orjson.loads(channel.get_message(timeout=5)["data"]) for _ in range(2)]
    channel.close()
    assert [message["revision"] for message in messages] == [1, 2]
    notified = Notification.objects.filter(user_id=user).count()
    assert [message["notified"] for message in messages] == [1, notified]
    moved = {entry["slug"]: entry for entry in messages[1]["achievements"]}
    assert moved["typist"]["current"] == 2
    assert not {"clean", "fast", "both", "dark"} & set(moved)


@pytest.fixture
def _without_cache(settings: Any) -> None:
    url = f"redis://127.0.0.1:{find_free_port()}/0"
    settings.REDIS_URL = url
    settings.CACHES = {"default": build_cache(url, name="REDIS_URL")}


@pytest.mark.real
@pytest.mark.usefixtures("_without_cache")
def test_a_cache_that_is_away_does_not_matter(user: int, ids: dict[str, int]) -> None:
    assert orjson.loads(fetch_progress(user).body)["userId"] == user
    process_events([make_event(user, 1)])
    assert Notification.objects.filter(user_id=user).count() == 1
    assert live.mark_watched([user]) is None
    assert live.find_watched([user]) == {}


@pytest.mark.parametrize("holds", ["the older reading", "the older writing"])
def test_a_late_worker_overwrites_nothing(
    user: int, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch, holds: str
) -> None:
    """The older of two batches is held behind its commit until the newer one is done with all."""
    process_events([make_event(user, 1)])
    fetch_progress(user)
    has_committed, may_go_on = threading.Event(), threading.Event()
    module, name = (effects, "refresh_progress") if holds == "the older reading" else (live, "tell")
    original = getattr(module, name)

    def hold(*arguments: Any) -> Any:
        if not has_committed.is_set():  # the newer one begins afterwards
            has_committed.set()
            assert may_go_on.wait(10)
        return original(*arguments)

    def run_older() -> None:
        process_events([make_event(user, 2)])
        connections.close_all()

    monkeypatch.setattr(module, name, hold)
    older = threading.Thread(target=run_older)
    older.start()
    assert has_committed.wait(10)
    process_events([make_event(user, 3)])
    newer = list_live(user, ids)
    assert newer["typist"]["revision"] == 3
    may_go_on.set()
    older.join(10)
    after = list_live(user, ids)
    assert {slug: value["revision"] for slug, value in after.items()} == {
        slug: value["revision"] for slug, value in newer.items()
    }
    assert after["typist"]["current"] == 3
    assert read_document(user)["typist"]["current"] == 3


def test_an_older_revision_is_not_kept_and_an_equal_one_is(user: int) -> None:
    def tell(revision: int, text: str) -> None:
        value = b'{"revision":%d,"text":"%s"}' % (revision, text.encode())
        live.tell({user: live.News(time.time() + 60, revision, {1: value}, b"{}")})

    for revision, text, kept in ((7, "a", "a"), (6, "b", "a"), (7, "c", "c"), (10, "d", "d")):
        tell(revision, text)
        assert read_live(user, 1)["text"] == kept


def test_who_is_watched(user: int) -> None:
    others = [new_user() for _ in range(3)]
    assert live.mark_watched([user, others[0]]) == 2
    assert live.mark_watched([user, others[1]]) == 1
    assert list(live.find_watched([user, *others])) == [user, *others[:2]]
    store.clear()
    assert live.find_watched([user, *others]) == {}
    assert live.mark_watched([user]) == 1


def test_what_is_kept_of_an_achievement_ends_with_the_watch(user: int, ids: dict[str, int]) -> None:
    """No event follows it any more: what stayed would be taken for current."""
    live.mark_watched([user], seconds=3)
    process_events([make_event(user, 1)])
    assert list_live(user, ids)["typist"]["current"] == 1
    deadline = time.monotonic() + 10
    while live.find_watched([user]) or list_live(user, ids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process_events([make_event(user, 2)])
    assert list_live(user, ids) == {}
    fetch_progress(user)
    process_events([make_event(user, 3)])
    assert list_live(user, ids)["typist"]["current"] == 3


@pytest.mark.real
def test_a_mark_ends(user: int) -> None:
    live.mark_watched([user], seconds=-1)
    assert live.find_watched([user]) == {}
    assert live.mark_watched([user]) == 1
    assert cache.is_redis()
