"""Downloads: artifacts of recorded runs are fetched into the Store from records and remote stores; which of them can be had."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.events import Emit
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.model.tree import decode_tree
from gitml.core.planner.directory_part import OutputPart
from gitml.errors import IntegrityError, RemoteError
from gitml.store.index.artifacts import Artifact
from gitml.store.remote.transfer.download import DownloadProblem, DownloadResult, download_listings, download_roots
from gitml.store.remote.transfer.progress import PartialTree, TransferRoot
from gitml.transfer.availability import Availability
from gitml.transfer.lfs_inputs import POINTED
from gitml.transfer.remotes import Remotes, using_store
from gitml.transfer.run_selector import RunSelection, selected_roots
from gitml.workspace import Workspace


class DownloadReport(NamedTuple):
    """What became of a download: how much was here already, what came, and what could not be had anywhere."""

    here: int
    came: tuple[TransferRoot, ...]
    lost: tuple[TransferRoot, ...]
    problems: tuple[DownloadProblem, ...]
    bytes: int


def download(ws: Workspace, choice: RunSelection, emit: Emit, stop: StopSignal) -> DownloadReport:
    """Downloads the outputs and logs of the chosen runs. InputError for an unknown run or remote, TransferStoppedError."""
    here = Availability(ws)
    with closing(Remotes(ws)) as remotes:
        specs = remotes.named(choice.remotes)
        roots = selected_roots(ws, choice)
        absent = [root for root in roots if not here.holds(root.digest, root.size, tree=root.tree)]
        sources = [source for _, source in remotes.usable(specs)] if absent else []
        with using_store(ws):
            result = download_roots(ws.store, sources, remotes.indexes, absent, emit, lambda: stop.level > 0)
    problems = (*_failures(remotes), *result.problems)
    return DownloadReport(len(roots) - len(absent), result.here, result.lost, problems, result.bytes)


def fetch_outputs(
    ws: Workspace, outputs: Iterable[OutputRef | OutputPart], emit: Emit, stop: StopSignal
) -> DownloadResult:
    """Puts outputs, parts of them, and what Git LFS pointers stand for, into the Store, from records or else from remote stores.

    What is lost is returned, not raised.
    """
    here, wanted = Availability(ws), list(outputs)
    left = here.fetch_inline([output for output in wanted if isinstance(output, OutputRef)])
    parts = [one for one in wanted if isinstance(one, OutputPart) and not here.fetch_part(one.part)]
    if not left and not parts:
        return DownloadResult((), (), (), 0)
    made = [root_of(output) for output in left if output.kind != POINTED]
    made += _roots_of_parts(parts, {root.digest for root in made})
    pointed = [root_of(output) for output in left if output.kind == POINTED]
    result = DownloadResult((), (), (), 0)
    with closing(Remotes(ws)) as remotes, using_store(ws):
        for roots, specs in ((made, remotes.specs if made else ()), (pointed, remotes.lfs if pointed else ())):
            sources = [source for _, source in remotes.usable(specs)] if roots else []
            one = download_roots(ws.store, sources, remotes.indexes, roots, emit, lambda: stop.level > 0)
            result = DownloadResult(*[ours + theirs for ours, theirs in zip(result, one, strict=True)])  # type: ignore[operator]
    return result._replace(problems=(*_failures(remotes), *result.problems))


def _roots_of_parts(parts: Iterable[OutputPart], whole: Container[Digest]) -> list[TransferRoot]:
    """One for each directory that parts are wanted of, and that is not wanted as a `whole`."""
    of: dict[Digest, list[OutputPart]] = {}
    for one in parts:
        of.setdefault(one.output.digest, []).append(one)
    return [
        root_of(some[0].output)._replace(
            part=PartialTree(
                tuple({(one.part.digest, one.part.size, one.part.kind == "directory"): None for one in some}),
                tuple({digest: data for one in some for digest, data in one.part.listings.items()}.items()),
            )
        )
        for digest, some in of.items()
        if digest not in whole
    ]


def fetch_links(ws: Workspace, output: OutputRef, listings: Mapping[Digest, bytes]) -> bool:
    """Puts what links of a directory say into the Store, by its listings; whether all of it is there."""
    every = [entry for listing in listings.values() for entry in decode_tree(listing) if entry.kind == "l"]
    links = tuple({(entry.digest, entry.size, False): None for entry in every})
    if not links:
        return False
    root = root_of(output)._replace(part=PartialTree(links))
    with closing(Remotes(ws)) as remotes, using_store(ws):
        sources = [source for _, source in remotes.usable()]
        return not download_roots(ws.store, sources, remotes.indexes, [root]).lost


def fetch_listings(ws: Workspace, output: OutputRef) -> dict[Digest, bytes]:
    """The listings of a directory, of those that lie in it too, from the first remote store that has them; else nothing.

    They are not put into the Store, where a listing says that what it names is there.
    """
    with closing(Remotes(ws)) as remotes:
        for _, source in remotes.usable():
            found = download_listings(ws.store, source, remotes.indexes, root_of(output))
            if found:
                return found
    return {}


def _failures(remotes: Remotes) -> list[DownloadProblem]:
    return [DownloadProblem(failure.remote, None, failure.error.message) for failure in remotes.failures]


def refuse_lost(result: DownloadResult, wanted: Iterable[OutputRef | OutputPart] = ()) -> None:
    """RemoteError or IntegrityError when something could not be fetched and it is known what went wrong where.

    With what was `wanted` content of Git LFS, which no step makes, has a hint of its own.
    """
    if not result.lost or not result.problems:
        return
    texts = problem_texts(result.problems)
    wrong = all(problem.digest is not None for problem in result.problems)
    kind = IntegrityError if wrong else RemoteError
    names = ", ".join(root.name or root.digest[:19] for root in result.lost[:3])
    pointed = {one.digest: one.name for one in wanted if isinstance(one, OutputRef) and one.kind == POINTED}
    hint = "gitml remotes; or make it again by running its step"
    if all(root.digest in pointed for root in result.lost):
        listed = ",".join(pointed[root.digest] for root in result.lost[:3])
        hint = f"git lfs pull --include={shlex.quote(listed)}; who has the file sends it by git lfs push"
    raise kind(f"{names} can't be downloaded here: {texts[0]}", hint=hint)


def problem_texts(problems: Sequence[DownloadProblem]) -> list[str]:
    """Problems in words, each once."""
    return list(dict.fromkeys(f"remote {problem.remote}: {problem.what}" for problem in problems))


def root_of(output: OutputRef) -> TransferRoot:
    """An output as what is wanted of a remote store."""
    return TransferRoot(output.digest, output.size, output.is_tree, output.name)


def known_in_remotes(ws: Workspace, artifacts: Iterable[Artifact]) -> frozenset[Digest]:
    """Which of these a remote store of `gitml.yaml` is remembered to have; none is asked."""
    remotes = Remotes(ws)
    if not remotes.specs:
        return frozenset()
    outputs = [output_of(artifact) for artifact in artifacts if artifact.size is not None]
    return frozenset([output.digest for output in outputs if remotes.says(output)])


def obtainable(ws: Workspace, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Those that can be had, of remote stores too, which are asked. RemoteError when one can't be, and something lacks."""
    here = Availability(ws)
    held = [artifact for artifact in artifacts if here.has(output_of(artifact))]
    if len(held) < len(artifacts) and here.remotes.failures:
        failure = here.remotes.failures[0]
        raise RemoteError(f"remote {failure.remote}: {failure.error.message}", where=failure.error.where)
    return held


