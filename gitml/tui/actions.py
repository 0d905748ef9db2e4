"""What can be done with a run wherever it is shown: start one, run it again, cancel, explain, read its log, copy its id."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType

from gitml.core.model.action import Scalar
from gitml.core.text.format import safe
from gitml.errors import GitmlError, InputError
from gitml.tui.page import Page
from gitml.tui.text import plain
from gitml.workspace import Workspace, open_workspace


class Acted(NamedTuple):
    """The run that a page's keys act on, and the step of it where one is chosen.

    `among` are the steps that are meant where none is chosen; empty means all of the run.
    """

    run: str
    pipeline: str
    live: bool = False
    step: str | None = None
    among: tuple[str, ...] = ()


class ActingPage(Page):
    """A page with something to act on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_run", "New run"),
        Binding("r", "run_again", "Run again"),
        Binding("x", "cancel_run", "Cancel"),
        Binding("e", "explain_step", "Explain"),
        Binding("o", "open_log", "Log in pager", show=False),
        Binding("y", "copy_id", "Copy id"),
    ]

    def acted_on(self) -> Acted | None:
        """What the keys act on now."""
        return None

    # -- starting

    def action_new_run(self) -> None:
        """Chooses a pipeline and its parameters, and starts it; the pipeline of what is chosen stands first."""
        acted = self.acted_on()
        self.offer_run(acted.pipeline if acted is not None else None)

    def offer_run(
        self, pipeline: str | None = None, rev: str | None = None, params: Mapping[str, Scalar] | None = None
    ) -> None:
        """Opens the dialog that starts a run, at a revision or (None) of the files as they are."""
        from gitml.engine.planning.load import pipeline_summaries
        from gitml.tui.widgets.dialogs.start_run import StartRun

        def show(found: Sequence[object]) -> None:
            if not found:
                self.ui.fail(InputError("there is no pipeline here", hint="gitml init writes a first one"))
                return
            self.put(StartRun(found, pipeline, rev, params or {}), self._start)  # type: ignore[arg-type]

        self.ask("offers", lambda ws: pipeline_summaries(ws, rev), show)

    def _start(self, words: Sequence[str] | None) -> None:
        if words is not None:
            self.start_run(words)

    def start_run(self, words: Sequence[str]) -> None:
        """Starts ``gitml run WORDS`` in the background and opens the run when it goes on or has ended."""
        self.ui.say("starting…")
        self.reach("start", lambda ws: _started(ws, words), lambda id: self.ui.go("run", run=id))

    def action_run_again(self) -> None:
        """Runs the chosen run's pipeline again, with its parameters."""
        acted = self.acted_on()
        if acted is None:
            return
        from gitml.tui.widgets.dialogs.choices import Choice

        def chosen(how: str) -> None:
            self.ask("again", lambda ws: _words_again(ws, acted.run, how), self.start_run)

        self.choose(
            f"Run {acted.run[:8]} again",
            (
                Choice("same", "at its commit", "reuses what did not change, so it shows whether all is still there"),
                Choice("afresh", "at its commit, performing every step", "shows whether the same comes out"),
                Choice("now", "with the files as they are now", "the same parameters"),
            ),
            chosen,
        )

    # -- ending

    def action_cancel_run(self) -> None:
        """Cancels the chosen run after a confirmation."""
        acted = self.acted_on()
        if acted is None:
            return
        if acted.live:
            self._confirm_cancel(acted)
            return

        def found(noted: bool) -> None:
            if noted:
                self._confirm_cancel(acted)
            else:
                self.ui.fail(InputError(f"run {acted.run[:8]} is not going on"))

        self.ask("submitted", lambda ws: _is_submitted(ws, acted.run), found)

    def _confirm_cancel(self, acted: Acted) -> None:
        def cancel() -> None:
            from gitml.submission.cancel import cancel as cancelled

            self.ui.say(f"ending run {acted.run[:8]}…")
            self.reach(
                "cancel",
                lambda ws: cancelled(ws, acted.run).status,
                lambda status: self._ended(acted.run, status),
            )

        self.confirm(
            f"Cancel run {acted.run[:8]}?",
            [
                f"{plain(acted.pipeline)}: the steps that run are ended, as Ctrl-C would where it was started.",
                "What is finished stays recorded and is reused by the next run.",
            ],
            cancel,
            yes="Cancel the run",
        )

    def _ended(self, run: str, status: str) -> None:
        self.ui.say(f"run {run[:8]} {status}")
        self.refresh_data()

    # -- looking closer

    def action_explain_step(self) -> None:
        """Tells what makes the chosen step run again now."""
        acted = self.acted_on()
        if acted is None:
            return
        if acted.step is not None:
            self.explain(acted.step, acted.pipeline)
            return
        from gitml.history.runs import get_run
        from gitml.tui.widgets.dialogs.choices import Choice

        def names(ws: Workspace) -> list[tuple[str, str]]:
            steps = get_run(ws, acted.run).run.steps
            return [(step.name, step.outcome) for step in steps if not acted.among or step.name in acted.among]

        def offer(steps: list[tuple[str, str]]) -> None:
            if len(steps) == 1:
                self.explain(steps[0][0], acted.pipeline)
                return
            choices = [Choice(name, plain(name), outcome) for name, outcome in steps]
            self.choose("Explain which step?", choices, lambda name: self.explain(name, acted.pipeline))

        self.ask("steps", names, offer)

    def explain(self, step: str, pipeline: str, revisions: str | None = None) -> None:
        """Shows what makes a step run again: as the files are, or (``A..B``) from one commit to another."""
        from gitml.analysis.explain import Explanation, explain
        from gitml.tui.widgets.dialogs.dialogs import Reading
        from gitml.tui.widgets.step.explanation import explained

        def show(found: Sequence[Explanation]) -> None:
            self.put(Reading(f"Explain {plain(step)}", explained(found, self.ui.inks)))

        self.ask("explain", lambda ws: explain(ws, step, pipeline, revisions), show)

    def action_copy_id(self) -> None:
        """Copies the run's id."""
        acted = self.acted_on()
        if acted is not None:
            self.ui.copy(acted.run, "run id")

    def action_open_log(self) -> None:
        """Opens the log of the chosen step, or of the whole run, in the pager; the screen comes back when that ends."""
        acted = self.acted_on()
        if acted is None:
            return
        try:
            with self.app.suspend():
                trouble = _page_log(self.ui.feed.start, self.ui.feed.environ, acted)
        except SuspendNotSupported:
            trouble = InputError("no pager can be shown here", hint=f"gitml logs {acted.run[:8]}")
        if trouble is not None:
            self.ui.fail(trouble)
        self.refresh(layout=True)


