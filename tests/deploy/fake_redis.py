"""Servers that speak enough of Redis's protocol for the edge, and do what no real one would."""

import socketserver
from threading import Event, Thread
from types import TracebackType
from typing import Self

from deploy.local.process import HOST


def write_texts(*texts: object) -> bytes:
    parts = [f"${len(str(text))}\r\n{text}\r\n" for text in texts]
    return f"*{len(texts)}\r\n{''.join(parts)}".encode()


class FakeServer:
    """Answers each line by `answer`; stopped by leaving the `with` block."""

    def __init__(self) -> None:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    self.wfile.write(outer.answer(line.decode().split()))

        self.server = socketserver.ThreadingTCPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.port: int = self.server.server_address[1]

    def answer(self, words: list[str]) -> bytes:
        raise NotImplementedError

    def __enter__(self) -> Self:
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self.server.server_close()


class FakeSentinel(FakeServer):
    """Names a master, and the failover that made it one; silent while `is_away`."""

    def __init__(self, master_port: int, epoch: int) -> None:
        super().__init__()
        self.master_port, self.epoch, self.is_away = master_port, epoch, False

    def answer(self, words: list[str]) -> bytes:
        if self.is_away:
            return b""
        if words[1] == "MASTER":
            return write_texts("name", "laurel", "config-epoch", self.epoch, "quorum", 2)
        return write_texts(HOST, self.master_port)


class FakeClusterNode(FakeServer):
    """Counts names of slots up to `last_slot`, and sends to another node for the rest."""

    def __init__(self, *, last_slot: int, other_port: int) -> None:
        super().__init__()
        self.last_slot, self.other_port = last_slot, other_port
        self.counts: dict[str, int] = {}

    def answer(self, words: list[str]) -> bytes:
        from redis.crc import key_slot

        if words[0] == "ROLE":
            return write_texts("master", 0)
        slot = key_slot(words[1].encode())
        if slot > self.last_slot:
            return f"-MOVED {slot} {HOST}:{self.other_port}\r\n".encode()
        if words[0] == "INCRBY":
            self.counts[words[1]] = self.counts.get(words[1], 0) + int(words[2])
            return f":{self.counts[words[1]]}\r\n".encode()
        return b":1\r\n" if words[0] == "EXPIRE" else self.read(words[1])

    def read(self, name: str) -> bytes:
        return b"$-1\r\n"


class SilentServer(FakeServer):
    """Takes everything and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.was_asked = Event()

    def answer(self, words: list[str]) -> bytes:
        self.was_asked.set()
        return b""
