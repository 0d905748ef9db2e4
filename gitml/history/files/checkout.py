"""Writing the outputs of a past run to files: copies that are the user's own, complete or not there at all."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Any, NamedTuple

from gitml.core.model.digest import PREFIX, Digest, digest_of
from gitml.core.model.paths import is_git_name, problem_with_output
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import TreeEntry, encode_tree, tree_size
from gitml.core.records.record import DAYS_PARTIAL_STAYS
from gitml.core.records.special_files import Remarks, is_bare_repository
from gitml.errors import InputError
from gitml.git.integrity.durability import sync_path, sync_tree
from gitml.history.files import contents
from gitml.history.files.destination import in_the_way, move_in, open_folder, remove, write_file, write_tree
from gitml.history.files.placed import committed_as_they_are, placed_at, remember_placed
from gitml.history.files.selector import SelectedOutput, Selection, folder_name
from gitml.store.local.object_folder import MAX_DEPTH, MOST_NAMES
from gitml.workspace import Workspace


class WrittenOutput(NamedTuple):
    """One output and where it lies now. `state` is written, replaced, or unchanged (it was there already).

    `notes` are about files that programs obey without being asked, and names that look like others.
    """

    step: str
    port: str
    path: str
    size: int
    state: str
    notes: tuple[str, ...] = ()


def as_json(written: WrittenOutput) -> dict[str, Any]:
    """As ``--json`` shows it; `notes` are there only where there are any."""
    return {name: value for name, value in written._asdict().items() if name != "notes" or value}


class _Job(NamedTuple):
    output: SelectedOutput
    root: str
    path: str


def checkout(
    ws: Workspace,
    selection: Selection,
    dest: str | None,
    *,
    force: bool = False,
    absence: str = "is not here",
    over_committed: bool = False,
) -> list[WrittenOutput]:
    """Writes the selected outputs below `dest` or, without one, to the paths that the pipeline gives them in the work tree.

    InputError before anything is written when a file is in the way that differs (unless `force`), when content is not on this
    machine (`absence` is why, in words), when the way leads through a link, or when an output is or holds a bare repository
    (unless `force`). Nothing called ``.git`` is ever written or replaced, whatever a record says, and no link is replaced: git
    runs commands that the settings in a repository name.

    With `over_committed` what is committed as it is, and what was put there by an earlier call, is replaced too.
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
    looks = [_Look(ws, job, force) for job in jobs]
    _check_together(jobs, force)
    free: frozenset[str] = frozenset()
    if over_committed:
        free = _replaceable(ws, jobs)
        _refuse_changes([job for job in jobs if _is_in_the_way(job) and job.path not in free])
    states = [_state(job, force or job.path in free) for job in jobs]
    written = [_write(ws, job, state, look.notes()) for job, state, look in zip(jobs, states, looks, strict=True)]
    if dest is None:
        for job in jobs:
            remember_placed(ws, job.path, job.output.ref)
    return written


def preview_placed(ws: Workspace, selection: Selection) -> list[tuple[SelectedOutput, str]]:
    """What `checkout` would do without a destination and `over_committed`: ``written``, ``replaced``, ``unchanged``, or
    ``in the way`` where something is that it leaves alone. Of outputs that are yet to be made it looks only at what is there.
    """
    jobs = _in_worktree(ws, selection)
    _check_apart(jobs)
    free = _replaceable(ws, jobs)
    found = []
    for job in jobs:
        try:
            _check_way(job)
            state = _state(job, job.path in free)
        except InputError:
            state = "in the way"
        found.append((job.output, state))
    return found


def _refuse_changes(jobs: list[_Job]) -> None:
    """InputError that names what is in the way of these jobs, if there are any."""
    if jobs:
        names = [os.path.relpath(job.path) for job in jobs]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
        run = jobs[0].output.run
        name = run.id[:8] if run.commit else "RUN"  # without a commit there was no run
        raise InputError(
            "what you changed or made is in the way, and nothing was written",
            where=shown,
            hint=f"commit it or move it away, or overwrite it: gitml checkout {name} --force",
        )


