"""Replicas that die, freeze, stop or lag: display reads stay exact, and the primary is spared."""

import random
import time
from collections.abc import Callable
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import Client

from achievements import keys, metrics, replicas
from achievements.documents import decode_document
from achievements.engine import process_events
from achievements.events import Event
from profiles.services import set_privacy
from tests.factories import (
    make_achievement,
    make_broad_catalogue,
    make_event,
    make_levels,
    new_user,
    publish,
)
from tests.faults.fleet import wait_until
from tests.invariants import check_invariants
from tests.replication import STATUS_PRIVILEGE, Replicated

pytestmark = [pytest.mark.real]

PROFILE_ROWS = "%FROM user_achievements%"
STATES = "%`state`%FROM `user_progress`%"
# What a request may take besides the second of a server that does not answer. (A noisy machine.)
SPARE_SECONDS = 2.0


def read_profile(user_id: int) -> dict[str, Any]:
    return read("achievements", user_id)


def read(kind: str, user_id: int) -> dict[str, Any]:
    response = Client().get(f"/api/v1/users/{user_id}/{kind}")
    assert response.status_code == 200, response.content
    document: dict[str, Any] = response.json()
    return document


def type_tests(user_id: int, *test_ids: int) -> list[Event]:
    events = [make_event(user_id, test_id) for test_id in test_ids]
    process_events(events)
    return events


def count_reads(database: str) -> float:
    return metrics.DATABASE_READS.labels(database)._value.get()


def list_in_service() -> set[str]:
    return {one.database for one in replicas.list_replicas() if one.is_in_service}


def wait_for_service(user_id: int, expected: set[str], *, seconds: float = 45) -> None:
    """Read as users do until exactly these replicas are in service."""

    def is_so() -> bool:
        cache.clear()
        read_profile(user_id)
        return list_in_service() == expected

    wait_until(is_so, seconds=seconds, say=list_in_service)


BOTH = {"replica_1", "replica_2"}


class StatementLog:
    """The general logs of all servers while a block runs."""

    def __init__(self, servers: Replicated) -> None:
        self.replicated = servers
        self.servers = [servers.primary, *servers.replicas]

    def __enter__(self) -> "StatementLog":
        for server in self.servers:
            server.run("SET GLOBAL log_output = 'TABLE'")
            server.run("TRUNCATE mysql.general_log")
        self.replicated.wait_for_replicas()  # they may be told of the primary's emptied log
        for server in self.servers:
            server.run("SET GLOBAL general_log = 1")
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.run("SET GLOBAL general_log = 0")

    def count(self, like: str) -> list[int]:
        """How many statements of the site each server was sent, the primary first."""
        return [
            server.run(
                "SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Query'"
                f" AND user_host LIKE 'laurel%' AND argument LIKE '{like}'"
            )[0][0]
            for server in self.servers
        ]


@pytest.fixture
def population(replicated: Replicated) -> list[int]:
    """Users with 50 unlocks each, known to the replicas as well."""
    make_achievement("typist", {"count": "tests"}, *range(1, 51))
    publish()
    users = [new_user() for _ in range(12)]
    process_events([make_event(user, test) for user in users for test in range(1, 51)])
    replicated.wait_for_replicas()
    return users


def test_with_healthy_replicas_the_rows_of_a_profile_are_not_read_on_the_primary(
    replicated: Replicated, population: list[int], client
) -> None:
    with StatementLog(replicated) as log:
        for user in population:
            assert read_profile(user)["achievements"][0]["level"] == 50
        at_primary, *profiles = log.count(PROFILE_ROWS)
        assert at_primary == 0
        assert sum(profiles) == len(population)
        for user in population:
            read("progress", user)
        at_primary, *at_replicas = log.count(STATES)
        assert (at_primary, sum(at_replicas)) == (0, len(population))
        assert all(map(sum, zip(profiles, at_replicas, strict=True)))  # spread over both
        # By key, for all names of a fill at once; and the rest is served from the cache.
        asked = log.count("%revision FROM user_progress%")[0]
        assert asked == 2 * len(population)
        cache.clear()
        ids = ",".join(map(str, population))
        summaries = client.get(f"/api/v1/users/summaries?ids={ids}").json()["users"]
        assert [one["unlockedCount"] for one in summaries] == [1] * len(population)
        assert log.count("%revision FROM user_progress%")[0] == asked + 1
        for user in population:
            read_profile(user)
        assert log.count("%revision FROM user_progress%")[0] == asked + 1
        assert log.count(PROFILE_ROWS)[0] == 0