def fetch_artifacts(ws: Workspace, artifacts: Sequence[Artifact], emit: Emit, stop: StopSignal) -> DownloadResult:
    """Puts artifacts into the Store. RemoteError or IntegrityError when one could not be had and it is known why."""
    result = fetch_outputs(ws, [output_of(artifact) for artifact in artifacts], emit, stop)
    refuse_lost(result)
    return result


def locations(ws: Workspace, outputs: Iterable[OutputRef]) -> dict[Digest, str]:
    """Of outputs that are not on this machine: where they are, in words, as far as is known here; no remote store is asked."""
    here = Availability(ws)
    absent = {output.digest: output for output in outputs if not here.is_here(output)}
    if not absent:
        return {}
    remotes, absence = here.remotes, here.absence()
    known = [(spec.name, remotes.known(spec)) for spec in remotes.specs]
    found = {}
    for digest in absent:
        names = [name for name, one in known if one.lookup(digest)]
        asked = "not here: `gitml pull` asks the remote stores" if known else absence.removeprefix("is ")
        found[digest] = f"in {', '.join(names)}, not here" if names else asked
    return found


def output_of(artifact: Artifact) -> OutputRef:
    """An artifact as the output of a step that made it."""
    return OutputRef(artifact.name, artifact.kind, artifact.digest, artifact.size or 0)
