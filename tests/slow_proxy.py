"""A TCP proxy in front of a real server that lets its answers wait, or breaks one off."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self


class SlowProxy:
    """Each message from the client is passed on after `seconds`, which may change any time.

    The next answer may be broken off, and its connection with it.
    """

    def __init__(self, *, port: int) -> None:
        self.seconds = 0.0
        self.answer_bytes: int | None = None
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def break_off(self, *, after: int) -> None:
        """Pass on so many bytes of the next answer, and end the connection."""
        self.answer_bytes = after

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                threading.Thread(
                    target=self._pass, args=(client, server, True), daemon=True
                ).start()
                threading.Thread(
                    target=self._pass, args=(server, client, False), daemon=True
                ).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_slow: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if is_slow:
                    time.sleep(self.seconds)
                elif self.answer_bytes is not None:
                    kept, self.answer_bytes = self.answer_bytes, None
                    target.sendall(data[:kept])
                    break
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
