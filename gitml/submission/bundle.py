"""The job bundle, a run as it is sent to a cluster: a folder with the commit as a Git bundle, the results of steps that need not
run, and the request. Nothing in it names the machine it was made on, and its content names it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gitml import __version__
from gitml.core.model.action import ActionInput
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.result import OutputRef, decode_result, encode_result
from gitml.core.model.stop_signal import StopSignal
from gitml.core.model.tree import decode_tree
from gitml.core.planner.plan import REUSE, PartProblem, Plan
from gitml.core.records.record import Run, decode_run, encode_run
from gitml.engine.planning.planner import Planner
from gitml.engine.planning.request import Origin, RunRequest
from gitml.errors import InputError, IntegrityError
from gitml.git.objects.bundle import BundledTag, open_bundle, write_bundle
from gitml.store.index.results import put_result
from gitml.store.local.object_writer import BlobWriter
from gitml.transfer.download import fetch_outputs, refuse_lost
from gitml.transfer.lfs_inputs import POINTED, file_of, named_by, pointers
from gitml.workspace import Workspace, open_workspace

FORMAT = 1
BUNDLE, REQUEST, KNOWN, OBJECTS, LFS = "repository.bundle", "request.json", "known.jsonl", "objects", "lfs"
HEAVY = "heavy"  # the file that names where the large files are, if they are elsewhere
_PIECE = 4 << 20


class SubmissionRequest(NamedTuple):
    """The request in a job bundle: `run` as it begins, how it is to be performed, and the target it was submitted to."""

    run: Run
    request: RunRequest
    target: str


def results_to_take(planner: Planner, plan: Plan, *, few: bool = False) -> list[OutputRef]:
    """The known outputs that a run is to have with it: not those that are not here while the cluster's machines can fetch them.

    With `few` none of those that they can fetch.
    """
    outputs = {
        output.digest: output
        for decision in plan.decisions.values()
        if decision.kind == REUSE and decision.result
        for output in decision.result.outputs
        if output.name not in decision.absent
    }
    available = planner.availability
    return [
        o for o in outputs.values() if not (available.fetchable_by_workers(o) and (few or not available.is_here(o)))
    ]


def write_job_bundle(
    ws: Workspace, planner: Planner, plan: Plan, request: SubmissionRequest, taken: Iterable[OutputRef], folder: str
) -> None:
    """Fills the empty `folder`; of known outputs it takes in `taken`. InputError for content of Git LFS that is not here.

    IntegrityError or RemoteError for an output that is not here and can't be fetched.
    """
    trees = sorted({module["content"].removeprefix("git:") for module in request.run.modules.values()})
    below, tags = _commit_of_repositories(planner, plan)
    path = os.path.join(folder, BUNDLE)
    write_bundle(ws.location, ws.objects, request.run.commit, trees, path, below=below, tags=tags)
    for name in (OBJECTS, LFS):
        os.mkdir(os.path.join(folder, name))
    _take_along(ws, planner, list(taken), os.path.join(folder, OBJECTS))
    with open(os.path.join(folder, KNOWN), "w") as known:
        for name, decision in plan.decisions.items():
            if decision.action and decision.key and decision.result:
                preimage = decision.action.preimage().decode("ascii")
                known.write(json.dumps([name, decision.key, preimage, encode_result(decision.result)]) + "\n")
    for digest, source in _lfs_objects(ws, planner, [name for name, d in plan.decisions.items() if d.kind != REUSE]):
        shutil.copyfile(source, os.path.join(folder, LFS, hex_of(digest)))
    content = {
        "format": FORMAT,
        "version": __version__,
        "target": request.target,
        "run": json.loads(encode_run(request.run)),
        "request": request.request._asdict(),
    }
    with open(os.path.join(folder, REQUEST), "w") as file:
        json.dump(content, file, sort_keys=True)


def _commit_of_repositories(planner: Planner, plan: Plan) -> tuple[str | None, list[BundledTag]]:
    """The commit that repositories in sandboxes are of, and its tags; None where no step has one."""
    if not any(planner.graph.steps[name].settings.repository for name in plan.decisions):
        return None, []
    commits = planner.builder.commits
    return commits.commit, [BundledTag(name, oid) for name, oid in commits.tags]


def size_of(folder: str) -> int:
    """Bytes of all files below a folder."""
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)


def split_bundle(folder: str, heavy: str) -> None:
    """Moves all of a bundle that may be large into the new folder `heavy`, which is uploaded by itself."""
    os.mkdir(heavy)
    for name in (BUNDLE, OBJECTS, LFS):
        os.rename(os.path.join(folder, name), os.path.join(heavy, name))


def note_heavy_part(folder: str, place: str) -> None:
    """Notes in a bundle where the other part of it lies on the head's disk."""
    with open(os.path.join(folder, HEAVY), "w") as file:
        file.write(place)