def test_the_engine_reads_and_writes_on_the_primary_alone(
    replicated: Replicated, population: list[int]
) -> None:
    with StatementLog(replicated) as log:
        read(
            "progress", population[0]
        )  # watched: what a commit renews is read where it was written
        before = log.count("%user_progress%")
        type_tests(population[0], 51)
        after = log.count("%user_progress%")
    assert after[0] > before[0]
    assert after[1:] == before[1:]


def test_a_replica_refuses_every_write(replicated: Replicated) -> None:
    from django.db import DatabaseError

    for alias in ("replica_1", replicas.PRIMARY):
        with (
            connections[alias].cursor() as cursor,
            pytest.raises(DatabaseError, match=r"READ ONLY transaction|read-only option"),
        ):
            cursor.execute("DELETE FROM user_progress WHERE user_id = 1")


def test_who_has_just_written_reads_it_while_replication_stands_still(
    replicated: Replicated, population: list[int]
) -> None:
    user = population[0]
    for replica in replicated.replicas:
        replica.run("STOP SLAVE SQL_THREAD")
    set_privacy(user_id=population[1], is_private=True)
    for test in range(51, 56):
        type_tests(user, test)
        assert read("progress", user)["achievements"] == []  # all 50 levels are held
    make_achievement("more", {"count": "tests"}, 56, 57, 100)
    publish()
    for test, level in ((56, 1), (57, 2)):
        type_tests(user, test)
        held = {one["slug"]: one["level"] for one in read_profile(user)["achievements"]}
        assert held == {"typist": 50, "more": level}
        assert read("progress", user)["achievements"][0]["current"] == test
        kept = decode_document(cache.get(keys.name_achievements(user)))
        assert kept is not None
        assert b'"level":%d' % level in kept.body
    # Whoever is private by now is so, whatever a replica believes.
    assert Client().get(f"/api/v1/users/{population[1]}/achievements").status_code == 404
    # And who did not change is as current on a replica as ever.
    before = count_reads("replica_1") + count_reads("replica_2")
    assert read_profile(population[2])["unlockedCount"] == 1
    assert count_reads("replica_1") + count_reads("replica_2") in (before, before + 1)


@pytest.mark.parametrize("may_ask", [True, False], ids=["asked", "unasked"])
@pytest.mark.parametrize("how", ["stopped", "delayed"])
def test_a_replica_that_lags_is_left_out_and_comes_back(
    replicated: Replicated, population: list[int], how: str, may_ask: bool
) -> None:
    """Also where the account may not ask for the state of replication."""
    slow = replicated.find("replica_1")
    if may_ask:
        for replica in replicated.replicas:
            replica.run(f"GRANT {STATUS_PRIVILEGE} ON *.* TO laurel@'%'")
    if how == "stopped":
        slow.run("STOP SLAVE SQL_THREAD")
    else:
        slow.run("STOP SLAVE")
        slow.run("CHANGE MASTER TO MASTER_DELAY = 60")
        slow.run("START SLAVE")
    type_tests(population[0], 51)
    wait_for_service(population[0], {"replica_2"})
    # Left out, it is not even asked: the other one has all reads.
    lag = next(one.lag for one in replicas.list_replicas() if one.database == "replica_1")
    lag._until += 300
    before, cost = count_reads("replica_1"), count_reads("primary")
    for user in population[1:]:
        cache.clear()
        read_profile(user)
    assert count_reads("replica_1") == before
    assert count_reads("primary") == cost
    slow.run("STOP SLAVE")
    slow.run("CHANGE MASTER TO MASTER_DELAY = 0")
    slow.run("START SLAVE")
    lag._until -= 300
    wait_for_service(population[0], BOTH)


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_replica_that_dies_costs_a_second_at_most_and_comes_back(
    replicated: Replicated, population: list[int], how: str
) -> None:
    wait_for_service(population[0], BOTH)
    dead = replicated.find("replica_2")
    dead.kill() if how == "killed" else dead.pause()
    slow = 0
    for number in range(60):
        cache.delete(keys.name_achievements(population[number % 12]))
        began = time.monotonic()
        assert read_profile(population[number % 12])["unlockedCount"] == 1
        took = time.monotonic() - began
        assert took < 1 + SPARE_SECONDS
        slow += took > 0.8
    wait_for_service(population[0], {"replica_1"})
    # One request found out; another may have tried again, after a pause.
    assert slow <= 3
    dead.start() if how == "killed" else dead.resume()
    wait_for_service(population[0], BOTH)


