"""Load a catalogue file: checks all of it first, shows what changes (face)."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from achievements.catalogue import CatalogueError, load_catalogue

SHIPPED = Path(__file__).resolve().parents[2] / "catalogues" / "typing.yaml"


class Command(BaseCommand):
    help = "Create and update achievements by slug from a YAML file (default: the shipped one)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, default=SHIPPED)
        parser.add_argument("--dry-run", action="store_true", help="show the changes, make none")

    def handle(self, *, file: Path, dry_run: bool, verbosity: int, **options: Any) -> None:
        try:
            diff = load_catalogue(file, dry_run=dry_run)
        except CatalogueError as error:
            raise CommandError(f"Nothing was changed.\n{error}") from error
        for slug in diff.created if verbosity else ():
            self.stdout.write(self.style.SUCCESS(f"+ {slug}"))
        for slug, changes in diff.changed.items():
            self.stdout.write(f"~ {slug}")
            for name, (before, after) in changes.items():
                self.stdout.write(f"    {name}: {before!r} -> {after!r}")
        self.stdout.write(
            f"{len(diff.created)} new, {len(diff.changed)} changed,"
            f" {len(diff.unchanged)} unchanged{' (dry run)' if dry_run else ''}."
        )
        if verbosity and (diff.created or diff.changed):
            self.stdout.write("Users who meet them already: manage.py rebuild_users")
