"""Writing the outputs of a past run to files: copies that are the user's own, complete or not there at all."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.core.digest import Digest
from gitml.core.paths import is_git_name, problem_with_output
from gitml.core.record import DAYS_PARTIAL_STAYS
from gitml.core.tree import encode_tree, link_stays_inside
from gitml.errors import InputError
from gitml.history import contents
from gitml.history.onfile import tree_of_folder
from gitml.history.selecting import Output, Selection
from gitml.repo.durability import sync_path, sync_tree
from gitml.workspace import Workspace


class Written(NamedTuple):
    """One output and where it lies now. `state` is written, replaced, or unchanged (it was there already)."""

    step: str
    port: str
    path: str
    size: int
    state: str


class _Job(NamedTuple):
    output: Output
    root: str
    path: str


def checkout(
    ws: Workspace, selection: Selection, dest: str | None, *, force: bool = False, absence: str = "is not here"
) -> list[Written]:
    """Writes the selected outputs below `dest` or, without one, to where the pipeline says they belong in the work tree.

    InputError before anything is written when a file is in the way that differs (unless `force`), when content is not on this
    machine (`absence` is why, in words), or when the way leads through a link out of the destination. Nothing called ``.git``
    is ever written or replaced, whatever a record says: git runs commands that the settings in it name.
    """
    jobs = _in_worktree(ws, selection) if dest is None else _below(selection, dest)
    _check_apart(jobs)
    for job in jobs:
        ref = job.output.ref
        _check_way(job)
        if not contents.is_here(ws, ref.digest, ref.size, tree=ref.is_tree):
            run = selection.run
            if selection.failed:
                raise InputError(
                    f"what step {job.output.step.name!r} left of output {ref.name!r} is not stored here",
                    where=f"run {run.id[:8]}",
                    hint=f"it stays {DAYS_PARTIAL_STAYS} days, on the machine that recorded the run",
                )
            raise InputError(
                f"output {ref.name!r} of step {job.output.step.name!r} {absence}",
                where=f"run {run.id[:8]}",
                hint=f"make it again: gitml run {run.pipeline} {job.output.step.name} --at {run.commit[:12]}",
            )
    for job in jobs:
        if job.output.ref.is_tree:
            _check_tree(ws, job.output, job.output.ref.digest, "", set())
    states = [_state(ws, job, force) for job in jobs]
    return [_write(ws, job, state) for job, state in zip(jobs, states, strict=True)]


def _in_worktree(ws: Workspace, selection: Selection) -> list[_Job]:
    root = ws.location.worktree
    if root is None:
        raise InputError("a bare repository has no work tree", hint="name a folder to write to")
    placed = [(output, output.place) for output in selection.outputs]
    for output, place in placed:
        problem = None if place is None else problem_with_output(place)
        if problem:
            raise InputError(
                f"output {output.ref.name!r} of step {output.step.name!r} belongs to {problem}: no pipeline says that",
                where=f"run {output.run.id[:8]}",
                hint="name a folder to write to",
            )
    jobs = [
        _Job(output, root, os.path.join(root, output.run.pipeline.rpartition(":")[0], place))
        for output, place in placed
        if place is not None
    ]
    if not jobs or (selection.port is not None and len(jobs) < len(placed)):
        raise InputError(
            "the pipeline does not say where these outputs belong",
            where=", ".join(f"{output.step.name}.{output.ref.name}" for output, place in placed[:3] if place is None),
            hint="name a folder to write to, or give the port a path: in the pipeline",
        )
    return jobs


def _below(selection: Selection, dest: str) -> list[_Job]:
    """One output alone becomes DEST itself, as `cp` would have it; several lie in a folder a step."""
    dest = os.path.abspath(dest)
    if selection.port is not None and len(selection.outputs) == 1:
        output = selection.outputs[0]
        if os.path.isdir(dest) and not (output.ref.is_tree and not os.listdir(dest)):
            return [_Job(output, dest, os.path.join(dest, output.file_name))]
        return [_Job(output, os.path.dirname(dest), dest)]
    jobs = []
    for output in selection.outputs:
        folder = os.path.join(dest, _folder_name(output.step.name))
        jobs.append(_Job(output, dest, os.path.join(folder, output.file_name)))
    return jobs


def _folder_name(step: str) -> str:
    name = step.replace("/", "_").replace("\0", "_")
    return f"_{name}" if name in (".", "..") else name


def _check_apart(jobs: list[_Job]) -> None:
    """InputError when two outputs would come to lie at one path: two ports of a step may end in the same name."""
    seen: dict[str, Output] = {}
    for job in jobs:
        other = seen.setdefault(job.path, job.output)
        if other is not job.output:
            names = f"{other.step.name}.{other.ref.name} and {job.output.step.name}.{job.output.ref.name}"
            raise InputError(f"{names} would both be written here", where=job.path, hint="check them out one at a time")


def _check_way(job: _Job) -> None:
    """InputError when a folder between the root and the path is a link that leads out, or no folder."""
    real_root = os.path.realpath(job.root)
    parent = os.path.dirname(job.path)
    real = os.path.realpath(parent)
    if real != real_root and not real.startswith(real_root.rstrip("/") + "/"):
        raise InputError("the way leads through a link out of the destination", where=job.path, hint="remove the link")
    name = os.path.basename(job.path)
    if name in ("", ".", ".."):
        raise InputError("the output has no name to be written under", where=job.path, hint="name a new file or folder")
    below = [*real[len(real_root) :].split("/"), name]
    if ".git" in real_root.lower().split("/") or any(map(is_git_name, below)):
        raise InputError("outputs are never written into .git", where=job.path, hint="name another place")
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise InputError(
            "a file is where a folder is needed", where=parent, hint="move it away, or choose another place"
        )


def _check_tree(ws: Workspace, output: Output, digest: Digest, inside: str, seen: set[Digest]) -> None:
    """InputError when a directory holds what is called ``.git``: a step's would not have been taken in."""
    if digest in seen:
        return
    seen.add(digest)
    for entry in contents.listing(ws, digest):
        name = os.path.join(inside, os.fsdecode(entry.name))
        if is_git_name(os.fsdecode(entry.name)):
            raise InputError(
                f"output {output.ref.name!r} of step {output.step.name!r} holds a Git repository, which is not written",
                where=name,
                hint="git would run commands that its settings name; make the output again without it",
            )
        if entry.kind == "d":
            _check_tree(ws, output, entry.digest, name, seen)


