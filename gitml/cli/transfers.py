"""Uploads and downloads as a person sees them: which runs they are about, how far they are, and what came of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gitml.cli.interrupts import InterruptHandler
from gitml.cli.options import bundle
from gitml.cli.session import Session, as_data
from gitml.cli.text.format import columns, count, duration, size
from gitml.cli.text.terminal import is_terminal, safe

if TYPE_CHECKING:
    from gitml.core.model.events import Emit, Event, Transferring
    from gitml.core.model.result import OutputRef
    from gitml.core.model.stop_signal import StopSignal
    from gitml.core.planner.directory_part import OutputPart
    from gitml.store.remote.transfer.progress import UploadResult
    from gitml.transfer.download import DownloadReport
    from gitml.transfer.run_selector import RunSelection
    from gitml.transfer.upload import Forecast, UnsharedArtifact

_STOPPING = "stopping; what was moved stays"
_NAMED = 3  # artifacts that stay here which are named in one line
_PATIENCE = 5.0  # seconds from Ctrl-C until a remote that doesn't answer is waited for no more


class RunFilterOptions(NamedTuple):
    """Of which runs what is moved, and between where, as words of a command line."""

    runs: tuple[str, ...]
    since: str | None
    pipeline: str | None
    outputs: tuple[str, ...]
    stores: tuple[str, ...]

    def choice(self, session: Session) -> RunSelection:
        """What they mean today."""
        from gitml.history.time_format import parse_time
        from gitml.transfer.run_selector import RunSelection

        moment = parse_time(self.since, session.ws.now()) if self.since is not None else None
        return RunSelection(self.runs, moment, self.pipeline, self.outputs, self.stores)


run_filter_options = bundle(
    "choosing",
    RunFilterOptions,
    click.option("--runs", "runs", metavar="RUN", multiple=True, help="Artifacts of this run; may be repeated."),
    click.option("--since", metavar="DATE", help="Artifacts of runs since: 2026-07-01, 30d, 8w."),
    click.option("--pipeline", metavar="NAME", help="Artifacts of this pipeline's runs."),
    click.option(
        "--outputs", "outputs", metavar="GLOB", multiple=True, help="Outputs that match STEP.PORT; may be repeated."
    ),
    click.option("--store", "stores", metavar="NAME", multiple=True, help="Only this remote store; may be repeated."),
)


@contextmanager
def _transfer(session: Session) -> Iterator[tuple[Emit, StopSignal]]:
    """Who draws the progress of a transfer, one line that changes at a terminal, and the signal by which Ctrl-C stops it."""
    shown = not session.quiet and not session.json and is_terminal(sys.stderr)
    width = 0

    def draw(event: Event) -> None:
        from gitml.core.model.events import Transferring

        nonlocal width
        if not shown or not isinstance(event, Transferring):
            return
        line = transfer_line(event)
        sys.stderr.write("\r" + line.ljust(width))
        sys.stderr.flush()
        width = max(width, len(line))

    with InterruptHandler(quiet=session.quiet, message=_STOPPING, patience=_PATIENCE) as interrupts:
        try:
            yield draw, interrupts.stop
        finally:
            if width:
                sys.stderr.write("\r" + " " * width + "\r")
                sys.stderr.flush()


def transfer_line(event: Transferring) -> str:
    """How far a transfer is."""
    arrow = "to" if event.direction == "upload" else "from"
    left = f", {duration(event.left)} left" if event.left is not None else ""
    return (
        f"{event.direction} {arrow} {safe(event.remote)}: {event.items:,}/{event.of:,}, "
        f"{size(event.done)} of {size(event.total)}, {size(int(event.rate))}/s{left}"
    )


def push_artifacts(session: Session, choice: RunSelection, *, trusting: bool = False) -> list[UploadResult]:
    """Uploads with progress; `trusting`: what is remembered of the stores counts."""
    from gitml.transfer.upload import upload

    with _transfer(session) as (progress, stop):
        return upload(session.ws, choice, progress, stop, trusting=trusting)


def pull_artifacts(session: Session, choice: RunSelection) -> DownloadReport:
    """Downloads with progress."""
    from gitml.transfer.download import download

    with _transfer(session) as (progress, stop):
        return download(session.ws, choice, progress, stop)


def fetch_outputs(session: Session, outputs: Iterable[OutputRef | OutputPart]) -> str:
    """Downloads those of `outputs` that only a remote store has, and parts; returns why some could not be, empty when none.

    RemoteError when a remote that may have it fails.
    """
    from gitml.core.model.result import OutputRef
    from gitml.transfer.availability import Availability

    here = Availability(session.ws)
    lacking = [one for one in outputs if not (isinstance(one, OutputRef) and here.is_here(one))]
    if not lacking:
        return ""
    from gitml.transfer.download import fetch_outputs, refuse_lost

    with _transfer(session) as (progress, stop):
        brought = fetch_outputs(session.ws, lacking, progress, stop)
    refuse_lost(brought, lacking)
    return here.absence()


def upload_lines(sent: Sequence[UploadResult]) -> list[str]:
    """What became of uploads, a line a remote, and a line for each thing that was refused."""
    lines = []
    for one in sent:
        phrase = [count(len(one.sent), "artifact") + f" sent ({size(one.bytes)})" if one.sent else "nothing to send"]
        if one.missing:
            phrase.append(f"{count(len(one.missing), 'artifact')} neither here nor there")
        lines.append(f"{safe(one.remote)}: {', '.join(phrase)}")
        lines += [f"{safe(one.remote)}: refused {safe(name)}: {safe(why)}" for name, why in one.refused]
    return lines


def unshared_lines(session: Session, stays: Sequence[UnsharedArtifact]) -> list[str]:
    """What is on this machine alone after a push, and what would change that: one line, with ``-v`` one for each as well."""
    if not stays:
        return []
    from gitml.transfer.upload import why_unshared

    shown = [f"{safe(one.name)} of run {one.run[:8]}" for one in stays]
    named = ", ".join(shown[:_NAMED]) + (
        f" and {len(stays) - _NAMED:,} more (-v lists all)" if len(stays) > _NAMED else ""
    )
    total = size(sum(one.size for one in stays))
    verb = "stays" if len(stays) == 1 else "stay"
    lines = [f"{count(len(stays), 'artifact')} ({total}) {verb} here: {named}; {why_unshared(session.ws)}"]
    if session.verbose:
        lines += columns(
            [[f"  {name}", size(one.size)] for name, one in zip(shown, stays, strict=True)], right=frozenset({1})
        )
    return lines


def upload_as_json(one: UploadResult) -> dict[str, Any]:
    """What ``--json`` shows of an upload."""
    data: dict[str, Any] = as_data(one)
    del data["confirmed"]
    return {**data, "refused": [{"name": name, "why": why} for name, why in one.refused]}


def download_lines(done: DownloadReport) -> list[str]:
    """What became of a download."""
    from gitml.transfer.download import problem_texts

    phrase = f"{count(len(done.came), 'artifact')} came ({size(done.bytes)})" if done.came else "no artifact came"
    lines = [f"{phrase}, {done.here:,} here already"]
    lines += [safe(line) for line in problem_texts(done.problems)]
    if done.lost:
        names = ", ".join(safe(root.name) for root in done.lost[:5])
        lines.append(f"not to be had: {names}{' …' if len(done.lost) > 5 else ''}")
    return lines


def forecast_lines(forecasts: Sequence[Forecast]) -> list[str]:
    """What an upload would move."""
    lines = []
    for one in forecasts:
        if not one.roots:
            lines.append(f"{safe(one.remote)}: nothing to send")
            continue
        phrase = f"would send {count(len(one.roots), 'artifact')}, {size(one.bytes)} in {count(one.objects, 'object')}"
        lines.append(f"{safe(one.remote)}: {phrase}")
        lines += columns([[f"  {safe(root.name)}", size(root.size)] for root in one.roots[:50]], right=frozenset({1}))
        if len(one.roots) > 50:
            lines.append(f"  … and {len(one.roots) - 50:,} more")
    return lines
