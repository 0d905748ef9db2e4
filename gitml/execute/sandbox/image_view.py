"""The files that a step sees whose environment is an image: the image's, its own sandbox, and the machine's devices.

Where `namespace` shows all of the machine but what is above the sandbox, here nothing of the machine is left: the root is the
image's, read-only. Over it lie the sandbox at the fixed path, with what of the machine is shown in it, folders of the step's own
for what is temporary, on the disk of the sandbox, and of the machine ``/proc``, ``/sys``, a few devices, and how names of hosts
are resolved.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from gitml.execute.process import NotConfinedError
from gitml.files import closing_fd
from gitml.platform import kernel
from gitml.platform.linux import MOUNTED

WRITABLE = ("/tmp", "/var/tmp")  # noqa: S108  the step's own
_RUNNING = "/run"
_MEMORY = "/dev/shm"  # noqa: S108
_TERMINALS = "/dev/pts"
# by these files root would steer the machine's kernel
_OF_KERNEL = tuple([f"/proc/{name}" for name in ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "mtrr", "scsi")])
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ESCAPED = re.compile(r"\\([0-7]{3})")
_RESOLVING = ("/etc/resolv.conf", "/etc/hosts")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "dri", "kfd", "infiniband")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# what a mount of another namespace may not lose when it is mounted again, by the flag that statvfs(3) has for it
_KEPT_FLAGS = {
    os.ST_RDONLY: kernel.RDONLY,
    os.ST_NOSUID: kernel.NOSUID,
    os.ST_NODEV: kernel.NODEV,
    os.ST_NOEXEC: kernel.NOEXEC,
    os.ST_NOATIME: kernel.NOATIME,
    os.ST_NODIRATIME: kernel.NODIRATIME,
    os.ST_RELATIME: kernel.RELATIME,
}


class ShownFolder(NamedTuple):
    """A folder, or a file, of the machine at `path`, which programs in an image see in their sandbox as `name`."""

    path: str
    name: str
    writable: bool = False

    @property
    def seen(self) -> str:
        """Where they see it."""
        return f"{MOUNTED}/{self.name}"


def enter_image(root: str, sandbox: str, shown: Sequence[ShownFolder] = ()) -> None:
    """Makes the image unpacked at `root` the root of this process, which must have mounts of its own, and goes into `sandbox`.

    In the sandbox it sees what is to be `shown`. NotConfinedError where the machine does not let it.
    """
    step = "its mounts"
    try:
        # links of the machine would lead nowhere from within the image
        root, sandbox = os.path.realpath(root), os.path.realpath(sandbox)
        work, here = f"{sandbox}/work", os.getcwd()
        workdir = (
            here.removeprefix(work) if f"{here}/".startswith(f"{work}/") else ""
        )  # what makes environments is elsewhere
        shown = [item._replace(path=os.path.realpath(item.path)) for item in shown]
        step = "its own folders"
        own = _own_folders(sandbox)
        folders = {item.path for item in shown if os.path.isdir(item.path)}
        step = "its mounts"
        resolving = {path: os.path.realpath(path) for path in _RESOLVING}
        kernel.mount(None, "/", None, kernel.REC | kernel.SLAVE)
        step = root
        kernel.mount(root, root, None, kernel.BIND)
        os.chdir(root)
        # from here on paths are the image's, so that its links lead nowhere else; the machine is below /run for a while
        kernel.pivot_root(".", _RUNNING[1:])
        os.chdir("/")
        step = "/proc"
        kernel.mount(f"{_RUNNING}/proc", "/proc", None, kernel.BIND | kernel.REC)
        for path in _OF_KERNEL:
            with suppress(FileNotFoundError):
                kernel.mount(path, path, None, kernel.BIND | kernel.REC)
                make_read_only(path)
        step = "/sys"
        kernel.mount(f"{_RUNNING}/sys", "/sys", None, kernel.BIND | kernel.REC)
        make_read_only("/sys")
        step = "/dev"
        _show_devices()
        step = "its sandbox"
        kernel.mount(_RUNNING + sandbox, MOUNTED, None, kernel.BIND | kernel.REC)
        # read-only where nothing of the image can lead elsewhere; those that are not come first, as they may lie below others
        for item in sorted(shown, key=lambda item: not item.writable):
            source = _RUNNING + item.path
            if not item.writable:
                kernel.mount(source, source, None, kernel.BIND | kernel.REC)
                make_read_only(source)
            with closing_fd(_place_in_sandbox(item.name, is_folder=item.path in folders)) as fd:
                kernel.mount(source, f"/proc/self/fd/{fd}", None, kernel.BIND | kernel.REC)
        for path, fd in own.items():
            with closing_fd(fd):
                if os.path.realpath(path) == path and os.path.isdir(path):
                    kernel.mount(f"/proc/self/fd/{fd}", path, None, kernel.BIND)
        step = "/etc"
        for path, place in resolving.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                kernel.mount(_RUNNING + place, path, None, kernel.BIND)
                make_read_only(path)
        step = _RUNNING
        kernel.umount(_RUNNING)
        kernel.mount("gitml", _RUNNING, "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=755,size=16m")
        step = "/"
        _remount_read_only("/")
        os.chdir(f"{MOUNTED}/work{workdir}")
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise NotConfinedError(error.errno or errno.EIO, f"the image can't be entered here: {step}: {why}") from None


def _own_folders(sandbox: str) -> dict[str, int]:
    """Makes the step's own temporary folders; a descriptor of each by the path at which it sees it.

    Programs of the image may have run in the sandbox before: of a gang, or while an environment is built. So no link is followed.
    """
    own: dict[str, int] = {}
    with closing_fd(os.open(sandbox, _FOLDER)) as parent:
        for path in WRITABLE:
            own[path] = _folder_in(parent, f"private{path.replace('/', '-')}")
            os.fchmod(own[path], 0o1777)  # as those that it stands for; who may enter is settled by the sandbox's
    return own


def _place_in_sandbox(name: str, *, is_folder: bool) -> int:
    """A descriptor of the folder, or file, by that name in the sandbox, made where it is missing. No link is followed."""
    *above, last = name.split("/")
    parent = os.open(MOUNTED, _FOLDER)
    for part in above:
        with closing_fd(parent):
            parent = _folder_in(parent, part)
    with closing_fd(parent):
        if is_folder:
            return _folder_in(parent, last)
        with suppress(FileExistsError):
            os.close(os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent))
        return os.open(last, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _folder_in(parent: int, name: str) -> int:
    """A descriptor of the folder by that name, made where it is missing. OSError for a link, or anything else."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _show_devices() -> None:
    machine = f"{_RUNNING}/dev"
    room = os.statvfs(f"{machine}/shm") if os.path.isdir(f"{machine}/shm") else os.statvfs(machine)
    found = os.listdir(machine)
    kernel.mount("gitml", "/dev", "tmpfs", kernel.NOSUID, "mode=755,size=1m")
    for name in [*_DEVICES, *[name for name in found if name.startswith("nvidia")]]:
        if name in found:
            _show_device(f"{machine}/{name}", f"/dev/{name}")
    os.mkdir(_TERMINALS)
    # one of its own: the machine's lets nobody make a terminal by the name that it has here
    kernel.mount("gitml", _TERMINALS, "devpts", kernel.NOSUID | kernel.NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    for name, target in _LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir(_MEMORY)
    options = f"mode=1777,size={room.f_blocks * room.f_frsize}"
    kernel.mount("gitml", _MEMORY, "tmpfs", kernel.NOSUID | kernel.NODEV, options)


def _show_device(device: str, path: str) -> None:
    if os.path.isdir(device):
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    kernel.mount(device, path, None, kernel.BIND | kernel.REC)


def make_read_only(path: str) -> None:
    """Makes what is mounted at `path` read-only, and what is mounted below it, each of which is a file system of its own."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        places = [_ESCAPED.sub(lambda found: chr(int(found[1], 8)), line.split(" ", 5)[4]) for line in file]
    for place in dict.fromkeys([path, *[place for place in places if place.startswith(f"{path}/")]]):
        with suppress(FileNotFoundError):  # hidden by what was mounted over it
            _remount_read_only(place)


def _remount_read_only(path: str) -> None:
    flags = os.statvfs(path).f_flag
    kept = sum(flag for known, flag in _KEPT_FLAGS.items() if flags & known)
    more = kernel.RDONLY | kernel.NOSUID | (kernel.NODEV if path == "/" else 0)
    kernel.mount(None, path, None, kernel.REMOUNT | kernel.BIND | kept | more)
