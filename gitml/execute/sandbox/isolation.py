"""What a step's process is cut off from, just before it becomes the step's program: the network, files, other processes.

`network` is a network namespace: ``loopback`` has that interface alone, ``none`` has it too, and down. With it go the abstract
sockets of all others. A strict step also gets a mount namespace, in which the machine's folders for what is temporary or runs
are its own and empty, an IPC namespace, and Landlock's rules, which deny it every file but those it is given. A user who may make
no namespaces, as most in a container, makes a user namespace first.

The capabilities by which root undoes all this (mounting, joining namespaces, looking into processes) are given up.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from gitml.core.model.guarantees import FULL, LOOPBACK, NETWORKS, Network, network_of
from gitml.execute.process import NotConfinedError
from gitml.platform import kernel
from gitml.platform.current import platform

if TYPE_CHECKING:
    from gitml.execute.sandbox.image_view import ShownFolder

# what containers leave to root, but for making devices
_KEPT = (
    *(kernel.CHOWN, kernel.DAC_OVERRIDE, kernel.FOWNER, kernel.FSETID, kernel.KILL, kernel.SETGID, kernel.SETUID),
    *(kernel.SETPCAP, kernel.NET_BIND_SERVICE, kernel.NET_RAW, kernel.SYS_CHROOT, kernel.SETFCAP),
)
_WRITABLE = ("/tmp", "/var/tmp")  # noqa: S108  those of the step, on the disk of its sandbox
_MEMORY = "/dev/shm"  # noqa: S108
_RUNNING = "/run"  # sockets of the machine's services lie here, and Landlock does not deny to connect to them
HIDDEN = (*_WRITABLE, _MEMORY, _RUNNING)
"""The folders of the machine over which a strict step has its own, where it can."""
_PRIVATE = "private"
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1  # of network interfaces: ioctl(2)


class Isolation(NamedTuple):
    """What a step is cut off from.

    When `strict` it sees the files of the system, those below `readable`, and its sandbox, which lies at `seen`; in `folder`, on
    the same disk, its own temporary folders are made. The folders `named` are there, empty, where these lie over them: Python
    passes over a place of imports that is not there, so that nobody could lead it elsewhere. With a `root`, the folder of an
    image, it sees that image's files in place of the system's; `folder` is its sandbox then, in which it sees what is `shown`.
    A step that is not strict can write to what the machine lets it, but for the folders that are `fixed`.
    """

    strict: bool
    network: Network
    readable: tuple[str, ...] = ()
    seen: str = ""
    folder: str = ""
    named: tuple[str, ...] = ()
    root: str = ""
    shown: tuple[ShownFolder, ...] = ()
    fixed: tuple[str, ...] = ()

    def enter(self) -> None:
        """Cuts this process off, which must be the step's own; its working folder stays. NotConfinedError when it can't be."""
        refused = platform.namespace_refusal()
        if refused:
            raise NotConfinedError(errno.ENOSYS, f"{self._asked()} can't be kept here: {refused}")
        cut = kernel.NEWNET if self.network != FULL else 0
        private = self.strict
        mounts = kernel.NEWNS if self.root or self.fixed else 0
        try:
            _new_namespaces(cut | mounts | (kernel.NEWNS | kernel.NEWIPC if private else 0))
        except OSError as error:
            if cut or mounts:
                raise NotConfinedError(error.errno, f"{self._asked()} can't be kept here: {_why(error)}") from None
            private = False
        if self.network == LOOPBACK:
            _bring_up_loopback()
        if self.fixed:
            self._fix()
        if self.root:
            from gitml.execute.sandbox.image_view import enter_image
            from gitml.platform import landlock  # noqa: F401  in the image no module of this is found any more

            enter_image(self.root, self.folder, self.shown)
            private = False
        if self.strict:
            self._confine(private=private)
        else:
            kernel.keep_capabilities(_KEPT)
            kernel.deny_privileges()

    def _asked(self) -> str:
        if self.network != FULL:
            return f"network: {self.network}"
        return "an image" if self.root else "a read-only cache" if self.fixed else "sandbox: strict"

    def _fix(self) -> None:
        from gitml.execute.sandbox.image_view import make_read_only

        try:
            kernel.mount(None, "/", None, kernel.REC | kernel.SLAVE)
            for path in self.fixed:
                kernel.mount(path, path, None, kernel.BIND | kernel.REC)
                make_read_only(path)
        except OSError as error:
            raise NotConfinedError(error.errno, f"a read-only cache can't be kept here: {error.strerror}") from None

    def _confine(self, *, private: bool) -> None:
        from gitml.platform.landlock import MACHINE_ROOTS, Confinement

        writable = [self.seen, *(_WRITABLE if self.root else ())]
        if private:
            writable += self._make_private([*MACHINE_ROOTS, *self.readable, self.seen])
        confinement = Confinement(readable=[*MACHINE_ROOTS, *self.readable], writable=writable)
        kernel.keep_capabilities(_KEPT)
        confinement.enter()
        confinement.close()

    def _make_private(self, shown: Iterable[str]) -> list[str]:
        """Lays folders of the step's own over those that all share; of these the writable. What is `shown` stays where it is."""
        try:
            kernel.mount(None, "/", None, kernel.REC | kernel.SLAVE)
        except OSError:  # a system that gives namespaces and forbids mounts in them
            return []
        try:
            return self._lay_over(shown)
        except OSError as error:
            raise NotConfinedError(error.errno, f"its own temporary folders can't be made: {error.strerror}") from None

    def _lay_over(self, shown: Iterable[str]) -> list[str]:
        from gitml.execute.sandbox.image_view import make_read_only  # now: it may lie in what will be hidden

        work = os.getcwd()
        hidden = [path for path in HIDDEN if os.path.realpath(path) == path and os.path.isdir(path)]
        below = [path for path in dict.fromkeys(shown) if any(path.startswith(folder + "/") for folder in hidden)]
        kept = [(path, fd) for path in sorted(below) if (fd := _place(path)) >= 0]
        # made before anything is hidden: they may lie in what will be
        own = {path: self._own(path) for path in hidden if path in _WRITABLE}
        for path in hidden:
            if path in own:
                kernel.mount(f"/proc/self/fd/{own[path]}", path, None, kernel.BIND)
                os.close(own[path])
            elif path == _MEMORY:
                room = os.statvfs(path)
                options = f"mode=1777,size={room.f_blocks * room.f_frsize}"
                kernel.mount("gitml", path, "tmpfs", kernel.NOSUID | kernel.NODEV, options)
            else:
                kernel.mount("gitml", path, "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=755,size=1m")
        for path, fd in kept:
            is_shown = _show(path, fd)
            os.close(fd)
            # a folder that the step may write to is above it now, by which Landlock lets it write there too
            if is_shown and not f"{self.seen}/".startswith(f"{path}/"):
                make_read_only(path)
        for path in self.named:
            if any(path.startswith(folder + "/") for folder in hidden):
                self._make_named(path)
        os.chdir(work)
        return list(own)

    @staticmethod
    def _make_named(path: str) -> None:
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            if error.errno != errno.EROFS:  # in what is shown, where nobody can put anything
                raise

    def _own(self, path: str) -> int:
        """A descriptor of the step's own folder that is to be seen at `path`."""
        own = f"{self.folder}/private{path.replace('/', '-')}"
        os.mkdir(own)
        os.chmod(own, 0o1777)  # noqa: S103  as those that it stands for; who may enter is settled by the sandbox's
        return os.open(own, os.O_PATH | os.O_CLOEXEC)


