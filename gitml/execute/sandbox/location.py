"""Where sandboxes lie: beside the store where the fixed path hides what is above them, else in a folder outside of every project.

That folder is the user's setting, or the first of the cache folder, ``/var/tmp`` and ``/tmp`` that has nothing above it by which
tools know a project. An executor has a folder of its own in it, with a lock that the kernel holds as long as a process of the
executor lives: so what a killed one left can be distinguished from what is used, by any repository of the same user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gitml import layout
from gitml.errors import Guard, InputError, MachineError
from gitml.execute.sandbox.namespace import enter
from gitml.execute.sandbox.removal import remove_tree
from gitml.permissions import can_be_written, permission_hint
from gitml.platform.current import platform

if TYPE_CHECKING:
    from gitml.core.config.user_settings import Settings

# What tools look for in the folders above their own, to find the project or the repository they are in.
MARKS = tuple(
    """
    .git .hg .svn .jj .bzr .dvc dvc.yaml gitml.yaml pyproject.toml setup.py setup.cfg tox.ini pytest.ini
    conftest.py noxfile.py uv.lock uv.toml .venv .python-version Pipfile pixi.toml package.json node_modules
    pnpm-workspace.yaml deno.json Cargo.toml Cargo.lock rust-toolchain.toml go.mod go.work Gemfile settings.gradle
    WORKSPACE MODULE.bazel Project.toml .here
    """.split()
)
_LOCK = "lock"
_OWN_NAME = re.compile("[0-9a-f]{16}")


class SandboxRoots(NamedTuple):
    """Where the sandboxes of one executor may lie.

    `live` is beside the store. `apart` lies outside of every project; None where no such folder was found, for the reason in
    `problem`. With `chosen` the user asked for it, and it is used in any case. With `mount` the fixed path may be used.
    """

    live: str
    apart: str | None
    problem: str = ""
    chosen: bool = False
    mount: bool = True

    def roots(self) -> list[str]:
        """The folders in which sandboxes may lie."""
        return [self.live] if self.apart is None else [self.live, self.apart]


class SandboxRoot(NamedTuple):
    """Where a worker makes its sandboxes: the folder, None for the reason in `problem`; and whether each is mounted."""

    path: str | None
    mounted: bool
    problem: str = ""


def settings_path(machine: Mapping[str, str]) -> str:
    """The file of the user's own settings; empty for a user without a home folder."""
    folder = layout.settings_folder({**machine, "HOME": machine.get("HOME") or os.path.expanduser("~")})
    return "" if folder is None else os.path.join(folder, layout.SETTINGS)


def read_settings(machine: Mapping[str, str]) -> Settings | None:
    """The user's own settings, None when there are none; InputError for a file that can't be used."""
    path = settings_path(machine)
    try:
        with open(path, "rb") as file:
            data = file.read(2**20)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(
            f"the settings can't be read: {error.strerror}", where=path, hint=permission_hint(path)
        ) from error
    from gitml.core.config.user_settings import parse_settings  # reads YAML, which most users need not wait for

    return parse_settings(data, path)


def sandbox_roots(live: str, machine: Mapping[str, str]) -> SandboxRoots:
    """The roots for an executor whose own folder is `live`; InputError when the user's setting can't be used."""
    settings = read_settings(machine)
    mount = settings is None or settings.mount
    name = hashlib.sha256(os.fsencode(os.path.realpath(live))).hexdigest()[:16]
    if settings is not None and settings.sandboxes is not None:
        _check_chosen(settings.sandboxes, settings_path(machine))
        return SandboxRoots(live, os.path.join(os.path.realpath(settings.sandboxes), name), "", True, mount)
    problem = ""
    for folder in _candidates(machine):
        mark = mark_above(folder)
        if mark is None and _is_usable(folder):
            return SandboxRoots(live, os.path.join(os.path.realpath(folder), name), "", False, mount)
        problem = problem or (f"{mark} marks a project" if mark else f"{folder} can't be written to")
    return SandboxRoots(live, None, problem, False, mount)


def mark_above(folder: str) -> str | None:
    """The first file, in `folder` or above it, by which a tool would take it for a part of a project; None when there is none."""
    place = os.path.realpath(folder)
    while True:
        for name in MARKS:
            path = os.path.join(place, name)
            if os.path.lexists(path):
                return path
        above = os.path.dirname(place)
        if above == place:
            return None
        place = above


