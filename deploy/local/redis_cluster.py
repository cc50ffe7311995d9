"""A real Redis Cluster on this machine: three masters, each with a replica."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from deploy.local.process import HOST, StartError, find_free_port
from deploy.local.redis_protocol import ReplyError, ask, ask_in_turn, ask_info, ask_text
from deploy.local.servers import Redis

SLOTS: Final = 16_384
MASTERS: Final = 3

# A Sentinel that sees the clock jump by two seconds does nothing for thirty.
MOST_SECONDS: Final = 90
NODE_TIMEOUT_MILLISECONDS: Final = 1000  # a failover takes about twice as long

# While a master is away the others go on.
CLUSTER_OPTIONS: Mapping[str, str | int] = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": NODE_TIMEOUT_MILLISECONDS,
    "cluster-require-full-coverage": "no",
    "repl-diskless-sync-delay": 0,
}


class ClusterNode(Redis):
    """One of the servers; it keeps its place in the cluster when it is killed and started again."""

    name = "redis-cluster"

    def __init__(self, options: Mapping[str, str | int] | None = None) -> None:
        self.bus_port = find_free_port()
        super().__init__({**CLUSTER_OPTIONS, "cluster-port": self.bus_port, **(options or {})})

    @property
    def node_id(self) -> str:
        return ask_text(self.port, "CLUSTER", "MYID")

    def is_master(self) -> bool:
        return ask_info(self.port, "INFO", "replication")["role"] == "master"

    def knows(self, masters: int, replicas: int) -> bool:
        """Whether it sees the whole cluster, and is itself in step with its master."""
        if ask_info(self.port, "CLUSTER", "INFO").get("cluster_state") != "ok":
            return False
        replication = ask_info(self.port, "INFO", "replication")
        if replication["role"] == "slave" and replication["master_link_status"] != "up":
            return False
        lines = [line.split() for line in ask_text(self.port, "CLUSTER", "NODES").splitlines()]
        alive = [line[2].split(",") for line in lines if "fail" not in line[2] and len(line) > 7]
        seen_masters = sum("master" in flags for flags in alive)
        seen_replicas = sum("slave" in flags for flags in alive)
        return seen_masters == masters and seen_replicas == replicas


class RedisCluster:
    """Options are those of every server. Stopped by leaving the `with` block."""

    name = "redis-cluster"

    def __init__(self, options: Mapping[str, str | int] | None = None) -> None:
        self.nodes = [ClusterNode(options) for _ in range(2 * MASTERS)]

    @property
    def url(self) -> str:
        return "redis-cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    @property
    def masters(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.is_running and node.is_master()]

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            ask(node.port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(self.nodes[:MASTERS]):
            low, high = number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS - 1
            ask(node.port, "CLUSTER", "ADDSLOTSRANGE", low, high)

        def have_met() -> bool:
            # A handshake that takes longer than the nodes' timeout is forgotten.
            known = ask_text(first.port, "CLUSTER", "NODES")
            for node in others:
                if f":{node.port}@" not in known:
                    ask(first.port, "CLUSTER", "MEET", HOST, node.port, node.bus_port)
            return all(node.knows(2 * MASTERS, 0) for node in self.nodes)

        wait_until(have_met)
        for master, replica in zip(self.nodes, self.nodes[MASTERS:], strict=False):
            ask(replica.port, "CLUSTER", "REPLICATE", master.node_id)
        self.wait_until_whole()
        return self

    def wait_until_whole(self) -> None:
        """Until every server runs, agrees with the others and is in step with its master."""
        wait_until(
            lambda: all(node.is_running and node.knows(MASTERS, MASTERS) for node in self.nodes)
        )

    def restore(self) -> None:
        """Start again what was killed or paused, and empty it; who is master may have changed."""
        for node in self.nodes:
            node.resume()
            node.start()
        self.wait_until_whole()
        for master in self.masters:
            empty(master, replicas=1)

    def find_slot(self, name: str) -> int:
        return int(ask_text(self.nodes[0].port, "CLUSTER", "KEYSLOT", name))

    def find_master(self, name: str) -> ClusterNode:
        """The running server that answers for this name."""
        for node in self.masters:
            with contextlib.suppress(ReplyError):
                ask(node.port, "EXISTS", name)
                return node
        raise LookupError(f"No master answers for {name}.")

    def find_replica(self, master: ClusterNode) -> ClusterNode:
        for node in self.nodes:
            if node is master or not node.is_running:
                continue
            replication = ask_info(node.port, "INFO", "replication")
            if replication.get("master_port") == str(master.port):
                return node
        raise LookupError(f"{master.port} has no replica.")

    def flush(self) -> None:
        for node in self.masters:
            ask(node.port, "FLUSHALL")

    def list_slots(self, master: ClusterNode) -> list[int]:
        """The slots that this master holds."""
        held: list[int] = []
        for line in ask_text(master.port, "CLUSTER", "NODES").splitlines():
            fields = line.split()
            if "myself" not in fields[2]:
                continue
            for part in fields[8:]:
                if not part.startswith("["):
                    low, _, high = part.partition("-")
                    held.extend(range(int(low), int(high or low) + 1))
        return held

    def migrate(self, source: ClusterNode, target: ClusterNode, slots: Iterable[int]) -> None:
        """Move slots with their keys, one by one, as `redis-cli --cluster reshard` does."""
        others = [node for node in self.masters if node not in (source, target)]
        new_owner = target.node_id
        for slot in slots:
            self.open_slot(source, target, slot)
            self.move_keys(source, target, slot)
            for node in (target, source, *others):
                ask(node.port, "CLUSTER", "SETSLOT", slot, "NODE", new_owner)

    def open_slot(self, source: ClusterNode, target: ClusterNode, slot: int) -> None:
        """From here on what the source has not got is asked of the target."""
        ask(target.port, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        ask(source.port, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)

    def move_keys(self, source: ClusterNode, target: ClusterNode, slot: int) -> None:
        while keys := ask(source.port, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            assert isinstance(keys, list)
            ask(
                *(source.port, "MIGRATE", HOST, target.port, "", 0, 5000),
                *("REPLACE", "KEYS", *keys),
            )

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def empty(server: Redis, replicas: int) -> None:
    """Delete everything, and return when the replicas have done so too.

    Only then are they in step: one that has just loaded the master's data counts as online a
    second before it is sent what came after.
    """
    _, reached = ask_in_turn(
        server.port, ["FLUSHALL"], ["WAIT", replicas, 30_000], timeout_seconds=40
    )
    if reached != replicas:
        raise StartError(f"{reached} of {replicas} replicas follow {server.name} in time.")


def wait_until(is_so: Callable[[], bool], *, timeout_seconds: float = MOST_SECONDS) -> None:
    """A server that does not answer or refuses counts as `not yet`."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        with contextlib.suppress(OSError, ReplyError, LookupError):
            if is_so():
                return
        if time.monotonic() > deadline:
            raise StartError(f"The servers did not agree within {timeout_seconds:.0f} s.")
        time.sleep(0.05)