def _state(ws: Workspace, job: _Job, force: bool) -> str:
    """What writing will be; InputError for something else in the way."""
    if not os.path.lexists(job.path):
        return "written"
    if _is_same(ws, job):
        return "unchanged"
    if not force and not (job.output.ref.is_tree and _is_empty(job.path)):
        raise InputError(
            "another file is in the way", where=job.path, hint="move it away, or overwrite it with --force"
        )
    found = _repository_in(job.path)
    if found is not None:
        raise InputError(
            "a Git repository is in the way, which is never replaced",
            where=found,
            hint="move it away, or choose another place",
        )
    return "replaced"


def _repository_in(path: str) -> str | None:
    """A ``.git`` at or below `path`, links not followed."""
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            if name.lower() == ".git":
                return os.path.join(folder, name)
    return None


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path)


def _is_same(ws: Workspace, job: _Job) -> bool:
    ref = job.output.ref
    if os.path.islink(job.path):
        return False
    if ref.is_tree:
        if not os.path.isdir(job.path):
            return False
        entries = tree_of_folder(job.path)
        return entries is not None and _digest(encode_tree(entries)) == ref.digest
    if not os.path.isfile(job.path) or os.path.getsize(job.path) != ref.size:
        return False
    import hashlib

    with open(job.path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != ref.digest[7:]:
            return False
    return bool(os.stat(job.path).st_mode & 0o100) == ref.executable


def _digest(data: bytes) -> str:
    import hashlib

    return "sha256:" + hashlib.sha256(data).hexdigest()


def _write(ws: Workspace, job: _Job, state: str) -> Written:
    output = job.output
    if state != "unchanged":
        folder = os.path.dirname(job.path)
        above = _made(folder)
        fresh = os.path.join(folder, f".gitml-{os.urandom(6).hex()}")
        try:
            if output.ref.is_tree:
                _make_tree(ws, output.ref.digest, fresh, "")
            else:
                _make_file(ws, output.ref.digest, fresh, executable=output.ref.executable)
            sync_tree(fresh)
            _move_in(fresh, job.path)
            for place in above:
                sync_path(place)
        finally:
            _remove(fresh)
    return Written(output.step.name, output.ref.name, job.path, output.ref.size, state)


def _made(folder: str) -> list[str]:
    """Makes a folder and those above it; every folder whose names this changed, and itself."""
    changed = [folder]
    while not os.path.isdir(changed[-1]):
        changed.append(os.path.dirname(changed[-1]))
    os.makedirs(folder, exist_ok=True)
    return changed


def _move_in(fresh: str, path: str) -> None:
    """Puts what is complete in its place. A folder, or a file in a folder's place, moves aside what was there first."""
    both_plain = not os.path.isdir(fresh) and (os.path.islink(path) or not os.path.isdir(path))
    if both_plain or not os.path.lexists(path):
        os.rename(fresh, path)
        return
    aside = f"{fresh}.old"
    os.rename(path, aside)
    try:
        os.rename(fresh, path)
    except BaseException:
        os.rename(aside, path)
        raise
    _remove(aside)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _make_file(ws: Workspace, digest: Digest, path: str, *, executable: bool) -> None:
    mode = 0o777 if executable else 0o666
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        for chunk in contents.chunks(ws, digest):
            file.write(chunk)


def _make_tree(ws: Workspace, digest: Digest, path: str, inside: str) -> None:
    """A folder at `path`; links that lead out of the output are refused."""
    os.mkdir(path)
    for entry in contents.listing(ws, digest):
        name = os.fsdecode(entry.name)
        place = os.path.join(path, name)
        if entry.kind == "d":
            _make_tree(ws, entry.digest, place, os.path.join(inside, name))
        elif entry.kind == "l":
            target = os.fsdecode(contents.read(ws, entry.digest))
            if not link_stays_inside(inside, target):
                raise InputError(f"the output holds a link that leads out of it: {name!r} -> {target!r}")
            os.symlink(target, place)
        else:
            _make_file(ws, entry.digest, place, executable=entry.kind == "x")
