"""Outputs that are what matches a pattern: when the step has ended, it is put where the sandbox has outputs without a path.

What the step was given is no output of it, unless it changed it. A link stands for what it leads to; byte code is nobody's.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from gitml.core.kinds.port_kinds import is_directory
from gitml.core.model.action import ActionOutput
from gitml.core.model.graph import OUT
from gitml.core.model.paths import is_git_name
from gitml.core.text.path_pattern import PathPattern, State, path_pattern
from gitml.errors import InputError
from gitml.execute.log_text import neutral

_NAMED = 5  # files that an error names
_SEEN = 2000  # names among which near ones are looked for

IsGiven = Callable[[str], bool]
"""Whether a path of the sandbox is what the step was given there."""


def place_matches(outputs: Sequence[ActionOutput], work: str, is_given: IsGiven) -> None:
    """Puts what matches the patterns of `outputs` below `work` at their places, where nothing lies yet.

    InputError where a file is none or several, and where nothing matches what is not optional.
    """
    wanted = [
        output for output in outputs if output.option("pattern") and not os.path.lexists(f"{work}/{output.mount}")
    ]
    if not wanted:
        return
    fixed = [output.mount for output in outputs if not output.option("pattern")]
    found = {output.name: matches(output, work, is_given) for output in wanted}
    owners: dict[str, int] = {}
    for paths in found.values():
        for path in paths:
            owners[path] = owners.get(path, 0) + 1
    for output in wanted:
        _check(output, found[output.name], work, is_given)
    jobs = [(output, path) for output in wanted for path in found[output.name]]
    links = [job for job in jobs if os.path.islink(f"{work}/{job[1]}")]
    among = set(links)
    for output, path in [*links, *(job for job in jobs if job not in among)]:  # what links lead to is moved after them
        top = f"{work}/{output.mount}"
        shared = owners[path] > 1 or any(path.startswith(f"{mount}/") or path == mount for mount in fixed)
        to = f"{top}/{path.removeprefix(_project(output))}" if is_directory(output.kind) else top
        os.makedirs(os.path.dirname(to), exist_ok=True)
        _put(output, f"{work}/{path}", to, work, copied=shared)
        owners[path] -= 1
    for _, path in jobs:
        if not any(path.startswith(f"{mount}/") or path == mount for mount in fixed):
            with suppress(FileNotFoundError):  # what was copied
                os.unlink(f"{work}/{path}")
            _remove_empty(os.path.dirname(path), work)


def matches(output: ActionOutput, work: str, is_given: IsGiven) -> list[str]:
    """The files and links below `work` that match the pattern of an output and that the step was not given, in order."""
    patterns = [path_pattern(text) for text in output.option("pattern")]
    states = [(pattern, pattern.start()) for pattern in patterns]
    own = _project(output) + posixpath.dirname(OUT)  # where the step has what is given no place
    return [path for path in _below(work, "", states, own, whole=False) if not is_given(path)]


def made_elsewhere(work: str, mount: str, is_given: IsGiven) -> str | None:
    """A file below `work` that the step made and that has the name of an output whose place is `mount`; the highest one.

    Only so many files are looked at.
    """
    name = mount.rpartition("/")[2]
    waiting = [""]
    seen = 0
    while waiting and seen < _SEEN:
        folder = waiting.pop(0)
        with os.scandir(f"{work}/{folder}" if folder else work) as entries:
            found = sorted(islice(entries, _SEEN), key=lambda entry: entry.name)
        seen += len(found)
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if is_git_name(entry.name) or entry.name == posixpath.dirname(OUT) or path == mount:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.name == name and entry.is_file(follow_symlinks=False) and not is_given(path):
                return path
    return None


def _project(output: ActionOutput) -> str:
    """The folder of the sandbox from which an output's paths count, with a final ``/``; empty for its top."""
    place = f"{OUT}/{output.name}"
    return output.mount.removesuffix(place) if output.mount.endswith(f"/{place}") else ""


def _below(
    work: str, folder: str, states: Sequence[tuple[PathPattern, State]], own: str, *, whole: bool
) -> Iterator[str]:
    """What matches in a folder and below it; with `whole` all of it does. The folder `own` is left out."""
    with os.scandir(f"{work}/{folder}" if folder else work) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if is_git_name(entry.name) or entry.name == "__pycache__" or path == own:
            continue
        reached = [(pattern, state) for pattern, before in states if (state := pattern.after(before, entry.name))]
        matched = whole or any(pattern.is_match(state) for pattern, state in reached)
        if not entry.is_symlink() and entry.is_dir():
            if matched or reached:
                yield from _below(work, path, reached, own, whole=matched)
        elif matched:
            yield path


def _check(output: ActionOutput, paths: Sequence[str], work: str, is_given: IsGiven) -> None:
    text = " or ".join(output.option("pattern"))
    if not paths and not output.option("optional"):
        given = _named(matches(output, work, lambda path: not is_given(path)))
        if given:
            raise InputError(
                f"output {output.name}: of what matches {text} the step made nothing: it was given {given}, and left it as it was"
            )
        every = ActionOutput(output.name, output.mount, output.kind, (("pattern", ("**",)),))
        made = matches(every, work, is_given)[:_SEEN]
        last = output.option("pattern")[0].rpartition("/")[2]
        near = sorted(made, key=lambda path: -difflib.SequenceMatcher(None, last, path.rpartition("/")[2]).ratio())
        beside = f": it made {_named(near)}" if near else ", and it made no other file"
        raise InputError(f"output {output.name}: the step made nothing that matches {text}{beside}")
    if len(paths) > 1 and not is_directory(output.kind):
        raise InputError(
            f"output {output.name} is one file, and {len(paths):,} match {text}: {_named(paths)}",
            hint="type: directory takes them all",
        )


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    return ", ".join(neutral(path) for path in paths[:_NAMED]) + more


def _put(output: ActionOutput, path: str, to: str, work: str, *, copied: bool) -> None:
    """Moves, or copies, one match to its place; a link becomes a copy of what it leads to."""
    real = os.path.realpath(path)
    if os.path.islink(path):
        if not real.startswith(os.path.realpath(work) + "/") or not os.path.exists(real):
            where = "nowhere" if not os.path.exists(real) else "out of the sandbox"
            raise InputError(
                f"output {output.name}: {neutral(os.path.relpath(path, work))} is a link that leads {where}"
            )
        copied = True
    if os.path.isdir(real):
        shutil.copytree(real, to, symlinks=True)
    elif copied and os.path.isfile(real):
        shutil.copy(real, to)
    else:
        os.rename(path, to)


def _remove_empty(folder: str, work: str) -> None:
    """Removes folders that nothing is left in."""
    while folder:
        try:
            os.rmdir(f"{work}/{folder}")
        except OSError:
            return
        folder = os.path.dirname(folder)
