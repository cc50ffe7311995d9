"""create_service_key: a key for a service that sends events; a face."""

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from achievements.models import ServiceKey

MAX_NAME: Final = 50
SCOPES: Final = ("events:write",)


class Command(BaseCommand):
    help = "Create a service key and print its secret, alone on the last line; it is shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help=f"what the key is for; up to {MAX_NAME} characters")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            choices=SCOPES,
            dest="scopes",
            help="what the key may do; repeat for several",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"].strip()
        if not 1 <= len(name) <= MAX_NAME:
            raise CommandError(f"The name must have 1 to {MAX_NAME} characters.")
        scopes = sorted(set(options["scopes"]))
        _, secret = ServiceKey.objects.create_key(name=name, scopes=scopes)
        self.stderr.write(
            f"Service key {name!r} may: {', '.join(scopes)}."
            " Keep the secret: it is stored as a hash and never shown again."
        )
        self.stdout.write(secret)
