"""`gitml.lock`: for each use of a module as pipelines write it, the version and content that it means.

JSON, one entry a use, in the order of their names, so that two branches that add modules merge. What tags of images mean is
there too: see `core.kinds.image_pins`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from gitml.core.kinds.image_pins import FORMAT, IMAGES, LARGEST, LOCK_PATH, check_format
from gitml.errors import InputError
from registry.versions import ModuleRef

PATH = LOCK_PATH
MAX_BYTES = LARGEST  # ten thousand uses

_CONTENT = re.compile(r"git:[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


class LockEntry(NamedTuple):
    """What ``registry:name@requirement`` was resolved to. `registry` is empty for the default one.

    `content` is ``git:<tree>``; `state` is the record of the registry's log that it was resolved against.
    """

    registry: str
    name: str
    requirement: str | None
    version: str
    content: str
    state: str

    @property
    def use(self) -> str:
        """The use as pipelines write it, which is the entry's key."""
        return str(ModuleRef(self.registry, self.name, self.requirement))


Lock = Mapping[str, LockEntry]


def lock_as_bytes(lock: Lock, images: Mapping[str, str] | None = None) -> bytes:
    """The file, with the digests of `images` by name."""
    modules = {
        use: {name: value for name, value in entry._asdict().items() if value} for use, entry in sorted(lock.items())
    }
    pins = {IMAGES: dict(sorted(images.items()))} if images else {}
    return json.dumps({"format": FORMAT, "modules": modules, **pins}, indent=1).encode("ascii") + b"\n"


def parse_lock(data: bytes) -> dict[str, LockEntry]:
    """The entries of a lock file; InputError when it is not one, which a bad merge can make it."""
    if len(data) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES >> 20} MiB", where=PATH, hint="write it again: gitml lock")
    try:
        raw = json.loads(data)
        check_format(raw)
        found = {}
        for use, item in raw["modules"].items():
            given = {"registry": "", "requirement": None, **item}
            entry = LockEntry(**given)
            texts = (entry.registry, entry.name, entry.requirement or "", entry.version, entry.content, entry.state)
            if not all(isinstance(text, str) for text in texts) or not _CONTENT.match(entry.content):
                raise ValueError(f"the entry {use!r} is not whole")
            if entry.use != use:
                raise ValueError(f"the entry {use!r} is about {entry.use!r}")
            found[use] = entry
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"not a lock file: {error}", where=PATH, hint="write it again: gitml lock") from error
    return found
