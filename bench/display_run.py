"""The parts of the display bench, on one set of servers."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from django.core.cache import cache as store
from redis import Redis

from achievements import cache, keys
from achievements.rulebooks import get_rulebook, publish_rulebook
from bench.display_load import Prober, Unlocker, ask, read_edge_counts
from bench.display_site import PROFILE, Display, start_display, wait_for_calm
from bench.display_watched import measure_followed, measure_unwatched
from bench.pipeline_pace import measure_paced
from bench.pipeline_site import ROOT, Servers, load_live_achievements
from bench.pipeline_topic import Topic
from bench.pipeline_users import Users, make_pasts
from bench.rates_picture import write_picture
from bench.ready import SiteServer
from bench.report import Report
from bench.timing import Rates, Ratio, compare, say
from bench.wrk import Measured, Wrk, run_wrk

if TYPE_CHECKING:
    from bench.display import Sizes

DRF: Final = "/bench/users/USER/achievements"
CALM_MS: Final = 50.0
PICTURE: Final = ROOT / "docs" / "display.svg"


class Run:
    """The servers, the report, and what each contender reached."""

    def __init__(self, report: Report, sizes: "Sizes", stack: ExitStack, servers: Servers) -> None:
        self.report, self.sizes, self.servers = report, sizes, servers
        load_live_achievements()
        publish_rulebook()
        self.rulebook = get_rulebook()
        self.display: Display = start_display(
            stack, servers, known_users=sizes.known_users, cached_users=sizes.cached_users
        )
        self.rates: dict[str, list[Measured]] = {}
        self.curve: list[tuple[float, float]] = []
        self.stack = stack

    def measure(self, part: str) -> None:
        say(f"measuring: {part}")
        getattr(self, f"_measure_{part}")()

    def draw(self) -> None:
        names = {
            "bare_lua": "bare GET, nginx", "edge": "edge, even", "edge_zipf": "edge, by popularity",
            "edge_unzipped": "edge, not as gzip", "django": "Django, ready bytes",
            "drf": "DRF, database",
        }  # fmt: skip
        if self.curve and "drf" in self.rates:
            write_picture(
                PICTURE,
                title="Profiles a second, wrk and Redis on the same two cores",
                bars=[(text, self._rates(n).median, n != "drf") for n, text in names.items()],
                curve_title="After FLUSHALL at full load: p99 of a second, in ms, over seconds",
                curve=self.curve,
            )

    def _measure_reads(self) -> None:
        """Every contender once a round: all cached, users drawn evenly, 64 connections."""
        display, cached = self.display, self.display.cached
        drawn = {"first": cached.first, "count": cached.count}
        known = {"first": display.known.first, "count": display.known.count}
        web, edge = display.web.port, display.edge.port
        contenders: dict[str, Callable[..., Measured]] = {
            "bare_lua": lambda **o: run_wrk(display.bare.port, PROFILE, **drawn, **o),
            "edge": lambda **o: run_wrk(edge, PROFILE, **drawn, **o),
            "edge_zipf": lambda **o: run_wrk(edge, PROFILE, **drawn, is_zipf=True, **o),
            "edge_unzipped": lambda **o: run_wrk(
                edge, PROFILE, **drawn, headers={"Accept-Encoding": "identity"}, **o
            ),
            "django": lambda **o: run_wrk(web, PROFILE, **drawn, **o),
            "drf": lambda **o: run_wrk(web, DRF, **known, **o),
        }
        for number in range(self.sizes.rounds):
            say(f"reads: round {number + 1} of {self.sizes.rounds}")
            for name, run in contenders.items():
                self._keep(name, run(seconds=self.sizes.seconds, seed=number + 1))
        for name in contenders:
            self._report_reads(name)
        best = self._compare("edge", "bare_lua")
        self.report.add_ratio("edge_vs_bare_lua", best, at_least=0.7)
        self.report.add_ratio("edge_vs_drf", self._compare("edge", "drf"), at_least=50)
        self.report.add_ratio("django_vs_drf", self._compare("django", "drf"), at_least=5)
        self.report.add_rate(
            "edge_requests_per_second",
            self._rates("edge"),
            unit="requests/s, wrk on the same cores",
        )
        self._add_milliseconds("edge_p99_ms", [one.p99 for one in self.rates["edge"]])

    def _measure_unchanged(self) -> None:
        """One user's profile from Django, sent and not sent, in many short rounds: it is close."""
        web, cached = self.display.web.port, self.display.cached
        etag = ask(web, PROFILE, cached.first)["etag"]
        one = {"first": cached.first, "seconds": self.sizes.seconds / 4}
        for _ in range(4 * self.sizes.rounds):
            self._keep("django_200", run_wrk(web, PROFILE, **one))
            self._keep("django_304", run_wrk(web, PROFILE, headers={"If-None-Match": etag}, **one))
        for name in ("django_200", "django_304"):
            self._report_reads(name)
        compared = self._compare("django_304", "django_200")
        self.report.add_ratio("django_304_vs_200", compared, at_least=1)

    def _measure_servers(self) -> None:
        """Django behind granian with other numbers of workers and threads, once each."""
        cached = self.display.cached
        for workers, threads in ((1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (2, 2), (2, 4)):
            with SiteServer(workers=workers, threads=threads) as server:
                drawn = {"first": cached.first, "count": cached.count}
                run_wrk(server.port, PROFILE, **drawn, seconds=1)
                found = run_wrk(server.port, PROFILE, **drawn, seconds=self.sizes.seconds / 2)
            self.report.add_facts(
                f"granian_{workers}_workers_{threads}_threads",
                {"requests_a_second": found.rate, "p50_ms": found.p50, "p99_ms": found.p99},
            )

    def _measure_growth(self) -> None:
        """The same load on ten thousand users and on all of them, in alternation."""
        cached = self.display.cached
        few = min(10_000, cached.count)
        for number in range(self.sizes.rounds):
            for name, count in (
                ("few_users", few),
                ("all_users", cached.count),
            ):
                found = run_wrk(
                    self.display.edge.port, PROFILE,
                    first=cached.first, count=count, seconds=self.sizes.seconds, seed=number + 1,
                )  # fmt: skip
                self._keep(name, found)
        growth = self._compare("few_users", "all_users")
        self.report.add_facts("growth_users", {"few": few, "all": cached.count})
        self.report.add_ratio("growth_10k_to_1m", growth, at_most=1.15)

    def _measure_mix(self) -> None:
        """Users by their popularity, 5 of 100 cold at first, 3 of 100 unlocking a minute."""
        known, edge = self.display.known, self.display.edge
        self._warm(share=0.95)
        before = read_edge_counts(edge.port)
        with (
            Unlocker(known, users_a_second=known.count * 0.03 / 60) as unlocker,
            Wrk(
                edge.port, PROFILE, first=known.first, count=known.count, is_zipf=True,
                seconds=self.sizes.mix_seconds,
            ) as wrk,
        ):  # fmt: skip
            found = wrk.finish()
        after = read_edge_counts(edge.port)
        hits, misses = (after[name] - before[name] for name in ("hit", "miss"))
        rate = hits / (hits + misses)
        self.report.add_ratio("hit_rate", Ratio(rate, rate, rate), at_least=0.95)
        self.report.add_facts(
            "mix",
            {
                "users": known.count, "unlocking_a_minute_percent": 3,
                "documents_dropped": unlocker.dropped, "requests_a_second": found.rate,
                "p50_ms": found.p50, "p95_ms": found.p95, "p99_ms": found.p99,
            },
        )  # fmt: skip

    def _measure_flush(self) -> None:
        """FLUSHALL at full load: how long until readers no longer notice, and what it cost."""
        known, edge = self.display.known, self.display.edge
        self._warm(share=1.0)
        ask(self.display.web.port, "/bench/fills")
        with (
            Wrk(
                edge.port, PROFILE, first=known.first, count=known.count, is_zipf=True,
                seconds=self.sizes.flush_seconds,
            ) as wrk,
            Prober(edge.port, known) as prober,
        ):  # fmt: skip
            time.sleep(3)
            redis = store.client.get_client(write=True).connection_pool.connection_kwargs
            Redis(host=redis["host"], port=redis["port"]).flushall()  # with time to wait for it
            flushed_at = time.monotonic()
            found = wrk.finish()
        fills = ask(self.display.web.port, "/bench/fills")["json"]
        curve = prober.list_p99(since=flushed_at)
        self.curve = [(float(second), p99) for second, p99 in curve]
        calm = next((s for s, p99 in curve if all(p < CALM_MS for t, p in curve if t >= s)), None)
        most = float(fills["most"])
        self.report.add_ratio("fills_per_key_after_flush", Ratio(most, most, most), at_most=2)
        self.report.add_facts(
            "flush",
            {
                "seconds_until_p99_below_50_ms": -1.0 if calm is None else calm,
                "names_filled": fills["names"], "fills": fills["fills"],
                "requests_a_second": found.rate, "worst_p99_ms": max(p for _, p in curve),
                "p99_by_second": [round(p, 1) for _, p in curve],
            },
        )  # fmt: skip

    def _measure_together(self) -> None:
        """10,000 checks a second through Kafka and the edge at full load, on the same cores."""
        users = Users(make_pasts(self.rulebook), first=1, count=self.sizes.kafka_users)
        users.insert()
        topic = Topic()
        self.stack.callback(topic.close)
        pids = {name: server.pid for name, server in self.servers.list_named().items()}
        cached, seconds = self.display.cached, self.sizes.together_seconds
        found: list[Measured] = []

        def read() -> None:
            time.sleep(12)  # the consumers have joined by then
            found.append(
                run_wrk(
                    self.display.edge.port, PROFILE,
                    first=cached.first, count=cached.count, seconds=seconds,
                )
            )  # fmt: skip

        reader = Thread(target=read)
        reader.start()
        paced = measure_paced(topic, users, pids, rate=10_000, seconds=seconds + 6)
        reader.join()
        self.report.add_facts(
            "together",
            {
                "checks_a_second": paced.rate, "check_p50_ms": paced.find_percentile(50),
                "check_p99_ms": paced.find_percentile(99), "last_lag": paced.last_lag,
                "reads_a_second": found[0].rate, "read_p50_ms": found[0].p50,
                "read_p99_ms": found[0].p99,
            },
        )  # fmt: skip

    def _measure_watched(self) -> None:
        self.report.add_facts("unwatched_microseconds_an_event", measure_unwatched())
        for watched in (25, 500):
            self.report.add_facts(f"followed_{watched}_of_500", measure_followed(watched=watched))

    def _warm(self, *, share: float) -> None:
        """Let Django fill the documents of the first users; the rest are cold."""
        known = self.display.known
        cold = range(known.first, known.first + known.count)
        cache.forget([keys.name_achievements(user) for user in cold])
        chosen = [user for user in cold if user % 100 < share * 100]
        say(f"{len(chosen):,} documents are filled")
        from achievements.shown import fetch_profiles

        for start in range(0, len(chosen), 200):
            fetch_profiles(chosen[start : start + 200])
        wait_for_calm()

    def _keep(self, name: str, found: Measured) -> None:
        self.rates.setdefault(name, []).append(found)

    def _rates(self, name: str) -> Rates:
        return Rates(tuple(found.rate for found in self.rates[name]))

    def _compare(self, ours: str, theirs: str) -> Ratio:
        return compare(self._rates(ours), self._rates(theirs))

    def _report_reads(self, name: str) -> None:
        self.report.add_rate(name, self._rates(name), unit="requests/s")
        found = self.rates[name]
        self.report.add_facts(
            f"{name}_latency",
            {
                f"{which}_ms": statistics.median(getattr(one, which) for one in found)
                for which in ("p50", "p95", "p99")
            },
        )

    def _add_milliseconds(self, name: str, values: list[float]) -> None:
        figure: dict[str, Any] = {
            "median": statistics.median(values), "min": min(values), "max": max(values),
            "unit": "ms",
        }  # fmt: skip
        self.report.figures[name] = figure
