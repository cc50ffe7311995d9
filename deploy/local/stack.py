"""`make stack`: MariaDB, two Redis, Kafka, InfluxDB, every process of the site and the edge.

Runs until Ctrl-C. Ports are free ones unless PORT, EDGE_PORT, MARIADB_PORT, REDIS_PORT,
BROKER_PORT, KAFKA_PORT or INFLUXDB_PORT name them. Data is in a temporary folder unless STACK_DATA
names one, which is kept. REPLICAS=2 adds two replicas of MariaDB for what is displayed.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.__main__ import find_missing
from deploy.local.console import Console
from deploy.local.influxdb import InfluxDB
from deploy.local.kafka import Kafka
from deploy.local.nginx import Edge
from deploy.local.process import (
    HOST,
    LocalProcess,
    MissingProgram,
    StartError,
    find_free_port,
    make_folder,
)
from deploy.local.program import PROGRAMS, ROOT, SiteProcess
from deploy.local.replication import ReplicatedMariaDB
from deploy.local.servers import MariaDB, Redis

SERVER_NAMES = ("mariadb", "redis", "broker", "kafka", "influxdb", "edge")
WEB_PORT = 8000
MOST_REPLICAS = 4
LOOK_SECONDS = 0.2


class Stack:
    """Starts everything in order and stops it in the opposite one; restarts nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replica_count = read_replica_count()
        names = [*SERVER_NAMES, *(f"replica-{n + 1}" for n in range(self.replica_count))]
        self.console = Console([*names, *(program.name for program in PROGRAMS)])
        self.processes: list[LocalProcess] = []
        self.ended: set[str] = set()
        self.environment = {
            **os.environ,
            "EVENT_TRANSPORT": "kafka",
            # As in production: with it, every process would keep its queries and run slower.
            "DEBUG": "no",
        }
        self.web_port = choose_web_port()
        self.edge_port: int | None = None
        self.how_to_try = ""

    def start(self) -> None:
        self._start_servers()
        self._write_environment()
        self._prepare_site()
        for program in PROGRAMS:
            process = SiteProcess(
                program,
                environment=self.environment,
                folder=self.folder / program.name,
                port=self.web_port if program.name == "web" else None,
            )
            try:
                self._start(process)
            except StartError:
                self._look_at_ends()  # shown with its last lines; the others go on
        self._start_edge()
        self._show_state()

    def watch(self) -> None:
        """Shows what they write and which of them end; returns when all of the site's have."""
        while any(process.is_running for process in self._list_site()):
            self.console.show_new_lines(self.processes)
            self._look_at_ends()
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        while self.processes:
            process = self.processes[-1]
            was_running, began = process.is_running, time.monotonic()
            process.stop()  # also what one that was killed has left behind
            if was_running:
                if isinstance(process, SiteProcess):
                    self.console.show_new_lines([process])
                self.console.say(f"stopped {process.name} in {time.monotonic() - began:.1f} s")
            self.processes.pop()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    def _start_servers(self) -> None:
        make_mariadb = ReplicatedMariaDB if self.replica_count else MariaDB
        mariadb = make_mariadb(port=read_port("MARIADB_PORT"), folder=self.folder / "mariadb")
        redis = Redis(port=read_port("REDIS_PORT"), folder=self.folder / "redis")
        broker = Redis(port=read_port("BROKER_PORT"), folder=self.folder / "broker")
        broker.name = "broker"
        kafka = Kafka(port=read_port("KAFKA_PORT"), folder=self.folder / "kafka")
        for server in (mariadb, redis, broker, kafka):
            self._start(server)
        self.environment.update(
            DATABASE_URL=mariadb.url,
            REDIS_URL=redis.url,
            CELERY_BROKER_URL=broker.url,
            KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
        )
        self._start_replicas(mariadb)
        try:
            influxdb = InfluxDB(port=read_port("INFLUXDB_PORT"), folder=self.folder / "influxdb")
        except MissingProgram as error:
            self.console.say(f"Going on without InfluxDB: {error}")
            return
        self._start(influxdb)
        self.environment["INFLUXDB_URL"] = influxdb.url

    def _start_replicas(self, primary: MariaDB) -> None:
        urls = []
        for number in range(1, self.replica_count + 1):
            folder = self.folder / f"replica-{number}"
            replica = ReplicatedMariaDB(number + 1, follows=primary, folder=folder)
            self._start(replica)
            urls.append(replica.url)
        if urls:
            self.environment["REPLICA_URLS"] = ",".join(urls)

    def _start_edge(self) -> None:
        ports = {process.name: process.port for process in self._list_site()}
        try:
            edge = Edge(
                site=f"{HOST}:{ports['web']}",
                stream=f"{HOST}:{ports['stream']}",
                environment=self.environment,
                port=read_port("EDGE_PORT"),
                folder=self.folder / "edge",
            )
            self._start(edge)
        except (MissingProgram, StartError) as error:
            self.console.say(f"Going on without the edge: {error}")
        else:
            self.edge_port = edge.port

    def _start(self, process: LocalProcess) -> None:
        self.console.say(f"starting {process.name} ...")
        self.processes.append(process)
        if isinstance(process, SiteProcess):
            self.console.follow(process)
        process.start()
        # What a server says of its own start and end is in its log file.
        if not isinstance(process, SiteProcess):
            self.console.follow(process)

    def _write_environment(self) -> None:
        """For whoever wants to run manage.py or a measurement against this stack."""
        file = self.folder / "environment"
        file.touch(mode=0o600)
        names = sorted(self.environment.keys() - os.environ.keys() | {"DEBUG", "EVENT_TRANSPORT"})
        file.write_text(
            "".join(f"export {name}={shlex.quote(self.environment[name])}\n" for name in names)
        )

    def _prepare_site(self) -> None:
        """Tables, catalogue, demo typists and logins; what it says is shown once all runs."""
        credentials = self.folder / "credentials.json"
        self.how_to_try = self._manage(
            "prepare_local", f"--port={self.web_port}", f"--credentials={credentials}"
        )
        self._manage("collectstatic", "--no-input", "--verbosity=0")

    def _manage(self, command: str, *arguments: str) -> str:
        environment = dict(self.environment)
        if command == "prepare_local":
            environment["DEBUG"] = "yes"  # demo typists are refused without
        done = subprocess.run(
            [sys.executable, "manage.py", command, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StartError(f"{done.stdout}manage.py {command} failed; its own words are above.")
        return done.stdout

    def _list_site(self) -> list[LocalProcess]:
        return [process for process in self.processes if isinstance(process, SiteProcess)]

    def _look_at_ends(self) -> None:
        for process in self.processes:
            if not process.is_running and process.name not in self.ended:
                self.ended.add(process.name)
                self.console.show_end(process)

    def _show_state(self) -> None:
        rows = [("NAME", "STATE", "PID", "PORT", "LOG")]
        for process in self.processes:
            has_port = not isinstance(process, SiteProcess) or process.has_port
            rows.append(
                (
                    process.name,
                    "running" if process.is_running else "ended",
                    str(process.pid),
                    str(process.port) if has_port else "-",
                    str(process.log_file),
                )
            )
        self.console.say("")
        self.console.show_table(rows)
        web, edge = (f"http://{HOST}:{port}" for port in (self.web_port, self.edge_port))
        self.console.say("")
        self.console.say(self.how_to_try.replace(web, edge) if self.edge_port else self.how_to_try)
        self.console.say(f"  Commands against this stack:  . {self.folder / 'environment'}")
        if self.edge_port:
            self.console.say(f"  The web process alone, without the live stream:  {web}/")
        self.console.say("  Ctrl-C stops everything in order.\n")


def read_port(variable: str) -> int | None:
    """The port that the environment names, None when it names none."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) < 65536 or not is_free(int(text)):
        raise StartError(f"{variable}={text} cannot be used: not a port, or taken. Leave it out.")
    return int(text)


def read_replica_count() -> int:
    text = os.environ.get("REPLICAS") or "0"
    if not text.isdigit() or int(text) > MOST_REPLICAS:
        raise StartError(f"REPLICAS={text}: a number from 0 to {MOST_REPLICAS} is meant.")
    return int(text)


def choose_web_port() -> int:
    wanted = read_port("PORT")
    return wanted or (WEB_PORT if is_free(WEB_PORT) else find_free_port())


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def main() -> int:
    if missing := find_missing(["mariadb", "redis", "kafka"]):
        print("\n".join(missing), file=sys.stderr)
        return 1
    # In order, as with Ctrl-C; which a shell without jobs makes what it starts with & ignore.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    given = os.environ.get("STACK_DATA")
    folder = Path(given).resolve() if given else make_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if not given:
        folder.chmod(0o711)  # the database runs as a user of its own and has to come through
    code = 1
    try:
        code = run(folder)
    except StartError as error:
        print(error, file=sys.stderr)
    finally:
        if not given:
            shutil.rmtree(folder, ignore_errors=True)
    return code


def run(folder: Path) -> int:
    """Exit code 0 when nothing ended by itself."""
    stack = Stack(folder)
    try:
        stack.start()
        stack.watch()
        print("Every process of the site has ended.", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopping in order; Ctrl-C again kills.", flush=True)
    finally:
        try:
            stack.stop()
        except KeyboardInterrupt:
            stack.kill()
    return 1 if stack.ended else 0


if __name__ == "__main__":
    sys.exit(main())
