"""Keeps other processes of the same user from looking into this one: its memory, its open files, its environment.

A step in a normal sandbox runs as the user that gitml runs as, and could read all that gitml was given: tokens in variables
above all. What the kernel shows of a process to others of its user it shows only while that is "dumpable", which also is what
leaves a core file behind. Copies of this process are not dumpable either; a program that one of them becomes is.

To root, which passes that over, the variables are shown from where they lay when the process began: what may be secret is
moved away from there.
"""

from __future__ import annotations

import os

from gitml import layout
from gitml.execute.sandbox import kernel

# what is no secret stays where it is: libraries may hold on to what they once asked for
_PLAIN = frozenset(
    b"HOME PATH PWD SHELL USER LOGNAME LANG LANGUAGE TZ TERM TMPDIR SQLITE_TMPDIR XDG_CONFIG_HOME XDG_CACHE_HOME".split()
)
_ENV_START, _ENV_END = 47, 48  # fields of /proc/PID/stat behind the name: proc(5)


def deny_inspection() -> None:
    """Has nobody but root look into this process and its copies from now on. Steps are not affected, nor is what is done here."""
    if os.environ.get(layout.INSPECTION_VARIABLE) == "allow":
        return
    kernel.set_dumpable(dumpable=False)
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
    libc = kernel.libc()
    libc.strdup.restype = ctypes.c_void_p
    table = ctypes.c_void_p.in_dll(libc, "environ").value
    width = ctypes.sizeof(ctypes.c_void_p)
    while table and (address := ctypes.c_void_p.from_address(table).value):
        text = ctypes.string_at(address)
        if start <= address < end and text.partition(b"=")[0] not in _PLAIN:
            ctypes.c_void_p.from_address(table).value = libc.strdup(ctypes.c_void_p(address))
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
