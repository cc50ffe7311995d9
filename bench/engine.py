"""Measures the rulebook and the engine: python -m bench.engine [PART ...], or make bench-engine.

It starts a MariaDB (flush at every commit) and two Redis servers of its own, on ports of
their own, and stops them. PART: pure, storage, celery, display; without one, all of them.
"""

import os
import sys
from contextlib import ExitStack
from typing import Final

from bench.pure import measure_pure_path
from bench.report import Report
from bench.timing import say
from deploy.local.__main__ import start_servers
from deploy.local.process import MissingProgram, StartError

PARTS: Final = ("pure", "storage", "celery", "display")
MARIADB_OPTIONS: Final[dict[str, str | int]] = {
    "innodb_flush_log_at_trx_commit": 1,
    "innodb_buffer_pool_size": "1G",
    "innodb_log_file_size": "512M",
}


def main() -> int:
    wanted = sys.argv[1:] or list(PARTS)
    if set(wanted) - set(PARTS):
        print(f"Name any of {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    report = Report("engine")
    if "pure" in wanted:
        measure_pure_path(report)
    if set(wanted) - {"pure"}:
        try:
            with ExitStack() as stack:
                say("starting MariaDB and Redis")
                servers = start_servers(["mariadb", "redis", "broker"], stack, MARIADB_OPTIONS)
                measure_on_servers(report, servers, wanted)
        except (MissingProgram, StartError) as error:
            print(error, file=sys.stderr)
            return 1
    report.print_table()
    if set(wanted) == set(PARTS):
        print(f"\nwritten to {report.write()}")
    return 0


def measure_on_servers(report: Report, servers: dict[str, str], wanted: list[str]) -> None:
    os.environ.update(
        servers,
        DJANGO_SETTINGS_MODULE="config.settings",
        LAUREL_ENV_FILE=os.devnull,  # nothing from a developer's own file
        DEBUG="off",
        EVENT_TRANSPORT="celery",
        LOG_LEVEL="WARNING",
        THROTTLE_PUBLIC="100000000/minute",
    )
    import django

    django.setup()

    # Only now: they import models.
    from bench.celery_drain import measure_celery
    from bench.engine_storage import measure_storage
    from bench.population import make_templates, prepare_database
    from bench.ready import measure_display

    rulebook = prepare_database()
    templates = make_templates(rulebook)
    if "storage" in wanted:
        measure_storage(report, rulebook, templates)
    if "celery" in wanted:
        measure_celery(report, templates)
    if "display" in wanted:
        measure_display(report, rulebook)


if __name__ == "__main__":
    sys.exit(main())
