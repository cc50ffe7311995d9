"""A real Redis with replicas under three Sentinels on this machine."""

from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from deploy.local.process import HOST
from deploy.local.redis_cluster import empty, wait_until
from deploy.local.redis_protocol import ask, ask_info
from deploy.local.servers import Redis

SERVICE: Final = "laurel"
REPLICAS: Final = 2
SENTINELS: Final = 3
QUORUM: Final = 2
# A Sentinel whose clock jumps by two seconds does nothing for thirty, and a replica that has lost
# its master for ten times this before the master counts as down is never promoted: with less than
# three seconds, a master that dies in that time would have no successor at all.
DOWN_AFTER_MILLISECONDS: Final = 3500


class Replica(Redis):
    name = "redis-replica"

    def __init__(self, master: Redis, options: Mapping[str, str | int] | None = None) -> None:
        super().__init__(options)
        self.master = master

    def build_command(self) -> list[str]:
        return [*super().build_command(), "--replicaof", HOST, str(self.master.port)]


class Sentinel(Redis):
    name = "redis-sentinel"

    def __init__(self, master: Redis) -> None:
        super().__init__()
        self.master = master

    @property
    def config_file(self) -> str:
        return str(self.folder / "sentinel.conf")

    def prepare(self) -> None:
        # It writes into this file what it learns, so a second start keeps it.
        if self.folder.joinpath("sentinel.conf").exists():
            return
        self.folder.joinpath("sentinel.conf").write_text(
            f"port {self.port}\n"
            f"bind {HOST}\n"
            f"dir {self.folder}\n"
            f"sentinel monitor {SERVICE} {HOST} {self.master.port} {QUORUM}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MILLISECONDS}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
            f"sentinel parallel-syncs {SERVICE} {REPLICAS}\n"
        )

    def build_command(self) -> list[str]:
        return [self.server_program, self.config_file, "--sentinel"]

    def read_master_port(self) -> int:
        address = ask(self.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        assert isinstance(address, list)
        return int(str(address[1]))

    def sees_everyone(self) -> bool:
        """Whether it knows every replica and every other Sentinel, and none of them as down."""
        fields = ask(self.port, "SENTINEL", "MASTER", SERVICE)
        assert isinstance(fields, list)
        state = dict(zip(map(str, fields[::2]), map(str, fields[1::2]), strict=True))
        return (state["flags"], state["num-slaves"], state["num-other-sentinels"]) == (
            "master",
            str(REPLICAS),
            str(SENTINELS - 1),
        )


class RedisSentinel:
    """Options are those of the data servers. Stopped by leaving the `with` block."""

    name = "redis-sentinel"

    def __init__(self, options: Mapping[str, str | int] | None = None) -> None:
        options = {"repl-diskless-sync-delay": 0, **(options or {})}
        first = Redis(options)
        self.servers = [first, *(Replica(first, options) for _ in range(REPLICAS))]
        self.sentinels = [Sentinel(first) for _ in range(SENTINELS)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis-sentinel://{hosts}/{SERVICE}/0"

    @property
    def master(self) -> Redis:
        """The server that the Sentinels name, whether it runs or not."""
        port = next(s for s in self.sentinels if s.is_running).read_master_port()
        return next(server for server in self.servers if server.port == port)

    @property
    def replicas(self) -> list[Redis]:
        master = self.master
        return [server for server in self.servers if server is not master]

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(self._is_whole)
        return self

    def restore(self) -> None:
        """Start again what was killed or paused, and empty it; who is master may have changed."""
        for process in (*self.sentinels, *self.servers):
            process.resume()
            process.start()
        wait_until(self._is_mended)
        empty(self.master, REPLICAS)

    def _is_mended(self) -> bool:
        if not all(sentinel.sees_everyone() for sentinel in self.sentinels):
            return False
        if len({sentinel.read_master_port() for sentinel in self.sentinels}) != 1:
            return False
        # Sentinel would say so too, but it looks at a server that came back every ten seconds.
        master = self.master
        if ask_info(master.port, "INFO", "replication")["role"] != "master":
            ask(master.port, "REPLICAOF", "NO", "ONE")
        for replica in self.replicas:
            if ask_info(replica.port, "INFO", "replication").get("master_port") != str(master.port):
                ask(replica.port, "REPLICAOF", HOST, master.port)
        return self._is_whole()

    def _is_whole(self) -> bool:
        replication = ask_info(self.master.port, "INFO", "replication")
        return replication["connected_slaves"] == str(REPLICAS) and all(
            sentinel.sees_everyone() for sentinel in self.sentinels
        )

    def wait_for_another_master(self, old: Redis) -> None:
        """Until all Sentinels name another server and it takes writes."""

        def has_another() -> bool:
            ports = {sentinel.read_master_port() for sentinel in self.sentinels}
            if len(ports) != 1 or old.port in ports:
                return False
            return ask_info(ports.pop(), "INFO", "replication")["role"] == "master"

        wait_until(has_another)

    def flush(self) -> None:
        ask(self.master.port, "FLUSHALL")

    def kill(self) -> None:
        for process in (*self.sentinels, *self.servers):
            process.kill()

    def remove(self) -> None:
        for process in (*self.sentinels, *self.servers):
            process.remove()

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
