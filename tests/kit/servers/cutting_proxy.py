"""A network that breaks: a proxy for one port of loopback that cuts connections after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import threading


class CuttingProxy:
    """Forwards to `port`. Once `limit` bytes went one way in all (None: never), every connection is cut until it is raised."""

    def __init__(self, port: int, limit: int | None = None) -> None:
        self.target = port
        self.limit = limit
        self.passed = 0
        self.cuts = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accepts nobody any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            try:
                outer = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                inner.close()
                continue
            for source, target in ((inner, outer), (outer, inner)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self.passed += len(data)
                    cut = self.limit is not None and self.passed > self.limit
                    self.cuts += cut
                if cut:
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
