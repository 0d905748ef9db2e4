"""`gitml logs`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from gitml.cli.options import cluster_option
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import size
from gitml.cli.text.terminal import paint, safe, safe_line
from gitml.errors import RemoteError
from gitml.submission.lookup import SubmittedRun, find_submitted_run

if TYPE_CHECKING:
    from gitml.history.logs import AttemptLog
    from gitml.history.runs import FoundRun


@verb("logs", json=True, reaches=ALWAYS)
@click.argument("run", required=False, default="latest")
@click.argument("step", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written, until the run ends.")
@cluster_option
def command(session: Session, run: str, step: str | None, follow: bool, on: str | None) -> None:
    """Print what the steps of a run wrote, each attempt of each; of a run in progress what they wrote so far.

    RUN is the beginning of a run's id; without it, the newest run. With STEP the log of that step alone, a reused one's
    from the run that made it. What lies in a remote store only is fetched. To a file or a pipe the bytes go as they are, to a
    terminal as safe text.
    """
    from gitml.history.logs import attempt_logs, read
    from gitml.history.runs import find_run

    ws = session.recovered_ws
    with find_submitted_run(ws, run, on) as there:
        if there is not None:
            _print_submitted(session, there, step, follow)
            return
    found = find_run(ws, run)
    if follow:
        _follow(session, found, step)
        return
    logs = attempt_logs(ws, found, step)
    if session.json:
        session.show_json([_as_data(part) for part in logs])
        return
    _bring(session, logs)
    printer = _Printer(session, len({part.step for part in logs}) > 1 or any(part.of > 1 for part in logs))
    for part in logs:
        printer.begin(part)
        for chunk in read(ws, part):
            printer.write(part, chunk)
        printer.end(part)
    if not logs:
        session.note("nothing was performed in this run" if step is None else "nothing of it is kept")


def _bring(session: Session, logs: list[AttemptLog]) -> None:
    """Downloads the logs that only a remote store has."""
    from gitml.core.model.result import OutputRef
    from gitml.history.files.contents import is_here

    kept = [(f"the log of {part.step}", part.log) for part in logs if part.log is not None]
    refs = [OutputRef(name, "file", log.digest, log.size) for name, log in kept]
    absent = [ref for ref in refs if not is_here(session.ws, ref.digest, ref.size, tree=False)]
    if absent:
        from gitml.cli.transfers import fetch_outputs

        fetch_outputs(session, absent)


def _follow(session: Session, found: FoundRun, step: str | None) -> None:
    from gitml.history.logs import LogFollower

    follower = LogFollower(session.ws, found, step)
    printer = _Printer(session, step is None)
    while True:
        for part, chunk in follower.poll():
            printer.write(part, chunk)
        sys.stdout.flush()
        if follower.ended:
            printer.flush()
            return
        time.sleep(0.1)


def _print_submitted(session: Session, there: SubmittedRun, step: str | None, follow: bool) -> None:
    """What the steps of a run on a cluster wrote, as it comes."""
    from gitml.history.logs import AttemptLog
    from gitml.submission.collect import follow as follow_submitted
    from gitml.submission.collect import past_events
    from gitml.submission.event_stream import JobEnded, JobLogText

    printer = _Printer(session, step is None)
    error = None
    try:
        for event in (follow_submitted if follow else past_events)(there.jobs, there.submission):
            if isinstance(event, JobLogText) and step in (None, event.step, event.step.partition("[")[0]):
                number = int(event.attempt.rpartition("-")[2])
                printer.write(AttemptLog(event.step, event.attempt, number, number), event.content)
                sys.stdout.flush()
            elif isinstance(event, JobEnded):
                error = event.error
    finally:
        printer.flush()
    if error is not None:
        raise RemoteError(str(error.get("message")), where=f"target {there.submission.target}", hint=error.get("hint"))


class _Printer:
    """Writes logs: raw where bytes are wanted, safe lines to a terminal, and headings between the logs of several steps."""

    def __init__(self, session: Session, headings: bool) -> None:
        self.session = session
        self.headings = headings
        self.raw = not sys.stdout.isatty()
        self.current: str | None = None
        self.rest: dict[str, bytes] = {}  # an unfinished line of each attempt
        self.ends_line = True

    def begin(self, part: AttemptLog) -> None:
        """A heading, when another log begins."""
        if self.current == part.attempt:
            return
        self.current = part.attempt
        if self.headings:
            sys.stdout.flush()
            attempt = f", attempt {part.number} of {part.of}" if part.of > 1 else ""
            gap = "" if self.ends_line else "\n"
            self.session.note(f"{gap}{paint(f'== {safe(part.step)}{attempt}', 'bold', sys.stderr)}")

    def write(self, part: AttemptLog, chunk: bytes) -> None:
        """Some bytes of a log."""
        self.begin(part)
        if self.raw:
            sys.stdout.flush()
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            self.ends_line = chunk.endswith(b"\n")
            return
        lines = (self.rest.pop(part.attempt, b"") + chunk).split(b"\n")
        if lines[-1]:
            self.rest[part.attempt] = lines[-1]
        self._show(*lines[:-1])

    def end(self, part: AttemptLog) -> None:
        """The last line of a log, and what is not in it."""
        rest = self.rest.pop(part.attempt, b"")
        if rest:
            self._show(rest)
        if part.cut:
            sys.stdout.flush()
            self.session.note(f"({size(part.cut)} more were written and not kept)")

    def flush(self) -> None:
        """What is left of every log."""
        self._show(*self.rest.values())
        self.rest.clear()

    def _show(self, *lines: bytes) -> None:
        sys.stdout.write("".join([safe_line(line.decode("utf-8", "surrogateescape")) + "\n" for line in lines]))


def _as_data(part: AttemptLog) -> dict[str, object]:
    return {
        "step": part.step,
        "attempt": part.number,
        "digest": part.log.digest if part.log else None,
        "size": part.log.size if part.log else None,
        "written": part.log.written if part.log else None,
        "path": part.path,
        "origin": part.origin,
    }