@cache
def refusal(network: Network) -> str:
    """Why this machine can't keep a step to `network`; empty when it can. It is tried, in a process of its own."""
    return "" if network == FULL else platform.namespace_refusal() or _tried_apart(network)


@cache
def image_refusal() -> str:
    """Why steps can't run in an image on this machine; empty when they can."""
    return platform.namespace_refusal() or _tried_apart(_PRIVATE)


@cache
def private_folders() -> bool:
    """Whether a strict step here has temporary folders of its own."""
    return not (platform.namespace_refusal() or _tried_apart(_PRIVATE))


def _tried_apart(what: str) -> str:
    if not platform.is_single_threaded():  # no copy may be made of a process with threads
        import subprocess
        import sys

        top = os.path.abspath(__file__).removesuffix("/gitml/execute/sandbox/isolation.py")
        words = (
            sys.executable,
            "-c",
            "import sys; from gitml.execute.sandbox.isolation import tried; print(tried(sys.argv[1]))",
        )
        env = {**os.environ, "PYTHONPATH": top}
        ran = subprocess.run(
            [*words, what], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return ran.stdout.strip() if ran.returncode == 0 else "it could not be tried"
    return kernel.answered_apart(lambda: tried(what))


def tried(what: str) -> str:
    """Cuts this process off from the network of that name, or as a strict step is; why that can't be, else empty."""
    try:
        if what in NETWORKS:
            Isolation(strict=False, network=network_of(what)).enter()
        else:
            _new_namespaces(kernel.NEWNS | kernel.NEWIPC)
            kernel.mount(None, "/", None, kernel.REC | kernel.SLAVE)
    except NotConfinedError as error:
        return str(error.strerror).partition(" here: ")[2]
    except OSError as error:
        return str(error.strerror)
    return ""


def _new_namespaces(flags: int) -> None:
    if not flags:
        return
    try:
        kernel.unshare(flags)
    except PermissionError:
        uid, gid = os.geteuid(), os.getegid()
        # else the files by which ids are mapped are root's; its program is so anyway
        kernel.set_dumpable(dumpable=True)
        kernel.unshare(kernel.NEWUSER | flags)
        kernel.map_own_ids(uid, gid)


def _why(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no more namespaces may be made (sysctl user.max_net_namespaces)"
    return str(error.strerror)


def _bring_up_loopback() -> None:
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(control, _GET_FLAGS, asked))[1]
        try:
            fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _IS_UP))
        except OSError as error:
            raise NotConfinedError(error.errno, f"network: loopback can't be kept here: {error.strerror}") from None


def _place(path: str) -> int:
    """A descriptor by which `path` is found when another folder lies over it; -1 where there is nothing."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1


def _show(path: str, fd: int) -> bool:
    """Shows at `path`, in a folder that was laid over it, what is there; whether it was not yet to be seen."""
    if os.path.lexists(path):  # below another that is shown
        return False
    os.makedirs(os.path.dirname(path), exist_ok=True)
    link = f"/proc/self/fd/{fd}"
    if os.path.isdir(link):
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    kernel.mount(link, path, None, kernel.BIND | kernel.REC)
    return True
