"""Which files packages put into a prefix: rattler takes their paths as they are."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from gitml.execute.environments.conda.rattler_process.events import RefusedError

_SITE = re.compile(r"lib/(?:python|pypy)3[^/]*/site-packages")
_PACKAGES, _SCRIPTS = "site-packages/", "python-scripts/"  # of a package for any Python


class PrefixFiles:
    """What packages have in a prefix. RefusedError for a file outside of it, and for one that a link would lead there."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self._site = ""

    def add(self, package: str, index: bytes | None, paths: bytes | None, files: bytes | None) -> None:
        """Takes the ``info/index.json`` of a package and its ``info/paths.json``, or the ``info/files`` of an old one."""
        if package == "python":
            self._site = _site_folder(json.loads(index or b"{}"))
        if paths is not None:
            entries = [(entry["_path"], entry.get("path_type")) for entry in json.loads(paths)["paths"]]
        else:
            entries = [(path, "") for path in (files or b"").decode("utf-8", "surrogateescape").splitlines()]
        for path, kind in entries:
            if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/") or "\0" in path:
                raise RefusedError(f"{package} has a file outside the environment, {str(path)[:80]!r}")
            (self.links if kind == "softlink" else self.paths)[posixpath.normpath(path)] = package

    def check_links(self) -> None:
        """Of all packages together."""
        links = {place: package for path, package in self.links.items() for place in self._places(path)}
        if not links:
            return
        for path, package in [*self.paths.items(), *self.links.items()]:
            for place in self._places(path):
                parts = place.split("/")
                for end in range(1, len(parts)):
                    owner = links.get("/".join(parts[:end]))
                    if owner is not None:
                        raise RefusedError(f"{package} has {path[:80]!r} where {owner} has a link to elsewhere")

    def _places(self, path: str) -> list[str]:
        """Where in the prefix a path may be: those of a package for any Python are where this one looks."""
        if path.startswith(_PACKAGES) and self._site:
            return [path, f"{self._site}/{path.removeprefix(_PACKAGES)}"]
        return [path, f"bin/{path.removeprefix(_SCRIPTS)}"] if path.startswith(_SCRIPTS) else [path]


def _site_folder(said: dict[str, Any]) -> str:
    """Where a Python, which says so of itself, has packages for any Python."""
    given = said.get("python_site_packages_path")
    version = ".".join(str(said.get("version")).split(".")[:2])
    folder = given if given is not None else f"lib/python{version}/site-packages"
    if not isinstance(folder, str) or not _SITE.fullmatch(folder):
        raise RefusedError(f"python has its packages outside the environment, in {str(folder)[:80]!r}")
    return folder
