"""The kernel's calls that Python has no function for: namespaces, mounts, capabilities, and who may look into a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from gitml.files import opened
from gitml.layout import INSPECTION_VARIABLE

if TYPE_CHECKING:
    import ctypes  # a few milliseconds, which only what calls the kernel need wait for

NEWNS, NEWUSER, NEWIPC, NEWNET = 0x00020000, 0x10000000, 0x08000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, SLAVE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 19
NOATIME, NODIRATIME, RELATIME = 1 << 10, 1 << 11, 1 << 21

CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP = 0, 1, 3, 4, 5, 6, 7, 8
NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_CHROOT, SYS_ADMIN, SETFCAP = 10, 12, 13, 18, 21, 31

_DETACH = 2
_SET_DUMPABLE, _SET_NO_NEW_PRIVS = 4, 38
_CAPABILITY_VERSION = 0x20080522  # capset(2): two words of 32 bits each for effective, permitted, inheritable
# what is no secret stays where it is: libraries may hold on to what they once asked for
_PLAIN = frozenset(
    b"HOME PATH PWD SHELL USER LOGNAME LANG LANGUAGE TZ TERM TMPDIR SQLITE_TMPDIR XDG_CONFIG_HOME XDG_CACHE_HOME".split()
)
_ENV_START, _ENV_END = 47, 48  # fields of /proc/PID/stat behind the name: proc(5)


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def answered_apart(question: Callable[[], str]) -> str:
    """What `question` gives in a copy of this process, which it may change for good. This one must have no other threads."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.write(writer, question().encode("utf-8", "replace"))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read().decode("utf-8", "replace")
    os.waitpid(pid, 0)
    return answer


def unshare(flags: int) -> None:
    """Gives this process namespaces of its own. OSError when the kernel refuses, here and below."""
    _check("unshare", libc().unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Moves this process into the namespace that `fd` stands for."""
    _check("setns", libc().setns(fd, kind))


def map_own_ids(uid: int, gid: int) -> None:
    """Keeps the ids in a fresh user namespace; groups beyond these keep their rights, though they have no name there."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with opened(f"/proc/self/{name}", os.O_WRONLY) as fd:
            os.write(fd, text.encode())


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """As mount(2)."""
    import ctypes

    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    done = libc().mount(*words, ctypes.c_ulong(flags), None if options is None else options.encode())
    _check(f"mount {target}", done)


def umount(target: str) -> None:
    """Takes off what is mounted at `target`, though it may be in use; nothing happens where nothing is."""
    libc().umount2(os.fsencode(target), _DETACH)


def pivot_root(new: str, old: str) -> None:
    """As pivot_root(2)."""
    _check("pivot_root", libc().pivot_root(os.fsencode(new), os.fsencode(old)))


def keep_capabilities(kept: tuple[int, ...]) -> None:
    """Gives up all capabilities but those of `kept` that this process has.

    A program that it becomes as root has all of them again, unless `deny_privileges` was called.
    """
    import ctypes

    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    held = (ctypes.c_uint32 * 6)()
    _check("capget", libc().capget(header, held))
    wanted = sum(1 << number for number in kept)
    low, high = held[1] & wanted & 0xFFFFFFFF, held[4] & wanted >> 32
    _check("capset", libc().capset(header, (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)))


def deny_privileges() -> None:
    """No program that this process becomes gets more rights than it has, as by a setuid bit."""
    _check("prctl", libc().prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def set_dumpable(*, dumpable: bool) -> None:
    """Whether processes of the same user may look into this one and its copies, until they run another program."""
    _check("prctl", libc().prctl(_SET_DUMPABLE, int(dumpable), 0, 0, 0))


def deny_inspection() -> None:
    """Keeps all but root from looking into this process and its copies: its memory, its open files, its environment.

    A step in a normal sandbox runs as the user that gitml runs as, and could read all that gitml was given: tokens in variables
    above all. What the kernel shows of a process to others of its user it shows only while that is "dumpable", which also is
    what leaves a core file behind. A program that a copy becomes is dumpable again. To root, which passes that over, the
    variables are shown from where they lay when the process began: what may be secret is moved away from there.
    """
    if os.environ.get(INSPECTION_VARIABLE) == "allow":
        return
    set_dumpable(dumpable=False)
    _move_variables()


def _move_variables() -> None:
    """Copies the variables that may be secret to elsewhere in memory, has the C library find them there, and blots them out."""
    import ctypes

    with open("/proc/self/stat", "rb") as file:
        stat = file.read()
    fields = stat[stat.rfind(b")") + 2 :].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    if not 0 < start < end:
        return
    c_library = libc()
    c_library.strdup.restype = ctypes.c_void_p
    table = ctypes.c_void_p.in_dll(c_library, "environ").value
    width = ctypes.sizeof(ctypes.c_void_p)
    while table and (address := ctypes.c_void_p.from_address(table).value):
        text = ctypes.string_at(address)
        if start <= address < end and text.partition(b"=")[0] not in _PLAIN:
            ctypes.c_void_p.from_address(table).value = c_library.strdup(ctypes.c_void_p(address))
            ctypes.memset(address, 0, len(text))
        table += width
    _blot_rest(start, end)


def _blot_rest(start: int, end: int) -> None:
    """Blots out variables that the table had no more, as they were set to something else or deleted since."""
    import ctypes

    at = start
    for text in ctypes.string_at(start, end - start).split(b"\0"):
        if text and text.partition(b"=")[0] not in _PLAIN:
            ctypes.memset(at, 0, len(text))
        at += len(text) + 1


def _check(what: str, result: int) -> None:
    if result != 0:
        import ctypes

        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
