"""Real servers of Git on loopback, started by the test as itself: OpenSSH, and smart HTTP through `git http-backend`."""

from __future__ import annotations

import base64
import http.server
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.kit.patience import PATIENCE
from tests.kit.programs import program
from tests.kit.projects.repository import environment


class Ssh(NamedTuple):
    """A running sshd: the port, and what makes ssh use the right keys."""

    port: int
    command: str
    known_hosts: Path
    key: Path

    def url(self, path: str | os.PathLike[str]) -> str:
        """The URL of a repository on this machine."""
        return f"ssh://127.0.0.1:{self.port}{os.fspath(path)}"


@contextmanager
def ssh_server(folder: Path) -> Iterator[Ssh]:
    """An sshd for the user of the test alone, with keys of its own, ended on leaving."""
    sshd = program("sshd")
    program("ssh-keygen")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    folder.mkdir()
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    port = free_port()
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    kind, key, *_ = (folder / "host.pub").read_text().split()
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\n"
        "StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        "UsePAM no\nMaxStartups 200\n"
    )
    log = folder / "log"
    server = subprocess.Popen(
        [sshd, "-D", "-f", str(folder / "config"), "-E", str(log)], stdin=subprocess.DEVNULL, env=environment()
    )
    try:
        await_port(port, server, log)
        command_line = f"ssh -F none -i {folder}/user -o IdentitiesOnly=yes -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none"
        yield Ssh(port, command_line, known, folder / "user")
    finally:
        server.terminate()
        server.wait(PATIENCE)


class Http(NamedTuple):
    """A running smart HTTP server; `asked` are the requests it got, as (method, path, user or None)."""

    port: int
    user: str
    password: str
    asked: list[tuple[str, str, str | None]]

    def url(self, name: str = "hub.git", credentials: str = "") -> str:
        """The URL of a repository that it serves."""
        return f"http://{credentials}127.0.0.1:{self.port}/{name}"


@contextmanager
def http_server(root: Path, user: str = "ann", password: str = "s3cret-word") -> Iterator[Http]:
    """Serves the repositories below `root`, for reading and writing, to who signs in with basic authentication."""
    asked: list[tuple[str, str, str | None]] = []
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self._body()
            given = self.headers.get("Authorization")
            asked.append((self.command, self.path, None if given is None else user if given == expected else "?"))
            if given != expected:
                self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"sign in")
                return
            path, _, query = self.path.partition("?")
            env = {
                **environment(),
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "REMOTE_USER": user,
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
            status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
            self._answer(status, [h for h in headers if h[0] != "Status"], content)  # type: ignore[misc]

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Http(server.server_address[1], user, password, asked)
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def await_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until `server` listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, log.read_text() if log.exists() else "it ended at once"
        assert time.monotonic() < deadline, "no server came up"
        time.sleep(0.05)
