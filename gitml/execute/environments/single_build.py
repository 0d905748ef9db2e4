"""Folders that are built once on a machine, by whichever process comes first, and that are complete or not there at all.

Beside each lies ``<folder>.lock``, which the process that builds it has locked, and ``<folder>.used``: a process that uses the
folder holds a shared lock on that until it ends, and its time is that of the last use. So what is not used can be removed. While
``<folder>.building`` is there the folder is not complete, whatever is in it: what is built may run programs that are not trusted.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from gitml.core.text.format import duration
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.process import NONE, StoppedError
from gitml.execute.sandbox.removal import remove_tree
from gitml.files import bytes_below, closing_fd, opened

T = TypeVar("T")
MARKER = "built.json"  # in a folder that is complete
_BUILDING, _REMOVED = ".building", ".removed"
_LARGEST = 1 << 20  # bytes of a marker
_held: dict[str, int] = {}
_LOOK = 0.05  # seconds


def build_once(
    place: str,
    built: Callable[[], T | None],
    build: Callable[[], T],
    control: BuildControl,
    what: str = "the environment",
) -> T:
    """What `built` finds at `place`, or what `build` gives, which fills the folder and ends with `write_marker`.

    `built` returns None when nothing complete is at `place`. Of processes that need the folder at once one builds it and the
    others wait. When `build` raises, nothing is left; what a killed process left is removed before the next build. StoppedError
    when `control.stop` asks for it while another process builds. Until this process ends the folder is not removed as unused.
    """
    hold(place)
    found = built()
    if found is not None:
        return found
    os.makedirs(os.path.dirname(place), exist_ok=True)
    lock = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(lock, control, what)
        found = built()
        if found is not None:
            return found
        control.report(f"building {what}")
        building = f"{place}{_BUILDING}"
        remove_tree(building)
        os.close(os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        remove_tree(place)
        begun = time.monotonic()
        try:
            made = build()
            os.unlink(building)
            control.report(f"built {what} in {duration(time.monotonic() - begun)}")
            return made
        except BaseException:
            remove_tree(place)
            remove_tree(building)
            raise
    finally:
        os.close(lock)


def write_marker(place: str, facts: Mapping[str, Any]) -> None:
    """Declares the folder at `place` complete and keeps `facts`, JSON data, with it.

    What filled the folder may not be trusted: nothing that it left under the name of the file is written through.
    """
    path = f"{place}/{MARKER}"
    for left in (path, f"{path}.part"):
        remove_tree(left)
    fd = os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(fd, "w") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.part", path)


def read_marker(place: str) -> dict[str, Any] | None:
    """The facts that `write_marker` kept at `place`; None when the folder is not complete."""
    if os.path.lexists(f"{place}{_BUILDING}"):
        return None
    try:
        # a pipe there is not waited for, and nothing is read elsewhere
        with opened(f"{place}/{MARKER}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            facts = json.loads(os.read(fd, _LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


class RemovedEnvironments(NamedTuple):
    """How many folders were removed, or would be, and their bytes."""

    folders: int = 0
    bytes: int = 0

    def plus(self, folders: int, size: int) -> RemovedEnvironments:
        """With some more."""
        return RemovedEnvironments(self.folders + folders, self.bytes + size)


def hold(place: str) -> None:
    """Keeps the folder at `place`, there or still to be built, from being removed until this process ends.

    Nothing happens where nothing can be written: nobody can remove it there either.
    """
    with suppress(OSError):
        while True:
            fd = _held.get(place, -1)
            if fd < 0:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                fd = _held[place] = os.open(f"{place}.used", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                fcntl.flock(fd, fcntl.LOCK_SH)
            if _is_at(fd, f"{place}.used"):
                os.utime(fd)
                return
            os.close(_held.pop(place))


def remove_unused(folder: str, older: float, now: float, *, dry_run: bool = False) -> RemovedEnvironments:
    """Removes what was built in `folder`, is not used, and was not for `older` seconds before `now`.

    What killed builds left goes too, whenever that was.
    """
    removed = RemovedEnvironments()
    for place in _places(folder):
        with suppress(OSError):
            if "." in os.path.basename(place):
                if not dry_run:
                    _remove_beside(place)
                continue
            if read_marker(place) is not None and now - _last_use(place) < older:
                continue
            size = _removed(place, dry_run=dry_run)
            removed = removed if size is None else removed.plus(1, size)
    return removed


def builds_go_on(folder: str) -> bool:
    """Whether a process builds in `folder` just now."""
    for place in _places(folder):
        fd = _locked(f"{place}.lock")
        if fd is None:
            return True
        os.close(fd)
    return False


def _removed(place: str, *, dry_run: bool) -> int | None:
    """Removes the folder; its bytes, None where a process uses or builds it."""
    used, built = f"{place}.used", f"{place}.lock"
    first = _locked(used)
    if first is None:
        return None
    with closing_fd(first):
        second = _locked(built)
        if second is None:
            return None
        with closing_fd(second):
            size = bytes_below(place)
            if not dry_run:
                os.rename(place, place + _REMOVED)
                for path in (used, built, f"{place}{_BUILDING}"):
                    with suppress(FileNotFoundError):
                        os.unlink(path)
    if not dry_run:
        remove_tree(place + _REMOVED)
    return size


def _remove_beside(place: str) -> None:
    """Removes what lies beside a folder, called as it is with an ending: a stage of a build that does not go on any more."""
    folder, name = os.path.split(place)
    lock = _locked(os.path.join(folder, name.partition(".")[0] + ".lock"))
    if lock is not None:
        with closing_fd(lock):
            remove_tree(place)


def _locked(path: str) -> int | None:
    """A descriptor with the only lock on the file, made where it is missing; None while another process has one."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _last_use(place: str) -> float:
    for path in (f"{place}.used", f"{place}/{MARKER}"):
        with suppress(FileNotFoundError):
            return os.stat(path).st_mtime
    return 0.0


def _places(folder: str) -> Iterator[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _is_at(fd: int, path: str) -> bool:
    try:
        found, here = os.fstat(fd), os.stat(path)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino)


def _wait(lock: int, control: BuildControl, what: str) -> None:
    reported = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if control.stop.requested() != NONE:
                raise StoppedError from None
            if not reported:
                control.report(f"waiting for another process that builds {what}")
                reported = True
            time.sleep(_LOOK)
