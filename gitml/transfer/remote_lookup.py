"""Artifacts that are not on this machine: which of them a remote store has, and bringing them here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitml.core.model.digest import Digest
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.errors import RemoteError
from gitml.store.index.artifact_list import Artifact
from gitml.store.remote.transfer.download import DownloadResult
from gitml.transfer.download import Emit, bring, refuse_lost
from gitml.transfer.remotes import Remotes
from gitml.workspace import Workspace


def known_in_remotes(ws: Workspace, artifacts: Iterable[Artifact]) -> frozenset[Digest]:
    """Which of these a remote store of `gitml.yaml` is remembered to have; none is asked."""
    remotes = Remotes(ws)
    if not remotes.specs:
        return frozenset()
    outputs = [output_of(artifact) for artifact in artifacts if artifact.size is not None]
    return frozenset([output.digest for output in outputs if remotes.says(output)])


def held_anywhere(ws: Workspace, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Those that can be had, of remote stores too, which are asked. RemoteError when one can't be, and something lacks."""
    from gitml.transfer.availability import Availability

    here = Availability(ws)
    held = [artifact for artifact in artifacts if here.has(output_of(artifact))]
    if len(held) < len(artifacts) and here.remotes.troubles:
        trouble = here.remotes.troubles[0]
        raise RemoteError(f"remote {trouble.remote}: {trouble.error.message}", where=trouble.error.where)
    return held


def bring_artifacts(ws: Workspace, artifacts: Sequence[Artifact], emit: Emit, stop: StopSignal) -> DownloadResult:
    """Puts artifacts into the Store. RemoteError or IntegrityError when one could not be had and it is known why."""
    brought = bring(ws, [output_of(artifact) for artifact in artifacts], emit, stop)
    refuse_lost(brought)
    return brought


def where_else(ws: Workspace, outputs: Iterable[OutputRef]) -> dict[Digest, str]:
    """Of outputs that are not on this machine: where they are, in words, as far as is known here; no remote store is asked."""
    from gitml.transfer.availability import Availability

    here = Availability(ws)
    absent = {output.digest: output for output in outputs if not here.is_here(output)}
    if not absent:
        return {}
    remotes, told = here.remotes, here.absence()
    known = [(spec.name, remotes.known(spec)) for spec in remotes.specs]
    found = {}
    for digest in absent:
        names = [name for name, one in known if one.says(digest)]
        asked = "not here: `gitml pull` asks the remote stores" if known else told.removeprefix("is ")
        found[digest] = f"in {', '.join(names)}, not here" if names else asked
    return found


def output_of(artifact: Artifact) -> OutputRef:
    """An artifact as the output of a step that made it."""
    return OutputRef(artifact.name, artifact.kind, artifact.digest, artifact.size or 0)
