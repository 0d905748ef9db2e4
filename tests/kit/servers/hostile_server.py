"""A server on loopback that means harm: what it answers is written to the connection as it stands."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from tests.kit.patience import PATIENCE


class Request(NamedTuple):
    """What somebody asked for; names of headers are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """One connection, to be written to until the server ends or the other side has enough."""

    def __init__(self, sock: socket.socket, ended: threading.Event) -> None:
        self.sock = sock
        self.ended = ended

    def send(self, data: bytes) -> None:
        """Writes; OSError when nobody listens any more."""
        self.sock.sendall(data)

    def endlessly(self, data: bytes) -> None:
        """Writes the same again and again."""
        while not self.ended.is_set():
            self.send(data)

    def drip(self, data: bytes, seconds: float = 0.2) -> None:
        """Writes a byte at a time."""
        for byte in data:
            if self.ended.wait(seconds):
                return
            self.send(bytes([byte]))

    def wait(self) -> None:
        """Does nothing until the server ends, or the other side goes."""
        self.sock.settimeout(0.1)
        while not self.ended.is_set():
            with suppress(TimeoutError):
                if not self.sock.recv(1):
                    return


Behaviour = Callable[[Request, Connection], None]


class HostileServer:
    """The port it listens on, and all that it was asked."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: list[Request] = []
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._main = threading.Thread(target=self._listen)
        self._main.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Ends every connection."""
        self.ended.set()
        self._main.join(PATIENCE)
        self._listener.close()
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _listen(self) -> None:
        while not self.ended.is_set():
            with suppress(TimeoutError):
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        with sock, suppress(OSError, ValueError, EOFError):
            sock.settimeout(PATIENCE)
            reader = sock.makefile("rb")
            while not self.ended.is_set():
                request = _read(reader)
                self.asked.append(request)
                self.behaviour(request, Connection(sock, self.ended))
        self._open.discard(sock)


def _read(reader: Any) -> Request:
    line = reader.readline(1 << 16)
    if not line:
        raise EOFError
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := reader.readline(1 << 16)).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(method, path, headers, reader.read(int(headers.get("content-length", 0))))


@contextmanager
def hostile_server(behaviour: Behaviour) -> Iterator[HostileServer]:
    """Such a server, ended on leaving."""
    server = HostileServer(behaviour)
    try:
        yield server
    finally:
        server.close()


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] = {}) -> bytes:
    """An answer of HTTP as it should be, but for what `headers` say."""
    head = {"Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode("latin-1") + body


def batch(
    request: Request,
    href: Callable[[str], str],
    header: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] = {},
) -> bytes:
    """An answer of Git LFS that has every object asked for, at the address that `href` makes of its name."""
    operation = request.json["operation"]
    objects = [
        {**item, "actions": {operation: {"href": href(item["oid"]), **({"header": header} if header else {})}}}
        for item in request.json["objects"]
    ]
    body = json.dumps({"transfer": "basic", "objects": objects, **more}).encode()
    return answer(200, body, {"Content-Type": "application/vnd.git-lfs+json"})


def endless(prefix: bytes, again: bytes) -> Behaviour:
    def behave(_: Request, connection: Connection) -> None:
        connection.send(prefix)
        connection.endlessly(again)

    return behave


def dripping(data: bytes) -> Behaviour:
    return lambda _, connection: connection.drip(data)


HEAD = b"HTTP/1.1 200 OK\r\n"
ENDS: dict[str, Behaviour] = {
    "says nothing": lambda _, connection: connection.wait(),
    "drips a status": dripping(b"HTTP/1.1 200 OK" + b"x" * 1000),
    "drips headers": dripping(HEAD + b"X: y\r\n" * 1000),
    "drips a body": dripping(HEAD + b"Content-Length: 8000\r\n\r\n" + b" " * 8000),
    "drips chunks": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 8000),
    "endless headers": endless(HEAD, b"X: y\r\n" * 1000),
    "an endless header": endless(HEAD, b"X" * 1000),
    "endless continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an endless body": endless(HEAD + b"\r\n", b" " * 65536),
    "endless chunks": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b" " * 1000 + b"\r\n"),
    "endless trailers": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1000),
    "an endless refusal": endless(b"HTTP/1.1 503 No\r\n\r\n", b" " * 65536),
    "an endless question": endless(b"HTTP/1.1 401 No\r\nContent-Length: 99999999999\r\n\r\n", b" " * 65536),
    "a huge chunk": lambda _, c: c.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n "),
    "a negative length": lambda _, c: c.send(HEAD + b"Content-Length: -5\r\n\r\n "),
    "a length too long": lambda _, c: (c.send(HEAD + b"Content-Length: 50\r\n\r\n{}"), c.sock.close())[0],
    "no HTTP": lambda _, c: c.send(b"SSH-2.0-x\r\n" * 10),
    "a bomb": lambda _, c: c.send(
        answer(200, gzip.compress(b'{"objects": []}' + b" " * (200 << 20)), {"Content-Encoding": "gzip"})
    ),
    "deep JSON": lambda _, c: c.send(answer(200, b"[" * 1_000_000)),
    "many lists": lambda _, c: c.send(answer(200, b'{"objects": [' + b"[]," * 600_000 + b"[]]}")),
    "odd objects": lambda _, c: c.send(answer(200, b'{"objects": [null, 7, {"oid": 5}]}')),
    "odd errors": lambda r, c: c.send(
        answer(200, json.dumps({"objects": [{**item, "error": "x"} for item in r.json["objects"]]}).encode())
    ),
    "another transfer": lambda r, c: c.send(answer(200, b'{"objects": [], "transfer": ["tus"]}')),
    "busy for ever": lambda _, c: c.send(answer(503, headers={"Retry-After": "nan"})),
    "busy before": lambda _, c: c.send(answer(503, headers={"Retry-After": "-5"})),
    "around": lambda r, c: c.send(answer(307, headers={"Location": "/again"})),
    "to another": lambda r, c: c.send(answer(307, headers={"Location": "http://[::1"})),
}