def _is_in_the_way(job: _Job) -> bool:
    """Whether something lies at the path of a job that writing it would replace."""
    if not os.path.lexists(job.path) or os.path.islink(job.path) or _holds(job.path, job.output.ref):
        return False
    return not (job.output.ref.is_tree and os.path.isdir(job.path) and not os.listdir(job.path))


def _replaceable(ws: Workspace, jobs: list[_Job]) -> frozenset[str]:
    """The paths of jobs at which something lies that is not the user's own work."""
    there = [job.path for job in jobs if os.path.lexists(job.path) and not os.path.islink(job.path)]
    placed = {path for path in there if (ref := placed_at(ws, path)) is not None and _holds(path, ref)}
    root = ws.location.worktree or ""
    rest = {os.path.relpath(path, root): path for path in there if path not in placed}
    return frozenset(placed | {rest[path] for path in committed_as_they_are(ws.location, list(rest))})


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
    jobs = _kept_apart(root, _whole(jobs))
    if not jobs or (selection.port is not None and len(jobs) < len(placed)):
        raise InputError(
            "the pipeline does not say where these outputs belong",
            where=", ".join(f"{output.step.name}.{output.ref.name}" for output, place in placed[:3] if place is None),
            hint="name a folder to write to, or give the port a path: in the pipeline",
        )
    return jobs


def _kept_apart(root: str, jobs: list[_Job]) -> list[_Job]:
    """Those jobs that would write to one path, being of combinations of one step, each in a folder of its combination."""
    steps: dict[str, set[str]] = {}
    for job in jobs:
        steps.setdefault(job.path, set()).add(job.output.step.name)
    apart = []
    for job in jobs:
        if len(steps[job.path]) > 1 and job.output.step.name.endswith("]") and not job.output.folder:
            output = job.output.apart()
            job = _Job(output, root, os.path.join(root, output.run.pipeline.rpartition(":")[0], output.place or ""))
        apart.append(job)
    return apart


def _whole(jobs: list[_Job]) -> list[_Job]:
    """The jobs without files of a directory that the same step made, which are written with it."""
    folders = {(job.output.step.name, job.output.mount) for job in jobs if job.output.ref.is_tree}

    def is_part(job: _Job) -> bool:
        mount = job.output.mount or ""
        above = [mount[:index] for index, char in enumerate(mount) if char == "/"]
        return any((job.output.step.name, folder) in folders for folder in above)

    return [job for job in jobs if not is_part(job)]


def _below(selection: Selection, dest: str) -> list[_Job]:
    """One output alone becomes DEST itself, as `cp` would have it; several lie in a folder a step."""
    dest = os.path.abspath(dest)
    if selection.port is not None and len(selection.outputs) == 1:
        output = selection.outputs[0]
        if os.path.isdir(dest) and not (output.ref.is_tree and not os.listdir(dest)):
            return [_Job(output, dest, os.path.join(dest, output.file_name))]
        return [_Job(output, os.path.dirname(dest), dest)]
    return [
        _Job(output, dest, os.path.join(dest, folder_name(output.step.name), output.file_name))
        for output in selection.outputs
    ]


def _check_apart(jobs: list[_Job]) -> None:
    """InputError when two outputs would come to lie at one path: two ports of a step may end in the same name."""
    seen: dict[str, SelectedOutput] = {}
    for job in jobs:
        other = seen.setdefault(job.path, job.output)
        if other is not job.output:
            names = f"{other.step.name}.{other.ref.name} and {job.output.step.name}.{job.output.ref.name}"
            raise InputError(f"{names} would both be written here", where=job.path, hint="check them out one at a time")
    for job in jobs:
        above = os.path.dirname(job.path)
        while len(above) > len(job.root):
            if above in seen:
                names = (
                    f"{seen[above].step.name}.{seen[above].ref.name} and {job.output.step.name}.{job.output.ref.name}"
                )
                raise InputError(
                    f"{names} would be written into one another", where=job.path, hint="give one another path"
                )
            above = os.path.dirname(above)


