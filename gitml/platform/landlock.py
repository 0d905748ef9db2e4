"""Denies a process every file but those it is given (Landlock, Linux 5.13 and later; no privileges needed).

From Linux 6.12 on it also can't signal a process outside, nor connect to an abstract socket of one."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

from gitml.files import closing_fd
from gitml.platform.kernel import deny_privileges, libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets, signals
_WITH_SCOPES = 6  # the version from which the kernel knows them
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

MACHINE_ROOTS = (
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc", "/proc", "/sys", "/opt/nvidia"),
    *("/run/systemd/resolve", "/run/resolvconf", "/nix/store", "/gnu/store", "/run/current-system"),
    *("/var/cache/fontconfig", "/dev/zero", "/dev/random", "/dev/urandom"),
)
"""What every step may read: the system's programs, libraries and settings."""

# shared memory is where semaphores of multiprocessing live
_DEVICES = ("/dev/null", "/dev/full", "/dev/shm", "/dev/ptmx", "/dev/pts", "/dev/dri", "/dev/kfd")  # noqa: S108


class _Ruleset(ctypes.Structure):
    _fields_ = [("handled_fs", ctypes.c_uint64), ("handled_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def refusal() -> str:
    """Why this kernel can't confine a step; empty when it can."""
    if _version() >= 1:
        return ""
    if ctypes.get_errno() == errno.EOPNOTSUPP:
        return "Landlock is built into this kernel but not enabled (add lsm=landlock,… to its command line)"
    return "this kernel has no Landlock (Linux 5.13 and later have)"


def scopes() -> bool:
    """Whether this kernel also keeps a confined process from signalling others."""
    return _version() >= _WITH_SCOPES


class Confinement:
    """A set of paths; `enter` confines the calling process and its children to them, for good.

    `readable` may be read and run, `writable` also written, each with all below it; what does not exist is passed over.
    """

    def __init__(self, readable: Iterable[str], writable: Iterable[str]) -> None:
        version = _version()
        if version < 1:
            raise OSError(errno.ENOSYS, refusal())
        read = _EXECUTE | _READ_FILE | _READ_DIR
        everything = read | _WRITE_FILE | _MAKE_AND_REMOVE
        if version >= 2:
            everything |= _REFER
        if version >= 3:
            everything |= _TRUNCATE
        handled = _Ruleset(everything, 0, _SCOPES)
        size = ctypes.sizeof(handled) if version >= _WITH_SCOPES else 8
        self._fd = _checked(_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(size), ctypes.c_uint32(0))
        try:
            for path in dict.fromkeys(readable):
                self._allow(path, read)
            for path in [*dict.fromkeys(writable), *_devices()]:
                self._allow(path, everything)
        except BaseException:
            self.close()
            raise

    def enter(self) -> None:
        """Confines this process."""
        deny_privileges()
        _checked(_RESTRICT_SELF, ctypes.c_int(self._fd), ctypes.c_uint32(0))

    def close(self) -> None:
        """Frees the set; who entered stays confined."""
        os.close(self._fd)

    def _allow(self, path: str, access: int) -> None:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        with closing_fd(fd):
            if not os.path.isdir(path):
                access &= _ON_FILES
            rule = _PathBeneath(access, fd)
            _checked(
                _ADD_RULE, ctypes.c_int(self._fd), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
            )


def _devices() -> list[str]:
    return [*_DEVICES, *[f"/dev/{name}" for name in os.listdir("/dev") if name.startswith("nvidia")]]


def _checked(number: int, *arguments: object) -> int:
    result = _syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result


def _syscall(number: int, *arguments: object) -> int:
    call = libc().syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *arguments))


def _version() -> int:
    """The version of Landlock that this kernel knows; below 1 when it has none."""
    return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