def choose_root(roots: SandboxRoots) -> tuple[SandboxRoot, int]:
    """Moves this process, a supervisor with no worker yet, to where its workers can make sandboxes, and takes the lock it needs.

    The descriptor is -1 where there is no lock to hold.
    """
    mounted = roots.mount and not enter(roots.live, MARKS)
    if mounted and not roots.chosen:
        return SandboxRoot(roots.live, True), -1
    if roots.apart is None:
        return SandboxRoot(None, False, roots.problem), -1
    try:
        return SandboxRoot(roots.apart, mounted), lock_root(roots.apart)
    except MachineError as error:
        return SandboxRoot(None, mounted, f"{error.message} ({error.where})"), -1


def lock_root(folder: str) -> int:
    """Makes an executor's own folder and takes its lock, shared; the lock is held until the descriptor is closed everywhere."""
    with Guard(folder, "a sandbox can't be made"):
        while True:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            found = os.lstat(folder)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise MachineError("the folder for sandboxes is another user's", where=folder, hint=f"remove {folder}")
            fd = _locked(folder, fcntl.LOCK_SH)
            if fd is not None:
                return fd


def clear_root(roots: SandboxRoots) -> None:
    """Ends and removes what a killed executor left apart from its own folder, unless a process of it lives."""
    if roots.apart is not None:
        _remove_unused(roots.apart)


def remove_abandoned(machine: Mapping[str, str]) -> int:
    """Ends and removes what killed executors of any repository of this user left; how many there were."""
    settings = read_settings(machine)
    chosen = [] if settings is None or settings.sandboxes is None else [settings.sandboxes]
    return sum(
        _remove_unused(folder) for place in [*chosen, *_candidates(machine)] for folder in _executor_folders(place)
    )


def _remove_unused(folder: str) -> bool:
    try:
        fd = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError, PermissionError, BlockingIOError):
        return False
    if fd is None:
        return False
    try:
        platform.end_strays(folder)
        for name in os.listdir(folder):
            if name != _LOCK:
                remove_tree(os.path.join(folder, name))
        with suppress(OSError):
            os.unlink(os.path.join(folder, _LOCK))
            os.rmdir(folder)
        return True
    finally:
        os.close(fd)


def _locked(folder: str, how: int) -> int | None:
    """The folder's lock, None when another process removes the folder just now."""
    path = os.path.join(folder, _LOCK)
    create = os.O_CREAT if how == fcntl.LOCK_SH else 0
    try:
        fd = os.open(path, os.O_RDWR | create | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        if create:
            return None
        raise
    try:
        fcntl.flock(fd, how)
        found, here = os.fstat(fd), os.stat(path)
        if (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino):
            return fd
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _executor_folders(place: str) -> Iterator[str]:
    try:
        names = os.listdir(place)
    except OSError:
        return
    for name in names:
        folder = os.path.join(place, name)
        if _OWN_NAME.fullmatch(name) and os.path.isfile(os.path.join(folder, _LOCK)):
            yield folder


def _candidates(machine: Mapping[str, str]) -> list[str]:
    return [
        layout.cache_folder(machine, layout.SANDBOXES),
        *(f"{shared}/gitml-{os.geteuid()}/sandboxes" for shared in ("/var/tmp", "/tmp")),  # noqa: S108  owner is checked
    ]


def _is_usable(folder: str) -> bool:
    """Whether sandboxes can be made in `folder`, and nobody else can put anything above them."""
    above = os.path.dirname(folder)
    with suppress(FileNotFoundError, NotADirectoryError):
        found = os.lstat(above)
        if found.st_uid != os.geteuid() or (not layout.is_own_folder(above) and found.st_mode & 0o022):
            return False
    return can_be_written(folder)


def _check_chosen(folder: str, path: str) -> None:
    mark = mark_above(folder)
    if mark is not None:
        raise InputError(
            f"`sandboxes: {folder}` lies in a project: there is {mark}",
            where=path,
            hint="name a folder with no repository and no project above it, such as one on a scratch disk",
        )
    if not can_be_written(folder) or (os.path.lexists(folder) and not os.path.isdir(folder)):
        raise InputError(f"`sandboxes: {folder}` can't be written to", where=path, hint=permission_hint(folder))
