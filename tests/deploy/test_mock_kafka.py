import pytest

from deploy.local.kafka import Kafka
from deploy.local.process import MissingProgram
from tests.deploy.test_kafka import publish
from tests.kafka import MockCluster

pytestmark = pytest.mark.real


def test_the_mock_cluster_takes_events(mock_kafka: MockCluster, settings) -> None:
    assert mock_kafka.bootstrap_servers == settings.KAFKA_BOOTSTRAP_SERVERS
    assert publish(mock_kafka, [b"1", b"2"]) == 2


def test_any_kafka_is_the_real_one_where_it_can_be_had(any_kafka: Kafka | MockCluster) -> None:
    try:
        Kafka().remove()
        expected: type = Kafka
    except MissingProgram:
        expected = MockCluster
    assert isinstance(any_kafka, expected)
    assert publish(any_kafka, [b"1"]) == 1
