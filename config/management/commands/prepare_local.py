"""Prepares this machine for `make run`: data, a staff login and credentials to try the API with."""

import json
import os
import secrets
from argparse import ArgumentParser
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from achievements.management.arguments import PORT
from achievements.models import ServiceKey

STAFF_NAME = "staff"
EXAMPLE_USER_ID = 12345
EXAMPLE_EVENT = {
    "userId": EXAMPLE_USER_ID,
    "testResultId": 67890,
    "eventType": "test_completed",
    "metrics": {"wpm": 85.5, "accuracy": 98.2, "testCount": 150},
}
MESSAGE = """
Laurel is on {url}   (Ctrl-C stops it)

  typing test and profiles   {url}/
  admin                      {url}/admin/   login {staff} / {password}
  API docs                   {url}/api/docs
  service key                {service_key}
  token of user {user_id}        {user_token}

Send the example event and see what it unlocked{wait}:

  curl -sS -X POST {url}/api/v1/events \\
    -H 'Authorization: Api-Key {service_key}' \\
    -H 'Content-Type: application/json' \\
    -d '{event}'

  {pause}curl -sS {url}/api/v1/users/{user_id}/achievements
"""


class Command(BaseCommand):
    help = "Migrates, loads the catalogue and demo typists, and prints how to try the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=PORT, default=8000, help="(%(default)s)")
        parser.add_argument(
            "--credentials",
            type=Path,
            default=settings.BASE_DIR / "var" / "local-credentials.json",
            help="keeps what is handed out",
        )

    def handle(self, *args: Any, port: int, credentials: Path, **options: Any) -> None:
        if settings.IS_PRODUCTION:
            raise CommandError(
                "This makes logins for development: it refuses LAUREL_ENV=production."
            )
        call_command("migrate", verbosity=0)
        call_command("load_achievements", verbosity=0)
        call_command("seed_demo")
        handed_out = Credentials(credentials)
        is_inline = settings.EVENT_TRANSPORT == "inline"
        self.stdout.write(
            MESSAGE.format(
                url=f"http://127.0.0.1:{port}",
                staff=STAFF_NAME,
                password=handed_out.ensure_staff_password(),
                service_key=handed_out.ensure_service_key(),
                user_id=EXAMPLE_USER_ID,
                user_token=read_last_line("issue_token", "--user", str(EXAMPLE_USER_ID)),
                event=json.dumps(EXAMPLE_EVENT),
                wait="" if is_inline else ", a second later",
                pause="" if is_inline else "sleep 2; ",
            )
        )


class Credentials:
    """What was handed out at the first start is kept, so that a copied command goes on working."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def ensure_staff_password(self) -> str:
        password = self.values.get("staff_password") or secrets.token_urlsafe(9)
        users = get_user_model().objects
        staff, _ = users.get_or_create(
            username=STAFF_NAME, defaults={"is_staff": True, "is_superuser": True}
        )
        if not staff.check_password(password):
            staff.set_password(password)
            staff.save()
        self._keep("staff_password", password)
        return password

    def ensure_service_key(self) -> str:
        key = self.values.get("service_key", "")
        # The database may be another one than the key was made in.
        if not key or not ServiceKey.objects.is_valid(key):
            key = read_last_line("create_service_key", "make-run", "--scope", "events:write")
            self._keep("service_key", key)
        return key

    def _keep(self, name: str, value: str) -> None:
        self.values[name] = value
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch(mode=0o600)
        self.file.write_text(json.dumps(self.values, indent=2))
        os.chmod(self.file, 0o600)


def read_last_line(command: str, *args: str) -> str:
    output = StringIO()
    call_command(command, *args, stdout=output, stderr=StringIO())
    return output.getvalue().strip().splitlines()[-1]
