"""Say how much waits for Celery's workers (face)."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from achievements.queue_depth import read_queue_depth


class Command(BaseCommand):
    help = "Print what waits in the outbox and in the broker's queue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document")

    def handle(self, *, json: bool, **options: Any) -> None:
        depth = read_queue_depth()
        self.stdout.write(_dump(depth) if json else _describe(depth))


def _dump(depth: dict[str, Any]) -> str:
    return json.dumps(depth)


def _describe(depth: dict[str, Any]) -> str:
    tasks = "no broker that answers" if depth["tasks"] is None else "{tasks} tasks in the broker"
    return (
        "{outboxRows} events wait, up to {outboxSeconds:.1f} s; {setAside} are set aside; " + tasks
    ).format(**depth) + "."
