"""Wheels made by hand, and a package index on loopback that has them (PEP 503), with what indexes do to their users."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_BUILT_BY_ITSELF = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
_BACKEND = """\
import os, zipfile
open({mark!r}, "w").close()

def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "{name}-{version}.dist-info"
    with zipfile.ZipFile(os.path.join(folder, "{name}-{version}-py3-none-any.whl"), "w") as archive:
        archive.writestr("{name}.py", "VERSION = '{version}'\\n")
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return "{name}-{version}-py3-none-any.whl"
"""


def wheel(
    folder: Path,
    name: str,
    version: str,
    requires: str = "",
    tag: str = "py3-none-any",
    files: Mapping[str, str] | None = None,
) -> Path:
    """A wheel with the module `name`, whose VERSION is its version, and `files` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        for other, text in (files or {}).items():
            archive.writestr(other, text)
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def source(folder: Path, name: str, version: str, mark: Path) -> Path:
    """The source of a package with the module `name`; it comes with its own build backend, which makes the file `mark`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": _BUILT_BY_ITSELF + f'[project]\nname = "{name}"\nversion = "{version}"\n',
        "backend.py": _BACKEND.format(mark=str(mark), name=name, version=version),
    }
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{file}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


class PackageIndex:
    """What an index on loopback has: the wheels of `folder`; of those in `yanked` it says so, those in `cut` end half-way.

    A file is sent after `delay` seconds. With `elsewhere`, an address, it sends everybody on to there. With `password` it answers nobody without it, as user ``u``. `asked` are the paths of the requests that it served,
    `given` the credentials that came with each of all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.yanked: set[str] = set()
        self.cut: set[str] = set()
        self.delay = 0.0
        self.password = ""
        self.elsewhere = ""
        self.given: list[str] = []
        self.asked: list[str] = []
        self.url = ""
        self.closed = threading.Event()

    def page(self, project: str) -> str:
        """The files of a project."""
        found = []
        for path in sorted(self.folder.iterdir()):
            if path.name.split("-")[0].replace("_", "-").lower() == project:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                yanked = ' data-yanked="broken"' if path.name in self.yanked else ""
                found.append(f'<a href="/files/{path.name}#sha256={digest}"{yanked}>{path.name}</a>')
        return "<!DOCTYPE html><html><body>" + "".join(found) + "</body></html>"


@contextmanager
def package_index(folder: Path) -> Iterator[PackageIndex]:
    """An index of the wheels in `folder`, at its `url`, until the end of the block."""
    index = PackageIndex(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.given.append(self.headers.get("Authorization", ""))
            if index.elsewhere:
                self.answer(302, b"", "text/plain")
                return
            if index.password and "Basic" not in self.headers.get("Authorization", ""):
                self.answer(401, b"", "text/plain")
                return
            if self.command == "GET":
                index.asked.append(self.path)
            parts = self.path.strip("/").split("/")
            if parts[0] == "simple" and len(parts) == 2:
                page = index.page(parts[1])
                self.answer(200 if "<a" in page else 404, page.encode(), "text/html")
            elif parts[0] == "files" and (index.folder / parts[-1]).is_file():
                index.closed.wait(index.delay if self.command == "GET" else 0)
                self.answer(
                    200, (index.folder / parts[-1]).read_bytes(), "application/octet-stream", parts[-1] in index.cut
                )
            else:
                self.answer(404, b"", "text/plain")

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, kind: str, cut: bool = False) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic")
            if status == 302:
                self.send_header("Location", index.elsewhere + self.path)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}/simple/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()
