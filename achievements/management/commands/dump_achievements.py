"""Write the definitions as a catalogue file (face)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from achievements.catalogue import dump_catalogue
from achievements.models import Achievement


class Command(BaseCommand):
    help = "Write achievements as YAML that load_achievements reads back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slugs", nargs="*", help="only these")

    def handle(self, *, slugs: list[str], **options: Any) -> None:
        achievements = Achievement.objects.all()
        if slugs:
            achievements = achievements.filter(slug__in=slugs)
            unknown = set(slugs) - set(achievements.values_list("slug", flat=True))
            if unknown:
                raise CommandError(f"There is no achievement {', '.join(sorted(unknown))}.")
        self.stdout.write(dump_catalogue(achievements), ending="")
