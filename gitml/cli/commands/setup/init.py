"""`gitml init`: what it writes, and taking exactly that away again."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import click

from gitml import layout
from gitml.cli.session import Session, as_data, verb
from gitml.cli.text.terminal import safe
from gitml.core.model.environment import HOST
from gitml.errors import BusyError, InputError

if TYPE_CHECKING:
    from gitml.analysis.project_environment import ProjectEnvironment

_CONFIG = """\
# Settings for all pipelines of this repository; everything here may be left out. `gitml config` shows what is in force.
defaults:
  pipeline: {pipeline}
"""
_ENVIRONMENT = "  environment: {environment}\n"
_PIPELINE = """\
# A first pipeline: `gitml run` runs it, `gitml run` again reuses it, and `gitml run -S name=you` runs what that changes.
help: Counts the letters of a greeting

params:
  name: {default: world, help: whom to greet}

steps:
  greet:
    run: python3 pipelines/hello.py greet ${{ params.name }} ${{ outputs.greeting }}
    outputs: {greeting: file}

  count:
    run: python3 pipelines/hello.py count ${{ steps.greet.outputs.greeting }} ${{ outputs.numbers }}
    outputs: {numbers: metrics}
"""
_SCRIPT = '''\
"""The steps of the first pipeline: greet NAME FILE, count FILE METRICS."""

import json
import pathlib
import sys

what, given, target = sys.argv[1:]
if what == "greet":
    pathlib.Path(target).write_text(f"Hello, {given}!\\n")
else:
    text = pathlib.Path(given).read_text()
    pathlib.Path(target).write_text(json.dumps({"letters": sum(letter.isalpha() for letter in text)}))
'''
_FIRST = {"pipelines/hello.yaml": _PIPELINE, "pipelines/hello.py": _SCRIPT}


class FileOutcome(NamedTuple):
    """A file and what became of it: written, kept, removed or changed (so it stays)."""

    path: str
    state: str


@verb("init", json=True)
@click.option("--undo", is_flag=True, help="Remove what init wrote, wherever it is unchanged.")
@click.option(
    "--purge", is_flag=True, help="With --undo: remove everything gitml keeps here too, the store and all runs."
)
@click.option("--remote", metavar="NAME", help="Have a plain git fetch of this remote fetch the records of runs too.")
def command(session: Session, undo: bool, purge: bool, remote: str | None) -> None:
    """Start using gitml in this repository: writes a small gitml.yaml, and a first pipeline where there is none.

    Where the project has a lock of its packages, or a virtual environment, that is the environment of its steps. Asks nothing,
    changes no file that is there, and commits nothing. gitml works in any repository without it, too.
    """
    from gitml.analysis.project_environment import project_environment
    from gitml.git.log.remote_refs import set_refspecs, unset_refspecs

    ws = session.ws
    root = ws.location.worktree
    if root is None:
        raise InputError("a bare repository has no work tree to start in", where=ws.location.git_dir)
    environment = project_environment(root, ws.worktree())
    if purge and not undo:
        raise InputError("--purge goes with --undo")
    if remote is not None and undo:
        raise InputError("--undo undoes it for every remote: leave --remote away")
    if remote is not None:
        new = set_refspecs(ws.location, remote)
        done = [FileOutcome(f"the fetch of {remote}", "extended" if new else "kept"), *_write(root, environment)]
    elif undo:
        done = _undo(root)
        done += [FileOutcome(f"the fetch of {name}", "restored") for name in unset_refspecs(ws.location)]
    else:
        done = _write(root, environment)
    if purge:
        refs = _purge(session)
        done.append(FileOutcome(os.path.relpath(ws.root, root), "removed"))
        done += [FileOutcome(ref, "removed") for ref in refs]
    session.result(as_data(done))
    for item in done:
        note = "  (changed since, so it stays)" if item.state == "changed" else ""
        session.show(f"{item.state:<8} {item.path}{note}")
    if not done:
        session.remark("nothing to undo" if undo else "there is nothing to write: the pipelines are there already")
    elif not undo:
        _remark_environment(session, root, environment)
        asks = "" if ws.consent.may_run() else ", once you allow it: gitml trust allow run"
        session.remark(f"next: gitml run{asks}")


def _remark_environment(session: Session, root: str, environment: ProjectEnvironment) -> None:
    """Which environment steps have, and how to have a better one."""
    if environment.written != HOST and not os.path.lexists(os.path.join(root, "pipelines", "hello.yaml")):
        session.remark(f"steps can have the project's own: environment: {safe(environment.written)}")
    if environment.lock is not None:
        locks = "there is no lock that gitml reads, so what is installed here counts"
        session.remark(f"{locks}; a lock: {safe(environment.lock)}, then write environment: in gitml.yaml")


def _purge(session: Session) -> list[str]:
    """Removes the folder of gitml and its refs, and gives these; BusyError while a run goes on."""
    import shutil

    from gitml.git.command import git
    from gitml.history.runs import live_runs

    ws = session.recovered_ws
    if live_runs(ws):
        raise BusyError("a run is going on", hint="gitml cancel")
    listed = git(ws.location, "for-each-ref", "--format=%(refname)", layout.REFS).decode().split()
    session.close()
    for ref in listed:
        git(ws.location, "update-ref", "-d", ref)
    if os.path.isdir(ws.root):
        shutil.rmtree(ws.root)
    return listed


def _write(root: str, environment: ProjectEnvironment) -> list[FileOutcome]:
    """Writes `gitml.yaml`, and a first pipeline where there is none; whatever is there stays as it is."""
    named = _pipelines(root)
    files = {} if named else dict(_FIRST)
    default = "hello" if not named else named[0] if len(named) == 1 else None
    if default is not None:
        # of pipelines that are there already nothing is changed by it
        written = HOST if named else environment.written
        of = _ENVIRONMENT.format(environment=written) if written != HOST else ""
        files["gitml.yaml"] = _CONFIG.format(pipeline=default) + of
    done = []
    for path, content in sorted(files.items()):
        full = os.path.join(root, path)
        if os.path.lexists(full):
            done.append(FileOutcome(path, "kept"))
            continue
        _refuse_links(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "x", encoding="utf-8") as file:
            file.write(content)
        done.append(FileOutcome(path, "written"))
    return done


def _undo(root: str) -> list[FileOutcome]:
    """Removes what `_write` wrote wherever it is unchanged, and a folder that it leaves empty."""
    done = []
    for path in sorted({*_FIRST, "gitml.yaml"}, reverse=True):
        full = os.path.join(root, path)
        if os.path.islink(full) or not os.path.isfile(full):
            continue
        with open(full, encoding="utf-8", errors="surrogateescape") as file:
            unchanged = _is_ours(path, file.read())
        if unchanged:
            os.unlink(full)
        done.append(FileOutcome(path, "removed" if unchanged else "changed"))
    folder = os.path.join(root, "pipelines")
    if os.path.isdir(folder) and not os.path.islink(folder) and not os.listdir(folder):
        os.rmdir(folder)
    return done


def _is_ours(path: str, content: str) -> bool:
    if path in _FIRST:
        return content == _FIRST[path]
    head, tail = map(re.escape, _CONFIG.split("{pipeline}"))
    environment = re.escape(_ENVIRONMENT).replace(re.escape("{environment}"), ".*")
    return re.fullmatch(f"{head}.*{tail}({environment})?", content) is not None


def _pipelines(root: str) -> list[str]:
    folder = os.path.join(root, "pipelines")
    if not os.path.isdir(folder):
        return []
    names = (os.path.splitext(name) for name in os.listdir(folder))
    return sorted(stem for stem, suffix in names if suffix in (".yaml", ".yml") and stem)


def _refuse_links(root: str, path: str) -> None:
    folder = os.path.dirname(os.path.join(root, path))
    real = os.path.realpath(folder)
    if real != os.path.join(os.path.realpath(root), os.path.dirname(path)).rstrip("/"):
        raise InputError("a link is where a folder is needed", where=folder, hint="move it away")
