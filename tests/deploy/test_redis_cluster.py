import pytest

from deploy.local.redis_cluster import MASTERS, SLOTS, RedisCluster, wait_until
from deploy.local.redis_protocol import ReplyError, ask
from deploy.local.redis_sentinel import REPLICAS
from tests.deploy.test_servers import can_connect, wait_until_gone

pytestmark = pytest.mark.real


def test_it_starts_stops_and_leaves_nothing() -> None:
    with RedisCluster() as cluster:
        processes = [(node.pid, node.folder, node.port) for node in cluster.nodes]
        assert len(cluster.masters) == MASTERS
        slots = [slot for master in cluster.masters for slot in cluster.list_slots(master)]
        assert sorted(slots) == list(range(SLOTS))
    for pid, folder, port in processes:
        assert wait_until_gone(pid)
        assert not folder.exists()
        assert not can_connect(port)


def test_slots_move_with_their_keys(redis_cluster) -> None:
    name = "user:{12345}:achievements"
    source = redis_cluster.find_master(name)
    target = next(node for node in redis_cluster.masters if node is not source)
    slot = redis_cluster.find_slot(name)
    ask(source.port, "SET", name, "document")
    redis_cluster.migrate(source, target, [slot])
    assert redis_cluster.find_master(name) is target
    assert ask(target.port, "GET", name) == "document"
    with pytest.raises(ReplyError, match="MOVED"):
        ask(source.port, "GET", name)


def test_a_replica_takes_over_and_the_old_master_follows_it(redis_cluster) -> None:
    old = redis_cluster.masters[0]
    replica = redis_cluster.find_replica(old)
    old.kill()
    wait_until(replica.is_master)
    redis_cluster.restore()
    assert redis_cluster.find_replica(replica) is old


def test_sentinels_name_another_master(redis_sentinel) -> None:
    old = redis_sentinel.master
    assert len(redis_sentinel.replicas) == REPLICAS
    old.kill()
    redis_sentinel.wait_for_another_master(old)
    redis_sentinel.restore()
    assert redis_sentinel.master is not old
