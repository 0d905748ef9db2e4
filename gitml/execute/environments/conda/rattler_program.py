"""Drives py-rattler in a process of its own, which can be ended at any time: `python rattler_program.py REQUEST`.

REQUEST is a JSON file; what happens is printed as JSON, one object a line: ``{"doing": …}`` while packages are installed,
``{"result": …}`` in the end, or ``{"error": …}``. The file is started by its path, so it needs nothing of gitml.

An archive is fetched and checked here, not by rattler, which neither checks files of this machine nor what it extracted before
by an md5, and takes paths of packages as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import posixpath
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rattler import (
    BuildString,
    Channel,
    Client,
    Config,
    Gateway,
    GenericVirtualPackage,
    InstallerReporter,
    MatchSpec,
    PackageCache,
    PackageCacheLayer,
    PackageName,
    PackageRecord,
    RepoDataRecord,
    Subdir,
    ValidationMode,
    Version,
    install,
    solve,
)
from rattler.package_streaming import PackageArchive, download_to_writer

_AT_ONCE = 8  # downloads
_TRIES = 2
_STALL = 60.0  # seconds without a byte
_LARGEST = 64 << 30
_CHUNK = 1 << 20
_INTERVAL = 0.5  # seconds between two lines
_SETTINGS_OF = "pixi"  # its settings files are read beside rattler's own: mirrors, proxies, where credentials are
_INFO = ("info/index.json", "info/paths.json", "info/files")
_SITE = re.compile(r"^lib/python3[^/]*/site-packages/")
_SCRIPTS = re.compile(r"^python-scripts/")
_POST_LINK = re.compile(r"bin/\.(.+)-post-link\.sh")


class RefusedError(Exception):
    """A package that is not what the lock has, or that reaches beyond its prefix."""


def say(**event: Any) -> None:
    """Prints one event."""
    print(json.dumps(event), flush=True)


class InstallProgress(InstallerReporter):  # type: ignore[misc]
    """Counts packages and bytes, and prints them now and then. Threads of rattler call it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.linked = 0
        self.bytes = 0
        self._printed = 0.0

    def on_link_complete(self, index: int) -> None:
        """One package is installed."""
        self.linked += 1
        self.print_now_and_then()

    def received(self, count: int) -> None:
        """So many bytes of an archive have come."""
        self.bytes += count
        self.print_now_and_then()

    def print_now_and_then(self) -> None:
        """Prints how far it is unless that was printed just now."""
        now = time.monotonic()
        if now - self._printed >= _INTERVAL:
            self._printed = now
            say(doing={"linked": self.linked, "total": self.total, "bytes": self.bytes})


class HashingFile:
    """Writes an archive and hashes it on the way; RefusedError when it gets larger than it may be."""

    def __init__(self, path: str, limit: int, received: Callable[[int], None]) -> None:
        self.count = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._file = open(path, "wb")  # noqa: SIM115  closed by `close`
        self._limit = limit
        self._received = received

    def write(self, data: bytes) -> int:
        """Takes a part of the archive."""
        self.count += len(data)
        if self.count > self._limit:
            raise RefusedError("the archive is larger than the lock says")
        self.sha256.update(data)
        self.md5.update(data)
        self._file.write(data)
        self._received(len(data))
        return len(data)

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def settings() -> Config:
    """The user's settings of rattler and pixi."""
    return Config.load_from_default_locations(_SETTINGS_OF)


def client() -> Client:
    """What fetches, by the user's settings and with the user's credentials."""
    return Client.from_config(settings(), user_agent="gitml")


async def fetch(package: dict[str, Any], folder: str, fetcher: Client, progress: InstallProgress) -> tuple[str, str]:
    """The path and the sha256 of the archive of a package, fetched and checked; RefusedError when it is another one."""
    name = unquote(urlsplit(package["url"]).path).rpartition("/")[2]
    os.makedirs(f"{folder}/{package['name']}", exist_ok=True)
    path = f"{folder}/{package['name']}/{name}"
    kind, _, digits = package["hash"].partition(":")
    for left in reversed(range(_TRIES)):
        file = HashingFile(path, package["size"] or _LARGEST, progress.received)
        try:
            await _download(package["url"], file, fetcher)
        except RefusedError:
            raise
        except Exception as error:
            if not left or "HTTP status client error" in str(error):  # not found, not allowed
                raise
            await asyncio.sleep(1.0)
            continue
        finally:
            file.close()
        got = (file.sha256 if kind == "sha256" else file.md5).hexdigest()
        if got == digits:
            return path, file.sha256.hexdigest()
        if not left or package["url"].startswith("file:"):
            raise RefusedError(f"{name}: the lock has {kind} {digits}, and {got} was fetched")
    raise AssertionError


async def _download(url: str, file: HashingFile, fetcher: Client) -> None:
    """Fetches a URL into a file; TimeoutError when nothing comes for a while."""
    if url.startswith("file:"):
        path = unquote(urlsplit(url).path)
        if not os.path.isfile(path):  # a device or a pipe may never end
            raise RefusedError(f"{path} is not a file")
        with open(path, "rb") as source:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
        return
    task = asyncio.ensure_future(download_to_writer(fetcher, url, file))
    while not task.done():
        before = file.count
        await asyncio.wait({task}, timeout=_STALL)
        if not task.done() and file.count == before:
            task.cancel()
            raise TimeoutError(f"nothing came from {urlsplit(url).hostname} for {_STALL:.0f} seconds")
    await task


