"""Kafka for tests: a real one from the first test that asks for it, and librdkafka's mock cluster.

`kafka_servers`  the real one, once a run: bootstrap_servers, kill(), start(), pause(), resume()
`kafka`          the same, running, without events, and set as the one that this test talks to
`mock_kafka`     librdkafka's cluster in memory, set likewise; any topic exists, of 4 partitions
`any_kafka`      `kafka`, or `mock_kafka` where no real one can be had (the summary says so)
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.kafka import Kafka
from deploy.local.process import MissingProgram

_missing_reasons: list[str] = []


class MockCluster:
    """One broker in the memory of this process; it lives as long as its client."""

    def __init__(self) -> None:
        confluent_kafka = pytest.importorskip("confluent_kafka")
        self.client = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = self.client.list_topics(timeout=10).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


def _choose(bootstrap_servers: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For this process and for those that the test starts."""
    settings.KAFKA_BOOTSTRAP_SERVERS = bootstrap_servers
    monkeypatch.setitem(os.environ, "KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers)
    from achievements import producer

    # One that saw the topics go, or another cluster, would go by that for a while.
    monkeypatch.setattr(producer, "_requests", producer.EventProducer())


@pytest.fixture(scope="session")
def kafka_servers() -> Iterator[Kafka]:
    try:
        server = Kafka()
    except MissingProgram as error:
        _missing_reasons.append(str(error))
        pytest.skip(f"no real Kafka here: {str(error)[:100]}")
    with server:
        yield server


@pytest.fixture(autouse=True)
def _require_kafka(request: pytest.FixtureRequest) -> None:
    """A test marked `kafka` is skipped where there is none, whatever it starts by itself."""
    if request.node.get_closest_marker("kafka"):
        request.getfixturevalue("kafka_servers")


@pytest.fixture
def kafka(kafka_servers: Kafka, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kafka]:
    kafka_servers.start()  # an earlier test may have killed it
    kafka_servers.resume()
    kafka_servers.empty_topics()
    _choose(kafka_servers.bootstrap_servers, settings, monkeypatch)
    yield kafka_servers
    kafka_servers.resume()


@pytest.fixture
def mock_kafka(settings: Any, monkeypatch: pytest.MonkeyPatch) -> MockCluster:
    cluster = MockCluster()
    _choose(cluster.bootstrap_servers, settings, monkeypatch)
    return cluster


@pytest.fixture
def any_kafka(request: pytest.FixtureRequest) -> Kafka | MockCluster:
    if request.config.getoption("--stack") == "real":
        try:
            return request.getfixturevalue("kafka")
        except pytest.skip.Exception:
            pass  # the reason is kept for the summary
    return request.getfixturevalue("mock_kafka")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in _missing_reasons:
        terminalreporter.section("the real Kafka was not there", yellow=True)
        terminalreporter.line("Tests of broker faults were skipped; others ran on a mock cluster.")
        terminalreporter.line(reason)
