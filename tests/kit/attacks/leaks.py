"""Where a secret was left: files, Git objects, also packed ones, databases, each in every form in which a program may write it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path


def forms(value: str) -> list[bytes]:
    """The bytes that show `value`: as it is, escaped, quoted, encoded at any offset, as digits."""
    plain = value.encode()
    found = [plain, json.dumps(value)[1:-1].encode(), urllib.parse.quote(value, safe="").encode(), plain.hex().encode()]
    for before in range(3):
        core = base64.b64encode(bytes(before) + plain)[4:-4]
        if len(core) >= 8:
            found += [core, core.replace(b"+", b"-").replace(b"/", b"_")]
    return list(dict.fromkeys(found))


def shown(values: Iterable[str], text: bytes | str) -> list[str]:
    """Those of `values` that `text` shows."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return [value for value in values if any(form in data for form in forms(value))]


def holders(values: Iterable[str], *places: Path, without: Iterable[str] = ()) -> dict[str, list[str]]:
    """Each of `values` that is found below `places`, and where. Files whose path ends with one of `without` are left out."""
    wanted = {value: forms(value) for value in values}
    leaks: dict[str, list[str]] = {}
    for place in places:
        for name, data in _contents(place, tuple(without)):
            for value, looks in wanted.items():
                if any(form in data for form in looks):
                    leaks.setdefault(value, []).append(name)
    return leaks


def _contents(place: Path, without: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names in os.walk(place):
        for name in names:
            path = Path(folder, name)
            if not path.is_file() or path.is_symlink() or (without and str(path).endswith(without)):
                continue
            data = path.read_bytes()
            yield str(path), data + str(path).encode()
            for opened in (zlib.decompress, gzip.decompress):
                try:
                    yield f"{path} (unpacked)", opened(data)
                except (OSError, EOFError, zlib.error):
                    continue
        if {"HEAD", "objects", "refs"} <= {*names, *folders}:
            yield from _objects(Path(folder))


def _objects(repository: Path) -> Iterator[tuple[str, bytes]]:
    """Every object of a Git repository, whether anything names it or not."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    git = ["git", "--git-dir", str(repository), "-c", "safe.directory=*"]
    listed = subprocess.run(
        [*git, "cat-file", "--batch-all-objects", "--batch"], env=environ, capture_output=True, check=True
    )
    yield f"{repository} (objects)", listed.stdout
