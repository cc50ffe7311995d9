"""The parts of the pipeline's bench, on one set of servers and one million users."""

import statistics
from typing import TYPE_CHECKING, Final

from achievements.rulebooks import get_rulebook
from bench.pipeline_ceiling import measure_ceiling
from bench.pipeline_drain import Drained, drain, drain_tasks, is_falling, take_burst, watch_memory
from bench.pipeline_endpoint import Endpoint
from bench.pipeline_pace import measure_paced
from bench.pipeline_quix import install_quix, measure_quix
from bench.pipeline_site import ROOT, Servers, load_live_achievements
from bench.pipeline_topic import Topic
from bench.pipeline_users import Users, describe_pasts, make_pasts
from bench.rates_picture import write_picture
from bench.report import Report
from bench.timing import Rates, Ratio, compare, say

if TYPE_CHECKING:
    from bench.pipeline import Sizes

PICTURE: Final = ROOT / "docs" / "pipeline.svg"
TASK_USERS: Final = 10_000
WITHOUT_DEDUPE: Final = {
    "DJANGO_SETTINGS_MODULE": "bench.tapped_settings",
    "BENCH_DEDUPE": "off",
}


class Run:
    """Users, topic and report, and what was measured so far."""

    def __init__(self, report: Report, sizes: "Sizes", servers: Servers) -> None:
        self.report, self.sizes = report, sizes
        self.pids = {name: server.pid for name, server in servers.list_named().items()}
        load_live_achievements()
        self.rulebook = get_rulebook()
        say("typists make their histories")
        pasts = make_pasts(self.rulebook)
        self.users = Users(pasts, first=1, count=sizes.users)
        self.users.insert()
        report.add_facts(
            "workload",
            {
                "users": sizes.users,
                "live_achievements": len(self.rulebook.rules),
                **describe_pasts(pasts),
            },
        )
        self.topic = Topic()
        self.rates: dict[str, Rates] = {}
        self.curve: list[tuple[float, int]] = []

    def measure(self, part: str) -> None:
        say(f"measuring: {part}")
        getattr(self, f"_measure_{part}")()

    def draw(self) -> None:
        names = {
            "bare_sql_two_processes": "bare SQL, no logic", "drain": "Laurel",
            "quixstreams": "Quix Streams", "task_per_event": "one Celery task each",
        }  # fmt: skip
        bars = [
            (label, self.rates[name].median, name == "drain")
            for name, label in names.items()
            if name in self.rates
        ]
        if len(bars) == len(names) and self.curve:
            write_picture(
                PICTURE,
                title="Events a second, two cores for everything",
                bars=bars,
                curve_title="A burst: events that wait, over seconds",
                curve=self.curve,
            )

    def _measure_drain(self) -> None:
        tasks = Users(self.users.pasts, first=10_000_001, count=TASK_USERS)
        tasks.insert()
        tasks.insert_unlocks()
        ours: list[Drained] = []
        found: dict[str, list[float]] = {"bare_sql_two_processes": [], "task_per_event": []}
        for number in range(1, self.sizes.rounds + 1):
            say(f"round {number} of {self.sizes.rounds}: {self.sizes.drain_events:,} events")
            ours.append(drain(self.topic, self.users.take(self.sizes.drain_events), self.pids))
            say(f"{ours[-1].rate:,.0f} events a second; bare SQL now")
            half = self.users.take(self.sizes.drain_events // 2)
            found["bare_sql_two_processes"].append(measure_ceiling(half))
            say(f"{found['bare_sql_two_processes'][-1]:,.0f}; one task an event now")
            found["task_per_event"].append(drain_tasks(tasks, self.sizes.task_events))
        found["drain"] = [one.rate for one in ours]
        for name, rates in found.items():
            self._keep(name, rates)
        self.report.add_rate("drain_events_per_second", self.rates["drain"], unit="events/s")
        last = min(ours, key=lambda one: abs(one.rate - self.rates["drain"].median))
        self.report.add_facts(
            "drain_cpu_microseconds_an_event",
            {**last.cpu_microseconds, "sum": sum(last.cpu_microseconds.values())},
        )
        self.report.add_facts("drain_with_start", {"seconds": last.whole_seconds})
        for ratio, baseline, target in (
            ("drain_vs_task_per_event", "task_per_event", 40.0),
            ("drain_vs_sql_ceiling", "bare_sql_two_processes", 0.4),
        ):
            pair = compare(self.rates["drain"], self.rates[baseline])
            self.report.add_ratio(ratio, pair, at_least=target)

    def _measure_dedupe(self) -> None:
        """Users whose rows hold no ids for the engine that does not look; ours have theirs.

        Both are new: rows that other parts have worked on lie in worn pages.
        """
        pasts = make_pasts(self.rulebook, remembers=False)
        forgetful = Users(pasts, first=20_000_001, count=self.sizes.users)
        mindful = Users(self.users.pasts, first=40_000_001, count=self.sizes.users)
        forgetful.insert()
        mindful.insert()
        with_ids: list[Drained] = []
        without: list[Drained] = []

        def drain_once(is_on: bool) -> Drained:
            events = (mindful if is_on else forgetful).take(self.sizes.dedupe_events)
            return drain(self.topic, events, self.pids, environment={} if is_on else WITHOUT_DEDUPE)

        # Both once, uncounted: what was just inserted is still being written to disk.
        drain_once(False), drain_once(True)
        for number in range(2 * self.sizes.rounds):
            # A B B A: whoever comes second in a round meets a warmer machine.
            for is_on in (True, False) if number % 2 == 0 else (False, True):
                (with_ids if is_on else without).append(drain_once(is_on))
        for name, ones in (("with", with_ids), ("without", without)):
            self.report.add_facts(f"cpu_{name}_dedupe", _summarize_cpu(ones))
        self._keep("drain_with_dedupe", [one.rate for one in with_ids])
        self._keep("drain_without_dedupe", [one.rate for one in without])
        faster = compare(self.rates["drain_without_dedupe"], self.rates["drain_with_dedupe"])
        cost = Ratio(*(1 - 1 / x for x in (faster.median, faster.lowest, faster.highest)))
        self.report.add_ratio("dedupe_cost", cost, at_most=0.1)

    def _measure_pace(self) -> None:
        sizes = self.sizes
        paced = measure_paced(
            self.topic, self.users, self.pids, rate=sizes.pace_rate, seconds=sizes.pace_seconds
        )
        for percent in (50, 95, 99):
            self.report.figures[f"p{percent}_ms_at_10k"] = _figure(
                paced.find_percentile(percent), "ms from produce to commit"
            )
        self.report.add_facts(
            "paced",
            {
                "events_a_second": paced.rate, "events": len(paced.latencies_ms),
                "events_a_batch": len(paced.latencies_ms) / paced.batch_count,
                "highest_lag": paced.highest_lag, "last_lag": paced.last_lag,
                "highest_ms": paced.latencies_ms[-1],
            },
        )  # fmt: skip
        self.report.add_facts("paced_cores", {**paced.cores, "sum": sum(paced.cores.values())})

    def _measure_burst(self) -> None:
        self.curve = take_burst(self.topic, self.users.take(self.sizes.burst_events))
        self.report.add_facts(
            "burst",
            {
                "events": self.sizes.burst_events, "seconds": self.curve[-1][0],
                "highest_lag": max(lag for _, lag in self.curve),
                "falls_monotonically": is_falling(self.curve),
                "curve": [(round(at, 2), lag) for at, lag in self.curve],
            },
        )  # fmt: skip

    def _measure_memory(self) -> None:
        events = self.users.take(self.sizes.memory_events)
        found = watch_memory(self.topic, events, looks=10)
        first, last = found[2][1], found[-1][1]  # caches and queues are full by then
        self.report.add_facts(
            "consumer_memory",
            {
                "events": found[-1][0], "mib_at_three_tenths": first, "mib_at_the_end": last,
                "growth_percent": 100 * (last - first) / first,
                "curve": [(count, round(mib, 1)) for count, mib in found],
            },
        )  # fmt: skip

    def _measure_endpoint(self) -> None:
        batches, single = [], []
        with Endpoint(self.users) as endpoint:
            endpoint.measure_batches(seconds=1)  # warm
            for _ in range(self.sizes.rounds):
                batches.append(endpoint.measure_batches(seconds=self.sizes.endpoint_seconds))
                single.append(endpoint.measure_single(seconds=self.sizes.endpoint_seconds))
        self._keep("endpoint_batches_of_500", batches)
        self._keep("endpoint_single_posts", single)
        pair = compare(self.rates["endpoint_batches_of_500"], self.rates["endpoint_single_posts"])
        self.report.add_ratio("batch_endpoint_vs_single", pair, at_least=20)

    def _measure_quix(self) -> None:
        python = install_quix()
        # Ours before and after it, so that a noisy moment of the machine meets both.
        ours = [self._drain_more()]
        self._keep("quixstreams", [measure_quix(python, seconds=self.sizes.quix_seconds)])
        ours.append(self._drain_more())
        self._keep("drain_beside_quixstreams", ours)
        theirs = self.rates["quixstreams"].median
        ratios = [rate / theirs for rate in ours]
        self.report.add_ratio(
            "drain_vs_quixstreams",
            Ratio(statistics.mean(ratios), min(ratios), max(ratios)),
            at_least=1.0,
        )

    def _drain_more(self) -> float:
        return drain(self.topic, self.users.take(self.sizes.dedupe_events), self.pids).rate

    def _keep(self, name: str, rates: list[float]) -> None:
        self.rates[name] = Rates(tuple(rates))
        self.report.add_rate(name, self.rates[name], unit="events/s")


def _summarize_cpu(drained: list[Drained]) -> dict[str, float]:
    """Return the median microseconds of CPU an event, by process and of all."""
    spent = [one.cpu_microseconds for one in drained]
    by_process = {name: statistics.median(one[name] for one in spent) for name in spent[0]}
    return {**by_process, "sum": statistics.median(sum(one.values()) for one in spent)}


def _figure(value: float, unit: str) -> dict[str, object]:
    return {"median": value, "min": value, "max": value, "unit": unit}
