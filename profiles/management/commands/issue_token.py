"""issue_token: a Bearer token for trying the API in development; a face."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from achievements.events import MAX_ID
from achievements.management.arguments import whole_number
from profiles.tokens import TokenRefused, issue_token


class Command(BaseCommand):
    help = "Print a user's Bearer token, alone on the last line. Development only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", type=int, required=True, metavar="ID", help="a user id")
        parser.add_argument(
            "--ttl-seconds", type=whole_number(1, 31_536_000), default=3600, help="(%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["user"] <= MAX_ID:
            raise CommandError("--user: a user id is a positive 64-bit integer.")
        try:
            token = issue_token(user_id=options["user"], ttl_seconds=options["ttl_seconds"])
        except TokenRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(token)
