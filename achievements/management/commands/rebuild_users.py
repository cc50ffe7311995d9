"""Bring users up to date with the rulebook: a new achievement, or a repair (face)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from achievements.models import Job
from achievements.rarity import read_tallies
from achievements.rebuild import SLICE_USERS, rebuild_users
from achievements.rulebooks import refresh_rulebook
from achievements.tables import USERS_TALLY


class Command(BaseCommand):
    help = (
        "Give new or changed achievements to users who already meet them. Safe beside live "
        "events; a run that was stopped resumes where it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--replay", action="store_true", help="derive every user again from history"
        )
        parser.add_argument("--notify", action="store_true", help="tell users what they unlock")
        parser.add_argument("--restart", action="store_true", help="forget an unfinished run")
        parser.add_argument("--slice", type=int, default=SLICE_USERS, help="users a transaction")

    def handle(
        self, *, replay: bool, notify: bool, restart: bool, slice: int, **options: Any
    ) -> None:
        if not 1 <= slice <= 5_000:
            raise CommandError("--slice must be from 1 to 5000.")
        version = refresh_rulebook().version
        name = f"rebuild{' replay' * replay}{' notify' * notify} rulebook {version}"
        if restart:
            Job.objects.filter(name=name).delete()
        unfinished = Job.objects.filter(name=name, cursor__gt=0).first()
        if unfinished:
            self.stdout.write(f"Resuming after user {unfinished.cursor} (--restart starts over).")
        users = unlocks = changed = 0
        total = read_tallies().get(USERS_TALLY) or None
        with tqdm(total=total, unit="user", disable=None) as bar:
            for done in rebuild_users(
                job_name=name, should_replay=replay, should_notify=notify, slice_users=slice
            ):
                users += done.user_count
                unlocks += done.result.unlocks
                changed += len(done.result.moved_users)
                bar.update(done.user_count)
        self.stdout.write(f"{users} users, {changed} rows changed, {unlocks} levels unlocked.")
