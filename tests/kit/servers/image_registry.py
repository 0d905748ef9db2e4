"""Container images made by hand, and a registry of this machine that serves them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gitml.execute.environments.images.manifests import platform_of
from gitml.execute.sandbox.isolation import image_refusal
from tests.kit.programs import program

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

_INTERPRETER = 3  # the kind of an ELF program header: PT_INTERP
_UNKNOWN = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'

_APPLETS = (
    "sh",
    "cat",
    "cp",
    "ls",
    "id",
    "sleep",
    "env",
    "mount",
    "test",
    "mkdir",
    "wc",
    "kill",
    "ps",
    "find",
    "grep",
    "stat",
    "touch",
    "true",
    "setsid",
)


class Entry(NamedTuple):
    """An entry of a layer: `content` is that of a file, `target` what a link leads to."""

    name: str
    content: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    target: str = ""


def folder(name: str, mode: int = 0o755) -> Entry:
    """A folder."""
    return Entry(name, mode=mode, kind=tarfile.DIRTYPE)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, kind=tarfile.SYMTYPE, target=target, mode=0o777)


def hard_link(name: str, target: str) -> Entry:
    """A hard link."""
    return Entry(name, kind=tarfile.LNKTYPE, target=target)


def packed(entries: Sequence[Entry]) -> bytes:
    """An archive of these, in order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mode, info.linkname, info.mtime = entry.kind, entry.mode, entry.target, 1_600_000_000
            info.size = len(entry.content)
            archive.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


def busybox() -> list[Entry]:
    """A system of one program. The test is skipped where there is none that needs no library."""
    content = Path(program("busybox")).read_bytes()
    if _has_interpreter(content):
        pytest.skip("needs a busybox that needs no library: apt-get install busybox-static")
    names = [hard_link(f"bin/{name}", "bin/busybox") for name in _APPLETS]
    return [folder("bin"), Entry("bin/busybox", content, 0o755), *names, folder("etc"), folder("tmp", 0o1777)]


def _has_interpreter(program: bytes) -> bool:
    """Whether an ELF program is started by another one, which loads its libraries."""
    wide = program[4] == 2
    (offset,) = struct.unpack_from("<Q" if wide else "<I", program, 32 if wide else 28)
    size, count = struct.unpack_from("<HH", program, 54 if wide else 42)
    return any(struct.unpack_from("<I", program, offset + number * size)[0] == _INTERPRETER for number in range(count))


def digest_of(content: bytes) -> str:
    """As registries name content."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class BuiltImage(NamedTuple):
    """An image's digest, that of its manifest, and all its content by digest."""

    digest: str
    blobs: Mapping[str, bytes]
    kinds: Mapping[str, str]


def image(
    layers: Sequence[Sequence[Entry] | bytes],
    env: Sequence[str] = (),
    *,
    compress: bool = True,
    docker: bool = False,
    config: Mapping[str, Any] | None = None,
) -> BuiltImage:
    """An image of these layers, each given by its entries or as an archive; the first is the lowest."""
    blobs: dict[str, bytes] = {}
    archives = [layer if isinstance(layer, bytes) else packed(layer) for layer in layers]
    described = []
    for archive in archives:
        content = gzip.compress(archive, 1, mtime=0) if compress else archive
        blobs[digest_of(content)] = content
        kind = DOCKER_LAYER if docker else LAYER + ("+gzip" if compress else "")
        described.append({"mediaType": kind, "digest": digest_of(content), "size": len(content)})
    own = {
        "Env": list(env),
        "Entrypoint": ["/bin/false"],
        "Cmd": ["nothing"],
        "WorkingDir": "/nowhere",
        **(config or {}),
    }
    architecture, _ = platform_of()
    rootfs = {"type": "layers", "diff_ids": [digest_of(archive) for archive in archives]}
    raw = json.dumps({"architecture": architecture, "os": "linux", "config": own, "rootfs": rootfs}).encode()
    blobs[digest_of(raw)] = raw
    config_kind = DOCKER_CONFIG if docker else CONFIG
    manifest_kind = DOCKER_MANIFEST if docker else MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_kind,
        "config": {"mediaType": config_kind, "digest": digest_of(raw), "size": len(raw)},
        "layers": described,
    }
    content = json.dumps(manifest).encode()
    return BuiltImage(digest_of(content), {**blobs, digest_of(content): content}, {digest_of(content): manifest_kind})


def index(images: Mapping[tuple[str, str, str], BuiltImage]) -> BuiltImage:
    """An index of images by (os, architecture, variant)."""
    described = []
    for (system, architecture, variant), one in images.items():
        platform = {"os": system, "architecture": architecture, **({"variant": variant} if variant else {})}
        size = len(one.blobs[one.digest])
        described.append({"mediaType": MANIFEST, "digest": one.digest, "size": size, "platform": platform})
    content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": described}).encode()
    blobs = {digest: blob for one in images.values() for digest, blob in one.blobs.items()}
    kinds = {digest: kind for one in images.values() for digest, kind in one.kinds.items()}
    digest = digest_of(content)
    return BuiltImage(digest, {**blobs, digest: content}, {**kinds, digest: INDEX})


