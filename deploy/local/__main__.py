"""Runs a command beside real servers: python -m deploy.local mariadb redis broker -- COMMAND.

`mariadb` sets DATABASE_URL (and DATABASE_ADMIN_URL); `redis`, `redis-cluster` (six servers) or
`redis-sentinel` (three, and three Sentinels) sets REDIS_URL; `broker` is a second Redis and sets
CELERY_BROKER_URL; `kafka` sets KAFKA_BOOTSTRAP_SERVERS, `influxdb` sets INFLUXDB_URL. Everything
stops when the command ends.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

from deploy.local.influxdb import InfluxDB
from deploy.local.kafka import Kafka
from deploy.local.process import LocalProcess, MissingProgram, StartError
from deploy.local.redis_cluster import RedisCluster
from deploy.local.redis_sentinel import RedisSentinel
from deploy.local.servers import MariaDB, Redis

CACHES: dict[str, Callable[[], Redis | RedisCluster | RedisSentinel]] = {
    "redis": Redis,
    "redis-cluster": RedisCluster,
    "redis-sentinel": RedisSentinel,
}
SERVERS: dict[str, Callable[[], LocalProcess | RedisCluster | RedisSentinel]] = {
    "mariadb": MariaDB,
    **CACHES,
    "broker": Redis,
    "kafka": Kafka,
    "influxdb": InfluxDB,
}


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=", ".join(SERVERS))
    parser.add_argument("--check", action="store_true", help="only say which are missing")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of MariaDB, for instance innodb_buffer_pool_size=1G",
    )
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:split])
    command = arguments[split + 1 :]
    if not options.servers or set(options.servers) - set(SERVERS):
        parser.error(f"name one or more of {', '.join(SERVERS)}")
    if len(set(options.servers) & set(CACHES)) > 1:
        parser.error(f"name one of {', '.join(CACHES)}: each sets REDIS_URL")
    if not command and not options.check:
        parser.error("no command given after --")
    return options, command


def start_servers(
    names: list[str], stack: contextlib.ExitStack, mariadb_options: dict[str, str | int]
) -> dict[str, str]:
    """The environment that the started servers are reached by."""
    environment: dict[str, str] = {}
    if "mariadb" in names:
        mariadb = stack.enter_context(MariaDB(mariadb_options))
        environment["DATABASE_URL"] = mariadb.url
        environment["DATABASE_ADMIN_URL"] = mariadb.admin_url
    for name in set(names) & set(CACHES):
        cache = CACHES[name]()
        stack.enter_context(cache)
        environment["REDIS_URL"] = cache.url
    if "broker" in names:
        environment["CELERY_BROKER_URL"] = stack.enter_context(Redis()).url
    if "kafka" in names:
        kafka = stack.enter_context(Kafka())
        environment["KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
    if "influxdb" in names:
        environment["INFLUXDB_URL"] = stack.enter_context(InfluxDB()).url
    return environment


def find_missing(names: list[str]) -> list[str]:
    missing = []
    for kind in {SERVERS[name] for name in names}:
        try:
            kind().remove()
        except MissingProgram as error:
            missing.append(str(error))
    return sorted(missing)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    options, command = read_arguments(sys.argv[1:])
    if options.check:
        missing = find_missing(options.servers)
        print("\n".join(missing), end="\n" if missing else "")
        return 1 if missing else 0
    # Leave by an exception, so that the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, _leave)
    mariadb_options = dict(option.split("=", 1) for option in options.option)
    try:
        with contextlib.ExitStack() as stack:
            environment = start_servers(options.servers, stack, mariadb_options)
            child = subprocess.Popen(command, env={**os.environ, **environment})
            try:
                return child.wait()
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()
    except (MissingProgram, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
