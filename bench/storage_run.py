"""The parts of the storage bench, on one server."""

from functools import cached_property
from typing import TYPE_CHECKING, Final

from achievements.rulebooks import get_rulebook
from achievements.statements import fetch_all
from bench.pipeline_site import ROOT, load_live_achievements
from bench.report import Report
from bench.storage_arrivals import PROFILE_UNLOCKS, Arrivals
from bench.storage_growth import Growth, Point
from bench.storage_indexes import (
    REPEATS,
    Found,
    collect_queries,
    count_holders,
    time_tallies,
    try_category,
    try_queries,
)
from bench.storage_inserts import measure_inserts
from bench.storage_layouts import TABLE, Layout, Ours, Sketch, fill_layouts
from bench.storage_picture import draw_storage
from bench.storage_reads import Reads, measure_profiles
from bench.storage_site import HOME, Database
from bench.timing import Ratio, compare, say

if TYPE_CHECKING:
    from bench.storage import Sizes

PICTURE: Final = ROOT / "docs" / "storage.svg"
UNLOCKS: Final = 1_500_000_000
USERS: Final = 30_000_000
SHARE: Final = 4  # tables of which there are many hold a quarter of the users
GROWTH_STEPS: Final = (1, 3, 10, 20, 50)  # times the users at first
INDEXES: Final = {
    "none": (),
    "user_time": ("(user_id, unlocked_at DESC)",),
    "achievement": ("(achievement_id)",),
    "both": ("(user_id, unlocked_at DESC)", "(achievement_id)"),
}


