"""Drop what is old: tests that are kept counted, notifications, failed events (face)."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from tqdm import tqdm

from achievements.errors import HistoryMoved, NothingToDrop
from achievements.management.failures import describe_failure
from achievements.retention import (
    SLICE_USERS,
    Dropped,
    prune_failed_events,
    prune_notifications,
    prune_tests,
)

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LEFT: Final = (
    "A slice is dropped whole or not at all, and dropped tests stay counted. The same command goes"
    " on (name the day that it began with)."
)
KINDS: Final[dict[str, tuple[str, Callable[..., Iterator[Dropped]]]]] = {
    "tests": ("tests", prune_tests),
    "notifications": ("notifications", prune_notifications),
    "failed_events": ("failed events", prune_failed_events),
}


class Command(BaseCommand):
    help = (
        "Drop what is older than a day that you name. Tests stay counted: what they came to is"
        " kept, and a rebuild goes on from there. Safe beside live events. A stopped run goes on"
        " where it was, when the same day is named again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for option, what in (
            ("--tests", "tests completed before this day"),
            ("--notifications", "notifications written before it, read or not"),
            (
                "--failed-events",
                "events of the outbox that were set aside before it; lost for good",
            ),
        ):
            parser.add_argument(
                option, type=read_day, metavar="DAY", help=f"{what}: 2026-01-31 (UTC) or 400d ago"
            )

        parser.add_argument(
            "--slice", type=int, default=SLICE_USERS, help="users, or failed events, a transaction"
        )

    def handle(self, *, slice: int, **options: Any) -> None:
        if not 1 <= slice <= 5_000:
            raise CommandError("--slice must be from 1 to 5000.")
        wanted = [(kind, options[kind]) for kind in KINDS if options[kind] is not None]
        if not wanted:
            raise CommandError("Name what to drop: --tests, --notifications or --failed-events.")
        for kind, before in wanted:
            name, prune = KINDS[kind]
            rows = users = 0
            # The total is unknown: counting billions of rows takes as long as reading them.
            with tqdm(unit="user", desc=name, disable=None) as bar:
                try:
                    for done in prune(before=before, slice_size=slice):
                        users += done.users
                        rows += done.rows
                        bar.update(done.users)
                        bar.set_postfix(dropped=rows, refresh=False)
                except NothingToDrop as error:
                    raise CommandError(f"{error}: tests cannot be dropped from here.") from error
                except HistoryMoved as error:
                    raise CommandError(
                        f"{error}: old tests are being saved. Run it again."
                    ) from error
                except DatabaseFailure as error:
                    raise CommandError(f"{describe_failure(error)} {LEFT}") from error
                except KeyboardInterrupt:
                    raise CommandError(f"Stopped. {LEFT}", returncode=130) from None
            self.stdout.write(f"{name}: {rows} dropped from before {before:%Y-%m-%d}.")


def read_day(text: str) -> datetime:
    """A day in UTC, by its date or by how many days ago it was."""
    now = datetime.now(UTC)
    ago = re.fullmatch(r"(\d{1,5})d", text)
    try:
        day = (
            now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=int(ago[1]))
            if ago
            else datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        )
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no day: 2026-01-31 or 400d.") from error
    if not EARLIEST <= day < now - timedelta(days=1):
        raise ArgumentTypeError(f"{text!r} must be a day from 2000-01-01 to yesterday.")
    return day