def _check_way(job: _Job) -> None:
    """InputError when what lies between the root and the path is no folder, or a link; nothing is written into a repository."""
    name = os.path.basename(job.path)
    if name in ("", ".", ".."):
        raise InputError("the output has no name to be written under", where=job.path, hint="name a new file or folder")
    real_root = os.path.realpath(job.root)
    parent = os.path.dirname(job.path)
    real = os.path.realpath(parent)
    if ".git" in real.lower().split("/") or any(map(is_git_name, [*real[len(real_root) :].split("/"), name])):
        raise InputError("outputs are never written into .git", where=job.path, hint="name another place")
    place = job.root
    for part in [part for part in os.path.relpath(parent, job.root).split("/") if part != "."]:
        place = os.path.join(place, part)
        if os.path.lexists(place) and (os.path.islink(place) or not os.path.isdir(place)):
            raise in_the_way(place)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise in_the_way(place)
    while True:
        if all(os.path.exists(os.path.join(real, name)) for name in ("HEAD", "objects", "refs")):
            raise InputError("outputs are never written into a repository", where=real, hint="name another place")
        if real == os.path.dirname(real):
            return
        real = os.path.dirname(real)


class _Look:
    """Looks through an output before anything of it is written: InputError for what is not to be written, notes on the rest."""

    def __init__(self, ws: Workspace, job: _Job, force: bool) -> None:
        self.ws = ws
        self.output = job.output
        self.force = force
        self.top = os.path.relpath(job.path)
        self.remarks = Remarks()
        self.sizes: dict[Digest, tuple[int, int]] = {}  # (names, folders in folders) below each directory
        for name in os.path.relpath(job.path, job.root).split("/"):
            self.remarks.look(self.top, name)
        if job.output.ref.is_tree:
            self._tree(job.output.ref.digest, "", 0)

    def notes(self) -> tuple[str, ...]:
        return self.remarks.lines()

    def _tree(self, digest: Digest, inside: str, depth: int) -> tuple[int, int]:
        """How many names are below a directory, and how deep. A directory that was checked is not checked again."""
        count, height = self.sizes.get(digest, (0, 0))
        if depth + height > MAX_DEPTH:
            raise self._refusal(f"has folders more than {MAX_DEPTH} deep", inside[:200], "no gitml made it")
        if digest in self.sizes:
            return count, height
        entries = contents.listing(self.ws, digest)
        names = [os.fsdecode(entry.name) for entry in entries]
        count = len(names)
        if is_bare_repository(names):
            if not self.force:
                raise self._refusal(
                    "is or holds a bare Git repository, which is not written",
                    inside,
                    "git would run commands that its settings name; --force writes it all the same",
                )
            self.remarks.bare(os.path.join(self.top, inside).rstrip("/"))
        for entry, name in zip(entries, names, strict=True):
            if is_git_name(name):
                raise self._refusal(
                    "holds a Git repository, which is not written",
                    os.path.join(inside, name),
                    "git would run commands that its settings name; make the output again without it",
                )
            self.remarks.look(os.path.join(self.top, inside, name), name)
            if entry.kind == "d":
                below, deep = self._tree(entry.digest, os.path.join(inside, name), depth + 1)
                count, height = count + below, max(height, deep + 1)
        if count > MOST_NAMES:
            raise self._refusal(f"has more than {MOST_NAMES:,} files and folders", inside, "no gitml made it")
        self.sizes[digest] = count, height
        return count, height

    def _refusal(self, what: str, where: str, hint: str) -> InputError:
        output = f"output {self.output.ref.name!r} of step {self.output.step.name!r}"
        return InputError(f"{output} {what}", where=where or self.top, hint=hint)


def _check_together(jobs: list[_Job], force: bool) -> None:
    """InputError when outputs that each are harmless would make a bare repository of a folder."""
    folders: dict[str, set[str]] = {}
    for job in jobs:
        place = job.root
        for name in os.path.relpath(job.path, job.root).split("/"):
            folders.setdefault(place, set()).add(name)
            place = os.path.join(place, name)
    for folder, names in folders.items():
        there = os.listdir(folder) if os.path.isdir(folder) else []
        if not force and is_bare_repository([*there, *names]):
            raise InputError(
                "these outputs would make a bare Git repository of a folder",
                where=folder,
                hint="check them out one at a time, each into a folder of its own",
            )


