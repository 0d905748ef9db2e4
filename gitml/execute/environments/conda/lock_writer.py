"""Writes a ``conda-lock.yml`` of version 1, which conda-lock and gitml read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.execute.environments.conda.loose_environment import LooseEnvironment

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*|https?://[A-Za-z0-9_./+:%~!-]*[A-Za-z0-9_]")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


class CondaLockEntry(NamedTuple):
    """A package of a lock; `dependencies` are by name, `digests` the hashes of its file by algorithm."""

    manager: str
    name: str
    version: str
    subdir: str
    url: str
    digests: Mapping[str, str]
    dependencies: Mapping[str, str]


def conda_lock_text(source: str, asked: LooseEnvironment, entries: Mapping[str, Sequence[CondaLockEntry]]) -> str:
    """The text of a lock with the `entries` of each platform, made from the file `source`."""
    lines = ["# Made by gitml env lock; conda-lock reads it, too.", "version: 1", "metadata:"]
    lines += ["  content_hash:", *[f"    {subdir}: {_content_hash(asked, subdir)}" for subdir in sorted(entries)]]
    lines += ["  channels:"]
    for channel in asked.channels:
        lines += [f"  - url: {_scalar(channel)}", "    used_env_vars: []"]
    lines += ["  platforms:", *[f"  - {subdir}" for subdir in sorted(entries)]]
    lines += ["  sources:", f"  - {_scalar(source)}", "package:"]
    every = [entry for subdir in sorted(entries) for entry in entries[subdir]]
    for entry in sorted(every, key=lambda one: (one.name, one.manager, one.subdir)):
        lines += _entry(entry)
    return "\n".join(lines) + "\n"


def _entry(entry: CondaLockEntry) -> Iterator[str]:
    yield f"- name: {_scalar(entry.name)}"
    yield f"  version: {json.dumps(entry.version)}"
    yield f"  manager: {entry.manager}"
    yield f"  platform: {entry.subdir}"
    if entry.dependencies:
        yield "  dependencies:"
        for name in sorted(entry.dependencies):
            yield f"    {_scalar(name)}: {json.dumps(entry.dependencies[name])}"
    else:
        yield "  dependencies: {}"
    yield f"  url: {_scalar(entry.url)}"
    yield "  hash:"
    for algorithm in sorted(entry.digests):
        yield f"    {algorithm}: {json.dumps(entry.digests[algorithm])}"
    yield "  category: main"
    yield "  optional: false"


def _content_hash(asked: LooseEnvironment, subdir: str) -> str:
    data: list[Any] = [asked.channels, asked.specs, asked.pip, subdir]
    return hashlib.sha256(json.dumps(data).encode("ascii")).hexdigest()


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text)
