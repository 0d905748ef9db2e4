"""Takes the declared outputs of a step from its sandbox, and only those, once no process of it is alive.

What an attempt that did not succeed made of them is kept in the Store for a while, never as a result. Whatever goes wrong there
changes nothing about the failure itself: a port that can't be kept is left out, and a nearly full disk keeps nothing, so that
the failure can still be recorded.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from gitml.core.kinds.port_kinds import PORT_KINDS, is_directory
from gitml.core.model.action import ActionOutput
from gitml.core.model.digest import Digest
from gitml.core.model.paths import is_git_name
from gitml.core.model.protocols import Store
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import link_stays_inside
from gitml.core.text.metrics_file import ParsedMetrics
from gitml.errors import GitmlError, InputError
from gitml.execute.log_text import neutral
from gitml.execute.sandbox.removal import remove_tree

_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class OutputMissingError(InputError):
    """An output that a step was to make is not there; `mount` is its place."""

    def __init__(self, output: ActionOutput) -> None:
        hint = "the command must write to the path that ${{ outputs." + output.name + " }} stands for"
        super().__init__(f"did not make output {output.name} ({output.mount})", hint=hint)
        self.mount = output.mount


def take_outputs(outputs: Sequence[ActionOutput], work: str, store: Store, taken: list[OutputRef]) -> ParsedMetrics:
    """Moves the outputs below `work` into the Store, each added to `taken` once it is there, and reads the metrics.

    An optional one may be missing. InputError when another is, not of its kind, or a metrics file is not one; all are looked at
    before any is taken.
    """
    outputs = [output for output in outputs if not (output.option("optional") and _is_missing(output, work))]
    executable = {output.name: _inspect(output, work) for output in outputs}
    numbers: dict[str, float] = {}
    labels: dict[str, str] = {}
    remarks: list[str] = []
    for output in outputs:
        read = PORT_KINDS[output.kind].read
        if read is not None:
            with open(f"{work}/{output.mount}", "rb") as file:
                measured = read(file, output)
            numbers.update(measured.numbers)
            labels.update(measured.labels)
            remarks += map(neutral, measured.remarks)
    for output in sorted(outputs, key=lambda output: not _is_part(output, outputs)):  # a part before the whole
        path = f"{work}/{output.mount}"
        try:
            if _is_part(output, outputs):
                digest, size = _take_copy(path, work, store)
            elif is_directory(
                output.kind
            ):  # what is left of it goes with the sandbox, once the step counts as finished
                digest, size = store.ingest_tree(path, leave=True)
            else:
                digest, size = store.ingest_file(path)
        except FileNotFoundError as error:
            raise InputError(f"output {output.name} ({output.mount}) went away while it was taken") from error
        except InputError as error:
            error.message = f"output {output.name} ({output.mount}): {error.message}"
            raise
        taken.append(OutputRef(output.name, output.kind, digest, size, executable[output.name]))
    order = {output.name: number for number, output in enumerate(outputs)}
    taken.sort(key=lambda ref: order[ref.name])
    return ParsedMetrics(numbers, tuple(remarks), labels)


def _is_part(output: ActionOutput, outputs: Sequence[ActionOutput]) -> bool:
    """Whether an output is a file of another one, which is a directory."""
    return any(is_directory(other.kind) and output.mount.startswith(other.mount + "/") for other in outputs)


def _take_copy(path: str, work: str, store: Store) -> tuple[Digest, int]:
    """Takes a copy of a file, which stays where it is: beside `work`, under a name that nothing has."""
    fd, copy = tempfile.mkstemp(dir=os.path.dirname(work))
    with open(fd, "wb") as to, open(path, "rb") as source:
        shutil.copyfileobj(source, to)
    try:
        return store.ingest_file(copy)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(copy)


def _is_missing(output: ActionOutput, work: str) -> bool:
    """Whether nothing is at the place of an output, not even a link that leads nowhere."""
    return not os.path.lexists(f"{work}/{output.mount}")


def _inspect(output: ActionOutput, work: str) -> bool:
    """Whether the output is an executable file; InputError unless it is there, in the sandbox, and of its kind."""
    path = f"{work}/{output.mount}"
    parent = os.path.dirname(path)
    if os.path.realpath(parent) != parent:
        raise InputError(f"output {output.name} ({output.mount}) lies behind a symbolic link")
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise OutputMissingError(output) from None
    expected = "a directory" if is_directory(output.kind) else "a file"
    found = next((word for test, word in _KINDS if test(mode)), "a device")
    if found != expected:
        raise InputError(f"output {output.name} ({output.mount}) is {found}, not {expected}")
    return expected == "a file" and bool(mode & stat.S_IXUSR)


FLOOR = 2**30  # bytes that stay free, or a twentieth of the disk where that is less
NO_ROOM = "what a failed step made of its outputs was not kept: the disk is nearly full"


class PartialOutputs(NamedTuple):
    """Partial outputs by port, and a note for a person when they could not be kept."""

    outputs: tuple[OutputRef, ...] = ()
    notes: tuple[str, ...] = ()


def keep_partial(
    outputs: Sequence[ActionOutput], work: str, store: Store, taken: Sequence[OutputRef] = ()
) -> PartialOutputs:
    """Moves what lies at the places of `outputs` below `work` into the Store; `taken` are those that it has already.

    A file or a directory is kept whatever was declared, without what no Store takes: pipes, devices, links that lead out, what is
    called ``.git``. What is missing or empty is left out.
    """
    have = {ref.name: ref for ref in taken}
    outputs = sorted(outputs, key=lambda output: not _is_part(output, outputs))
    found = [(output, path) for output in outputs if output.name not in have and (path := _place(output, work))]
    if not found and not have:
        return PartialOutputs()
    if not _has_room(store, work):
        return PartialOutputs(notes=(NO_ROOM,))
    notes: dict[str, None] = {}
    for output, path in found:
        try:
            ref = _take(output, path, store, beside=work if _is_part(output, outputs) else None)
        except (GitmlError, OSError):
            notes[f"what a failed step made of its output {output.name} could not be kept"] = None
            continue
        if ref.size:
            have[ref.name] = ref
    return PartialOutputs(tuple([have[output.name] for output in outputs if output.name in have]), tuple(notes))


def _place(output: ActionOutput, work: str) -> str | None:
    """The file or directory that was made for a port; a link counts as what it leads to in the sandbox."""
    top = os.path.realpath(work)
    path = os.path.realpath(f"{work}/{output.mount}")
    if not path.startswith(top + "/"):
        return None
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    return path if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None


def _take(output: ActionOutput, path: str, store: Store, beside: str | None) -> OutputRef:
    """Takes what was made for a port; a copy `beside` that folder where it is a part of another one."""
    found = os.lstat(path)
    if stat.S_ISDIR(found.st_mode):
        _prune(path)
        return OutputRef(output.name, "directory", *store.ingest_tree(path))
    _make_readable(path, found.st_mode)
    kind = "file" if is_directory(output.kind) else output.kind
    executable = bool(found.st_mode & stat.S_IXUSR)
    content = store.ingest_file(path) if beside is None else _take_copy(path, beside, store)
    return OutputRef(output.name, kind, *content, executable)


def _prune(top: str) -> None:
    """Removes from a directory what the Store refuses, so that it keeps the rest."""
    waiting = [(top, "")]
    while waiting:
        folder, inside = waiting.pop()
        os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | stat.S_IRWXU)  # of what the step locked, too
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if is_git_name(entry.name):
                    remove_tree(entry.path)
                elif entry.is_symlink():
                    if not link_stays_inside(inside, os.readlink(entry.path)):
                        os.unlink(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, f"{inside}/{entry.name}" if inside else entry.name))
                elif entry.is_file(follow_symlinks=False):
                    _make_readable(entry.path, entry.stat(follow_symlinks=False).st_mode)
                else:
                    os.unlink(entry.path)


def _make_readable(path: str, mode: int) -> None:
    if not mode & stat.S_IRUSR:
        os.chmod(path, stat.S_IMODE(mode) | stat.S_IRUSR)


def _has_room(store: Store, work: str) -> bool:
    """Whether enough is free, where the Store is and where the sandbox is."""
    try:
        here = os.statvfs(work)
    except OSError:
        return False
    both = (store.disk_space(), (here.f_bavail * here.f_frsize, here.f_blocks * here.f_frsize))
    return all(free >= min(FLOOR, of // 20) for free, of in both)
