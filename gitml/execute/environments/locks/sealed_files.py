"""The files of a project as uv may read them before the project is trusted: they lead to no other file of this machine.

uv looks for a workspace in the folders above a project, reads the projects that a workspace names, and hashes files that a lock
names without a hash, wherever they are. So each project is made a workspace of its own, and what leads out of it is refused.
"""

from __future__ import annotations

import posixpath
from typing import Any

from gitml.core.text.toml import parse_toml
from gitml.errors import InputError
from gitml.execute.environments.locks.selection import toml_of

_WORKSPACE = b"\n[tool.uv.workspace]\n"


def sealed_project(content: bytes, name: str) -> bytes:
    """A ``pyproject.toml`` that no folder above it has a say in; InputError for one whose workspace leads out of its folder."""
    tool = _table(toml_of(content, name).get("tool"))
    workspace = _table(tool.get("uv")).get("workspace")
    if workspace is None:
        sealed = content.removeprefix(b"\xef\xbb\xbf") + _WORKSPACE
        try:
            parse_toml(sealed)
        except ValueError:
            hint = "write it as a table: [tool.uv]"
            raise InputError(
                "its settings of uv are written in a way that can't be added to", where=name, hint=hint
            ) from None
        return sealed
    for part in ("members", "exclude"):
        globs = _table(workspace).get(part)
        for glob in globs if isinstance(globs, list) else ():
            text = str(glob)
            if posixpath.isabs(text) or ".." in text.replace("\\", "/").split("/"):
                hint = "a workspace is made of folders below its own"
                raise InputError(f"its workspace leads out of its folder: {text[:80]!r}", where=name, hint=hint)
    return content


def check_hashed(lock: bytes, name: str) -> None:
    """InputError for a ``uv.lock`` with a file that has no hash: uv would read it, or fetch it, to find one."""
    packages = toml_of(lock, name).get("package")
    for package in packages if isinstance(packages, list) else ():
        if not isinstance(package, dict):
            continue
        wheels = package.get("wheels")
        for file in (*(wheels if isinstance(wheels, list) else ()), package.get("sdist")):
            if isinstance(file, dict) and not isinstance(file.get("hash"), str):
                where = str(file.get("url") or file.get("path") or file.get("filename") or package.get("name"))
                hint = "take it from an index that gives hashes, such as PyPI, and lock again"
                called = posixpath.basename(where)[:200]
                raise InputError(
                    f"the lock has no hash of {called}, which its index gave none for", where=name, hint=hint
                )


def _table(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}
