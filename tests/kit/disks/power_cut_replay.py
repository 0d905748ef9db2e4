"""What a power cut can leave of a command: its system calls are recorded, and states of the disk are built from them again.

Two models. `ext4` (data=ordered): names are a prefix of what was done, at least up to the last sync of anything; the data of a
file that was not synced is there or not, but is there where a rename replaced another file. `posix`: of the names in a folder
that was not synced since, any part; a rename is whole or not; data that was not synced is there, cut, zeros, or not there.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gitml.layout import INSPECTION_VARIABLE

_CALLS = (
    "open,openat,creat,write,pwrite64,writev,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "truncate,ftruncate,fsync,fdatasync,syncfs,sync,symlink,symlinkat,copy_file_range,sendfile,chdir,fchdir,lseek,read"
)
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class Op(NamedTuple):
    """`kind` is make, append, trunc, write, copy, size, read, lseek, look, move, link, symlink, drop, folder, unfolder, sync, or syncall.

    A syncall counts for what was done when it was asked for: that is `syncing`, with the same `other`, where others went on meanwhile.
    """

    kind: str
    path: str
    other: str = ""
    data: bytes = b""
    at: int = -1  # where a write goes; -1: behind what this descriptor wrote last


def record(command: Sequence[str], watched: Path, env: Mapping[str, str], cwd: Path, log: Path) -> tuple[list[Op], int]:
    """Runs a command; what it and all that it starts did below `watched`, and its exit code."""
    words = ["strace", "-f", "-y", "-xx", "-s", "4000000", "-o", str(log), "-e", f"trace={_CALLS}", *command]
    seen = {**env, INSPECTION_VARIABLE: "allow"}  # who isn't root reads the names in its calls only so
    done = subprocess.run(words, cwd=cwd, env=seen, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return _parsed(log, str(watched), str(cwd)), done.returncode


def _text(coded: str) -> str:
    return os.fsdecode(bytes.fromhex(coded.replace("\\x", "")))


def _parsed(log: Path, watched: str, cwd: str) -> list[Op]:
    ops: list[Op] = []
    begun: dict[tuple[str, str], str] = {}
    folders: dict[str, str] = {}
    packs = "".join(f"\\x{byte:02x}" for byte in b"tmp_pack")  # the files that Git goes back in while it writes them
    for line in log.read_text(errors="replace").splitlines():
        if (" read(" in line or " lseek(" in line) and packs not in line:
            continue
        if line.endswith("<unfinished ...>"):
            head = line.removesuffix("<unfinished ...>").rstrip()
            found = re.match(r"^(\d+) +(\w+)\(", head)
            if found:
                begun[found[1], found[2]] = head
                if found[2] in ("syncfs", "sync"):
                    ops.append(Op("syncing", watched, found[1]))
            continue
        resumed = _RESUMED.match(line)
        if resumed:
            line = begun.pop((resumed[1], resumed[2]), "") + resumed[3]
        found = _LINE.match(line)
        if not found or int(found[4]) < 0:
            continue
        pid, call, args, result = found[1], found[2], found[3], int(found[4])
        names = [_text(one) for one, _ in _STRING.findall(args)]
        descriptors = [_text(one) if one.startswith("\\x") else one for one in re.findall(r"<([^<>]*)>", args)]
        here = folders.get(pid, cwd)

        def full(name: str, start: str = here) -> str:
            return os.path.normpath(os.path.join(start, name))

        def starts(args: str = args, here: str = here) -> list[str]:
            """The folder that each name of an *at call begins from."""
            return [
                _text(one) if one.startswith("\\x") else one or here
                for one in re.findall(r"(?:AT_FDCWD|\d+)(?:<([^<>]*)>)?, \"", args)
            ]

        new: list[Op] = []
        if call in ("open", "openat", "creat"):
            path = full(names[0], (starts() or [here])[0] or here)
            if "O_CREAT" in args or "O_TRUNC" in args or call == "creat":
                new = [Op("trunc" if "O_TRUNC" in args else "append" if "O_APPEND" in args else "make", path)]
            elif "/live/" in path:  # what a step left where nobody watched is looked at once the step has ended
                new = [Op("look", path)]
        elif call in ("write", "writev", "pwrite64") and descriptors:
            data = b"".join(bytes.fromhex(one.replace("\\x", "")) for one, _ in _STRING.findall(args))[:result]
            at = int(args.rsplit(",", 1)[1]) if call == "pwrite64" else -1
            new = [Op("write", descriptors[0], data=data, at=at)]
        elif call.startswith("rename") or call in ("link", "linkat"):
            begins = starts() if "at" in call else [here, here]
            old, to = full(names[0], begins[0]), full(names[1], begins[-1])
            new = [Op("move" if call.startswith("rename") else "link", old, to)]
        elif call in ("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"):
            path = full(names[0], (starts() or [here])[0] if "at" in call else here)
            kind = (
                "folder"
                if call.startswith("mkdir")
                else "unfolder"
                if call == "rmdir" or "AT_REMOVEDIR" in args
                else "drop"
            )
            new = [Op(kind, path)]
        elif call in ("symlink", "symlinkat"):
            new = [Op("symlink", full(names[1], (starts() or [here])[-1] if call == "symlinkat" else here), names[0])]
        elif call in ("lseek", "read") and descriptors:
            new = [Op(call, descriptors[0], at=result)]
        elif call == "ftruncate" and descriptors:
            new = [Op("size", descriptors[0], at=int(args.rsplit(",", 1)[1]))]
        elif call in ("fsync", "fdatasync") and descriptors:
            new = [Op("sync", descriptors[0])]
        elif call in ("syncfs", "sync"):
            new = [Op("syncall", watched, pid)]
        elif call in ("copy_file_range", "sendfile") and len(descriptors) > 1 and result > 0:
            new = [Op("copy", descriptors[1] if call == "copy_file_range" else descriptors[0], descriptors[0])]
        elif call == "chdir":
            folders[pid] = full(names[0])
        ops += [
            op
            for op in new
            if op.path.startswith(watched + "/")
            or op.path == watched
            or op.other.startswith(watched + "/")
            or op.kind in ("syncall", "syncing")
        ]
    return ops


class _File:
    """Content now, and what of it is surely on the disk (None: nothing)."""

    __slots__ = ("cursor", "data", "durable", "forced", "link")

    def __init__(self, data: bytes = b"", durable: bytes | None = None, link: str | None = None) -> None:
        self.data = data
        self.durable = durable
        self.link = link
        self.forced = False  # ext4 writes the data of a file that replaced another with its name
        self.cursor = 0


_All = tuple[list[tuple[_File, bytes, bytes | None]], list[str], set[str], int]
"""Files with their data and what of it was durable, folders, files looked at, and how many changes of names there were."""


class Disk:
    """A folder as it was, and then as operations change it."""

    def __init__(self, watched: Path, final: Path | None = None) -> None:
        """`watched` is as it was; `final` is a copy as it became, for files that were written where nobody watched."""
        self.watched = str(watched)
        self.final = final
        self.unseen: set[str] = set()  # what was synced under a name that nobody saw being made
        self.names: dict[str, _File | None] = {}  # None: a folder
        for place, folders, files in os.walk(watched):
            for name in folders:
                path = os.path.join(place, name)
                self.names[path] = _File(b"", b"", os.readlink(path)) if os.path.islink(path) else None
            for name in files:
                path = os.path.join(place, name)
                if os.path.islink(path):
                    self.names[path] = _File(b"", b"", os.readlink(path))
                else:
                    data = Path(path).read_bytes()
                    self.names[path] = _File(data, data)
        self.done: list[tuple[str, str, str, _File | None]] = []  # what changed names
        self.certain = 0  # how many of them are surely on the disk under ext4
        self.looked: set[str] = (
            set()
        )  # of what was written where nobody watched, what was complete when it was looked at
        self.begun: dict[str, _All] = {}  # syncs of everything that go on
        self.synced: dict[str, int] = {}  # folder -> how many of `done` its names are surely on the disk up to

    def apply(self, op: Op) -> None:
        names = self.names
        if op.kind in ("make", "append", "trunc"):
            if not isinstance(names.get(op.path), _File):
                self._name("add", op.path, "", _File())
            elif op.kind == "trunc":
                names[op.path].data = b""  # type: ignore[union-attr]
            if isinstance(found := names.get(op.path), _File):
                found.cursor = len(found.data) if op.kind == "append" else 0
        elif op.kind in ("write", "size", "copy") and isinstance(file := names.get(op.path), _File):
            if op.kind == "size":
                file.data = file.data[: op.at].ljust(op.at, b"\0")
            elif op.kind == "copy":
                source = names.get(op.other)
                if isinstance(source, _File):
                    file.data = file.data[: file.cursor] + source.data
                    file.cursor = len(file.data)
            else:
                at = op.at if op.at >= 0 else len(file.data) if file.cursor == 0 and file.durable else file.cursor
                file.data = file.data[:at].ljust(at, b"\0") + op.data + file.data[at + len(op.data) :]
                if op.at < 0:
                    file.cursor = at + len(op.data)
        elif op.kind in ("lseek", "read") and isinstance(file := names.get(op.path), _File):
            file.cursor = op.at if op.kind == "lseek" else file.cursor + op.at
        elif op.kind == "look" and op.path not in names:
            self.looked.add(op.path)
        elif op.kind in ("move", "link") and op.path not in names and self._final(op.other) is not None:
            data = self._final(op.other)
            assert data is not None
            self._name("add", op.other, "", _File(data, data if op.path in self.unseen else None))
        elif op.kind == "move" and op.path in names:
            moved = names[op.path]
            if isinstance(moved, _File) and op.other in names:
                moved.forced = True
            self._name("move", op.path, op.other, moved)
        elif op.kind == "link" and isinstance(names.get(op.path), _File):
            self._name("add", op.other, "", names[op.path])
        elif op.kind == "symlink":
            self._name("add", op.path, "", _File(b"", b"", op.other))
        elif op.kind == "folder":
            self._name("add", op.path, "", None)
        elif op.kind in ("drop", "unfolder") and op.path in names:
            self._name("drop", op.path, "", None)
        elif op.kind == "sync":
            found = names.get(op.path)
            if isinstance(found, _File):
                found.durable = found.data
            elif op.path in names or op.path == self.watched:
                self.synced[op.path] = len(self.done)
            else:
                self.unseen.add(op.path)
            self.certain = len(self.done)
        elif op.kind == "syncing":
            self.begun[op.other] = self._all()
        elif op.kind == "syncall":
            contents, folders, looked, done = self.begun.pop(op.other, None) or self._all()
            self.unseen |= looked
            for one, data, before in contents:
                if one.durable is before:  # else it was synced by itself since
                    one.durable = data
            for path in folders:
                self.synced[path] = max(self.synced.get(path, 0), done)
            self.certain = max(self.certain, done)

    def _all(self) -> _All:
        """What a sync of everything makes durable."""
        contents = [(found, found.data, found.durable) for found in self.names.values() if found is not None]
        folders = [self.watched, *[path for path, found in self.names.items() if found is None]]
        return contents, folders, set(self.looked), len(self.done)

    def _final(self, path: str) -> bytes | None:
        place = None if self.final is None else self.final / os.path.relpath(path, self.watched)
        return place.read_bytes() if place is not None and place.is_file() else None

    def _name(self, what: str, path: str, other: str, file: _File | None) -> None:
        self.done.append((what, path, other, file))
        _change(self.names, what, path, other, file)


def _change(names: dict[str, _File | None], what: str, path: str, other: str, file: _File | None) -> None:
    if what == "add":
        names[path] = file
    elif what == "drop":
        names.pop(path, None)
    else:
        for name in [name for name in names if name == path or name.startswith(path + "/")]:
            names[other + name[len(path) :]] = names.pop(name)
        names.setdefault(other, file)


def state_after(before: Disk, ops: Sequence[Op], model: str, chance: random.Random) -> dict[str, bytes | str | None]:
    """What a cut after these operations may leave: path -> content, target of a link, or None for a folder.

    `before` is used up.
    """
    start = dict(before.names)
    for op in ops:
        before.apply(op)
    names = dict(start)
    count = len(before.done)
    kept = chance.randint(before.certain, count) if model == "ext4" else count
    mood = chance.random()  # some cuts keep nearly all, some nearly nothing
    for number, (what, path, other, file) in enumerate(before.done[:kept]):
        if model == "posix":
            folders = [os.path.dirname(name) for name in (path, other) if name]
            certain = any(before.synced.get(folder, 0) > number for folder in folders)
            if not certain and chance.random() > mood:
                continue
        _change(names, what, path, other, file)
    data_mood = chance.random()
    left: dict[str, bytes | str | None] = {}
    seen: dict[int, bytes] = {}
    for path in sorted(names):
        above = os.path.dirname(path)
        if above != before.watched and above not in left:
            continue  # its folder isn't there
        file = names[path]
        if file is None or file.link is not None:
            left[path] = None if file is None else file.link
            continue
        if id(file) not in seen:
            seen[id(file)] = _data(file, model, data_mood, chance)
        left[path] = seen[id(file)]
    return left


def _data(file: _File, model: str, mood: float, chance: random.Random) -> bytes:
    if file.durable == file.data or (model == "ext4" and file.forced) or chance.random() < mood:
        return file.data
    durable = file.durable or b""
    if model == "ext4":
        return durable
    new = file.data
    return chance.choice([durable, new[: len(new) // 2], new[: len(durable)] + b"\0" * (len(new) - len(durable)), b""])


def build(state: Mapping[str, bytes | str | None], watched: Path, target: Path) -> str:
    """Writes a state below `target`; a digest of it."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    digest = hashlib.sha256()
    for path in sorted(state):
        place = target / os.path.relpath(path, watched)
        content = state[path]
        digest.update(f"{path}\0".encode())
        if content is None:
            place.mkdir()
        elif isinstance(content, str):
            place.symlink_to(content)
        else:
            digest.update(content)
            place.write_bytes(content)
            if "/objects/" in path:
                place.chmod(0o444)
    return digest.hexdigest()
