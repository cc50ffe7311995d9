"""A MariaDB primary behind an address, and two replicas, for tests that break them."""

import inspect
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deploy.local.process import HOST, find_free_port
from deploy.local.replication import ReplicatedMariaDB

SMALL = {"innodb_log_file_size": "32M", "innodb_buffer_pool_size": "64M"}
STATUS_PRIVILEGE = "SLAVE MONITOR"


class Address:
    """Where the primary is found: what connects is passed on to the server of the moment.

    Connections that are open stay with their server, as they do when a virtual address moves.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = find_free_port()
        self._listener = socket.create_server((HOST, self.port))
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((HOST, self.target), timeout=2)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for pair in ((client, server), (server, client)):
                    Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Replicated:
    """The servers of one module, all of them whole when a test begins."""

    def __init__(self, primary: ReplicatedMariaDB, replicas: list[ReplicatedMariaDB]) -> None:
        self.primary = primary
        self.replicas = replicas
        self._named = {f"replica_{n}": one for n, one in enumerate(replicas, start=1)}
        self.address = Address(primary.port)

    @property
    def url(self) -> str:
        return self.primary.url.replace(f":{self.primary.port}/", f":{self.address.port}/")

    @property
    def replica_urls(self) -> str:
        return ",".join(replica.url for replica in self._named.values())

    def find(self, database: str) -> ReplicatedMariaDB:
        return self._named[database]

    def hand_over(self) -> None:
        """The steps of the runbook, once the primary is read-only: the first replica succeeds it.

        Connections that are open stay with the old one, which goes on as a replica.
        """
        old, (new, *others) = self.primary, self.replicas
        self.wait_for_replicas()
        self._promote(new)
        self.primary, self.replicas = new, [*others, old]
        self.address.target = new.port
        old.options["read_only"] = 1
        for replica in self.replicas:
            replica.follow(new)

    def take_over(self) -> None:
        """The same after the primary's death: the replica that has most succeeds it."""
        for replica in self.replicas:
            replica.run("STOP SLAVE IO_THREAD")
            deadline = time.monotonic() + 60
            while not replica.has_applied_all():
                assert time.monotonic() < deadline, replica.show_status()
                time.sleep(0.05)
        new, *others = sorted(self.replicas, key=ReplicatedMariaDB.count_applied, reverse=True)
        self._promote(new)
        dead, self.primary = self.primary, new
        self.replicas = others
        self.address.target = new.port
        for replica in others:
            replica.follow(new)
        # What it had and nobody else would part it from the others: it is made anew.
        dead.remove()

    def acknowledge(self) -> None:
        """Semi-synchronous from here on: what was committed is on a replica, whoever dies."""
        self.primary.run("SET GLOBAL rpl_semi_sync_master_timeout = 10000")
        for replica in self.replicas:
            replica.run("SET GLOBAL rpl_semi_sync_slave_enabled = 1")
            replica.run("STOP SLAVE")
            replica.run("START SLAVE")
        self.primary.run("SET GLOBAL rpl_semi_sync_master_enabled = 1")

    def _promote(self, new: ReplicatedMariaDB) -> None:
        new.promote()
        # It may have been the primary before, and would wait for replicas that it has no longer.
        new.run("SET GLOBAL rpl_semi_sync_master_enabled = 0")

    def wait_for_replicas(self, *, seconds: float = 30) -> None:
        """Return when every replica has what the primary has."""
        position = self.primary.read_position()
        deadline = time.monotonic() + seconds
        for replica in self.replicas:
            while not replica.has_reached(position):
                assert time.monotonic() < deadline, replica.show_status()

    def restore(self) -> None:
        for server in (self.primary, *self.replicas):
            server.resume()
            server.start()
        for replica in self.replicas:
            replica.run("SET GLOBAL general_log = 0")
            replica.run(f"REVOKE {STATUS_PRIVILEGE} ON *.* FROM laurel@'%'")
            replica.run("STOP SLAVE")
            replica.run("CHANGE MASTER TO MASTER_DELAY = 0")
            replica.run("START SLAVE")

    def close(self) -> None:
        self.address.close()


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Replicated]:
    with ExitStack() as stack:
        primary = stack.enter_context(ReplicatedMariaDB(1, SMALL))
        replicas = [
            stack.enter_context(ReplicatedMariaDB(number, SMALL, follows=primary))
            for number in (2, 3)
        ]
        yield stack.enter_context(closing(Replicated(primary, replicas)))


def reach(connection: Any, *, seconds: float = 60) -> None:
    """Connect, also where a machine that stalls lets the first try run out of its time."""
    from django.db import OperationalError

    deadline = time.monotonic() + seconds
    while True:
        try:
            return connection.ensure_connection()
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def replicated(
    own_servers: Replicated,
    transactional_db: None,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Replicated]:
    """This process on servers of its own, with empty tables, as REPLICA_URLS would have it."""
    from django.core.management import call_command
    from django.db import connection, connections, router
    from django.db.backends.base.base import BaseDatabaseWrapper

    from config.database_router import DatabaseRouter
    from config.environment import read_database, read_replicas

    monkeypatch.setenv("DATABASE_URL", own_servers.url)
    monkeypatch.setenv("REPLICA_URLS", own_servers.replica_urls)
    own = read_database("DATABASE_URL", "", base_dir=Path())
    added = read_replicas("REPLICA_URLS", primary=own, timeout_seconds=1, base_dir=Path())
    values = connection.settings_dict
    shared = dict(values)
    connection.close()
    values.update({name: own[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")})
    for alias in added:
        connections.settings[alias] = added[alias]
    connections.configure_settings(connections.settings)
    monkeypatch.setattr(router, "routers", [DatabaseRouter()])
    # A test names its databases before these exist: allow them as well.
    guarded = inspect.getclosurevars(BaseDatabaseWrapper.ensure_connection).nonlocals
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", guarded["real_ensure_connection"])
    settings.REPLICAS = [alias for alias in added if alias.startswith("replica_")]
    settings.REPLICA_MAX_LAG_SECONDS = 1
    try:
        reach(connection)
        call_command("migrate", verbosity=0)
        own_servers.wait_for_replicas()
        yield own_servers
        own_servers.restore()
        connection.close()
        call_command("flush", verbosity=0, interactive=False)
        own_servers.wait_for_replicas()
    finally:
        for alias in added:
            connections[alias].close()
            del connections[alias]
            del connections.settings[alias]
        connection.close()
        values.update(shared)
