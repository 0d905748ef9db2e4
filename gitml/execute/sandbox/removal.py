"""Removes what a step left, whatever it made of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

_MANY = 2048  # files of one directory from which on half of them are worth a process
_LONGEST_PATH = 3000
_TRIES = 1000


def remove_tree(root: str) -> None:
    """Removes a directory and all below it, read-only directories too; links are removed, not followed.

    What is not there, or goes away meanwhile, is fine.
    """
    try:
        if os.path.islink(root) or not os.path.isdir(root):
            os.unlink(root)
            return
    except FileNotFoundError:
        return
    # an explicit stack: a step can nest directories deeper than Python recurses
    stack = [root]
    moved = 0
    tries = 0
    while stack:
        top = stack[-1]
        if len(top) > _LONGEST_PATH:  # nearer the limit of the kernel no path leads further down
            moved += 1
            stack[-1] = f"{root}/{moved}.{os.getpid()}.deep"
            _forced(os.rename, top, stack[-1], locked=(os.path.dirname(top), top))
            continue
        below = _empty(top)
        if below:
            stack += below
            continue
        try:
            _forced(os.rmdir, top, locked=(os.path.dirname(top),))
        except OSError as error:
            # something was put there since it was looked through
            if error.errno != errno.ENOTEMPTY or tries == _TRIES:
                raise
            tries += 1
            continue
        stack.pop()


def _empty(directory: str) -> list[str]:
    """Unlinks all files in a directory; gives the directories in it."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return []
    except PermissionError:
        os.chmod(directory, 0o700)
        entries = list(os.scandir(directory))
    below: list[str] = []
    files: list[str] = []
    for entry in entries:
        (below if entry.is_dir(follow_symlinks=False) else files).append(entry.path)
    if len(files) < _MANY or not _unlink_by_two(directory, files):
        _unlink(directory, files)
    return below


def _unlink_by_two(directory: str, files: Sequence[str]) -> bool:
    """As `_unlink`, half of it in a child process: most of the work is to free what a file took. False where that can't be."""
    from gitml.childprocess import ChildProcess, can_fork
    from gitml.errors import MachineError

    half = len(files) // 2
    if not can_fork():
        return False
    try:
        child = ChildProcess(lambda: _unlink(directory, files[:half]))
    except OSError:
        return False
    try:
        _unlink(directory, files[half:])
    except BaseException:
        child.end()
        raise
    try:
        child.result()
    except MachineError:  # it was killed
        return False
    return True


def _unlink(directory: str, paths: Sequence[str]) -> None:
    for path in paths:
        _forced(os.unlink, path, locked=(directory,))


def _forced(change: Callable[..., None], *paths: str, locked: tuple[str, ...]) -> None:
    """Does it, once more after `locked` directories were opened where they deny it. What is not there is fine."""
    try:
        change(*paths)
    except FileNotFoundError:
        return
    except PermissionError:
        for directory in locked:
            os.chmod(directory, 0o700)
        change(*paths)
