"""Bringing what recorded runs made to this machine: exactly what is asked for, from records and remote stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gitml.core.model.events import Event
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.errors import IntegrityError, RemoteError
from gitml.store.remote.transfer.download import Downloader, DownloadProblem, DownloadResult
from gitml.store.remote.transfer.progress import TransferRoot
from gitml.transfer.availability import Availability
from gitml.transfer.lfs_inputs import POINTED
from gitml.transfer.remotes import Remotes, using_store
from gitml.transfer.run_selector import Choice, chosen_roots
from gitml.workspace import Workspace

Emit = Callable[[Event], None]


class Downloaded(NamedTuple):
    """What became of a download: how much was here already, what came, and what could not be had anywhere."""

    here: int
    came: tuple[TransferRoot, ...]
    lost: tuple[TransferRoot, ...]
    problems: tuple[DownloadProblem, ...]
    bytes: int


def download(ws: Workspace, choice: Choice, emit: Emit, stop: StopSignal) -> Downloaded:
    """Brings the outputs and logs of the chosen runs. InputError for an unknown run or remote, TransferStoppedError."""
    remotes = Remotes(ws)
    specs = remotes.named(choice.remotes)
    roots = chosen_roots(ws, choice)
    absent = _absent(ws, roots)
    try:
        sources = [source for _, source in remotes.usable(specs)] if absent else []
        with using_store(ws):
            brought = Downloader(ws.store, sources, remotes.indexes).fetch(absent, emit, lambda: stop.level > 0)
    finally:
        remotes.close()
    troubles = tuple(DownloadProblem(trouble.remote, None, trouble.error.message) for trouble in remotes.troubles)
    return Downloaded(
        len(roots) - len(absent), brought.here, brought.lost, (*troubles, *brought.problems), brought.bytes
    )


def absent_roots(ws: Workspace, choice: Choice) -> list[TransferRoot]:
    """What `download` would bring, or try to."""
    return _absent(ws, chosen_roots(ws, choice))


def bring(ws: Workspace, outputs: Iterable[OutputRef], emit: Emit, stop: StopSignal) -> DownloadResult:
    """Puts outputs, and what Git LFS pointers stand for, into the Store, from records or else from remote stores.

    What is lost is told, not raised.
    """
    wanted = list(outputs)
    left = Availability(ws).bring_inline(wanted)
    if not left:
        return DownloadResult((), (), (), 0)
    remotes = Remotes(ws)
    made = [root_of(output) for output in left if output.kind != POINTED]
    pointed = [root_of(output) for output in left if output.kind == POINTED]
    brought = DownloadResult((), (), (), 0)
    try:
        with using_store(ws):
            for roots, specs in ((made, remotes.specs if made else ()), (pointed, remotes.lfs if pointed else ())):
                sources = [source for _, source in remotes.usable(specs)] if roots else []
                one = Downloader(ws.store, sources, remotes.indexes).fetch(roots, emit, lambda: stop.level > 0)
                brought = DownloadResult(*[ours + theirs for ours, theirs in zip(brought, one, strict=True)])  # type: ignore[operator]
    finally:
        remotes.close()
    troubles = tuple(DownloadProblem(trouble.remote, None, trouble.error.message) for trouble in remotes.troubles)
    return brought._replace(problems=(*troubles, *brought.problems))


def refuse_lost(brought: DownloadResult) -> None:
    """RemoteError or IntegrityError when something could not be brought and it is known what went wrong where."""
    if not brought.lost or not brought.problems:
        return
    told = told_problems(brought.problems)
    wrong = all(problem.digest is not None for problem in brought.problems)
    kind = IntegrityError if wrong else RemoteError
    names = ", ".join(root.name or root.digest[:19] for root in brought.lost[:3])
    raise kind(f"{names} can't be brought here: {told[0]}", hint="gitml remotes; or make it again by running its step")


def told_problems(problems: Sequence[DownloadProblem]) -> list[str]:
    """Problems in words, each once."""
    return list(dict.fromkeys(f"remote {problem.remote}: {problem.what}" for problem in problems))


def root_of(output: OutputRef) -> TransferRoot:
    """An output as what is wanted of a remote store."""
    return TransferRoot(output.digest, output.size, output.is_tree, output.name)


def _absent(ws: Workspace, roots: Sequence[TransferRoot]) -> list[TransferRoot]:
    here = Availability(ws)
    return [root for root in roots if not here.holds(root.digest, root.size, tree=root.tree)]
