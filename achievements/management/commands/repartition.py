"""Change the number of partitions of the tables of users, beside live writers (face)."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from django.db import connection
from tqdm import tqdm

from achievements.management.failures import describe_failure
from achievements.partitions import list_user_tables, read_partition_count
from achievements.repartition import (
    SLICE_ROWS,
    abort_repartition,
    alter_table,
    find_abortable,
    read_unfinished,
    repartition_table,
)
from achievements.repartition_plan import (
    Plan,
    find_obstacle,
    has_work,
    make_plan,
    read_free_bytes,
)
from achievements.repartition_trial import Trial, read_server, try_server
from achievements.shadow import RepartitionError, name_shadow, open_session

MOST_PARTITIONS = 1024
LEFT_UNFINISHED = (
    "Nothing is lost: the same command goes on from here, --abort takes it back. Until then every"
    " write to the table also goes into its copy."
)
LEFT_WHOLE = "A table is altered whole or not at all: the same command does the rest."
UNTOUCHED = "No table of users was changed."


class Command(BaseCommand):
    help = (
        "Give the tables of users another number of partitions while they are written to: copy,"
        " verify, swap. A run that was stopped goes on where it was."
    )
    left = UNTOUCHED  # what an end before its time leaves

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--partitions", type=int, metavar="N", help="1 to 1024")
        parser.add_argument(
            "--table", action="append", metavar="T", help="only this one; may be repeated"
        )
        parser.add_argument(
            "--method",
            choices=("copy", "alter"),
            default="copy",
            help="copy: writers go on. alter: the server's own ALTER TABLE, faster; writers wait",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="only show the plan, or what --abort would drop"
        )
        parser.add_argument(
            "--allow-lock", action="store_true", help="let the writers of a big table wait"
        )
        parser.add_argument(
            "--allow-full-disk",
            action="store_true",
            help="go on where the disk seems too small: if it fills up, every write of the site"
            " waits or fails, not this run's alone",
        )
        parser.add_argument(
            "--abort", action="store_true", help="take back what an unfinished run has left"
        )
        parser.add_argument(
            "--keep-old", action="store_true", help="keep the old table, as TABLE__old"
        )
        parser.add_argument(
            "--slice", type=int, default=SLICE_ROWS, metavar="ROWS", help="most rows a transaction"
        )
        parser.add_argument(
            "--pause",
            type=float,
            default=0.5,
            metavar="TIMES",
            help="rest after each slice, so many times as long as it took (0.5): 0 is fastest",
        )

    def handle(self, *, partitions: int | None, abort: bool, **options: Any) -> None:
        if connection.vendor != "mysql":
            raise CommandError(f"{connection.vendor} has no partitions: only MySQL and MariaDB do.")
        if settings.DATABASE_SHARDING != "none":
            raise CommandError(
                f"DATABASE_SHARDING={settings.DATABASE_SHARDING} spreads the users already: see"
                " docs/sharding.md."
            )
        if not abort and (partitions is None or not 1 <= partitions <= MOST_PARTITIONS):
            raise CommandError(f"--partitions must be from 1 to {MOST_PARTITIONS}.")
        if options["method"] == "alter" and options["keep_old"]:
            raise CommandError("--keep-old goes with --method copy: an ALTER leaves no old table.")
        if not 1 <= options["slice"] <= 100_000:
            raise CommandError("--slice must be from 1 to 100000.")
        if not 0 <= options["pause"] <= 100:
            raise CommandError("--pause must be from 0 to 100.")
        try:
            with open_session():
                tables = self._choose_tables(options["table"])
                if abort:
                    self._abort(tables, dry_run=options["dry_run"])
                else:
                    assert partitions is not None
                    self._repartition(tables, partitions, **options)
        except RepartitionError as error:
            raise CommandError(str(error)) from error
        except DatabaseFailure as error:
            raise CommandError(f"{describe_failure(error)} {self.left}") from error
        except KeyboardInterrupt:
            raise CommandError(f"Stopped. {self.left}", returncode=130) from None

    def _choose_tables(self, named: list[str] | None) -> list[str]:
        known = list_user_tables()
        if unknown := sorted(set(named or ()) - set(known)):
            raise CommandError(f"--table must be one of {', '.join(known)}; not {unknown[0]}.")
        return named or [
            table
            for table in known
            if read_partition_count(connection, table) or read_unfinished(table)
        ]

    def _abort(self, tables: list[str], *, dry_run: bool) -> None:
        begun = {table: run for table in tables if (run := find_abortable(table))}
        if not begun:
            self.stdout.write("No run is unfinished.")
        for table, run in begun.items():
            if not dry_run:
                self.left = "Give --abort again."
                abort_repartition(table)
            self.stdout.write(
                f"{'Would take back' if dry_run else 'Taken back'}: {table} to {run.partitions}"
                f" partitions ({run.step}); {name_shadow(table)} and the triggers on {table}"
                f" {'would be' if dry_run else 'are'} dropped."
            )

    def _repartition(
        self,
        tables: list[str],
        partitions: int,
        *,
        method: str,
        dry_run: bool,
        allow_lock: bool,
        allow_full_disk: bool,
        keep_old: bool,
        slice: int,
        pause: float,
        **options: Any,
    ) -> None:
        busy = [table for table in tables if has_work(table, partitions)]
        for table in sorted(set(tables) - set(busy)):
            self.stdout.write(f"{table}: {partitions} partitions already, nothing to do")
        if not busy:
            self.stdout.write("Nothing to do.")
            return
        trial = try_server(busy, partitions, with_triggers=method == "copy")
        plans = self._show_plans(busy, partitions, method, pause, trial)
        free_bytes = read_free_bytes(tables[0])
        obstacle = find_obstacle(
            plans,
            may_lock=allow_lock,
            may_fill_disk=allow_full_disk,
            keeps_old=keep_old,
            free_bytes=free_bytes,
        )
        if obstacle:
            raise CommandError(obstacle)
        if free_bytes is None:
            self.stdout.write("The disk of the data is not to be seen from here: is there room?")
        if dry_run:
            return
        self.left = LEFT_WHOLE if method == "alter" else LEFT_UNFINISHED
        for plan in plans:
            if method == "alter":
                alter_table(table=plan.table, partitions=partitions, clause=trial.online_clause)
            else:
                self._copy(plan, slice, pause, keep_old)
            self.stdout.write(f"{plan.table} has {partitions} partitions.")
        self.stdout.write(f"Set USER_TABLE_PARTITIONS={partitions} for the next checks.")

    def _copy(self, plan: Plan, slice_rows: int, pause: float, keep_old: bool) -> None:
        step, bar = "", None
        try:
            for done in repartition_table(
                table=plan.table,
                partitions=plan.partitions,
                slice_rows=slice_rows,
                pause=pause,
                should_keep_old=keep_old,
            ):
                if done.step != step:
                    step = done.step
                    if bar is not None:
                        bar.close()
                    bar = tqdm(
                        total=plan.rows or None,
                        unit="row",
                        unit_scale=True,
                        desc=f"{step} {plan.table}",
                        disable=None,
                    )
                assert bar is not None
                bar.update(done.rows)
        finally:
            if bar is not None:
                bar.close()

    def _show_plans(
        self, tables: list[str], partitions: int, method: str, pause: float, trial: Trial
    ) -> list[Plan]:
        """Print what each table would take."""
        self.stdout.write(f"{read_server()}, tried on a scratch copy:")
        for clause, refusal in trial.refusals.items():
            answer = f"refused ({refusal})" if refusal else "accepted"
            self.stdout.write(f"  ALTER TABLE ... {clause} PARTITION BY ...: {answer}")
        self.stdout.write(
            "  so --method alter "
            + ("lets writers go on." if trial.online_clause else "blocks writers.")
            + " --method copy lets them go on, here and on MySQL 8."
        )
        plans = [
            make_plan(table=table, partitions=partitions, method=method, trial=trial, pause=pause)
            for table in tables
        ]
        for plan in plans:
            self.stdout.write(describe_plan(plan))
        return plans


def describe_plan(plan: Plan) -> str:
    log = f" and up to {plan.log_bytes / 1e6:,.1f} MB of binary log" if plan.log_bytes else ""
    text = (
        f"{plan.table}: {plan.partitions_now} -> {plan.partitions} partitions by {plan.method},"
        f" about {plan.rows:,} rows, {plan.bytes / 1e6:,.1f} MB; needs"
        f" {plan.space_bytes / 1e6:,.1f} MB more{log}, about {plan.seconds:,.0f} s;"
        f" writers {'WAIT' if plan.has_waiting_writers else 'go on'}"
    )
    if plan.unfinished:
        text += f"; goes on with an unfinished run ({plan.unfinished.step})"
    return text
