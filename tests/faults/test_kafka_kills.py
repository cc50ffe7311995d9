"""Half a hundred kills: consumers, the relay and the broker die at random moments under load."""

import random
import sys
import time
from itertools import count

import pytest
from django.db import DatabaseError

from achievements.errors import NotDurable
from achievements.events import Event
from achievements.models import Outbox, UserProgress
from achievements.outbox import accept_events, record_events
from tests.factories import make_broad_catalogue
from tests.faults.fleet import (
    Command,
    check_offsets,
    count_lag,
    drain,
    make_consumer,
    new_group,
    publish,
    read_dead_letters,
    wait_until,
)
from tests.faults.hammer import make_pool, make_stream
from tests.invariants import check_invariants

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

KILLS = 50
BROKER_KILLS = 3
CONSUMERS = 4
USERS, TESTS = 60, 40
PLACES = ("before_commit", "after_commit", "consumer_before_commit")


class Fleet:
    """Four consumers and a relay; whoever dies is started again at once.

    Consumers die by the test's hand, or of themselves at a step that is hard to hit from outside.
    """

    def __init__(self, group: str, chance: random.Random) -> None:
        self.group, self.chance = group, chance
        self.consumers: dict[int, Command] = {}
        self.relay: Command | None = None
        self.kills = {"consumer": 0, "relay": 0, "broker": 0}
        self.failures: list[str] = []

    def start_missing(self) -> None:
        for number in range(CONSUMERS):
            one = self.consumers.get(number)
            if one is None or not one.is_running:
                if one is not None:
                    self._count(one)
                self.consumers[number] = make_consumer(
                    self.group, f"c{number}", FAILPOINT=self._choose_failpoint()
                ).start()
        if self.relay is None or not self.relay.is_running:
            if self.relay is not None:
                self._count(self.relay)
            place = "relay_after_publish:kill 0.2" if self.chance.random() < 0.5 else ""
            self.relay = Command("relay_outbox", FAILPOINT=place).start()

    def kill_one(self) -> None:
        victims = [c for c in (*self.consumers.values(), self.relay) if c and c.is_running]
        if victims:
            self.chance.choice(victims).kill()  # counted when it is started again

    def stop(self) -> None:
        for one in (*self.consumers.values(), self.relay):
            if one is not None:
                if not one.is_running:
                    self._count(one)
                one.remove()

    @property
    def total(self) -> int:
        return sum(self.kills.values())

    def _choose_failpoint(self) -> str:
        if self.chance.random() < 0.5:
            return ""
        return f"{self.chance.choice(PLACES)}:kill {self.chance.choice((0.02, 0.1, 0.3))}"

    def _count(self, one: Command) -> None:
        code = one.wait()
        if code == -9:
            self.kills["relay" if one.name == "relay_outbox" else "consumer"] += 1
        else:
            self.failures.append(f"{one.name} ended with {code}:\n{one.read_log_end(6)}")
        one.remove()


def test_nothing_is_lost_or_doubled_by_fifty_kills(kafka, settings, client, capsys) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    began = time.monotonic()

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\r  {time.monotonic() - began:5.1f} s  {text:<70}", end="", file=sys.stderr)

    settings.EVENT_TRANSPORT = "kafka"
    make_broad_catalogue(is_ordered=False)
    pool, group = make_pool(USERS, TESTS), new_group()
    stream = make_stream(seed, pool, batches=150, size=24)
    sent, bad = 0, 0
    fleet = Fleet(group, chance)
    broker_at = sorted(chance.sample(range(5, KILLS - 5), BROKER_KILLS))
    again = count()

    def send(batch: list[Event]) -> None:
        """By the outbox or straight to the topic; what was not acknowledged is sent again."""
        nonlocal bad
        if chance.random() < 0.5:
            record_events(batch)
            return
        for _ in again:
            try:
                accept_events(batch)
                break
            except (NotDurable, DatabaseError):
                if not kafka.is_running:
                    kafka.start()
        if chance.random() < 0.2:
            publish([b'{"userId": %d}' % bad])
            bad += 1

    try:
        while fleet.total < KILLS or sent < len(stream):
            fleet.start_missing()
            # When the stream is through, what follows is duplicates alone.
            send(stream[sent] if sent < len(stream) else chance.sample(pool, 24))
            sent += 1
            if chance.random() < 0.5:
                fleet.kill_one()
            if broker_at and fleet.total >= broker_at[0]:
                broker_at.pop(0)
                fleet.kills["broker"] += 1
                kafka.kill()
                record_events(stream[min(sent, len(stream) - 1)])  # the site goes on
                time.sleep(chance.random())
                kafka.start()
            say(
                f"seed {seed}: {fleet.total} kills, {sent} batches, outbox {Outbox.objects.count()}"
            )
            time.sleep(chance.random() * 0.5)
            assert time.monotonic() - began < 400, fleet.kills
        fleet.start_missing()
    finally:
        fleet.stop()
    with Command("relay_outbox"):
        wait_until(lambda: not Outbox.objects.exists(), seconds=40)
    before = UserProgress.objects.count()
    drain(group, seconds=60)
    say(f"seed {seed}: {fleet.kills} in {sent} batches, {before} users before the last drain")
    assert fleet.failures == [], "\n".join(fleet.failures)
    assert fleet.total >= KILLS
    held = check_invariants(pool, client=client)
    assert len(held) == USERS
    assert count_lag(group) == 0
    check_offsets(group)
    letters = {letter["value"] for letter in read_dead_letters()}
    assert letters == {b'{"userId": %d}' % number for number in range(bad)}
