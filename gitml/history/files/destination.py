"""Writing into a folder of the user's: below what was opened, through no link, complete or not at all.

Folders are opened one within the other, and all that is written is named relative to the open folder. So what another process
puts in the place of a folder meanwhile, a link say, is never gone through.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from gitml.core.model.digest import Digest
from gitml.core.model.tree import link_stays_inside
from gitml.errors import Guard, InputError, machine_error
from gitml.history.files import contents
from gitml.workspace import Workspace

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_folder(root: str, path: str) -> tuple[int, list[str]]:
    """Opens the folder `path`, which is `root` or lies below it, made where it is not there. `root` may lie behind links.

    With it come the folders whose names its making changed, by path: they are to be synced. InputError for a link, or no folder,
    on the way from `root`.
    """
    changed: list[str] = []
    above = root
    while not os.path.isdir(above):
        above = os.path.dirname(above)
        changed.append(above)
    with Guard(root):
        os.makedirs(root, exist_ok=True)
        fd = os.open(root, _FOLDER)
    place = root
    try:
        for name in [part for part in os.path.relpath(path, root).split("/") if part != "."]:
            try:
                os.mkdir(name, dir_fd=fd)
                changed.append(place)
            except FileExistsError:
                pass
            place = os.path.join(place, name)
            try:
                below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise in_the_way(place) from error
                raise machine_error(error, place) from error
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd, [*changed, place]


def in_the_way(path: str) -> InputError:
    """The error for a link or a file where a folder is needed."""
    if os.path.islink(path):
        return InputError(
            "the way leads through a link",
            where=path,
            hint="remove the link, or name a folder to write to",
        )
    return InputError("a file is where a folder is needed", where=path, hint="move it away, or choose another place")


def write_file(ws: Workspace, digest: Digest, folder: int, name: str, *, executable: bool) -> None:
    """A Blob as a new file of the open folder."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o777 if executable else 0o666, dir_fd=folder), "wb") as file:
        for chunk in contents.chunks(ws, digest):
            file.write(chunk)


def write_tree(ws: Workspace, digest: Digest, folder: int, name: str, inside: str = "") -> None:
    """A Tree as a new folder of the open one; InputError for a link that leads out of it."""
    os.mkdir(name, dir_fd=folder)
    fd = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    try:
        for entry in contents.listing(ws, digest):
            below = os.fsdecode(entry.name)
            if entry.kind == "d":
                write_tree(ws, entry.digest, fd, below, f"{inside}/{below}" if inside else below)
            elif entry.kind == "l":
                target = os.fsdecode(contents.read(ws, entry.digest))
                if not link_stays_inside(inside, target):
                    raise InputError(f"the output holds a link that leads out of it: {below!r} -> {target!r}")
                os.symlink(target, below, dir_fd=fd)
            else:
                write_file(ws, entry.digest, fd, below, executable=entry.kind == "x")
    finally:
        os.close(fd)


def move_in(folder: int, fresh: str, name: str, refuse: Callable[[str], None]) -> None:
    """Gives what is complete its name in the open folder. A folder there, or a file that becomes one, is moved aside and removed.

    `refuse` is asked of what was moved aside, by its name, and puts it back by raising; a link is never replaced.
    """
    there = kind_at(folder, name)
    if there == stat.S_IFLNK:
        raise InputError("a link is in the way, which is never replaced", where=name, hint="remove the link")
    if there is None or (there != stat.S_IFDIR and kind_at(folder, fresh) != stat.S_IFDIR):
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    aside = f"{fresh}.old"
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    try:
        refuse(aside)
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
        raise
    remove(folder, aside)


def remove(folder: int, name: str) -> None:
    """Removes what is called so in the open folder, if anything is; links are not followed."""
    there = kind_at(folder, name)
    if there == stat.S_IFDIR:
        import shutil

        shutil.rmtree(name, dir_fd=folder)
    elif there is not None:
        os.unlink(name, dir_fd=folder)


def kind_at(folder: int, name: str) -> int | None:
    """The kind of file of that name in the open folder, as the bits of its mode; None where there is none."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None
