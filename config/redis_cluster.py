"""A Redis Cluster whose commands take a bounded time, whatever its servers do.

The library's own client waits for a new map of the cluster inside the command that met a dead
server, and asks again and again, one command at a time. Here a command goes to the server of its
name once; a redirection is followed, a server that does not answer is left alone for a second,
and a thread looks for its successor meanwhile. Reads go to masters alone: a replica may not have
a deletion yet that its master has answered.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MaxConnectionsError,
    MovedError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from config.redis_batch import Answer, Batch, Command

MOST_REDIRECTIONS: Final = 5
REST_SECONDS: Final = 1.0
# However many servers hang: what was not asked by then counts as not answered.
LONGEST_SECONDS: Final = 0.5


class BoundedCluster(RedisCluster):
    """Shared by all threads of a process. Whatever is away raises a ConnectionError of redis."""

    def __init__(
        self, seeds: Sequence[tuple[str, int]], *, timeout_seconds: float, **options: Any
    ) -> None:
        self._seeds = list(seeds)
        self._resting: dict[str, float] = {}
        self._strangers: dict[str, ClusterNode] = {}
        self._map_version = 0
        self._chance = random.Random()  # a thread that moves the shared one surprises tests
        # Called when a server does not answer, or is not the right one any more.
        self.on_trouble: Callable[[], None] = lambda: None
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in seeds],
            # What is covered is used; the rest is away.
            require_full_coverage=False,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            # Version 3 would cost every new connection two questions more.
            protocol=2,
            **options,
        )

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if "target_nodes" in options or args[0] in self.command_flags:
            try:
                return super().execute_command(*args, **options)
            except (RedisClusterException, ClusterDownError) as error:
                raise RedisConnectionError(str(error)) from error
        value = self.send([(args, options)])[0].value
        if isinstance(value, Exception):
            raise value
        return value

    def pipeline(self, transaction: bool | None = None, shard_hint: Any = None) -> Any:
        """Unless a transaction is asked for: commands of any slots, sent once to each server."""
        return super().pipeline(True, shard_hint) if transaction else Batch(self.send)

    def delete(self, *names: Any) -> int:
        return self._count("DEL", names)

    def unlink(self, *names: Any) -> int:
        return self._count("UNLINK", names)

    def exists(self, *names: Any) -> int:
        return self._count("EXISTS", names)

    def touch(self, *names: Any) -> int:
        return self._count("TOUCH", names)

    def _count(self, command: str, names: Iterable[Any]) -> int:
        values = [answer.value for answer in self.send([((command, n), {}) for n in names])]
        for value in values:
            if isinstance(value, Exception):
                raise value
        return sum(values)

    def flush(self) -> None:
        """Empty every master; raises after the last one when some did not answer."""
        failed: Exception | None = None
        for node in self.get_primaries():
            error = self._send_to(node, [(("FLUSHDB",), {})])[0].value
            failed = error if isinstance(error, Exception) else failed
        if failed is not None:
            raise failed

    def send(self, commands: Sequence[Command]) -> list[Answer]:
        """Send every command to the server of its first name, all of a server's at once.

        Errors are answers too, in the place of their commands. Takes LONGEST_SECONDS, and one
        timeout more at the most.
        """
        answers = [Answer(RedisConnectionError("Too many redirections."))] * len(commands)
        deadline = time.monotonic() + LONGEST_SECONDS
        waiting = list(range(len(commands)))
        for attempt in range(MOST_REDIRECTIONS):
            if attempt and not self._pause(answers, waiting):
                break
            groups: dict[str, tuple[ClusterNode, list[int]]] = {}
            for number in waiting:
                try:
                    node = self.find_node(find_name(commands[number][0]))
                except RedisConnectionError as error:
                    answers[number] = Answer(error)
                else:
                    groups.setdefault(node.name, (node, []))[1].append(number)
            waiting = []
            for node, numbers in groups.values():
                if time.monotonic() > deadline:
                    found = [Answer(RedisTimeoutError("No time was left."))] * len(numbers)
                else:
                    found = self._send_to(node, [commands[number] for number in numbers])
                for number, answer in zip(numbers, found, strict=True):
                    answers[number] = self._follow(answer, commands[number])
                    if isinstance(answers[number].value, (MovedError, TryAgainError)):
                        waiting.append(number)
            if not waiting:
                break
        return [self._settle(answer) for answer in answers]

    def _pause(self, answers: Sequence[Answer], waiting: Sequence[int]) -> bool:
        """Let a slot that is split between two servers come together; a move needs no pause."""
        if any(isinstance(answers[number].value, TryAgainError) for number in waiting):
            time.sleep(0.01)
        return bool(waiting)

    def _follow(self, answer: Answer, command: Command) -> Answer:
        error = answer.value
        if isinstance(error, MovedError):
            with contextlib.suppress(KeyError):  # the slot is not on our map at all
                self.nodes_manager.move_slot(error)
            self._map_version += 1
            self.on_trouble()
        elif isinstance(error, AskError):
            # The slot is on its way, and this name is there already.
            node = self.get_node(error.host, error.port) or self._meet(error.host, error.port)
            asked = self._send_to(node, [(("ASKING",), {}), command])[1]
            # In the name of the server that has the slot: the other one is seen to take over.
            return Answer(asked.value, answer.server)
        elif isinstance(error, ClusterDownError):
            self.on_trouble()
        return answer

    def _settle(self, answer: Answer) -> Answer:
        if isinstance(answer.value, (MovedError, AskError, TryAgainError, ClusterDownError)):
            return Answer(RedisConnectionError(f"The cluster is not ready: {answer.value}"))
        return answer

    def _send_to(self, node: ClusterNode, commands: Sequence[Command]) -> list[Answer]:
        if self.is_resting(node.name):
            error: Exception = RedisConnectionError(f"{node.name} did not answer a moment ago.")
            return [Answer(error)] * len(commands)
        client = self.get_redis_connection(node)
        try:
            if len(commands) == 1:
                args, options = commands[0]
                return [Answer(client.execute_command(*args, **options), node.name)]
            pipeline = client.pipeline(transaction=False)
            for args, options in commands:
                pipeline.execute_command(*args, **options)
            values = pipeline.execute(raise_on_error=False)
            return [Answer(value, node.name) for value in values]
        except MaxConnectionsError as caught:  # ours, not the server's fault
            error = caught
        except (RedisConnectionError, RedisTimeoutError, OSError) as caught:
            error = caught if isinstance(caught, RedisError) else RedisConnectionError(str(caught))
            self._resting[node.name] = time.monotonic() + REST_SECONDS
            self.on_trouble()
        except RedisError as caught:
            error = caught
        return [Answer(error, node.name)] * len(commands)

    def find_node(self, name: Any) -> ClusterNode:
        try:
            return self.nodes_manager.get_node_from_slot(key_slot(self.encoder.encode(name)))
        except RedisClusterException as error:
            self.on_trouble()
            raise RedisConnectionError(str(error)) from error

    def _meet(self, host: str, port: int) -> ClusterNode:
        """A server that takes over its first slot is on no map yet."""
        node = ClusterNode(host, port)
        return self._strangers.setdefault(node.name, node)

    def is_resting(self, server: str) -> bool:
        return time.monotonic() < self._resting.get(server, 0.0)

    def close(self) -> None:
        for node in self._strangers.values():
            if node.redis_connection is not None:
                node.redis_connection.close()
        super().close()

    def refresh_map(self) -> int:
        """Ask some server who is responsible; returns how often that has changed so far."""
        seeds = [self.get_node(*seed) or self._meet(*seed) for seed in self._seeds]
        nodes = list({node.name: node for node in (*self.get_nodes(), *seeds)}.values())
        self._chance.shuffle(nodes)
        for node in nodes:
            found = self._send_to(node, [(("CLUSTER SLOTS",), {})])[0].value
            if isinstance(found, Exception):
                continue
            if not self._agrees(found):
                with contextlib.suppress(RedisClusterException, RedisError):
                    self.nodes_manager.initialize(
                        additional_startup_nodes_info=self._seeds,
                        disconnect_startup_nodes_pools=False,
                    )
                    self._map_version += 1
            break
        return self._map_version

    def _agrees(self, ranges: Sequence[Any]) -> bool:
        """Whether our map has the same masters at both ends of each range of slots."""
        slots = self.nodes_manager.slots_cache
        for low, high, (host, port, *_), *_ in ranges:
            for slot in (low, high):
                if slot not in slots or slots[slot][0].name != f"{host.decode()}:{port}":
                    return False
        return True


def find_name(args: Sequence[Any]) -> Any:
    """The first name in a command: behind the number of names where there is a script."""
    return args[3] if args[0] in ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO") else args[1]