async def record_of(package: dict[str, Any], path: str, sha256: str, files: PrefixFiles) -> RepoDataRecord:
    """The record of a package whose archive is at `path`; all that counts in it comes from the archive."""
    archive = await PackageArchive.from_path(path)
    info = await archive.read_files(_INFO)
    index = info["info/index.json"]
    if index is None:
        raise RefusedError(f"{os.path.basename(path)} is no package: it has no info/index.json")
    files.add(package["name"], info["info/paths.json"], info["info/files"])
    said = json.loads(index)
    if any(said.get(key) != package[key] for key in ("name", "version", "build")):
        raise RefusedError(f"{os.path.basename(path)} has another package than the lock says")
    copy = f"{path}.index.json"
    with open(copy, "wb") as file:
        file.write(index)
    record = PackageRecord.from_index_json(Path(copy), os.path.getsize(path), sha256)
    record.subdir = package["subdir"]
    return RepoDataRecord(record, os.path.basename(path), Path(path).as_uri(), package["url"].rsplit("/", 2)[0])


class PrefixFiles:
    """What packages have in a prefix. RefusedError for a file outside of it, and for one that a link would lead there."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self.paths: dict[str, str] = {}

    def add(self, package: str, paths: bytes | None, files: bytes | None) -> None:
        """Takes the ``info/paths.json`` of a package, or the ``info/files`` of an old one."""
        if paths is not None:
            entries = [(entry["_path"], entry.get("path_type")) for entry in json.loads(paths)["paths"]]
        else:
            entries = [(path, "") for path in (files or b"").decode("utf-8", "surrogateescape").splitlines()]
        for path, kind in entries:
            if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/") or "\0" in path:
                raise RefusedError(f"{package} has a file outside the environment, {str(path)[:80]!r}")
            (self.links if kind == "softlink" else self.paths)[_in_prefix(path)] = package

    def check_links(self) -> None:
        """Of all packages together."""
        if not self.links:
            return
        for path, package in self.paths.items():
            parts = path.split("/")
            for end in range(1, len(parts)):
                owner = self.links.get("/".join(parts[:end]))
                if owner is not None:
                    raise RefusedError(f"{package} has {path[:80]!r} where {owner} has a link to elsewhere")


def _in_prefix(path: str) -> str:
    """A path as it is in the prefix, without the version of Python in those of its packages."""
    path = _SITE.sub("site-packages/", posixpath.normpath(path), count=1)
    return _SCRIPTS.sub("bin/", path)


async def install_packages(request: dict[str, Any]) -> dict[str, Any]:
    """Installs the packages of a request into its prefix; gives those whose script was not run.

    What was extracted for another prefix is used again, after its files are hashed: a step may have written to them.
    """
    progress = InstallProgress(len(request["packages"]))
    fetcher, gate = client(), asyncio.Semaphore(_AT_ONCE)

    files = PrefixFiles()

    async def record(package: dict[str, Any]) -> RepoDataRecord:
        async with gate:
            path, sha256 = await fetch(package, request["archives"], fetcher, progress)
            return await record_of(package, path, sha256, files)

    records = await asyncio.gather(*[record(package) for package in request["packages"]])
    files.check_links()
    layer = PackageCacheLayer(request["cache"]).with_validation_mode(ValidationMode.full())
    await install(
        records,
        request["prefix"],
        installed_packages=[],
        platform=Subdir(request["subdir"]),
        execute_link_scripts=False,
        show_progress=False,
        client=fetcher,
        reporter=progress,
        config=settings(),
        package_cache=PackageCache.from_layers([layer]),
    )
    programs = f"{request['prefix']}/bin"
    names = os.listdir(programs) if os.path.isdir(programs) else []
    return {"scripts": sorted([match[1] for name in names if (match := _POST_LINK.fullmatch(f"bin/{name}"))])}


async def solve_environment(request: dict[str, Any]) -> dict[str, Any]:
    """What the specs of a request have installed on each of its platforms, by subdir."""
    until = request["until"]
    gateway = Gateway.from_config(settings(), cache_dir=Path(request["cache"]), client=client())
    found = {}
    for subdir, virtual in request["platforms"].items():
        say(doing={"solving": subdir})
        records = await solve(
            [Channel(channel) for channel in request["channels"]],
            [MatchSpec(spec) for spec in request["specs"]],
            gateway=gateway,
            platforms=[subdir, "noarch"],
            virtual_packages=[
                GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
                for name, version, build in virtual
            ],
            exclude_newer=None if until is None else datetime.fromtimestamp(until, UTC),
        )
        found[subdir] = [_as_json(record) for record in records]
    return {"platforms": found}


def _as_json(record: RepoDataRecord) -> dict[str, Any]:
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "subdir": record.subdir,
        "url": record.url,
        "md5": record.md5.hex() if record.md5 else "",
        "sha256": record.sha256.hex() if record.sha256 else "",
        "depends": list(record.depends),
    }


WORK = {"install": install_packages, "solve": solve_environment}
"""By what a request asks for."""


def main(path: str) -> None:
    """Does what the request at `path` asks for, and ends the process."""
    with open(path, "rb") as file:
        request = json.load(file)
    try:
        result = asyncio.run(WORK[request["work"]](request))
    except Exception as error:
        say(error=f"{error}" if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}")
    else:
        say(result=result)
    os._exit(0)  # threads of rattler may crash when Python ends


if __name__ == "__main__":
    main(sys.argv[1])
