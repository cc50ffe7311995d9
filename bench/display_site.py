"""The servers of the display bench: the site, its edge, the bare handler; and their users."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from string import Template
from typing import Final

from django.core.management import call_command
from django.db import connection

from achievements import keys, tables
from achievements.documents import (
    HEADER_LENGTH,
    Stamp,
    build_document,
    decode_document,
    encode_document,
)
from achievements.progress import encode_progress, start_progress
from achievements.rulebooks import get_rulebook
from achievements.shown import fetch_profile
from bench.pipeline_site import Servers
from bench.ready import SiteServer
from bench.timing import say
from bench.workload import START
from deploy.local.nginx import Edge
from deploy.local.process import HOST
from deploy.nginx.configuration import find_modules

UNLOCKS: Final = 50
SLICE: Final = 2_000
PROFILE: Final = "/api/v1/users/USER/achievements"


@dataclass(frozen=True, slots=True)
class Universe:
    """Users first .. first + count - 1."""

    first: int
    count: int


# Those whose rows are in the database, and those whose documents alone are in Redis.
KNOWN: Final = 400_000_001
CACHED: Final = 500_000_001


class Bare(Edge):
    """nginx with bare.conf.template."""

    name = "bare"
    ready_path = "/ready"

    def __init__(self, redis_port: int) -> None:
        super().__init__(site="", environment={})
        self.redis_port = redis_port

    def prepare(self) -> None:
        template = Template((Path(__file__).parent / "bare.conf.template").read_text("utf-8"))
        text = template.substitute(
            modules=find_modules(),
            state=self.folder,
            user=f"user {self.user};" if self.user else "",
            listen=f"{HOST}:{self.port}",
            redis_port=self.redis_port,
        )
        self.configuration_file.write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Display:
    web: SiteServer
    edge: Edge
    bare: Bare
    known: Universe
    cached: Universe


def start_display(
    stack: ExitStack, servers: Servers, *, known_users: int, cached_users: int
) -> Display:
    """Fill database and Redis, then start the site, its edge and the bare handler."""
    known, cached = Universe(KNOWN, known_users), Universe(CACHED, cached_users)
    insert_known(known)
    call_command("collectstatic", interactive=False, verbosity=0)  # icons have hashed names
    fill_redis(servers.redis.port, cached)
    web = stack.enter_context(SiteServer())
    edge = stack.enter_context(Edge(site=f"{HOST}:{web.port}", environment=os.environ))
    bare = stack.enter_context(Bare(servers.redis.port))
    return Display(web, edge, bare, known, cached)


def insert_known(users: Universe) -> None:
    """Give every user the first level of UNLOCKS achievements, by two statements in the server."""
    say(f"{users.count:,} users with {UNLOCKS} unlocks each are inserted")
    rulebook = get_rulebook()
    unlocked = [rule.definition.achievement_id for rule in rulebook.rules][:UNLOCKS]
    state = encode_progress(start_progress(rulebook)).hex()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_progress (user_id, revision, state)"
            f" SELECT seq + {users.first}, 1, x'{state}' FROM seq_0_to_{users.count - 1}"
        )
        held = " UNION ALL ".join(
            f"SELECT {achievement_id} a, {hours} h" for hours, achievement_id in enumerate(unlocked)
        )
        cursor.execute(
            "INSERT INTO user_achievements (user_id, achievement_id, level, unlocked_at,"
            f" test_result_id, rulebook_version) SELECT n.seq + {users.first}, k.a, 1,"
            f" %s + INTERVAL k.h HOUR + INTERVAL n.seq SECOND, n.seq, {rulebook.version}"
            f" FROM seq_0_to_{users.count - 1} n STRAIGHT_JOIN ({held}) k",
            [(START - timedelta(days=9)).replace(tzinfo=None)],
        )
        cursor.execute("ANALYZE TABLE user_achievements, user_progress")
        cursor.fetchall()
    counts = {(a, 1): users.count for a in unlocked} | {tables.USERS_TALLY: users.count * 3}
    tables.add_tallies(counts, slot=0)


def fill_redis(port: int, users: Universe) -> None:
    """Put a document for every user into Redis: that of a known user, with each one's own id."""
    say(f"{users.count:,} documents are put into Redis")
    document = fetch_profile(KNOWN)
    connection.close()
    context = get_context("fork")
    half = users.count // 2
    shares = ((users.first, half), (users.first + half, users.count - half))
    processes = [
        context.Process(target=_fill_share, args=(port, document.body, document.edition, *share))
        for share in shares
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, "Redis could not be filled"


def _fill_share(port: int, body: bytes, edition: int, first: int, count: int) -> None:
    from redis import Redis

    redis = Redis(host=HOST, port=port, socket_timeout=60)
    # Zipping a million bodies would take minutes; the header says who each is made for, and the
    # bodies say it of the first user of their slice.
    for start in range(first, first + count, SLICE):
        own = body.replace(b'"userId":%d' % KNOWN, b'"userId":%d' % start)
        value = encode_document(
            build_document(own, stamp=Stamp(1), edition=edition, ttl_seconds=3600)
        )
        pipeline = redis.pipeline(transaction=False)
        for user_id in range(start, min(start + SLICE, first + count)):
            pipeline.set(keys.name_achievements(user_id), value, ex=3600)
        pipeline.execute()
    assert decode_document(value) is not None
    assert len(value) > HEADER_LENGTH


def wait_for_calm(seconds: float = 2.0) -> None:
    time.sleep(seconds)