def test_without_any_replica_the_primary_answers(
    replicated: Replicated, population: list[int], client
) -> None:
    for replica in replicated.replicas:
        replica.kill()
    before = count_reads("primary")
    for user in population:
        assert read_profile(user)["unlockedCount"] == 1
    assert count_reads("primary") == before + len(population)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["replicas"] == "0 of 2"


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_without_the_primary_profiles_are_read_and_nothing_is_cached(
    replicated: Replicated, population: list[int], client, how: str
) -> None:
    shut, *opened = population
    set_privacy(user_id=shut, is_private=True)
    replicated.wait_for_replicas()
    cached = read_profile(opened[0])
    replicated.primary.kill() if how == "killed" else replicated.primary.pause()
    time.sleep(2.1)  # the rulebook has to be compared again
    for _ in range(2):
        for user in opened:
            began = time.monotonic()
            assert read_profile(user)["achievements"][0]["level"] == 50
            read("progress", user)
            assert time.monotonic() - began < 2 * (1 + SPARE_SECONDS)
        assert client.get(f"/api/v1/users/{shut}/achievements").status_code == 404
    assert client.get("/api/v1/achievements").status_code == 200
    names = [keys.name_achievements(user) for user in opened[1:]]
    assert cache.get_many([*names, *map(keys.name_progress, opened), keys.CATALOGUE]) == {}
    assert read_profile(opened[0]) == cached
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (200, "unreachable")
    assert answer.json()["status"] == "degraded"
    replicated.primary.start() if how == "killed" else replicated.primary.resume()
    connections["default"].close()

    def is_kept() -> object:
        read_profile(opened[1])
        return cache.get(names[0])

    wait_until(is_kept, say=lambda: names[0])
    type_tests(opened[1], 51)
    assert client.get("/readyz").json()["checks"]["database"] == "ok"


def test_writers_and_readers_agree_while_replication_stops_and_goes_on(
    replicated: Replicated, client, settings
) -> None:
    """Each reader knows what was committed before it asked, and must be shown no less."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    settings.API_THROTTLE_RATES = {**settings.API_THROTTLE_RATES, "public": None}
    make_broad_catalogue()
    make_achievement(
        "counter", {"count": "tests"}, *range(1, 51), levels=make_levels(*range(1, 51))
    )
    publish()
    users = [new_user() for _ in range(6)]
    done = dict.fromkeys(users, 0)
    events: list[Event] = []
    errors: list[BaseException] = []
    is_over = Flag()

    def write() -> None:
        for test in range(1, 51):
            for user in users:
                events.extend(type_tests(user, test))
                done[user] = test
            if is_over.wait(0.1):
                return

    def look() -> None:
        while not is_over.is_set():
            user = random.choice(users)
            known = done[user]
            shown = {one["slug"]: one["level"] for one in read_profile(user)["achievements"]}
            assert shown.get("counter", 0) >= known
            goal = {one["slug"]: one["current"] for one in read("progress", user)["achievements"]}
            assert goal.get("counter", 50) >= known

    threads = [Thread(target=_guard, args=(work, errors, is_over)) for work in (write, look, look)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 8
    while time.monotonic() < ends and not errors:
        replica = chance.choice(replicated.replicas)
        replica.run("STOP SLAVE SQL_THREAD")
        time.sleep(chance.random() * 0.6)
        replica.run("START SLAVE SQL_THREAD")
        time.sleep(chance.random() * 0.2)
    is_over.set()
    for thread in threads:
        thread.join(30)
    assert not errors, errors
    behind = sum(metrics.REPLICA_BEHIND.labels(one)._value.get() for one in BOTH)
    print(f"{len(events)} events, {behind} users seen behind")
    check_invariants(events, client=client)


def _guard(work: Callable[[], None], errors: list[BaseException], is_over: Flag) -> None:
    try:
        work()
    except BaseException as error:
        errors.append(error)
        is_over.set()
    finally:
        connections.close_all()
