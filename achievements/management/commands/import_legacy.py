"""Take over the unlocks of the site's former tables (face)."""

import os
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from django.utils.dateparse import parse_datetime
from tqdm import tqdm

from achievements.claims import MAX_ID, Rules
from achievements.errors import AchievementsError
from achievements.legacy import LegacyDatabase, LegacyError
from achievements.legacy_check import check_slices
from achievements.legacy_import import (
    OVERLAP_ROWS,
    SLICE_ROWS,
    find_start,
    forget_other_terms,
    import_slices,
    make_cursor,
    preview_slices,
)
from achievements.legacy_mapping import MappingError, read_mapping
from achievements.management.import_report import ImportReport
from achievements.models import Job

SOURCE_VARIABLE: Final = "LEGACY_DATABASE_URL"
NEEDS_PERSON: Final = 2  # the exit code of a run that did all it could


class Task(NamedTuple):
    source: LegacyDatabase
    rules: Rules
    names: dict[int, str]  # of their achievements
    first_id: int
    upto: int
    slice_rows: int
    overlap_rows: int
    rows_per_second: int  # 0: as fast as it goes
    report: ImportReport


class Command(BaseCommand):
    help = (
        "Import unlocks from the former tables achievements and user_achievements of another "
        "database. Safe beside live events; can be stopped at any moment, and run again for what "
        "was added since. Exits with 2 when a person must look at something."
    )

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
        parser.add_argument("--restart", action="store_true", help="begin again with the first row")
        parser.add_argument("--slice", type=int, default=SLICE_ROWS, help="rows a transaction")
        parser.add_argument(
            "--overlap",
            type=int,
            default=OVERLAP_ROWS,
            help="rows before the last run's end that are read again, for those committed late",
        )
        parser.add_argument(
            "--first-id", type=int, default=1, help="for several processes: a part of the rows"
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
        task = _prepare(options)
        try:
            if options["verify_only"]:
                self._check(task, after=task.first_id - 1)
            elif options["dry_run"]:
                self._preview(task)
            else:
                self._import(task, restart=options["restart"])
        except (AchievementsError, DatabaseFailure) as error:
            raise CommandError(
                f"Stopped: {error}. Run the same command again: it resumes behind the last whole "
                "slice."
            ) from error
        finally:
            task.source.close()
            task.report.close()
        report = task.report
        if report.line_count:
            self.stdout.write(f"{report.line_count:,} lines in {report.path}.")
        if report.unequal_count:
            raise CommandError(
                f"{report.unequal_count:,} slices differ: import again with --restart, which adds "
                "what is missing.",
                returncode=NEEDS_PERSON,
            )
        if report.conflict_count:
            raise CommandError(
                f"{report.conflict_count:,} rows need a person (see above); the others are done.",
                returncode=NEEDS_PERSON,
            )

    def _import(self, task: Task, *, restart: bool) -> None:
        cursor = make_cursor(task.source, task.rules, first_id=task.first_id)
        if forget_other_terms(cursor):
            self.stdout.write("The mapping or the times are read otherwise than before: all again.")
        if restart:
            Job.objects.filter(name=cursor.job_name).delete()
        after = find_start(task.source, cursor, overlap_rows=task.overlap_rows)
        if after >= task.first_id:
            self.stdout.write(f"Going on after row {after} (--restart begins with the first).")
        slices = import_slices(
            task.source,
            task.rules,
            job_name=cursor.job_name,
            after=after,
            upto=task.upto,
            slice_rows=task.slice_rows,
        )
        self._run(task, slices, after=after)
        self._check(task, after=after, is_counted=True)

    def _preview(self, task: Task) -> None:
        after = task.first_id - 1
        slices = preview_slices(
            task.source, task.rules, after=after, upto=task.upto, slice_rows=task.slice_rows
        )
        self._run(task, slices, after=after)
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
        slices = check_slices(
            task.source, task.rules, after=after, upto=task.upto, slice_rows=task.slice_rows
        )
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


def _prepare(options: dict[str, Any]) -> Task:
    """Check every option before anything is read or written."""
    if not 1 <= options["slice"] <= 5_000:
        raise CommandError("--slice must be from 1 to 5000.")
    if not 0 <= options["overlap"] <= 10_000_000:
        raise CommandError("--overlap must be from 0 to 10000000.")
    first_id, last_id = options["first_id"], options["last_id"]
    if not 1 <= first_id <= MAX_ID:
        raise CommandError(f"--first-id must be from 1 to {MAX_ID}.")
    if last_id is not None and not first_id <= last_id <= MAX_ID:
        raise CommandError(f"--last-id must be from {first_id} (--first-id) to {MAX_ID}.")
    if options["rate"] < 0:
        raise CommandError("--rate must be 0 (no limit) or more rows a second.")
    if options["dry_run"] and options["verify_only"]:
        raise CommandError("--dry-run and --verify-only: give one of them.")
    try:
        zone = ZoneInfo(options["timezone"])
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise CommandError("--timezone takes a name such as Europe/Berlin.") from error
    unknown_time = _read_unknown_time(options["unknown_time"])
    try:
        mapping = read_mapping(options["mapping"])
        source = LegacyDatabase(options["source"])
        source.check()
        names = source.read_achievements()
        newest_id = source.read_last_id()
        report = ImportReport(options["report"])
    except MappingError as error:
        raise CommandError(f"--mapping: nothing was imported.\n{error}") from error
    except LegacyError as error:
        raise CommandError(f"--source: {error}") from error
    except OSError as error:
        raise CommandError(f"--report: {error}") from error
    rules = Rules(
        levels=mapping.levels,
        ignored=mapping.ignored,
        known=frozenset(names),
        zone=UTC if source.holds_instants else zone,
        unknown_time=unknown_time,
    )
    return Task(
        source=source,
        rules=rules,
        names=names,
        first_id=first_id,
        upto=newest_id if last_id is None else min(last_id, newest_id),
        slice_rows=options["slice"],
        overlap_rows=options["overlap"],
        rows_per_second=options["rate"],
        report=report,
    )


def _read_unknown_time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        raise CommandError("--unknown-time takes a time such as 2019-01-01T00:00:00Z.")
    return at if at.tzinfo else at.replace(tzinfo=UTC)
