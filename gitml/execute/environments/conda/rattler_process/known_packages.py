"""Packages that were extracted for other prefixes, and are used again."""

from __future__ import annotations

import os
from typing import Any

from rattler import PackageCache, RepoDataRecord
from rattler.package_cache import CacheIndex

_CHECKED = ".checked"


class KnownPackages:
    """The packages that were extracted before: by the hash in a lock the sha256 of each that was checked and installed."""

    def __init__(self, cache: str) -> None:
        self.cache = cache
        self._index: CacheIndex | None = None
        os.makedirs(f"{cache}/{_CHECKED}", exist_ok=True)

    async def look(self) -> None:
        """Lists what is extracted."""
        self._index = await PackageCache(self.cache).index()

    def sha256(self, package: dict[str, Any]) -> str | None:
        """That of a package which was checked; None for one that must be fetched."""
        try:
            with open(self._note(package), encoding="ascii") as file:
                return file.read()
        except OSError:
            return None

    def folder(self, package: dict[str, Any]) -> str:
        """Where it is extracted, if it is."""
        return f"{self.cache}/{package['name']}-{package['version']}-{package['build']}"

    def has(self, record: RepoDataRecord) -> bool:
        """Whether what is extracted is of this archive."""
        return self._index is not None and bool(self._index.contains_record(record))

    def add(self, package: dict[str, Any], sha256: str) -> None:
        """Notes that a package was checked and installed."""
        path = self._note(package)
        with open(f"{path}.{os.getpid()}", "w") as file:
            file.write(sha256)
        os.replace(file.name, path)

    def _note(self, package: dict[str, Any]) -> str:
        return f"{self.cache}/{_CHECKED}/{package['hash'].replace(':', '-')}"
