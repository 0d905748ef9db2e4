"""Archives of packages, fetched and checked here and not by rattler, which checks neither files of this machine nor, by an md5,
what it extracted before."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from rattler import Client, PackageRecord, RepoDataRecord
from rattler.package_streaming import PackageArchive, download_to_writer

from gitml.execute.environments.conda.rattler_process.events import InstallProgress, RefusedError

_TRIES = 2
_STALL = 60.0  # seconds without a byte
_LARGEST = 64 << 30
_CHUNK = 1 << 20
_SECTIONS: tuple[Literal["info", "pkg"], ...] = ("info", "pkg")
_INFO = ("info/index.json", "info/paths.json", "info/files")


class HashingFile:
    """Writes an archive and hashes it on the way; RefusedError when it gets larger than it may be."""

    def __init__(self, path: str, kind: str, limit: int, received: Callable[[int], None]) -> None:
        self.count = 0
        self.sha256 = hashlib.sha256()
        self.hash = self.sha256 if kind == "sha256" else hashlib.new(kind, usedforsecurity=False)
        self._file = open(path, "wb")  # noqa: SIM115  closed by `close`
        self._limit = limit
        self._received = received

    def write(self, data: bytes) -> int:
        """Takes a part of the archive."""
        self.count += len(data)
        if self.count > self._limit:
            raise RefusedError("the archive is larger than the lock says")
        self.sha256.update(data)
        if self.hash is not self.sha256:
            self.hash.update(data)
        self._file.write(data)
        self._received(len(data))
        return len(data)

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


async def fetch(package: dict[str, Any], folder: str, fetcher: Client, progress: InstallProgress) -> tuple[str, str]:
    """The path and the sha256 of the archive of a package, fetched and checked; RefusedError when it is another one."""
    name = unquote(urlsplit(package["url"]).path).rpartition("/")[2]
    os.makedirs(f"{folder}/{package['name']}", exist_ok=True)
    path = f"{folder}/{package['name']}/{name}"
    kind, _, digits = package["hash"].partition(":")
    for left in reversed(range(_TRIES)):
        file = HashingFile(path, kind, package["size"] or _LARGEST, progress.received)
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
        got = file.hash.hexdigest()
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


class PackageInfo(NamedTuple):
    """What a package says of itself: ``info/index.json``, ``info/paths.json`` and, where it is old, ``info/files``."""

    index_json: bytes | None
    paths: bytes | None
    files: bytes | None


async def info_of_archive(path: str) -> PackageInfo:
    """That of the package at `path`; RefusedError for one that says it twice: what is extracted could be the other."""
    archive = await PackageArchive.from_path(path)
    names = [posixpath.normpath(name) for section in _SECTIONS for name in await archive.list_files(section)]
    twice = next((name for name in _INFO if names.count(name) > 1), None)
    if twice is not None:
        raise RefusedError(f"{posixpath.basename(path)} has two files {twice}")
    found = await archive.read_files(_INFO)
    return PackageInfo(*[found[name] for name in _INFO])


def info_of_folder(path: str) -> PackageInfo:
    """That of a package which was extracted to `path`."""
    return PackageInfo(*[_content(f"{path}/{name}") for name in _INFO])


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def record_of(package: dict[str, Any], info: PackageInfo, sha256: str, url: str, folder: str) -> RepoDataRecord:
    """The record of a package; all that counts in it is what the package says of itself. `folder` takes a copy of that."""
    name = url.rpartition("/")[2]
    if info.index_json is None:
        raise RefusedError(f"{name} is no package: it has no info/index.json")
    said = json.loads(info.index_json)
    if any(said.get(key) != package[key] for key in ("name", "version", "build")):
        raise RefusedError(f"{name} has another package than the lock says")
    copy = f"{folder}/{package['name']}.index.json"
    with open(copy, "wb") as file:
        file.write(info.index_json)
    record = PackageRecord.from_index_json(Path(copy), sha256=sha256)
    record.subdir = package["subdir"]
    return RepoDataRecord(record, name, url, package["url"].rsplit("/", 2)[0])
