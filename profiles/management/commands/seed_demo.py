"""Fill a development site with typists who have a past (face)."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from achievements.rebuild import rebuild_user
from profiles.demo import TYPISTS, seed_typists


class Command(BaseCommand):
    help = "Create demo typists with months of tests, and unlock what they earned."

    def handle(self, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo data is for development: DEBUG is off here.")
        users = tests = unlocks = 0
        with tqdm(total=len(TYPISTS), unit="typist", disable=None) as bar:
            for typist, test_count in seed_typists():
                unlocks += rebuild_user(typist.user_id).unlocks
                users += 1
                tests += test_count
                bar.update()
        if users:
            self.stdout.write(f"{users} typists, {tests} tests, {unlocks} levels unlocked.")
        else:
            self.stdout.write("The demo typists are there already.")
