"""A real Apache Kafka of one node on this machine, on ports and in a folder of its own."""

import base64
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from deploy.local.jars import fetch_jars
from deploy.local.process import (
    HOST,
    LocalProcess,
    MissingProgram,
    StartError,
    find_free_port,
    find_program,
)

LOG_SETTINGS_FILE = Path(__file__).parent / "kafka" / "log4j.properties"
TOPICS: Mapping[str, int] = {"achievement-events": 50, "achievement-events-dlq": 4}
KAFKA_OPTIONS: Mapping[str, str | int] = {
    "auto.create.topics.enable": "false",
    # One node: what would be three copies elsewhere is one here.
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    # Tests start and kill consumers: nobody waits for members that may still come.
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    # A node that was killed waits for the end of its own session and its own vote.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 500,
    "controller.quorum.election.timeout.ms": 200,
    "controller.quorum.election.backoff.max.ms": 100,
    "controller.quorum.fetch.timeout.ms": 500,
    # Two cores and a small heap: the cleaner alone would take 128 MB.
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 2,
}
HEAP = "512m"


class Kafka(LocalProcess):
    """Options are those of server.properties; the topics exist when start() returns.

    The data outlives kill() and stop(): the next start() finds it, on the same port.
    """

    name = "kafka"
    start_timeout_seconds = 60.0
    request_timeout_seconds = 10.0

    def __init__(
        self,
        options: Mapping[str, str | int] | None = None,
        *,
        topics: Mapping[str, int] | None = None,
        port: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.java = find_program(("java",), package="openjdk-17-jre-headless")
        _import_admin()
        self.jars = fetch_jars()
        super().__init__(port=port, folder=folder)
        self.controller_port = find_free_port()
        self.options = {**KAFKA_OPTIONS, **(options or {})}
        self.topics = TOPICS if topics is None else topics
        self.data_folder = self.folder / "data"
        self.properties_file = self.folder / "server.properties"

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    def prepare(self) -> None:
        (self.folder / "temporary").mkdir(exist_ok=True)
        self.properties_file.write_text(self._build_properties())
        if (self.data_folder / "meta.properties").exists():
            return
        # 16 bytes; a first one of chance could be written "-" and be taken for an option.
        cluster_id = base64.urlsafe_b64encode(b"laurel" + os.urandom(10)).decode().rstrip("=")
        done = subprocess.run(
            [
                *self._build_java("64m", "-XX:TieredStopAtLevel=1"),
                *("kafka.tools.StorageTool", "format", "--cluster-id", cluster_id),
                *("--config", str(self.properties_file), "--ignore-formatted"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            raise StartError(f"Kafka's storage format failed:\n{done.stdout.decode()}")

    def _build_properties(self) -> str:
        listeners = f"BROKER://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "listeners": listeners,
            "advertised.listeners": f"BROKER://{HOST}:{self.port}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data_folder,
            **self.options,
        }
        return "".join(f"{name}={value}\n" for name, value in properties.items())

    def _build_java(self, heap: str, *options: str) -> list[str]:
        return [
            *(self.java, f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"),
            # What it would leave in the system's own temporary folder after a kill.
            *("-XX:-UsePerfData", f"-Djava.io.tmpdir={self.folder / 'temporary'}"),
            *(f"-XX:ErrorFile={self.folder / 'crash.log'}", "-Djava.awt.headless=true"),
            f"-Dlog4j.configuration={LOG_SETTINGS_FILE.as_uri()}",
            *options,
            *("-cp", str(self.jars / "*")),
        ]

    def build_command(self) -> list[str]:
        return [*self._build_java(HEAP), "kafka.Kafka", str(self.properties_file)]

    def build_environment(self) -> Mapping[str, str]:
        # Options of the caller's own Java tools are not meant for the server.
        return {k: v for k, v in os.environ.items() if k not in {"JAVA_TOOL_OPTIONS", "KAFKA_OPTS"}}

    def is_ready(self) -> bool:
        """Whether the node answers for every partition that it holds."""
        try:
            # The client would write a line of its own for every refused connection.
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        client_module, admin = _import_admin()
        client = self._connect()
        try:
            topics = client.list_topics(timeout=1).topics
            # It lists a partition a little before it leads it: only its offsets prove that.
            wanted = {
                client_module.TopicPartition(name, partition): admin.OffsetSpec.latest()
                for name, topic in topics.items()
                for partition in topic.partitions
            }
            for result in client.list_offsets(wanted).values() if wanted else ():
                result.result(1)
        except (client_module.KafkaException, TimeoutError):
            return False
        return True

    def start(self) -> Self:
        if not self.is_running:
            super().start()
            if self.topics:
                self.create_topics(self.topics)
        return self

    def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the topics (name: number of partitions) that do not exist; wait until they do."""
        client_module, admin = _import_admin()
        new = [admin.NewTopic(name, count, 1) for name, count in topics.items()]
        if new:
            self._change_topics("create_topics", new, client_module.KafkaError.TOPIC_ALREADY_EXISTS)
        self._wait_until_listed(lambda found: found.keys() >= topics.keys())

    def empty_topics(self) -> None:
        """Make every topic anew, so that its offsets begin at 0 and no group has read of it.

        Deleting the events alone would not last: after a kill they are there again.
        """
        client_module, _ = _import_admin()
        counts = self._count_partitions()
        if counts:
            unknown = client_module.KafkaError.UNKNOWN_TOPIC_OR_PART
            self._change_topics("delete_topics", list(counts), unknown)
        self._wait_until_listed(lambda found: not found)
        self.create_topics(counts)

    def _change_topics(self, request: str, topics: list[Any], done_code: int) -> None:
        """Ask until it is done: a broker that was paused may lose a request as it comes back."""
        client_module, _ = _import_admin()
        deadline = time.monotonic() + 3 * self.request_timeout_seconds
        while True:
            client = self._connect()  # held: an answer is lost together with its client
            results = getattr(client, request)(topics, request_timeout=5)
            try:
                for result in results.values():
                    try:
                        result.result(self.request_timeout_seconds)
                    except client_module.KafkaException as error:
                        if error.args[0].code() != done_code:
                            raise
            except (client_module.KafkaException, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise StartError(f"Kafka refuses {request}: {error}") from error
                time.sleep(0.05)
            else:
                return

    def _wait_until_listed(self, is_wanted: Callable[[dict[str, int]], bool]) -> None:
        """The broker learns of a change a little after the controller has promised it."""
        deadline = time.monotonic() + 6 * self.request_timeout_seconds
        while not (is_wanted(self._count_partitions()) and self.is_ready()):
            if time.monotonic() > deadline:
                raise StartError(f"Kafka still has the topics {self._count_partitions()}.")
            time.sleep(0.05)

    def _count_partitions(self) -> dict[str, int]:
        found = self._connect().list_topics(timeout=self.request_timeout_seconds).topics
        return {n: len(topic.partitions) for n, topic in found.items() if not n.startswith("__")}

    def _connect(self) -> Any:
        _, admin = _import_admin()
        return admin.AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})


def _import_admin() -> tuple[Any, Any]:
    # Not on top: whoever starts no Kafka needs no client of it.
    try:
        import confluent_kafka
        import confluent_kafka.admin
    except ImportError as error:
        raise MissingProgram(
            "confluent-kafka", "-r requirements.txt", installer="pip install"
        ) from error
    return confluent_kafka, confluent_kafka.admin
