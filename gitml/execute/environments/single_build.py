"""A folder that is built once on a machine, by whichever process comes first, and that is complete or not there at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gitml.core.text.format import duration
from gitml.execute.process import NONE, StoppedError, StopRequests
from gitml.execute.sandbox.removal import remove_tree

T = TypeVar("T")
MARKER = "built.json"
_LOOK = 0.05  # seconds


def build_once(
    place: str,
    built: Callable[[], T | None],
    build: Callable[[], T],
    stop: StopRequests,
    report: Callable[[str], None],
    what: str = "the environment",
) -> T:
    """What `built` finds at `place`, or what `build` gives, which fills the folder and ends with `write_marker`.

    `built` returns None when nothing complete is at `place`. Of processes that need the folder at once one builds it and the
    others wait. When `build` raises, nothing is left; what a killed process left is removed before the next build. StoppedError
    when `stop` asks for it while another process builds.
    """
    found = built()
    if found is not None:
        return found
    os.makedirs(os.path.dirname(place), exist_ok=True)
    lock = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(lock, stop, report, what)
        found = built()
        if found is not None:
            return found
        report(f"building {what}")
        remove_tree(place)
        begun = time.monotonic()
        try:
            made = build()
            report(f"built {what} in {duration(time.monotonic() - begun)}")
            return made
        except BaseException:
            remove_tree(place)
            raise
    finally:
        os.close(lock)


def write_marker(place: str, facts: Mapping[str, Any]) -> None:
    """Declares the folder at `place` complete and keeps `facts`, JSON data, with it."""
    path = f"{place}/{MARKER}"
    with open(f"{path}.part", "w") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.part", path)


def read_marker(place: str) -> dict[str, Any] | None:
    """The facts that `write_marker` kept at `place`; None when the folder is not complete."""
    try:
        with open(f"{place}/{MARKER}", "rb") as file:
            facts = json.load(file)
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _wait(lock: int, stop: StopRequests, report: Callable[[str], None], what: str) -> None:
    import fcntl

    reported = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if stop.requested() != NONE:
                raise StoppedError from None
            if not reported:
                report(f"waiting for another process that builds {what}")
                reported = True
            time.sleep(_LOOK)