def heavy_part(folder: str) -> str:
    """Where the large files of a bundle are: in it, or where it notes."""
    try:
        with open(os.path.join(folder, HEAVY)) as file:
            return file.read()
    except FileNotFoundError:
        return folder


def open_job_bundle(folder: str, repository: str, environ: Mapping[str, str]) -> tuple[Workspace, SubmissionRequest]:
    """A Workspace in the new folder `repository` with what the bundle in `folder` holds, and its request."""
    heavy = heavy_part(folder)
    with open(os.path.join(folder, REQUEST), "rb") as file:
        content: dict[str, Any] = json.load(file)
    if content["format"] != FORMAT or content["version"] != __version__:
        hint = (
            f"install gitml {content['version']} on the machines of the cluster, or {__version__} where it is submitted"
        )
        raise InputError(f"the run was submitted by gitml {content['version']}, this is {__version__}", hint=hint)
    run = decode_run(json.dumps(content["run"]).encode())
    commit = open_bundle(os.path.join(heavy, BUNDLE), repository)
    if commit != run.commit:
        raise IntegrityError("the bundle holds another commit than is asked for", where=commit)
    ws = open_workspace(repository, environ)
    for name in sorted(os.listdir(os.path.join(heavy, OBJECTS))):
        _take_in(ws, os.path.join(heavy, OBJECTS, name), from_hex(name))
    for name in os.listdir(os.path.join(heavy, LFS)):
        place = os.path.join(repository, "lfs/objects", name[:2], name[2:4])
        os.makedirs(place, exist_ok=True)
        shutil.copyfile(os.path.join(heavy, LFS, name), os.path.join(place, name))
    with open(os.path.join(folder, KNOWN)) as known:
        for line in known:
            step, key, preimage, result = json.loads(line)
            put_result(ws.index, Digest(key), decode_result(result), preimage.encode(), run.pipeline, step)
    return ws, SubmissionRequest(run, _request(content["request"]), content["target"])


def _request(raw: Mapping[str, Any]) -> RunRequest:
    lists = {"wanted": tuple(raw["wanted"]), "tags": tuple(raw["tags"]), "origin": Origin(*raw["origin"])}
    return RunRequest(**{**raw, **lists})


def _take_in(ws: Workspace, path: str, digest: Digest) -> None:
    """Keeps a file that came along; IntegrityError when it is not what its name says."""
    with open(path, "rb") as file:
        arriving = BlobWriter(ws.store, digest, os.fstat(file.fileno()).st_size)
        while piece := file.read(_PIECE):
            arriving.write(piece)
        arriving.commit()


def _take_along(ws: Workspace, planner: Planner, outputs: list[OutputRef], folder: str) -> None:
    """Puts the objects of outputs, of a Tree with all below it, into `folder`."""
    absent = planner.availability.fetch_inline(outputs)
    if absent:
        refuse_lost(fetch_outputs(ws, absent, lambda _: None, StopSignal()))
    todo = [(output.digest, output.is_tree) for output in outputs]
    while todo:
        digest, tree = todo.pop()
        path = os.path.join(folder, hex_of(digest))
        if os.path.exists(path):
            continue
        with ws.store.open(digest) as source, open(path, "wb") as file:
            shutil.copyfileobj(source, file, _PIECE)
        if tree:
            todo += [(entry.digest, entry.kind == "d") for entry in decode_tree(ws.store.read(digest))]


def _lfs_objects(ws: Workspace, planner: Planner, steps: Iterable[str]) -> Iterator[tuple[Digest, str]]:
    """What Git LFS pointers among the code and inputs of `steps` stand for, and the files that hold it.

    Those of a step that waits for others too: it has no Action yet, but what it takes of the commit is known.
    """
    named: list[tuple[str, str]] = []
    for name in steps:
        parts = planner.builder.parts(planner.graph.steps[name], {})
        inputs = [item for item in parts.inputs if isinstance(item, ActionInput)]
        named += named_by(() if isinstance(parts.code, PartProblem) else parts.code, inputs)
    found = {item.digest: item for item in pointers(ws, dict.fromkeys(named))}
    absent = [item for item in found.values() if file_of(ws.location, ws.store, item.digest) is None]
    if absent:
        fetch_outputs(
            ws, [OutputRef(item.path, POINTED, item.digest, item.size) for item in absent], lambda _: None, StopSignal()
        )
    for item in found.values():
        source = file_of(ws.location, ws.store, item.digest)
        if source is None:
            raise InputError("its Git LFS content is not on this machine", where=item.path, hint="git lfs pull")
        yield item.digest, source