class Run:
    """The report, and what several parts need: made when the first of them asks."""

    def __init__(self, report: Report, sizes: "Sizes", database: Database) -> None:
        self.report, self.sizes, self.database = report, sizes, database
        load_live_achievements()
        self.bytes: dict[str, float] = {}
        self.points: list[Point] = []

    def measure(self, part: str) -> None:
        say(f"measuring: {part}")
        getattr(self, f"_measure_{part}")()

    def draw(self) -> None:
        if self.bytes and self.points:
            draw_storage(PICTURE, bytes_a_row=self.bytes, points=self.points)

    @cached_property
    def arrivals(self) -> Arrivals:
        return Arrivals(users=self.sizes.users)

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """The contenders, filled: unlocks a second inside the server are a first figure."""
        layouts: dict[str, Layout] = {
            "ours": Ours(HOME),
            "sketch": Sketch("laurel_sketch"),
            "sketch_without_unique": Sketch("laurel_sketch_plain", is_unique=False),
        }
        self.database.restart(pool=self.sizes.pool)  # a part before may have had little memory
        for name, rates in fill_layouts(layouts, self.arrivals).items():
            self.report.add_rate(f"fill_{name}", rates, unit="rows/s inside the server")
        return layouts

    @cached_property
    def growth(self) -> Growth:
        assert self.layouts  # its unlocks belong to the site that grows
        self.database.restart(pool=self.sizes.pool)
        return Growth(self.database, get_rulebook(), small_users=self.sizes.few_users)

    def _measure_bytes(self) -> None:
        """On the disk, after the rows came in the order of time."""
        rows = self.arrivals.count
        found: dict[str, dict[str, float]] = {}
        for name, layout in self.layouts.items():
            files = self.database.measure_bytes(layout.database, TABLE) / rows
            pages = self.database.measure_pages(layout.database, TABLE) / rows
            self.bytes[name] = files
            found[name] = {"on_disk": files, "in_pages": pages}
            self.report.add_facts(f"bytes_an_unlock_{name}", found[name])
            self.report.add_facts(
                f"gigabytes_at_1_5_billion_{name}",
                {"all": pages * UNLOCKS / 1e9, "a_primary_of_two": pages * UNLOCKS / 2e9},
            )
        self.report.add_facts(
            "unlocks", {"rows": rows, "users": self.sizes.users, "a_profile": PROFILE_UNLOCKS}
        )
        self.report.add_ratio("bytes_vs_sketch", self._compare_bytes("sketch"), at_most=0.55)
        plain = self._compare_bytes("sketch_without_unique")
        self._add_figure("bytes_vs_sketch_without_unique", plain, unit="ratio, on disk")

    def _measure_reads(self) -> None:
        names = ("ours", "sketch")
        found = measure_profiles(
            self.database,
            {name: self.layouts[name] for name in names},
            self.arrivals,
            pool=self.sizes.pool,
            rounds=self.sizes.rounds,
            reads=self.sizes.reads,
        )
        for name, reads in found.items():
            self._report_reads(f"profile_{name}", reads)
        cold = compare(found["sketch"].cold_ms, found["ours"].cold_ms)
        warm = compare(found["sketch"].warm_ms, found["ours"].warm_ms)
        self.report.add_ratio("profile_read_vs_sketch", cold, at_least=5)
        self.report.add_ratio("profile_read_warm_vs_sketch", warm, at_least=1)

    def _measure_partitions(self) -> None:
        """The same rows in 8, 64 and 256 partitions, ours and the sketch's."""
        layouts: dict[str, Layout] = {}
        for count in (8, 64, 256):
            layouts[f"ours_{count}"] = Ours(f"laurel_ours_{count}", partitions=count)
            layouts[f"sketch_{count}"] = Sketch(f"laurel_sketch_{count}", partitions=count)
        self.database.restart(pool=self.sizes.pool)
        fill_layouts(layouts, self.arrivals, only=self.arrivals.choose(SHARE))
        found = measure_profiles(
            self.database, layouts, self.arrivals, pool=self.sizes.pool,
            rounds=self.sizes.rounds, reads=self.sizes.reads, share=SHARE,
        )  # fmt: skip
        for name, reads in found.items():
            self._report_reads(f"profile_{name}_partitions", reads)
        for layout in layouts.values():
            layout.drop()

    def _measure_inserts(self) -> None:
        """With a buffer pool far smaller than any of the tables."""
        assert self.layouts
        self.database.restart(pool=self.sizes.small_pool)
        found = measure_inserts(
            self.layouts, self.arrivals,
            rounds=self.sizes.rounds, batches=self.sizes.insert_batches,
        )  # fmt: skip
        for name, inserts in found.items():
            self.report.add_rate(f"inserts_{name}", inserts.rates, unit="unlocks/s, 100 a batch")
            self.report.add_facts(f"inserts_{name}_disk", inserts.describe())
        ours = found["ours"].rates
        self.report.add_ratio(
            "inserts_vs_sketch", compare(ours, found["sketch"].rates), at_least=1.5
        )
        plain = compare(ours, found["sketch_without_unique"].rates)
        self._add_figure("inserts_vs_sketch_without_unique", plain, unit="ratio")

    def _measure_indexes(self) -> None:
        layouts = {
            name: Ours(f"laurel_index_{name}", indexes=indexes) for name, indexes in INDEXES.items()
        }
        self.database.restart(pool=self.sizes.pool)
        filled = fill_layouts(layouts, self.arrivals, only=self.arrivals.choose(SHARE))
        ((rows,),) = fetch_all(f"SELECT COUNT(*) FROM {layouts['none'].database}.{TABLE}")
        size = {
            n: self.database.measure_pages(x.database, TABLE) / rows for n, x in layouts.items()
        }
        queries = collect_queries(self.arrivals, share=SHARE)
        drawn = self.arrivals.draw_profiles(REPEATS, share=SHARE)
        tables = {name: layouts[name] for name in ("none", "user_time", "achievement")}
        for name, by_table in try_queries(queries, tables, drawn).items():
            self._report_query(f"query_{name}", by_table)
        counted = {name: layouts[name] for name in ("none", "achievement")}
        self._report_query("query_count_of_holders", count_holders(counted))
        milliseconds, tallies = time_tallies()
        self.report.add_facts("tallies_of_all_levels", {"ms": milliseconds, "rows": tallies})
        self._report_query("query_achievements_of_a_category", try_category())
        self.database.restart(pool=self.sizes.index_pool)
        inserted = measure_inserts(
            layouts, self.arrivals, share=SHARE,
            rounds=self.sizes.rounds, batches=self.sizes.insert_batches // 2,
        )  # fmt: skip
        for name in layouts:
            self.report.add_facts(
                f"index_cost_{name}",
                {
                    "bytes_in_pages": size[name],
                    "microseconds_a_row_in_memory": 1e6 / filled[name].median,
                    "microseconds_a_row_from_disk": 1e6 / inserted[name].rates.median,
                    **inserted[name].describe(),
                },
            )
        for layout in layouts.values():
            layout.drop()

    def _measure_followed(self) -> None:
        """What a batch costs while a repartition follows the tables that it writes."""
        alone, followed = self.growth.measure_followed(
            rounds=self.sizes.rounds, batches=self.sizes.engine_batches
        )
        self.report.add_rate("engine_alone", alone, unit="events/s, batches of 500")
        self.report.add_rate("engine_followed", followed, unit="events/s, batches of 500")
        self._add_figure(
            "followed_by_repartition", compare(alone, followed), unit="times the cost alone"
        )

    def _measure_growth(self) -> None:
        sizes = self.sizes
        steps = [round(sizes.few_users * step) for step in GROWTH_STEPS]
        steps = [n for n in steps if n < sizes.many_users] + [sizes.many_users]
        self.points = [
            self.growth.measure(users=n, rounds=2 * sizes.rounds, batches=sizes.engine_batches)
            for n in steps
        ]
        for point in self.points:
            self.report.add_rate(
                f"engine_{point.users:_}_users", point.grown, unit="events/s, batches of 500"
            )
            self._add_figure(
                f"cost_{point.users:_}_users", point.growth, unit="times that of the small site"
            )
        self.report.add_ratio("growth_100k_to_5m", self.points[-1].growth, at_most=1.3)
        bytes_a_user = self.database.measure_bytes(HOME, "user_progress") / sizes.many_users
        self.report.add_facts(
            "progress",
            {"bytes_a_user": bytes_a_user, "gigabytes_at_30_million": bytes_a_user * USERS / 1e9},
        )

    def _measure_beyond(self) -> None:
        """The same site with less memory than a sixth of its tables."""
        if self.growth.grown.count < self.sizes.many_users:
            self.growth.grown.grow(self.sizes.many_users)
        rates, facts = self.growth.measure_beyond_memory(
            pool=self.sizes.beyond_pool, rounds=self.sizes.rounds, batches=self.sizes.engine_batches
        )
        self.report.add_rate("engine_beyond_memory", rates, unit="events/s, batches of 500")
        self.report.add_facts("beyond_memory", facts)

    def _report_reads(self, name: str, reads: Reads) -> None:
        self.report.add_rate(f"{name}_cold", reads.cold_ms, unit="ms")
        self.report.add_rate(f"{name}_warm", reads.warm_ms, unit="ms")
        self.report.add_facts(
            f"{name}_disk", {"pages_read_cold": sum(reads.pages) / len(reads.pages)}
        )

    def _report_query(self, name: str, by_table: dict[str, Found]) -> None:
        facts: dict[str, object] = {}
        for table, found in by_table.items():
            facts[f"ms_{table}"] = found.milliseconds
            facts[f"rows_read_{table}"] = found.rows_read
            facts[f"plan_{table}"] = [found.key, found.extra]
        self.report.add_facts(name, facts)

    def _compare_bytes(self, baseline: str) -> Ratio:
        value = self.bytes["ours"] / self.bytes[baseline]
        return Ratio(value, value, value)

    def _add_figure(self, name: str, ratio: Ratio, *, unit: str) -> None:
        self.report.add_facts(
            name,
            {"median": ratio.median, "min": ratio.lowest, "max": ratio.highest, "unit": unit},
        )
