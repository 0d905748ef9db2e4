"""A locked requirements file: read strictly, so that what it names is exactly what gets installed."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from gitml.core.kinds.unlocked_files import lock_command, unlocked_content
from gitml.core.model.environment import package_name
from gitml.errors import InputError
from gitml.execute.environments.locks.addresses import (
    checked_hash,
    checked_repository,
    checked_subdirectory,
    checked_url,
    is_wheel,
)
from gitml.execute.environments.locks.target import InstallTarget, holds

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT = re.compile(rf"^({_NAME})\s*(\[[^\]]*\])?\s*(.*)$", re.DOTALL)
_PIN = re.compile(r"^={2,3}\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)$")
_HASH = re.compile(r"--hash[= ](\S+)")
_PINNED_AT = re.compile(r"@[0-9a-f]{40}\Z")  # the path of a repository
_LARGEST = 32 << 20  # bytes
_MOST = 20_000  # requirements
_COMMENT = re.compile(r"(^|\s)#.*$")


class LockedRequirements(NamedTuple):
    """`lines` are the requirements in canonical form, sorted; `hashed` when each has hashes."""

    lines: tuple[str, ...]
    hashed: bool

    def on(self, target: InstallTarget) -> LockedRequirements:
        """Those that are for a platform, without the markers that say so."""
        if not any(" ; " in line for line in self.lines):
            return self
        values = target.markers()
        found = set()
        for line in self.lines:
            pinned, _, rest = line.partition(" ; ")
            marker, mark, hashes = rest.partition(" --hash=")
            if not marker or holds(marker, values):
                found.add(pinned + mark + hashes)
        return LockedRequirements(tuple(sorted(found)), self.hashed)

    def sources(self) -> tuple[str, ...]:
        """The names of the packages that are at an address of something else than a wheel."""
        placed = [line.partition(" --hash=")[0].partition(" @ ") for line in self.lines]
        return tuple([name for name, _, url in placed if url and not is_wheel(url)])

    def packages(self) -> tuple[str, ...]:
        """``name version`` of each package; several versions, of which markers choose, stand behind one another."""
        found: dict[str, list[str]] = {}
        for line in self.lines:
            name, _, version = line.partition(" --hash=")[0].replace(" @ ", "==", 1).partition("==")
            found.setdefault(name, []).append(version.removeprefix("="))
        return tuple(f"{name} {', '.join(versions)}" for name, versions in found.items())


def parse_requirements(path: str, text: bytes) -> LockedRequirements:
    """The requirements in `text`; InputError with the line of `path` for what is not pinned or not allowed."""
    if len(text) > _LARGEST:
        raise InputError(f"larger than {_LARGEST >> 20} MiB", where=path, hint="split the environment")
    decoded = decoded_text(path, text)
    other = unlocked_content(path, decoded)
    if other is not None:
        raise InputError(f"this is {other[0]}", where=path, hint=other[1])
    lines = []
    hashed = True
    problems: list[InputError] = []
    found = _logical_lines(decoded)
    if len(found) > _MOST:
        raise InputError(f"more than {_MOST:,} requirements", where=path, hint="split the environment")
    for number, line in found:
        where = f"{path}:{number}"
        if line.startswith("-"):
            problems.append(_option(line, where))
            continue
        try:
            canonical, has_hash = _canonical(line, where)
        except InputError as error:
            problems.append(error)
            continue
        hashed = hashed and has_hash
        lines.append(canonical)
    if problems:
        first = problems[0]
        more = len(problems) - 1
        if more:
            first.message += f" (and {more} more {'line is' if more == 1 else 'lines are'} not locked)"
        raise first
    return LockedRequirements(tuple(sorted(set(lines))), hashed and bool(lines))


def decoded_text(path: str, text: bytes) -> str:
    """The text of a requirements file: UTF-8, or by its mark UTF-16, as PowerShell writes what `pip freeze` prints."""
    encoding = "utf-16" if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        decoded = text.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8", where=path, hint="save it as UTF-8") from error
    if "\0" in decoded:
        raise InputError(
            "not text: it has NUL characters, as UTF-16 without a mark", where=path, hint="save it as UTF-8"
        )
    return decoded


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """(number, content) of each line that says something, continuations joined and comments removed."""
    found = []
    begun = 0
    parts: list[str] = []
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        begun = begun if parts else number
        line = _COMMENT.sub("", raw).strip()
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            found.append((begun, " ".join(filter(None, parts))))
            parts = []
    return [(number, line) for number, line in found if line]


def _canonical(line: str, where: str) -> tuple[str, bool]:
    given = _HASH.findall(line)
    rest = _HASH.sub("", line).strip()
    if " --" in rest:
        raise InputError(f"an option gitml does not know: {rest[rest.index(' --') + 1 :]}", where=where)
    rest, _, marker = rest.partition(";") if " @ " not in rest else rest.partition(" ;")
    match = _REQUIREMENT.match(rest.strip())
    if match is None:
        raise InputError(f"not a requirement: {line[:80]!r}", where=where, hint=_compile(where))
    name = package_name(match[1])
    hashes = sorted({checked_hash(item, name, where) for item in given})
    extras = ",".join(sorted(part.strip().lower() for part in (match[2] or "[]")[1:-1].split(",") if part.strip()))
    if not all(re.fullmatch(_NAME, extra) for extra in extras.split(",") if extra):
        raise InputError(f"not a requirement: {line[:80]!r}", where=where, hint=_compile(where))
    version = match[3].strip()
    if version.startswith("@"):
        url = version[1:].strip()
        if url.startswith("file:"):
            raise InputError(
                f"{name} is a file of one machine ({url[:80]})",
                where=where,
                hint="pip list --format=freeze lists versions; or lock it: " + _compile(where),
            )
        pinned = f" @ {_checked_address(url, name, where, hashed=bool(hashes))}"
    else:
        if not _PIN.match(version.strip("() ")):
            raise InputError(f"{name} is not pinned to one version", where=where, hint=_compile(where))
        pinned = re.sub(r"\s", "", version.strip("() "))
    canonical = f"{name}[{extras}]{pinned}" if extras else f"{name}{pinned}"
    if marker.strip():
        canonical += " ; " + " ".join(marker.replace('"', "'").split())
    return " ".join([canonical, *[f"--hash={item}" for item in hashes]]), bool(hashes)


def _checked_address(url: str, name: str, where: str, *, hashed: bool) -> str:
    """The URL that a package is at; InputError for one whose content can change, and for what is no address on the network."""
    bare, _, fragment = url.partition("#")
    parts = dict([part.partition("=")[::2] for part in fragment.split("&")])
    if "subdirectory" in parts:
        checked_subdirectory(parts["subdirectory"], name, where)
    if bare.startswith("git+"):
        place = urlsplit(checked_repository(bare.removeprefix("git+"), name, where))
        fixed = _PINNED_AT.search(place.path) is not None
    else:
        checked_url(bare, name, where)
        if "sha256" in parts:
            checked_hash(f"sha256:{parts['sha256']}", name, where)
        fixed = hashed or "sha256" in parts
    if not fixed:
        raise InputError(f"{name} is at a URL without a hash", where=where, hint="add --hash=sha256:… to the line")
    return url


def _option(line: str, where: str) -> InputError:
    option = re.split(r"[\s=]", line, maxsplit=1)[0]
    if option in ("-e", "--editable"):
        return InputError(
            "an editable requirement can change under its name", where=where, hint="pin a released version"
        )
    if option in ("-r", "--requirement", "-c", "--constraint"):
        return InputError(f"{option} names another file", where=where, hint=f"compile into one file: {_compile(where)}")
    if option in ("-i", "--index-url", "--extra-index-url", "--find-links", "-f", "--no-index", "--trusted-host"):
        hint = "set it where gitml runs, as uv's environment: UV_DEFAULT_INDEX, UV_INDEX, UV_FIND_LINKS …"
        return InputError(f"{option} says where to download, not what", where=where, hint=hint)
    return InputError(f"the option {option} is not for a locked file", where=where, hint=_compile(where))


def _compile(where: str) -> str:
    return lock_command(where.rpartition(":")[0])
