"""The actions on a run wherever it is shown: start one, run it again, cancel, explain, read its log, copy its id."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType

from gitml import layout
from gitml.core.text.format import safe
from gitml.errors import GitmlError, InputError
from gitml.tui.page import Page
from gitml.tui.styles import sign_of
from gitml.tui.text import plain
from gitml.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from gitml.analysis.explain import Explanation  # loads the planner, which the first screen does not need
    from gitml.engine.planning.load import PipelineSummary


class SelectedRun(NamedTuple):
    """The run that a page's keys act on, and the step of it where one is chosen.

    `among` are the steps that are meant where none is chosen; empty means all of the run.
    """

    run: str
    pipeline: str
    live: bool = False
    step: str | None = None
    among: tuple[str, ...] = ()


class RunActionsPage(Page):
    """A page with something to act on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_run", "New run"),
        Binding("r", "run_again", "Run again"),
        Binding("x", "cancel_run", "Cancel"),
        Binding("e", "explain_step", "Explain"),
        Binding("o", "open_log", "Log in pager", show=False),
        Binding("y", "copy_id", "Copy id"),
    ]

    def selected_run(self) -> SelectedRun | None:
        """What the keys act on now."""
        return None

    # -- starting

    def action_new_run(self) -> None:
        """Chooses a pipeline and its parameters, and starts it; the pipeline of what is chosen stands first."""
        from gitml.engine.planning.load import pipeline_summaries
        from gitml.tui.widgets.start_run import StartRunDialog

        selected = self.selected_run()

        def show(found: Sequence[PipelineSummary]) -> None:
            if not found:
                self.ui.report_error(InputError("there is no pipeline here", hint="gitml init writes a first one"))
                return
            self.open_dialog(StartRunDialog(found, selected.pipeline if selected is not None else None), self.start_run)

        self.run_query("offers", pipeline_summaries, show)

    def start_run(self, words: Sequence[str], verb: str = "run") -> None:
        """Starts ``gitml run WORDS`` (or `verb`) in the background and opens the run when it is in progress or has ended."""
        self.ui.report("starting…")
        self.run_online("start", lambda ws: _started(ws, words, verb), lambda id: self.ui.go("run", run=id))

    def action_run_again(self) -> None:
        """Runs the chosen run's pipeline again, with its parameters."""
        selected = self.selected_run()
        if selected is None:
            return
        from gitml.tui.widgets.dialogs import MenuItem

        def chosen(how: str) -> None:
            if how == "now":
                self.run_query("again", lambda ws: _words_now(ws, selected.run), self.start_run)
            else:
                self.start_run([selected.run, *(["--no-reuse"] if how == "afresh" else [])], "rerun")

        self.choose(
            f"Run {selected.run[:8]} again",
            (
                MenuItem(
                    "same", "at its commit", "reuses what did not change: shows whether every result still exists"
                ),
                MenuItem("afresh", "at its commit, performing every step", "shows whether the results are the same"),
                MenuItem("now", "with the files as they are now", "the same parameters"),
            ),
            chosen,
        )

    # -- ending

    def action_cancel_run(self) -> None:
        """Cancels the chosen run after a confirmation."""
        selected = self.selected_run()
        if selected is None:
            return
        if selected.live:
            self._confirm_cancel(selected)
            return

        def found(noted: bool) -> None:
            if noted:
                self._confirm_cancel(selected)
            else:
                self.ui.report_error(InputError(f"run {selected.run[:8]} is not in progress"))

        self.run_query("submitted", lambda ws: _is_submitted(ws, selected.run), found)

    def _confirm_cancel(self, selected: SelectedRun) -> None:
        def cancel() -> None:
            from gitml.submission.cancel import cancel as cancelled

            self.ui.report(f"cancelling run {selected.run[:8]}…")
            self.run_online("cancel", lambda ws: cancelled(ws, selected.run).status, ended)

        def ended(status: str) -> None:
            self.ui.report(f"run {selected.run[:8]} {status}")
            self.refresh_data()

        self.confirm(
            f"Cancel run {selected.run[:8]}?",
            [
                f"{plain(selected.pipeline)}: its steps in progress are cancelled, as by Ctrl-C where it was started.",
                "Finished steps stay recorded, and the next run reuses them.",
            ],
            cancel,
            yes="Cancel the run",
        )

    # -- looking closer

    def action_explain_step(self) -> None:
        """Explains why the chosen step would run again now."""
        selected = self.selected_run()
        if selected is None:
            return
        if selected.step is not None:
            self.explain(selected.step, selected.pipeline)
            return
        from gitml.history.runs import get_run
        from gitml.tui.widgets.dialogs import MenuItem

        def names(ws: Workspace) -> list[tuple[str, str]]:
            steps = get_run(ws, selected.run).run.steps
            return [(step.name, step.outcome) for step in steps if not selected.among or step.name in selected.among]

        def offer(steps: list[tuple[str, str]]) -> None:
            if len(steps) == 1:
                self.explain(steps[0][0], selected.pipeline)
                return
            choices = [MenuItem(name, plain(name), outcome) for name, outcome in steps]
            self.choose("Explain which step?", choices, lambda name: self.explain(name, selected.pipeline))

        self.run_query("steps", names, offer)

    def explain(self, step: str, pipeline: str, revisions: str | None = None) -> None:
        """Shows what makes a step run again: as the files are, or (``A..B``) from one commit to another."""
        from gitml.analysis.explain import explain

        def show(found: Sequence[Explanation]) -> None:
            self.show_text(f"Explain {plain(step)}", explained(found))

        self.run_query("explain", lambda ws: explain(ws, step, pipeline, revisions), show)

    def action_copy_id(self) -> None:
        """Copies the run's id."""
        selected = self.selected_run()
        if selected is not None:
            self.ui.copy(selected.run, "run id")

    def action_open_log(self) -> None:
        """Opens the log of the chosen step, or of the whole run, in the pager; the screen comes back when that ends."""
        selected = self.selected_run()
        if selected is None:
            return
        try:
            with self.app.suspend():
                trouble = _page_log(self.ui.queries.start, self.ui.queries.environ, selected)
        except SuspendNotSupported:
            trouble = InputError("no pager can be shown here", hint=f"gitml logs {selected.run[:8]}")
        if trouble is not None:
            self.ui.report_error(trouble)
        self.refresh(layout=True)


