"""What a run of import_legacy is told (face): its options, checked before anything is written."""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import CommandError
from django.utils.dateparse import parse_datetime

from achievements.claims import EARLIEST, MAX_AHEAD, MAX_ID, Rules
from achievements.legacy import LegacyDatabase, LegacyError
from achievements.legacy_cursor import Cursor, has_other_source, make_cursor
from achievements.legacy_mapping import MappingError, read_mapping
from achievements.legacy_slices import LegacySlices
from achievements.management.import_report import ImportReport


class Task(NamedTuple):
    source: LegacyDatabase
    rules: Rules
    names: dict[int, str]  # of their achievements
    first_id: int
    upto: int
    has_end: bool  # --last-id
    cursor: Cursor
    is_alone: bool  # all that was imported came from this source
    slice_rows: int
    overlap_rows: int
    rows_per_second: int  # 0: as fast as it goes
    report: ImportReport

    def list_slices(self, after: int, *, is_exact: bool) -> LegacySlices:
        return LegacySlices(
            source=self.source,
            rules=self.rules,
            after=after,
            upto=self.upto,
            slice_rows=self.slice_rows,
            is_exact=is_exact and self.is_alone,
        )


def prepare_task(options: dict[str, Any]) -> Task:
    """Check every option before anything is read or written. Raises CommandError."""
    if not 1 <= options["slice"] <= 5_000:
        raise CommandError("--slice must be from 1 to 5000.")
    if not 0 <= options["overlap"] <= 10_000_000:
        raise CommandError("--overlap must be from 0 to 10000000.")
    first_id, last_id = options["first_id"], options["last_id"]
    if first_id is not None and not 1 <= first_id <= MAX_ID:
        raise CommandError(f"--first-id must be from 1 to {MAX_ID}.")
    if last_id is not None and not (first_id or 1) <= last_id <= MAX_ID:
        raise CommandError(f"--last-id must be from {first_id or 1} (--first-id) to {MAX_ID}.")
    if options["rate"] < 0:
        raise CommandError("--rate must be 0 (no limit) or more rows a second.")
    if options["remove_surplus"] and (options["dry_run"] or options["verify_only"]):
        raise CommandError("--remove-surplus writes: not with --dry-run or --verify-only.")
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
        oldest_id, newest_id = source.read_ends()
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
    if first_id is None:
        first_id = min(1, oldest_id)
    cursor = make_cursor(source, rules, first_id=first_id)
    return Task(
        source=source,
        rules=rules,
        names=names,
        cursor=cursor,
        is_alone=options["only_source"] or not has_other_source(cursor),
        first_id=first_id,
        upto=newest_id if last_id is None else min(last_id, newest_id),
        has_end=last_id is not None,
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
    try:
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        is_usual = EARLIEST <= at <= datetime.now(UTC) + MAX_AHEAD
    except OverflowError:
        is_usual = False
    if not is_usual:
        raise CommandError("--unknown-time must be from the year 2000 on, and not in the future.")
    return at