def _state(job: _Job, force: bool) -> str:
    """What writing will be; InputError for something else in the way."""
    if not os.path.lexists(job.path):
        return "written"
    if os.path.islink(job.path):
        raise InputError(
            "a link is in the way, which is never replaced",
            where=job.path,
            hint="remove the link, or name another place",
        )
    if _holds(job.path, job.output.ref):
        return "unchanged"
    if not force and _is_in_the_way(job):
        raise InputError(
            "another file is in the way", where=job.path, hint="move it away, or overwrite it with --force"
        )
    _refuse_repository(job.path)
    return "replaced"


def _refuse_repository(path: str, shown: str | None = None) -> None:
    """InputError for a repository, whether bare or called ``.git``, at or below `path`; links are not followed."""
    for folder, folders, files in os.walk(path):
        found = next((name for name in (*folders, *files) if is_git_name(name)), None)
        if found is not None or is_bare_repository([*folders, *files]):
            place = os.path.join(folder, found or "")
            raise InputError(
                "a Git repository is in the way, which is never replaced",
                where=place if shown is None else shown + place[len(path) :],
                hint="move it away, or choose another place",
            )


def _holds(path: str, ref: OutputRef) -> bool:
    """Whether just this content lies at `path`."""
    if ref.is_tree:
        if not os.path.isdir(path):
            return False
        entries = _tree_of_folder(path)
        return entries is not None and digest_of(encode_tree(entries)) == ref.digest
    if not os.path.isfile(path) or os.path.getsize(path) != ref.size:
        return False
    if _digest_of_file(path) != ref.digest:
        return False
    return bool(os.stat(path).st_mode & 0o100) == ref.executable


def _tree_of_folder(path: str) -> list[TreeEntry] | None:
    """The entries of the folder at `path`; None when it holds what no Tree can."""
    entries = []
    with os.scandir(os.fsencode(path)) as found:
        for item in found:
            status = item.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(item.path)
                entries.append(TreeEntry(item.name, "l", digest_of(target), len(target)))
            elif stat.S_ISREG(status.st_mode):
                kind = "x" if status.st_mode & 0o100 else "f"
                entries.append(TreeEntry(item.name, kind, _digest_of_file(item.path), status.st_size))
            elif stat.S_ISDIR(status.st_mode) and (below := _tree_of_folder(os.fsdecode(item.path))) is not None:
                entries.append(TreeEntry(item.name, "d", digest_of(encode_tree(below)), tree_size(below)))
            else:
                return None
    return entries


def _digest_of_file(path: str | bytes) -> Digest:
    """The Digest of a file."""
    with open(path, "rb") as file:
        return Digest(PREFIX + hashlib.file_digest(file, "sha256").hexdigest())


def _write(ws: Workspace, job: _Job, state: str, notes: tuple[str, ...]) -> WrittenOutput:
    output = job.output
    if state != "unchanged":
        folder, name = os.path.split(job.path)
        fd, changed = open_folder(job.root, folder)
        fresh = f".gitml-{os.urandom(6).hex()}"
        try:
            if output.ref.is_tree:
                write_tree(ws, output.ref.digest, fd, fresh)
            else:
                write_file(ws, output.ref.digest, fd, fresh, executable=output.ref.executable)
            sync_tree(os.path.join(folder, fresh))
            move_in(fd, fresh, name, lambda aside: _refuse_repository(os.path.join(folder, aside), job.path))
            for place in changed:
                sync_path(place)
        finally:
            remove(fd, fresh)
            os.close(fd)
    return WrittenOutput(output.step.name, output.ref.name, job.path, output.ref.size, state, notes)


def notes_on(folder: str) -> tuple[str, ...]:
    """What a person should hear of the names below a folder that others filled."""
    remarks = Remarks()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            remarks.look(os.path.join(place, name), name)
    return remarks.lines()