def _started(ws: Workspace, words: Sequence[str], verb: str) -> str:
    """Starts a run; its id. InputError with what its process wrote when it ended before it began."""
    from gitml.analysis.named_places import steps_of
    from gitml.engine.detached import start_detached

    ws.consent.need_run(() if ws.consent.may_run() else steps_of(ws))
    started = start_detached(ws, (), words, cwd=ws.location.folder, verb=verb)
    if started.was_refused(ws):
        output = safe(started.said.decode("utf-8", "replace").strip().replace("\n", " · "))
        raise InputError(output.removeprefix("gitml: ") or f"the run ended at once, with {started.code}")
    return started.run_id


def _is_submitted(ws: Workspace, run: str) -> bool:
    """Whether a cluster has a run that was not collected yet."""
    from gitml.history.submissions import submissions

    return any(one.run == run for one in submissions(ws))


def _words_now(ws: Workspace, run: str) -> list[str]:
    from gitml.engine.detached import rerun_arguments
    from gitml.history.runs import get_run

    return rerun_arguments(get_run(ws, run).run)


def _page_log(start: str, environ: Mapping[str, str], selected: SelectedRun) -> GitmlError | None:
    """Pipes a log into the pager and waits for that; called while the application is suspended."""
    from gitml.history.logs import attempt_logs, read
    from gitml.history.runs import get_run

    command = shlex.split(environ.get(layout.PAGER_VARIABLE) or environ.get("PAGER") or "less")
    ws = open_workspace(start, environ)
    try:
        logs = attempt_logs(ws, get_run(ws, selected.run), selected.step)
        if not logs:
            return InputError("nothing was written, or the log was not kept")
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


def explained(found: Sequence[Explanation]) -> Text:
    """What becomes of each step, compared with what, and every change by name and value."""
    text = Text()
    for item in found:
        sign = sign_of(item.decision.kind)
        text.append(f"{sign.mark} {safe(item.step)} ", "bold")
        text.append(sign.word, sign.style)
        text.append(f"\n  {safe(item.decision.reason)}\n")
        if item.decision.hint:
            text.append(f"  {safe(item.decision.hint)}\n", "accent")
        if item.against is None:
            text.append("  no result of it is recorded\n", "dim")
        elif item.changes:
            text.append(f"\n  compared with {safe(item.against)}:\n", "dim")
            for change in item.changes:
                text.append(f"    {change.kind:<12}", "accent")
                text.append(f"{safe(change.name)}\n" if change.name else "\n", "bold")
                for mark, value, style in (("-", change.before, "bad"), ("+", change.after, "good")):
                    if value is not None:
                        text.append(f"      {mark} {safe(value)}\n", style)
        elif not item.waits_for:
            text.append(f"  nothing differs from {safe(item.against)}\n", "dim")
        if item.waits_for:
            text.append(f"  more is known once {safe(', '.join(item.waits_for))} ran\n", "dim")
        text.append("\n")
    return text
