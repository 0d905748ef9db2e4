"""A view of the machine in which a sandbox lies at one path, the same on every machine, with nothing of the user's above it.

The view is a mount namespace whose root is a small file system of its own. It holds every folder of the machine's root by a
bind mount, and one more folder, on which a worker mounts the sandbox of its attempt. So a program that searches the folders
above its own finds nothing, and no folder that a step could see before is hidden. The real sandbox stays where it was made.

Root needs CAP_SYS_ADMIN for it, any other user a kernel that lets them make user namespaces. The namespaces are built by a
child of the supervisor, which then joins them: where something fails the supervisor is as it was before. In a user namespace the
kernel gives every capability over the user's own files; all are given up but the two to make namespaces, mounts and a
network for steps (`isolation`), so that permissions count.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from typing import NoReturn

from gitml.platform import kernel
from gitml.platform.current import platform
from gitml.platform.linux import MOUNTED

_SHOWN_FILES = (".dockerenv", ".containerenv")  # how programs know that they run in a container


def enter(needed: str, hidden: Collection[str]) -> str:
    """Moves this process, which must have one thread, into a view of its own; why that can't be, empty when it is done.

    `needed` is a folder that must be the same in the view, `hidden` are names that the machine's root must not have there.
    Where it can't be done nothing has changed.
    """
    refusal = platform.namespace_refusal()
    if refusal:
        return refusal
    if os.path.lexists(MOUNTED):
        return f"{MOUNTED} exists on this machine"
    ready, built = os.pipe()
    joined, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        os.close(release)
        _build(built, joined, needed, hidden)
    os.close(built)
    os.close(joined)
    try:
        told = b""
        while part := os.read(ready, 4096):
            told += part
            if part.endswith(b"\n"):
                break
        if told != b"built\n":
            return told.decode("utf-8", "replace").strip() or "its namespaces could not be made"
        try:
            _join(pid)
        except OSError as error:
            return f"joining the namespaces: {error.strerror}"
        return ""
    finally:
        os.close(ready)
        os.close(release)
        os.waitpid(pid, 0)


def leave_shared() -> None:
    """Gives this process, a worker within the supervisor's view, mounts of its own. OSError when the kernel refuses."""
    kernel.unshare(kernel.NEWNS)


def mount_sandbox(folder: str) -> None:
    """Shows `folder` at the fixed path, in place of what was there before."""
    kernel.umount(MOUNTED)  # none is there before the first
    kernel.mount(folder, MOUNTED, None, kernel.BIND)


def available() -> tuple[bool, str]:
    """Whether sandboxes get a view of their own here, and if not, why. It is tried in a process of its own."""
    why = kernel.answered_apart(lambda: enter("/usr", ()))
    return not why, why


def _build(built: int, joined: int, needed: str, hidden: Collection[str]) -> NoReturn:
    """Builds the namespaces in this child, says so, and keeps them until the parent has joined."""
    try:
        try:
            before = os.stat(needed)
            _unshare()
            _new_root(hidden)
            after = os.stat(needed)
            if (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino):
                raise OSError(0, f"{needed} can't be seen there")
        except OSError as error:
            os.write(built, f"{error.strerror}\n".encode("utf-8", "replace"))
        else:
            os.write(built, b"built\n")
            os.read(joined, 1)
    finally:
        os._exit(0)


def _unshare() -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.set_dumpable(dumpable=True)  # else its own files in /proc are root's, and the supervisor may not join it
    if uid == 0:
        kernel.unshare(kernel.NEWNS)
        return
    kernel.unshare(kernel.NEWUSER | kernel.NEWNS)
    kernel.map_own_ids(uid, gid)


def _new_root(hidden: Collection[str]) -> None:
    """Makes the root a file system of its own with every folder of the old one in it that is not `hidden`."""
    kernel.mount(None, "/", None, kernel.REC | kernel.SLAVE)
    stage = next(folder for folder in ("/tmp", "/proc", "/dev") if os.path.isdir(folder))  # noqa: S108  covered, then moved
    kernel.mount("gitml", stage, "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=755,size=1m")
    old = f"{stage}/.old"
    os.mkdir(old)
    kernel.pivot_root(stage, old)
    os.chdir("/")
    with os.scandir("/.old") as entries:
        for entry in entries:
            if entry.name not in hidden:
                _show(entry)
    os.mkdir(MOUNTED)
    kernel.umount("/.old")
    os.rmdir("/.old")
    kernel.mount(None, "/", None, kernel.REMOUNT | kernel.BIND | kernel.RDONLY | kernel.NOSUID | kernel.NODEV)


def _show(entry: os.DirEntry[str]) -> None:
    path = f"/{entry.name}"
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), path)
    elif entry.is_dir(follow_symlinks=False):
        os.mkdir(path)
        kernel.mount(entry.path, path, None, kernel.BIND | kernel.REC)
    elif entry.name in _SHOWN_FILES and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))


def _join(pid: int) -> None:
    own = os.stat("/proc/self/ns/user").st_ino
    is_new = os.stat(f"/proc/{pid}/ns/user").st_ino != own
    fds = [os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("ns/user", "ns/mnt", "root")]
    try:
        if is_new:
            kernel.setns(fds[0], kernel.NEWUSER)
        kernel.setns(fds[1], kernel.NEWNS)
        # the namespace's own root is another one where this machine is a chroot
        os.fchdir(fds[2])
        os.chroot(".")
        os.chdir("/")
        if is_new:
            kernel.keep_capabilities((kernel.SYS_ADMIN, kernel.NET_ADMIN))
    finally:
        for fd in fds:
            os.close(fd)
