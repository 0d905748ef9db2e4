"""Unpacks an image into a folder, by a process that takes the folder for its root before it reads the first byte of a layer."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import IO, NamedTuple

from gitml.errors import IntegrityError, MachineError, machine_error
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images.layers import BadLayerError, LayerUnpacker, PackedLayer
from gitml.execute.environments.images.manifests import Layer
from gitml.execute.process import NotConfinedError, StoppedError, run
from gitml.execute.sandbox.removal import remove_tree
from gitml.platform import kernel
from gitml.platform.linux import MOUNTED

_REPORTED = 2**26  # bytes from one report of progress to the next
_TAIL = 2**16
_MEMORY = 2**31  # bytes of memory that unpacking takes at most; an image of a million files takes a tenth of it
_NAMES = 2**20  # bytes of a file of users or groups that can be added to
_FOLDERS = ("/proc", "/sys", "/dev", "/run", MOUNTED)
_OWN_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108  of the image
_FILES = ("/etc/resolv.conf", "/etc/hosts")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HOME = f"{MOUNTED}/home"


class LayerFile(NamedTuple):
    """A layer as it was fetched to `path`; `diff_id` is the digest of what is in it."""

    path: str
    layer: Layer
    diff_id: str


def unpack(
    folder: str,
    layers: Sequence[LayerFile],
    zstd: str | None,
    name: str,
    control: BuildControl,
) -> None:
    """Fills the empty `folder` with an image. `zstd` is the path of that program, needed where a layer is packed by it.

    IntegrityError for layers that are not what they should be, MachineError when the disk refuses, StoppedError where `control`
    stops it.
    """
    said = bytearray()

    def keep(chunk: bytes) -> None:
        said.extend(chunk)
        *lines, rest = bytes(said).split(b"\n")
        said[:] = rest[-_TAIL:]
        for line in lines:
            _heed(line, folder, name, control.report)

    with ExitStack() as held:
        streams: list[PackedLayer] = []

        def begin() -> None:
            # what is opened, started and imported after the root has changed would be the image's
            streams.extend([_opened(one, zstd, held) for one in layers])
            _limit_memory()
            _take_for_root(folder)

        argv = ("unpack",)
        try:
            ended = run("unpack", argv, {}, keep, control.stop, confine=begin, launch=lambda: _unpack_all(streams))
        except NotConfinedError as error:
            raise MachineError(
                f"image {name} can't be unpacked: {error.strerror}", hint="see `gitml doctor`", where=folder
            ) from error
        except OSError as error:
            raise machine_error(error, folder, f"image {name} can't be unpacked") from error
    if ended.stopped:
        raise StoppedError
    if ended.code != 0:
        raise MachineError(
            f"image {name} can't be unpacked: the process that did it ended with {ended.code}", where=folder
        )


def _heed(line: bytes, folder: str, name: str, report: Callable[[str], None]) -> None:
    """Passes on what the process that unpacks said."""
    try:
        told = json.loads(line)
    except ValueError:
        return
    if not isinstance(told, dict):
        return
    if "done" in told:
        report(f"unpacking image {name}: {told['done'] / 2**20:,.0f} MiB")
    elif "broken" in told:
        hint = "gitml fetches it again on the next run; a layer that stays so must be pushed again"
        raise BrokenImageError(f"image {name} can't be unpacked: {told['broken']}", told["layer"], hint)
    elif "errno" in told:
        refused = OSError(told["errno"], os.strerror(told["errno"]), told["path"] or folder)
        raise machine_error(refused, folder, f"image {name} can't be unpacked")


class BrokenImageError(IntegrityError):
    """A layer is not what it should be: the one with that index."""

    def __init__(self, message: str, layer: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.layer = layer


def _opened(one: LayerFile, zstd: str | None, held: ExitStack) -> PackedLayer:
    file: IO[bytes] = held.enter_context(open(one.path, "rb"))  # noqa: SIM115  the stack closes it
    size = os.fstat(file.fileno()).st_size
    if one.layer.compression == "gzip":
        return PackedLayer(gzip.GzipFile(fileobj=file), one.diff_id, size)
    if one.layer.compression == "zstd":
        if zstd is None:
            raise NotConfinedError(errno.ENOENT, "a layer is packed by zstd, which is not installed")
        process = subprocess.Popen([zstd, "-dcq"], stdin=file, stdout=subprocess.PIPE)
        assert process.stdout is not None
        return PackedLayer(process.stdout, one.diff_id, size)
    return PackedLayer(file, one.diff_id, size)


def _limit_memory() -> None:
    """Gives this process so much memory and no more, whatever a layer has it remember."""
    with open("/proc/self/statm", "rb") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    asked = taken + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (asked if most == resource.RLIM_INFINITY else min(asked, most), most))


def _take_for_root(folder: str) -> None:
    """Makes `folder` the root of this process. NotConfinedError where the machine does not let it."""
    try:
        try:
            os.chroot(folder)
        except PermissionError:
            uid, gid = os.geteuid(), os.getegid()
            kernel.set_dumpable(dumpable=True)  # else the files by which ids are mapped are root's
            kernel.unshare(kernel.NEWUSER)
            kernel.map_own_ids(uid, gid)
            os.chroot(folder)
        os.chdir("/")
    except OSError as error:
        raise NotConfinedError(error.errno, f"no user namespace can be made here: {error.strerror}") from None


def _unpack_all(layers: Sequence[PackedLayer]) -> int:
    """In the process that unpacks; what it has to say are lines of JSON."""
    os.umask(0o022)
    reported = 0

    def progress(done: int) -> None:
        nonlocal reported
        if done - reported >= _REPORTED:
            reported = done
            _say({"done": done})

    done = 0
    try:
        unpacker = LayerUnpacker(sum([layer.size for layer in layers]), progress)
        for layer in layers:
            unpacker.unpack(layer)
            done += 1
        _furnish()
        unpacker.finish()
    except BadLayerError as error:
        _say({"broken": f"layer {done + 1}: {error}", "layer": done})
        return 1
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else None
        _say({"errno": error.errno or errno.EIO, "path": path})
        return 1
    return 0


def _say(what: dict[str, object]) -> None:
    sys.stdout.flush()
    os.write(1, json.dumps(what).encode("ascii") + b"\n")


def _furnish() -> None:
    """Adds what is mounted upon when a step enters the image, and a name for the user that it runs as.

    What of the image stands in the way goes: programs in it could use neither.
    """
    for path in _FOLDERS:
        if os.path.islink(path):
            os.unlink(path)
        _make_folder(path)
    for path in _OWN_FOLDERS:
        if not os.path.lexists(path):
            _make_folder(path)
            os.chmod(path, 0o1777)  # noqa: S103  as in every system
    _make_folder("/etc")
    for path in _FILES:
        if not _is_file(path):
            remove_tree(path)
            os.close(os.open(path, _CREATE, 0o644))
    uid, gid = os.geteuid(), os.getegid()
    _add_name("/etc/passwd", uid, f"gitml:x:{uid}:{gid}::{_HOME}:/bin/sh\n")
    _add_name("/etc/group", gid, f"gitml:x:{gid}:\n")


def _make_folder(path: str) -> None:
    """Makes a folder and those above it, in place of what is there and is none."""
    parts = path.split("/")[1:]
    for count in range(1, len(parts) + 1):
        place = "/" + "/".join(parts[:count])
        if not os.path.isdir(place):
            remove_tree(place)
            os.mkdir(place, 0o755)


def _add_name(path: str, number: int, line: str) -> None:
    """Adds a line to a file of names, unless one of it has the number already, or it is too large for one."""
    known = ""
    if _is_file(path):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            known = file.read(_NAMES)
    else:
        remove_tree(path)
    if len(known) == _NAMES or any(one.split(":")[2:3] == [str(number)] for one in known.splitlines()):
        return
    text = known if not known or known.endswith("\n") else known + "\n"
    part = path + ".gitml"
    remove_tree(part)
    fd = os.open(part, _CREATE, 0o644)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text + line)
        os.fchmod(fd, 0o644)
    os.rename(part, path)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
