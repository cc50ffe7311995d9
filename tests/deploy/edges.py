"""An edge before no site at all, and documents written into Redis by hand."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from redis import Redis as Client

from deploy.local.nginx import Edge
from deploy.local.process import HOST, MissingProgram, find_free_port

RULEBOOK = b'{"version":7,"document":{}}'


def write_document(version: int) -> bytes:
    """A user's document as achievements/documents.py lays it out; its body is its version."""
    header = f"L2o-{version:016x}{7:08x}{1:08x}{2**32 - 1:08x}{version:016x}\n"
    return header.encode() + json.dumps({"version": version}).encode()


def put_document(port: int, user: int, version: int, rulebook_port: int | None = None) -> None:
    with Client(host=HOST, port=rulebook_port or port) as client:
        client.set("achievements:rulebook", RULEBOOK)
    with Client(host=HOST, port=port) as client:
        client.set(f"user:{{{user}}}:achievements", write_document(version))


class Asked:
    """What is asked of one edge."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.client = httpx.Client(
            base_url=f"http://{HOST}:{edge.port}", trust_env=False, timeout=30
        )

    def ask(self, user: int, address: str = "9.9.9.9") -> httpx.Response:
        return self.client.get(
            f"/api/v1/users/{user}/achievements",
            headers={"Host": "localhost", "X-Forwarded-For": address},
        )

    def read_version(self, user: int) -> int | None:
        """The version that is shown; None where only the site could answer."""
        found = self.ask(user)
        assert found.status_code in (200, 503)
        version: int | None = found.json().get("version")
        return version


@contextmanager
def start_edge(redis_url: str, **variables: str) -> Iterator[Asked]:
    environment = {
        "LAUREL_ENV_FILE": "",
        "PATH": os.environ["PATH"],
        "REDIS_URL": redis_url,
        "THROTTLE_PUBLIC": "off",
        "TRUSTED_PROXIES": "127.0.0.1",
        **variables,
    }
    try:
        edge = Edge(site=f"{HOST}:{find_free_port()}", environment=environment)
    except MissingProgram as error:
        pytest.skip(str(error))
    with edge:
        asked = Asked(edge)
        with asked.client:
            yield asked
