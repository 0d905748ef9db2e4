"""Explicit lists of conda: the URL of each package below a line ``@EXPLICIT``, with the hash of its archive.

The hash is a sha256, or an md5, as `conda list --explicit --md5` writes it: md5 still keeps out
everybody but the author of the package, and older versions of conda write nothing better.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitml.errors import InputError
from gitml.execute.environments.conda.packages import NOARCH, CondaLock, CondaPackage, conda_package, lock_of
from gitml.execute.environments.conda.pixi_lock import missing_platform

MARK = b"@EXPLICIT"
MAX_BYTES = 8 << 20
_PLATFORM = re.compile(r"#\s*platform:\s*([a-z0-9_-]+)\s*")
_HASH = re.compile(r"(?:(?:sha256[:=])?([0-9A-Fa-f]{64})|(?:md5[:=])?([0-9A-Fa-f]{32}))")
_LIST = "conda list --explicit --sha256 > {path}, or with --md5 where conda has no --sha256"


def is_explicit_list(content: bytes) -> bool:
    """Whether `content` has the line that makes it one."""
    return re.search(rb"^@EXPLICIT\s*$", content[:MAX_BYTES], re.MULTILINE) is not None


def read_explicit_list(path: str, content: bytes, subdir: str) -> CondaLock:
    """What the list has, which must be for the platform of `subdir`; InputError for a package without a hash."""
    if len(content) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES >> 20} MiB", where=path)
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError("not UTF-8", where=path, hint="save it as UTF-8") from None
    packages = list(_packages(path, lines))
    named = {match[1] for line in lines if (match := _PLATFORM.fullmatch(line.strip()))}
    platforms = named | {package.subdir for package in packages if package.subdir != NOARCH}
    if platforms - {subdir}:
        hint = f"on a machine of {subdir}: {_LIST.format(path='ANOTHER-FILE')}"
        raise missing_platform(path, platforms, subdir, hint)
    return lock_of(path, subdir, packages)


def _packages(path: str, lines: list[str]) -> Iterator[CondaPackage]:
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith(("#", MARK.decode())):
            continue
        where = f"{path}:{number}"
        url, _, fragment = entry.partition("#")
        hash = _HASH.fullmatch(fragment)
        if hash is None:
            name = url.rpartition("/")[2][:80]
            raise InputError(f"{name!r} has no hash", where=where, hint=_LIST.format(path=path))
        yield conda_package(where, url, f"sha256:{hash[1]}" if hash[1] else f"md5:{hash[2]}")
