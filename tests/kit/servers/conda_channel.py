"""A channel of conda packages, written by the test: in a folder, and served on the loopback interface."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

PLACEHOLDER = "/opt/" + "placeholder_" * 8
"""Replaced by the prefix in texts."""


class Link(NamedTuple):
    """A symbolic link to `target`."""

    target: str


Files = Mapping[str, str | bytes | Link]


class CondaArchive(NamedTuple):
    """A package of a channel."""

    name: str
    version: str
    subdir: str
    path: Path

    def hash(self, kind: str = "sha256") -> str:
        return hashlib.new(kind, self.path.read_bytes()).hexdigest()


class CondaChannel:
    """The channel in `folder`; `url` is that of the folder until it is served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()
        self.requests: list[str] = []
        self._records: dict[Path, dict[str, Any]] = {}
        self.cut_after: int | None = None  # bytes of each archive, after which the server hangs up
        self.stalled: threading.Event | None = None  # set when an archive is asked for, which then never comes

    def package(
        self,
        name: str,
        files: Files,
        version: str = "1.0",
        *,
        subdir: str = "noarch",
        build: str = "h0_0",
        noarch: str = "generic",
        depends: Sequence[str] = (),
        timestamp: int = 1_600_000_000_000,
        old: bool = False,
        named: Sequence[str] = (),
        site: str = "",
        hidden: Sequence[Mapping[str, Any]] = (),
        among: str = "info",
    ) -> CondaArchive:
        """Writes a package, `old` as .tar.bz2. Programs are the files in bin; `named` paths are listed as its files, too.

        A Python has packages in `site`. Entries that are `hidden` are listed by a second list, which the first one hides, in
        the part of the archive that it is `among`.
        """
        index: dict[str, Any] = {"name": name, "version": version, "build": build, "build_number": 0, "subdir": subdir}
        index |= {"depends": list(depends), "timestamp": timestamp}
        if subdir == "noarch":
            index["noarch"] = noarch
        if site:
            index["python_site_packages_path"] = site
        listed = [path_entry(path, content) for path, content in files.items()]
        listed += [path_entry(path, b"") for path in named]
        info = {
            "info/index.json": json.dumps(index),
            "info/paths.json": json.dumps({"paths": listed, "paths_version": 1}),
        }
        if noarch == "python":
            info["info/link.json"] = json.dumps({"noarch": {"type": "python"}, "package_metadata_version": 1})
        folder = self.folder / subdir
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{name}-{version}-{build}"
        path = folder / f"{stem}.{'tar.bz2' if old else 'conda'}"
        second = {"info/paths.json": json.dumps({"paths": [*listed, *hidden], "paths_version": 1})} if hidden else {}
        if old:
            path.write_bytes(tar({**files, **info}, "w:bz2", second))
        else:
            parts = {
                "info": tar(info, "w", second if among == "info" else {}),
                "pkg": tar(files, "w", second if among == "pkg" else {}),
            }
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
                for part in ("info", "pkg") if among == "pkg" else ("pkg", "info"):
                    archive.writestr(f"{part}-{stem}.tar.zst", zstd(parts[part]))
        data = path.read_bytes()
        hashes = {kind: hashlib.new(kind, data).hexdigest() for kind in ("md5", "sha256")}
        self._records[path] = {**index, **hashes, "size": len(data)}
        return CondaArchive(name, version, subdir, path)

    def index(self) -> None:
        """Writes what each subdir has, as a channel lists it for solvers."""
        (self.folder / "noarch").mkdir(parents=True, exist_ok=True)
        for folder in sorted(self.folder.iterdir()):
            known = {path.name: record for path, record in self._records.items() if path.parent == folder}
            kinds = {"packages": ".tar.bz2", "packages.conda": ".conda"}
            listed = {
                kind: {name: known[name] for name in sorted(known) if name.endswith(end)} for kind, end in kinds.items()
            }
            (folder / "repodata.json").write_text(json.dumps({"info": {"subdir": folder.name}, **listed}))

    def simple_index(self, versions: Mapping[str, Sequence[str]], needs: Mapping[str, Sequence[str]]) -> None:
        """Writes an index of Python packages below ``simple``: wheels with nothing in them that need what `needs` says."""
        hashes = {}
        for name, found in versions.items():
            folder = self.folder / "simple" / name
            folder.mkdir(parents=True)
            lines = []
            for version in found:
                stem = f"{name}-{version}"
                metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                metadata += "".join(f"Requires-Dist: {one}\n" for one in needs.get(name, ()))
                path = folder / f"{stem}-py3-none-any.whl"
                with zipfile.ZipFile(path, "w") as archive:
                    archive.writestr(f"{stem}.dist-info/METADATA", metadata)
                    archive.writestr(
                        f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                    )
                    archive.writestr(f"{stem}.dist-info/RECORD", "")
                hashes[stem] = hashlib.sha256(path.read_bytes()).hexdigest()
                lines.append(f'<a href="{path.name}#sha256={hashes[stem]}">{path.name}</a>')
            (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{' '.join(lines)}</body></html>")
        (self.folder / "simple/hashes.json").write_text(json.dumps(hashes))

    def url_of(self, archive: CondaArchive) -> str:
        return f"{self.url}/{archive.subdir}/{archive.path.name}"

    def pixi_lock(self, *archives: CondaArchive, pypi: Sequence[str] = (), platform: str = "linux-64") -> str:
        """A pixi.lock with these packages; `pypi` are URLs that end in ``#sha256=…``."""
        urls = [self.url_of(archive) for archive in archives]
        lines = [
            "version: 6",
            "environments:",
            "  default:",
            "    channels:",
            f"    - url: {self.url}/",
            "    packages:",
        ]
        lines += [f"      {platform}:", *[f"      - conda: {url}" for url in urls]]
        lines += [f"      - pypi: {url.partition('#')[0]}" for url in pypi]
        lines += ["packages:"]
        for url, archive in zip(urls, archives, strict=True):
            lines += [f"- conda: {url}", f"  sha256: {archive.hash()}", f"  size: {archive.path.stat().st_size}"]
        for url in pypi:
            place, _, digits = url.partition("#sha256=")
            name, version = place.rpartition("/")[2].split("-")[:2]
            lines += [f"- pypi: {place}", f"  name: {name}", f"  version: '{version}'", f"  sha256: {digits}"]
        return "\n".join(lines) + "\n"

    def explicit_list(self, *archives: CondaArchive, kind: str = "md5") -> str:
        return "\n".join(["@EXPLICIT", *[f"{self.url_of(one)}#{one.hash(kind)}" for one in archives]]) + "\n"

    @contextmanager
    def served(self) -> Iterator[None]:
        """While it is open, `url` is that of a server; `requests` has what it was asked for."""
        before = self.url
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self, directory=str(self.folder)))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
        finally:
            if self.stalled is not None:
                self.stalled.set()
            server.shutdown()
            server.server_close()
            thread.join()
            self.url = before


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, channel: CondaChannel, *args: Any, **more: Any) -> None:
        self.channel = channel
        super().__init__(*args, **more)

    def do_GET(self) -> None:
        self.channel.requests.append(self.path)
        path = Path(self.translate_path(self.path))
        if self.channel.stalled is not None:
            self.channel.stalled.wait(60)
            return
        if self.channel.cut_after is not None and path.is_file():
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: self.channel.cut_after])
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