def _started(ws: Workspace, words: Sequence[str]) -> str:
    """Starts a run; its id. InputError with what its process said when it ended before it began."""
    from gitml.analysis.named_places import steps_of
    from gitml.engine.detached import start_detached

    ws.consent.need_run(() if ws.consent.may_run() else steps_of(ws))
    started = start_detached(ws, (), words, cwd=ws.location.folder)
    if started.was_refused(ws):
        said = safe(started.said.decode("utf-8", "replace").strip().replace("\n", " · "))
        raise InputError(said.removeprefix("gitml: ") or f"the run ended at once, with {started.code}")
    return started.run_id


def _is_submitted(ws: Workspace, run: str) -> bool:
    """Whether a cluster has a run that was not brought home."""
    from gitml.history.submissions import submissions

    return any(one.run == run for one in submissions(ws))


def _words_again(ws: Workspace, run: str, how: str) -> list[str]:
    from gitml.engine.detached import rerun_arguments
    from gitml.history.runs import get_run

    options = ["--no-reuse"] if how == "afresh" else []
    return rerun_arguments(get_run(ws, run).run, as_it_is=how == "now", options=options)


def _page_log(start: str, environ: Mapping[str, str], acted: Acted) -> GitmlError | None:
    """Pipes a log into the pager and waits for that; called while the screen is handed over."""
    from gitml.history.logs import attempt_logs, read
    from gitml.history.runs import get_run

    command = shlex.split(environ.get("GITML_PAGER") or environ.get("PAGER") or "less")
    ws = open_workspace(start, environ)
    try:
        logs = attempt_logs(ws, get_run(ws, acted.run), acted.step)
        if not logs:
            return InputError("nothing was written, or nothing of it is kept")
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": "-S", **os.environ})
        assert pager.stdin is not None
        try:
            for part in logs:
                if len(logs) > 1:
                    pager.stdin.write(f"== {safe(part.step)}\n".encode())
                for chunk in read(ws, part):
                    pager.stdin.write(chunk)
        except BrokenPipeError:
            pass  # it was left before the end
        finally:
            with contextlib.suppress(BrokenPipeError):
                pager.stdin.close()
            pager.wait()
    except GitmlError as error:
        return error
    except OSError as error:
        return InputError(f"the pager {command[0]!r} can't be started: {error.strerror}", hint="set PAGER")
    finally:
        ws.close()
    return None