class _QuietServer(ThreadingHTTPServer):
    """One that says nothing of who hangs up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Registry:
    """A registry on this machine that serves what it holds. `requests` are the paths asked for; `cut` ends answers early."""

    def __init__(self, home: Path) -> None:
        self.blobs: dict[str, bytes] = {}
        self.kinds: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.password = ""  # base64 of user:password, asked for where there is one
        self.cut = False
        self.cut_once = False  # ends one answer early, and the next one never
        self.realm = ""  # what gives tokens, where they are asked for
        self.bearer = ""  # the token that lets in
        self.ranges: list[str] = []
        self.posted: list[bytes] = []
        self.redirects: dict[str, str] = {}  # where blobs are, by digest
        self.pause = 0.0
        self.endless = False  # sends zeros in place of a large blob, and never stops
        self.search_path = ""  # the PATH of who asks it
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._home = home
        (home / ".config/containers").mkdir(parents=True)
        (home / ".config/containers/registries.conf").write_text(
            f'[[registry]]\nlocation = "{self.host}"\ninsecure = true\n'
        )
        policy = {"default": [{"type": "insecureAcceptAnything"}]}
        (home / ".config/containers/policy.json").write_text(json.dumps(policy))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def environ(self) -> dict[str, str]:
        """The environment of a user whose settings let skopeo ask it without encryption."""
        return {"HOME": str(self._home)}

    def push(self, built: BuiltImage, tag: str = "") -> str:
        """Adds an image; its name, by digest."""
        self.blobs.update(built.blobs)
        self.kinds.update(built.kinds)
        if tag:
            self.tags[tag] = built.digest
        return f"{self.host}/team/tiny@{built.digest}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.requests.append(self.path)
                given = self.headers.get("Authorization", "")
                registry.authorizations.append(given)
                if self.path.startswith("/token"):
                    self._token(given)
                    return
                if registry.bearer and given != f"Bearer {registry.bearer}":
                    self._answer(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', "application/json")
                    return
                if not registry.bearer and registry.password and given != f"Basic {registry.password}":
                    self._answer(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', "application/json")
                    return
                if self.path == "/v2/":
                    self._answer(200, b"{}", "application/json")
                    return
                wanted = self.path.rpartition("/")[2]
                wanted = registry.tags.get(wanted, wanted)
                if wanted in registry.redirects:
                    self.send_response(307)
                    self.send_header("Location", registry.redirects[wanted])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = registry.blobs.get(wanted)
                if content is None:
                    self._answer(404, _UNKNOWN, "application/json")
                    return
                self._answer(200, content, registry.kinds.get(wanted, "application/octet-stream"), wanted)

            do_HEAD = do_GET

            def do_POST(self) -> None:
                registry.requests.append(self.path)
                registry.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(200, json.dumps({"access_token": registry.bearer}).encode(), "application/json")

            def _token(self, given: str) -> None:
                if registry.password and given != f"Basic {registry.password}":
                    self._answer(401, b"{}", "application/json")
                    return
                self._answer(200, json.dumps({"token": registry.bearer}).encode(), "application/json")

            def _answer(self, status: int, content: bytes, kind: str, digest: str = "") -> None:
                begin = 0
                asked = self.headers.get("Range", "")
                if asked and status == 200:
                    registry.ranges.append(asked)
                    begin = int(asked.removeprefix("bytes=").removesuffix("-"))
                    status = 206
                if registry.endless and "/blobs/" in self.path and len(content) > 10_000:
                    self._send_zeros()
                    return
                self.send_response(status)
                if begin:
                    self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
                    content = content[begin:]
                if status == 401:
                    realm = registry.realm or f"http://{registry.host}/token"
                    bearer = f'Bearer realm="{realm}",service="tests",scope="repository:x:pull,push"'
                    self.send_header("WWW-Authenticate", bearer if registry.bearer else 'Basic realm="tests"')
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                if digest:
                    self.send_header("Docker-Content-Digest", digest)
                self.end_headers()
                if self.command == "HEAD":
                    return
                if (registry.cut or registry.cut_once) and "/blobs/" in self.path and len(content) > 10_000:
                    registry.cut_once = False
                    self.wfile.write(content[: 0 if registry.cut and begin else len(content) // 2])
                    self.close_connection = True
                    return
                if registry.pause and "/blobs/" in self.path and len(content) > 10_000:
                    threading.Event().wait(registry.pause)
                self.wfile.write(content)

            def _send_zeros(self) -> None:
                self.close_connection = True
                self.send_response(200)
                self.end_headers()  # without a length
                while True:
                    self.wfile.write(bytes(2**16))

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing is logged."""

        return Handler


@contextmanager
def registry(settings: Path) -> Iterator[Registry]:
    """A Registry whose settings for skopeo lie in a folder."""
    served = Registry(settings)
    try:
        yield served
    finally:
        served.close()


def needs_images(*, skopeo: bool = True) -> None:
    """Skips the test where steps can't run in images, or where there is no `skopeo` to fetch them."""
    if skopeo:
        program("skopeo")
    why = image_refusal()
    if why:
        pytest.skip(f"steps can't run in images here: {why}")
