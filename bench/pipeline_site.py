"""The servers and the environment of the pipeline's bench, all on this machine."""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from django.core.management import call_command

from bench.timing import say
from bench.workload import SHIPPED, make_shipped
from deploy.local.kafka import Kafka
from deploy.local.process import LocalProcess
from deploy.local.servers import MariaDB, Redis

ROOT: Final = Path(__file__).parent.parent
LIVE_ACHIEVEMENTS: Final = 60
MARIADB_OPTIONS: Final[dict[str, str | int]] = {
    "innodb_flush_log_at_trx_commit": 1,
    "innodb_buffer_pool_size": "3G",
    "innodb_log_file_size": "1G",
    "innodb_io_capacity": 5000,  # of an SSD; the default is that of a spinning disk
    "innodb_io_capacity_max": 20_000,
}


@dataclass(frozen=True, slots=True)
class Servers:
    mariadb: MariaDB
    redis: Redis
    broker: Redis
    kafka: Kafka

    def list_named(self) -> dict[str, LocalProcess]:
        return {"MariaDB": self.mariadb, "Redis": self.redis, "Kafka": self.kafka}


def start_site(stack: ExitStack) -> Servers:
    """Start the servers and set up Django on them."""
    say("starting MariaDB, Redis and Kafka")
    servers = Servers(
        stack.enter_context(MariaDB(MARIADB_OPTIONS)),
        stack.enter_context(Redis()),
        stack.enter_context(Redis()),
        stack.enter_context(Kafka()),
    )
    os.environ.update(
        DJANGO_SETTINGS_MODULE="config.settings",
        LAUREL_ENV_FILE=os.devnull,  # nothing from a developer's own file
        DATABASE_URL=servers.mariadb.url,
        DATABASE_ADMIN_URL=servers.mariadb.admin_url,
        REDIS_URL=servers.redis.url,
        CELERY_BROKER_URL=servers.broker.url,
        KAFKA_BOOTSTRAP_SERVERS=servers.kafka.bootstrap_servers,
        DEBUG="off",
        EVENT_TRANSPORT="kafka",
        ACHIEVEMENTS_HISTORY="",  # the host site sends events only
        LOG_LEVEL="WARNING",
        THROTTLE_EVENTS="off",
    )
    import django

    django.setup()
    return servers


def load_live_achievements() -> None:
    """Create the tables and load as many of the shipped achievements as the plan names."""
    from achievements.catalogue import load_catalogue  # only now: it imports models

    call_command("migrate", verbosity=0)
    chosen = {definition.slug for definition in make_shipped(LIVE_ACHIEVEMENTS)}
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    document["achievements"] = [e for e in document["achievements"] if e["slug"] in chosen]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(document, file)
        file.flush()
        load_catalogue(Path(file.name))
