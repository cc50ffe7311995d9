import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.process import HOST, LocalProcess, StartError, find_free_port
from deploy.local.servers import MariaDB, Redis

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.real


def can_connect(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until_gone(pid: int, timeout_seconds: float = 10) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("kind", [MariaDB, Redis])
def test_it_starts_stops_and_leaves_nothing(kind: type[LocalProcess]) -> None:
    with kind() as server:
        pid, folder, port = server.pid, server.folder, server.port
        assert server.is_ready()
    assert wait_until_gone(pid)
    assert not folder.exists()
    assert not can_connect(port)


def test_it_starts_again_on_the_same_port_and_data_after_a_crash() -> None:
    import MySQLdb

    def connect(server: MariaDB):
        return MySQLdb.connect(
            host=HOST, port=server.port, user="laurel", password=server.password, db="laurel"
        )

    with MariaDB() as server:
        connection = connect(server)
        connection.cursor().execute("CREATE TABLE kept (id INT PRIMARY KEY) ENGINE=InnoDB")
        connection.cursor().execute("INSERT INTO kept VALUES (7)")
        connection.commit()
        server.kill()
        assert not server.is_running
        server.start()
        cursor = connect(server).cursor()
        cursor.execute("SELECT id FROM kept")
        assert cursor.fetchall() == ((7,),)


def test_a_wrong_option_is_reported_with_the_servers_own_words() -> None:
    with pytest.raises(StartError, match="no_such_option"), MariaDB({"no_such_option": 1}):
        pass


def test_the_site_user_cannot_write_past_read_only() -> None:
    import MySQLdb

    with MariaDB({"read_only": 1}) as server:
        connection = MySQLdb.connect(
            host=HOST, port=server.port, user="laurel", password=server.password, db="laurel"
        )
        with pytest.raises(MySQLdb.OperationalError, match="read-only"):
            connection.cursor().execute("CREATE TABLE refused (id INT)")


def start_in_another_process() -> tuple[subprocess.Popen[str], list[int]]:
    program = (
        "import time\n"
        "from deploy.local.servers import MariaDB, Redis\n"
        "with MariaDB() as mariadb, Redis() as redis:\n"
        "    print(mariadb.pid, redis.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    return parent, [int(pid) for pid in parent.stdout.readline().split()]


def test_killing_the_parent_leaves_no_server() -> None:
    parent, pids = start_in_another_process()
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(wait_until_gone(pid) for pid in pids)


def test_folders_of_dead_parents_are_removed_by_the_next_start() -> None:
    parent, pids = start_in_another_process()
    parent.kill()
    parent.wait()
    assert all(wait_until_gone(pid) for pid in pids)
    with Redis() as server:
        left = list(server.folder.parent.glob(f"laurel-local-{parent.pid}-*"))
    assert left == []


def test_the_command_line_sets_the_environment_and_passes_the_exit_code() -> None:
    command = 'test -n "$REDIS_URL" && test -n "$CELERY_BROKER_URL" && exit 7'
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local", "redis", "broker", "--", "sh", "-c", command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode == 7


def test_terminating_the_command_line_stops_its_servers() -> None:
    parent = subprocess.Popen(
        [
            *(sys.executable, "-m", "deploy.local", "redis", "--"),
            *("sh", "-c", "echo $REDIS_URL; exec sleep 60"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    port = int(parent.stdout.readline().rpartition(":")[2].split("/")[0])
    assert can_connect(port)
    parent.terminate()
    assert parent.wait(20) == 128 + signal.SIGTERM
    assert not can_connect(port)


def test_a_port_that_was_given_out_is_given_to_no_other_process() -> None:
    port = find_free_port()
    claim = f"from deploy.local import process; process._claim({port})"
    done = subprocess.run(
        [sys.executable, "-c", claim], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
