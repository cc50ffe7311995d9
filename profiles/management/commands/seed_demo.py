"""Fill a development site with typists who have a past (face)."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from profiles.demo import TYPISTS, seed_typists


class Command(BaseCommand):
    help = "Create demo typists with months of tests, and unlock what they earned."

    def handle(self, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo data is for development: DEBUG is off here.")
        users = tests = unlocks = 0
        with tqdm(total=len(TYPISTS), unit="typist", disable=None) as bar:
            for _, test_count, unlock_count in seed_typists():
                users += 1
                tests += test_count
                unlocks += unlock_count
                bar.update()
        if users:
            self.stdout.write(f"{users} typists, {tests} tests, {unlocks} levels unlocked.")
        else:
            self.stdout.write("The demo typists are there already.")
