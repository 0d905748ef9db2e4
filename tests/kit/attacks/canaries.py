"""Things that tell whether they were touched: a port that counts who connects, programs that leave a mark, files nobody may read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Listener:
    """A port of loopback that answers nothing; `heard` are the first bytes of each connection."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1.0)
                try:
                    self.heard.append(connection.recv(4096))
                except OSError:
                    self.heard.append(b"")

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


@contextmanager
def listening() -> Iterator[Listener]:
    """A Listener for as long as the ``with`` lasts."""
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()


def leaves_mark(mark: Path) -> str:
    """A program that leaves a mark where it is run, and then does what a Python that says nothing of itself does."""
    return f"#!/bin/sh\ntouch {mark}\necho '[]'\n"
