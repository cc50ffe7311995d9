"""Reading a profile over HTTP: ready bytes from the cache beside an uncached read through DRF."""

import json
import os
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from django.core.management import call_command

from achievements import tables, unlocks
from achievements.progress import encode_progress, start_progress
from achievements.rulebook import Rulebook
from bench.load import find_generator, measure_requests
from bench.report import Report
from bench.timing import alternate, compare
from bench.workload import START
from deploy.local.process import HOST, LocalProcess

FIRST_USER: Final = 900_000_001
USERS: Final = 200
UNLOCKS: Final = 50
ROUNDS: Final = 5
SECONDS: Final = 2
READY: Final = "/api/v1/users/{}/achievements"
UNCACHED: Final = "/bench/users/{}/achievements"
ROOT: Final = Path(__file__).parent.parent


class SiteServer(LocalProcess):
    """One granian process for WSGI, as `make run` starts it, with the baseline's address."""

    name = "granian"

    def __init__(self, *, workers: int = 1, threads: int = 4) -> None:
        super().__init__()
        self.workers, self.threads = workers, threads

    def build_command(self) -> list[str]:
        return [
            *(str(Path(sys.executable).with_name("granian")), "--interface", "wsgi"),
            *("--host", HOST, "--port", str(self.port), "--workers", str(self.workers)),
            *("--blocking-threads", str(self.threads), "--no-ws", "--log-level", "warning"),
            *("--working-dir", str(ROOT), "bench.wsgi:application"),
        ]

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://{HOST}:{self.port}/livez", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def measure_display(report: Report, rulebook: Rulebook) -> None:
    insert_profiles(rulebook)
    call_command("collectstatic", interactive=False, verbosity=0)  # icons have hashed names
    ids = range(FIRST_USER, FIRST_USER + USERS)
    os.chdir(ROOT)
    with SiteServer() as server:
        ready, uncached = (read_json(server.port, p.format(FIRST_USER)) for p in (READY, UNCACHED))
        if ready != uncached or ready["unlockedCount"] != UNLOCKS:
            raise AssertionError("The two documents differ: a baseline must answer the same.")
        for user_id in ids:  # fill the cache
            read_json(server.port, READY.format(user_id))
        rates = alternate(
            {
                name: partial(
                    measure_requests,
                    server.port,
                    [address.format(user_id) for user_id in ids],
                    seconds=SECONDS,
                )
                for name, address in (("ready", READY), ("drf", UNCACHED))
            },
            rounds=ROUNDS,
            title="profile",
        )
    unit = f"requests/s, {find_generator()}"
    report.add_rate("profile_ready_bytes", rates["ready"], unit=unit)
    report.add_rate("profile_uncached_drf", rates["drf"], unit=unit)
    report.add_ratio("ready_bytes_vs_drf", compare(rates["ready"], rates["drf"]), at_least=5)


def insert_profiles(rulebook: Rulebook) -> None:
    """Give every user the first level of UNLOCKS achievements."""
    state = encode_progress(start_progress(rulebook))
    unlocked = [rule.definition.achievement_id for rule in rulebook.rules][:UNLOCKS]
    for user_id in range(FIRST_USER, FIRST_USER + USERS):
        tables.store_progress([(user_id, 1, state)])
        unlocks.insert_unlocks(
            [
                unlocks.UnlockRow(user_id, achievement_id, 1, START + timedelta(hours=n), n, 1)
                for n, achievement_id in enumerate(unlocked, start=1)
            ]
        )
    tables.add_tallies({(a, 1): USERS for a in unlocked} | {tables.USERS_TALLY: USERS}, slot=0)


def read_json(port: int, path: str) -> Any:
    with urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        return json.load(answer)
