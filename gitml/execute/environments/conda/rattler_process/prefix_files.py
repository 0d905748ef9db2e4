"""Which files packages put into a prefix: rattler takes their paths as they are."""

from __future__ import annotations

import json
import posixpath
import re

from gitml.execute.environments.conda.rattler_process.events import RefusedError

_SITE = re.compile(r"^lib/python3[^/]*/site-packages/")
_SCRIPTS = re.compile(r"^python-scripts/")


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
