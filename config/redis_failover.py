"""Deletions that a failover would undo are done again.

Redis answers a command before its replicas have it. When a master dies in between, its replica
takes over without that command: a document that was deleted is back, and the next reader would
be shown what is no longer true. So each process remembers the names that it deleted lately with
the server that did it, looks once a second which server is responsible now, and deletes a name
again where that is another one. Until then such a name is a miss to this process. Deleting too much
costs one database read; nothing else.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.client.default import DefaultClient
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config.redis_deletions import Deletions

logger = structlog.get_logger("config.cache")

LOOK_SECONDS: Final = 1.0
# While a server does not answer: the next look may find its successor.
HURRIED_SECONDS: Final = 0.1
NAMES_A_COMMAND: Final = 1000
NAMES_A_LOOK: Final = 5000


class Deleted(NamedTuple):
    """How many of the names there were; and for each name who deleted it, None for nobody."""

    number: int
    servers: Sequence[str | None]


class Failover(ABC):
    """Follows who is responsible, in a thread; one for all threads of a process."""

    def __init__(self) -> None:
        self.deletions = Deletions()
        self._woken = threading.Event()
        self._is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="redis-failover", daemon=True)

    @abstractmethod
    def refresh(self) -> int:
        """Learn who is responsible; returns how often that has changed so far."""

    @abstractmethod
    def find_server(self, name: str) -> str | None:
        """Who is responsible for the name, as far as this process knows; None if nobody is."""

    def is_reachable(self, name: str) -> bool:
        return self.find_server(name) is not None

    def is_doubtful(self, name: str) -> bool:
        """Whether what is found under this name may lack a deletion of this process."""
        if self.deletions.is_missed(name):
            return True
        server = self.deletions.find_server(name)
        if server is None or server == self.find_server(name):
            return False
        self.hurry()
        return True

    @abstractmethod
    def delete(self, names: Sequence[str]) -> Deleted:
        """Never raises an error of redis."""

    def hurry(self) -> None:
        """A server does not answer, or is not the right one any more: look soon."""
        self._woken.set()

    def close(self) -> None:
        self._is_over.set()
        self._woken.set()

    def invalidate(self, names: Sequence[str]) -> tuple[int, list[str]]:
        """Delete the names and remember them; returns how many there were, and those missed."""
        ticket = self.deletions.take_ticket()
        deleted = self.delete(names)
        missed: list[str] = []
        by_server: dict[str, list[str]] = {}
        for name, server in zip(names, deleted.servers, strict=True):
            # One that was replaced meanwhile may have deleted it too late to tell its replica.
            if server is None or server != self.find_server(name):
                missed.append(name)
            else:
                by_server.setdefault(server, []).append(name)
        for server, done in by_server.items():
            self.deletions.note_done(done, server, ticket=ticket)
        if missed:
            self.deletions.note_missed(missed, ticket=ticket)
            self.hurry()
        return deleted.number, missed

    def remember(self, names: Iterable[str]) -> None:
        """Treat names that were replaced or deleted another way like those of `invalidate`."""
        for name in names:
            server = self.find_server(name)
            if server is None:
                self.deletions.note_missed([name], ticket=self.deletions.take_ticket())
            else:
                self.deletions.note_done([name], server)

    def look(self) -> None:
        """Once: what the thread does all the time."""
        self.deletions.reconsider(self.find_server, version=self.refresh())
        names = [name for name in self.deletions.list_missed() if self.is_reachable(name)]
        for start in range(0, min(len(names), NAMES_A_LOOK), NAMES_A_COMMAND):
            self.invalidate(names[start : start + NAMES_A_COMMAND])

    def _run(self) -> None:
        while not self._is_over.is_set():
            is_calm = not self.deletions.has_missed()
            self._woken.wait(LOOK_SECONDS if is_calm else HURRIED_SECONDS)
            self._woken.clear()
            if self._is_over.is_set():
                return
            try:
                self.look()
            except RedisError:
                pass  # away: nothing to learn, and whoever needed it has said so
            except Exception:
                # Whatever it was, the next look may go better; ending would end them all.
                logger.exception("redis_not_followed")
            self._is_over.wait(HURRIED_SECONDS)


class FailoverClient(DefaultClient, ABC):  # type: ignore[misc]
    """The client of django-redis for servers that take each other's place."""

    @abstractmethod
    def follow(self) -> Failover:
        """The process's own; started by the first call."""

    def get(
        self, key: str, default: Any = None, version: int | None = None, client: Any = None
    ) -> Any:
        name = self.make_key(key, version=version)
        follower = self.follow()
        if follower.is_doubtful(name):
            return default
        server = follower.find_server(name)
        value = super().get(name, default, version, client)
        return default if self._is_overtaken(name, server) else value

    def get_many(
        self, keys: Iterable[str], version: int | None = None, client: Any = None
    ) -> dict[str, Any]:
        follower = self.follow()
        names = {key: self.make_key(key, version=version) for key in keys}
        servers = {
            key: follower.find_server(name)
            for key, name in names.items()
            if not follower.is_doubtful(name)
        }
        found = self.read_many(servers, version=version, client=client)
        return {
            key: value
            for key, value in found.items()
            if not self._is_overtaken(names[key], servers[key])
        }

    def read_many(
        self, keys: Iterable[str], version: int | None = None, client: Any = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = super().get_many(list(keys), version=version, client=client)
        return found

    def _is_overtaken(self, name: str, server: str | None) -> bool:
        """Whether a read that began while this server was responsible may lack a deletion."""
        follower = self.follow()
        # Deleted again since then: what was read may be from before that.
        is_again = follower.deletions.find_server(name) not in (None, server)
        return is_again or follower.is_doubtful(name)

    def delete_many(
        self, keys: Iterable[str], version: int | None = None, client: Any = None
    ) -> int:
        """Returns how many there were; raises when any may still be there, and deletes it later."""
        names = [self.make_key(key, version=version) for key in keys]
        deleted, missed = self.follow().invalidate(names)
        if missed:
            text = f"{len(missed)} of {len(names)} names were not deleted."
            raise ConnectionInterrupted(connection=client) from RedisConnectionError(text)
        return deleted

    def remember(self, keys: Iterable[str]) -> None:
        """Treat names that a script replaced or deleted like those of `delete_many`."""
        self.follow().remember([self.make_key(key) for key in keys])

    def touch(
        self,
        key: str,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,
    ) -> bool:
        # The library lets the error of redis out here, which nobody would ignore.
        try:
            return bool(super().touch(key, timeout, version, client))
        except RedisError as error:
            raise ConnectionInterrupted(connection=client) from error
