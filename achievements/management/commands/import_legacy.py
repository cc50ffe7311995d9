"""Take over the unlocks of the site's former tables (face)."""

import os
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from tqdm import tqdm

from achievements.errors import AchievementsError
from achievements.legacy_check import check_slices
from achievements.legacy_cursor import (
    OVERLAP_ROWS,
    begin_again,
    find_last_part,
    find_start,
    has_other_terms,
    is_correcting,
)
from achievements.legacy_import import import_slices, preview_slices
from achievements.legacy_slices import SLICE_ROWS
from achievements.management.import_task import Task, prepare_task

SOURCE_VARIABLE: Final = "LEGACY_DATABASE_URL"
# Exit codes; 1 is a run that never began or stopped, 2 (argparse's) a wrong option.
NEEDS_PERSON: Final = 3  # all that could be done is done
DIFFERS: Final = 4
INTERRUPTED: Final = 130
MANY_ROWS: Final = 100_000  # without an index on users, more than these take too long to compare


class Command(BaseCommand):
    help = (
        "Import unlocks from the former tables achievements and user_achievements of another "
        "database. Safe beside live events; can be stopped at any moment, and run again for what "
        "was added since. Exits with 3 when rows need a person, 4 when slices differ, 1 when it "
        "stopped before its end, 130 after Ctrl-C."
    )

    _has_begun = False  # to write

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--source",
            default=os.environ.get(SOURCE_VARIABLE, ""),
            help=f"mysql://... or sqlite:///...; default: the variable {SOURCE_VARIABLE}",
        )
        parser.add_argument("--mapping", type=Path, required=True, help="YAML: their ids to slugs")
        parser.add_argument("--dry-run", action="store_true", help="read everything, write nothing")
        parser.add_argument(
            "--verify-only", action="store_true", help="compare everything, write nothing"
        )
        parser.add_argument(
            "--restart",
            action="store_true",
            help="begin again with the first row, and correct what was imported before",
        )
        parser.add_argument(
            "--remove-surplus",
            action="store_true",
            help="while correcting, take away imported levels that no row gives now",
        )
        parser.add_argument(
            "--only-source",
            action="store_true",
            help="what was imported from another address were the same tables",
        )
        parser.add_argument("--slice", type=int, default=SLICE_ROWS, help="rows a transaction")
        parser.add_argument(
            "--overlap",
            type=int,
            default=OVERLAP_ROWS,
            help="rows before the last run's end that are read again, for those committed late",
        )
        parser.add_argument(
            "--first-id", type=int, help="for several processes: a part of the rows"
        )
        parser.add_argument("--last-id", type=int, help="default: the newest row")
        parser.add_argument("--rate", type=int, default=0, help="at most so many rows a second")
        parser.add_argument(
            "--timezone", default="UTC", help="of times in columns that do not say theirs"
        )
        parser.add_argument(
            "--unknown-time", help="import rows without a usable time as of this one"
        )
        parser.add_argument(
            "--report",
            type=Path,
            default=Path("var/import_legacy.jsonl"),
            help="a line of JSON for each row that was not simply imported (appended)",
        )

    def handle(self, **options: Any) -> None:
        try:
            task = prepare_task(options)
            try:
                self._work(task, options)
            finally:
                task.source.close()
                task.report.close()
        except (AchievementsError, DatabaseFailure, OSError) as error:
            raise CommandError(f"Stopped: {error}. {self._say_how_to_go_on(options)}") from error
        except KeyboardInterrupt:
            raise CommandError(
                f"Interrupted. {self._say_how_to_go_on(options)}", returncode=INTERRUPTED
            ) from None
        report = task.report
        if report.line_count:
            self.stdout.write(f"{report.line_count:,} lines in {report.path}.")
        problems = []
        if report.conflict_count:
            problems.append(
                f"{report.conflict_count:,} rows need a person (see above); the others are done."
            )
        if report.unequal_count:
            problems.append(
                f"{report.unequal_count:,} slices differ: import again with --restart, which adds "
                "what is missing and corrects times."
            )
        if report.has_surplus:
            problems.append(
                "Some levels are given by no row now: --restart --remove-surplus takes them away."
            )
        if problems:
            code = DIFFERS if report.unequal_count else NEEDS_PERSON
            raise CommandError("\n".join(problems), returncode=code)

    def _work(self, task: Task, options: dict[str, Any]) -> None:
        if task.upto - task.first_id > MANY_ROWS and not task.source.finds_users():
            self.stderr.write(
                "Warning: no index of user_achievements begins with user_id. Comparing and "
                "correcting read the whole table for each slice: give them a replica with one."
            )
        if not task.is_alone:
            self.stdout.write(
                "Another source was imported as well, and no level says from which it came: "
                "earlier times, and levels that no row gives, are neither compared nor corrected "
                "(--only-source: it was the same tables under another address)."
            )
        if options["verify_only"]:
            self._check(task, after=task.first_id - 1)
        elif options["dry_run"]:
            self._preview(task, restart=options["restart"])
        else:
            self._import(task, restart=options["restart"], remove=options["remove_surplus"])

    def _import(self, task: Task, *, restart: bool, remove: bool) -> None:
        if has_other_terms(task.cursor):
            self.stdout.write(
                "The mapping or the times are read otherwise than before: all again, and what was "
                "imported is corrected."
            )
            restart = True
        if restart:
            begin_again(task.cursor)
        self._has_begun = True
        after = find_start(task.source, task.cursor, overlap_rows=task.overlap_rows)
        if after >= task.first_id:
            self.stdout.write(f"Going on after row {after} (--restart begins with the first).")
        if (last := find_last_part(task.cursor)) > task.first_id and not task.has_end:
            self.stdout.write(f"Rows from {last} on are a part of their own: --first-id {last}.")
        slices = task.list_slices(after, is_exact=remove or is_correcting(task.cursor))
        done = import_slices(slices, job_name=task.cursor.job_name, should_remove=remove)
        self._run(task, done, after=after)
        self._check(task, after=after, is_counted=True)

    def _preview(self, task: Task, *, restart: bool) -> None:
        after = task.first_id - 1
        slices = task.list_slices(after, is_exact=restart or is_correcting(task.cursor))
        self._run(task, preview_slices(slices), after=after)
        self.stdout.write("Nothing was written (dry run).")

    def _run(self, task: Task, slices: Any, *, after: int) -> None:
        began = time.monotonic()
        with tqdm(total=max(0, task.upto - after), unit="id", unit_scale=True, disable=None) as bar:
            for done in slices:
                task.report.add_rows(done.row_count, done.findings)
                bar.update(done.last_id - after - bar.n)
                bar.set_postfix(rows=task.report.rows, conflicts=task.report.conflict_count)
                if task.rows_per_second:
                    ahead = task.report.rows / task.rows_per_second
                    time.sleep(max(0.0, ahead - (time.monotonic() - began)))
        seconds = time.monotonic() - began
        rate = task.report.rows / max(seconds, 0.001)
        self.stdout.write(f"{task.report.rows:,} rows in {seconds:.1f} s ({rate:,.0f} rows/s):")
        for line in task.report.list_outcomes(task.names):
            self.stdout.write(line)

    def _check(self, task: Task, *, after: int, is_counted: bool = False) -> None:
        slices = check_slices(task.list_slices(after, is_exact=True))
        with tqdm(
            total=max(0, task.upto - after),
            unit="id",
            unit_scale=True,
            desc="checking",
            disable=None,
        ) as bar:
            for checked in slices:
                task.report.add_check(checked)
                if not is_counted:
                    task.report.add_rows(checked.row_count, checked.findings)
                bar.update(checked.last_id - after - bar.n)
        if not is_counted:
            for line in task.report.list_outcomes(task.names):
                self.stdout.write(line)
        for line in task.report.list_checks():
            self.stdout.write(line)

    def _say_how_to_go_on(self, options: dict[str, Any]) -> str:
        if not self._has_begun:
            return "Nothing was written: run the same command again."
        without = ", but without --restart" if options["restart"] else ""
        return f"Run the same command again{without}: it goes on behind the last whole slice."