def path_entry(path: str, content: str | bytes | Link) -> dict[str, Any]:
    """What ``info/paths.json`` says of a file."""
    if isinstance(content, Link):
        return {"_path": path, "path_type": "softlink", "sha256": hashlib.sha256(b"").hexdigest(), "size_in_bytes": 0}
    data = content.encode() if isinstance(content, str) else content
    entry = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    if PLACEHOLDER.encode() in data:
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
    return entry


def tar(files: Files, mode: Any, again: Files | None = None) -> bytes:
    """An archive of these files, with those that are in it `again` last."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for path, content in (*files.items(), *(again or {}).items()):
            entry = tarfile.TarInfo(path)
            if isinstance(content, Link):
                entry.type, entry.linkname = tarfile.SYMTYPE, content.target
                archive.addfile(entry)
                continue
            data = content.encode() if isinstance(content, str) else content
            entry.size = len(data)
            entry.mode = 0o755 if path.startswith(("bin/", "python-scripts/")) else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    """`data` as a frame of Zstandard whose blocks are not compressed."""
    frame = [b"\x28\xb5\x2f\xfd\xe0", struct.pack("<Q", len(data))]
    size = 1 << 16
    for start in range(0, max(1, len(data)), size):
        block = data[start : start + size]
        last = start + size >= len(data)
        frame += [struct.pack("<I", len(block) << 3 | last)[:3], block]
    return b"".join(frame)
