"""Run: one run, its graph as it goes on, and everything about the step that is chosen in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import ContentSwitcher, Static

from gitml.core.model.graph import GraphStep
from gitml.history.runs import StepProgress
from gitml.history.step_details import StepDetails, step_details
from gitml.tui.actions import RunActionsPage, SelectedRun
from gitml.tui.errors import ErrorMessage
from gitml.tui.screens.run.log_pane import LogPane
from gitml.tui.screens.run.step_tables import StepFiles, StepMetrics
from gitml.tui.screens.run.view import (
    RunView,
    details,
    first_step_to_show,
    headline,
    missing_output,
    planned_steps,
    took_text,
    view_run,
)
from gitml.tui.styles import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.bars import SectionBar
from gitml.tui.widgets.dialogs import MenuItem
from gitml.tui.widgets.graph import GraphNode, StepGraph
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.plot_pane import PlotPane

SECTIONS = (
    ("details", "d", "Details"),
    ("files", "f", "Files"),
    ("log", "l", "Log"),
    ("metrics", "m", "Metrics"),
    ("plots", "p", "Plots"),
)

CLUSTER_EVERY = 3.0  # seconds between queries to a cluster about a run in progress there


class RunPage(RunActionsPage):
    """One run."""

    route = "run"
    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(key, f"section({name!r})", title, show=False) for name, key, title in SECTIONS],
        Binding("c", "compare", "Compare"),
        Binding("slash", "find", "Find step", key_display="/"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None
        self.view: RunView | None = None
        self.planned: Mapping[str, GraphStep] | None = None  # None: not read yet
        self._names_asked: set[str] = set()
        self.details: dict[str, StepDetails] = {}
        self.requested_step: str | None = None
        self._head = ""
        self._querying = False
        self._queried_at = 0.0  # when the answer came

    def body(self) -> ComposeResult:
        """The run in two lines; its graph beside what is known of the chosen step."""
        yield Static(id="head")
        yield Notice("#parts")
        with Horizontal(id="parts"):
            with Vertical(classes="panel", id="graph-panel") as panel:
                panel.border_title = "Steps"
                yield StepGraph(id="graph")
            with Vertical(classes="panel", id="step-panel"):
                yield SectionBar(SECTIONS)
                with ContentSwitcher(initial="details"):
                    with VerticalScroll(id="details"):
                        yield Static(id="details-text")
                    yield StepFiles(id="files")
                    yield LogPane(id="log")
                    yield StepMetrics(id="metrics")
                    yield PlotPane(id="plots")

    def on_mount(self) -> None:
        """The details first."""
        section = str(self.ui.saved_page_state(self.route).get("section", "details"))
        self._show_section(section if section in {name for name, _, _ in SECTIONS} else "details")
        self.query_one(StepGraph).focus()
        self.set_interval(1.0, self._tick)

    def page_state(self) -> Mapping[str, Any]:
        """The section."""
        return {"section": self.section}

    def open_with(self, **what: Any) -> None:
        """Shows the run ``run=``, with ``step=`` chosen and ``section=`` open."""
        self.run_id = str(what["run"])
        self.view, self.planned = None, None
        self.details = {}
        self.requested_step = what.get("step")
        if what.get("section"):
            self._show_section(str(what["section"]))
        self.refresh_data()

    # -- what is shown

    @property
    def section(self) -> str:
        """The section that is open."""
        return self.query_one(ContentSwitcher).current or "details"

    @property
    def step(self) -> StepProgress | None:
        """The step that is chosen."""
        chosen = self.query_one(StepGraph).chosen
        return next((item for item in self.view.steps if item.name == chosen), None) if self.view else None

    def refresh_data(self) -> None:
        """The run as it stands now."""
        id = self.run_id
        if id is not None:
            self._querying = True
            self.run_query("run", lambda ws: view_run(ws, id), self._show)

    def query_failed(self, key: str, error: ErrorMessage) -> None:
        """A run that can't be read in place of it; a graph that can't be read above the steps; the rest as messages."""
        if key == "run":
            self._querying, self._queried_at = False, time.monotonic()
        if key == "run" and self.view is None:
            self.query_one(Notice).show_error(error)
        elif key == "run" and self.view is not None and self.view.target:
            self.query_one("#graph-panel").border_subtitle = Text(plain(error.message))  # it is queried again
        elif key == "log":
            self.query_one(LogPane).query_failed(error)
        elif key == "graph":
            self.planned = {}
            message = f"the graph can't be read: {error.message}"
            self.query_one("#graph-panel").border_subtitle = Text(plain(message))
            self._draw()
        else:
            super().query_failed(key, error)

    def _show(self, view: RunView) -> None:
        if self.view is not None and self.view.target:
            self.query_one("#graph-panel").border_subtitle = None
        self.view = view
        self._querying, self._queried_at = False, time.monotonic()
        self.query_one(Notice).hide()
        names = {item.name for item in view.steps}
        if self.planned is None or (self.planned and not names <= self.planned.keys() | self._names_asked):
            self._names_asked = names  # more of them are known once a step made the list that decides
            run = view.run
            self.run_query("graph", lambda ws: planned_steps(ws, run), self._show_graph)
        self._draw()

    def _show_graph(self, planned: Mapping[str, GraphStep]) -> None:
        self.planned = planned
        self._draw()

    def _draw(self) -> None:
        view = self.view
        if view is None or self.planned is None:
            return
        now = time.time()
        self._draw_head(view, now)
        names = [item.name for item in view.steps]
        known = set(names)
        parents = {
            name: [one for one in self.planned[name].parents if one in known] if name in self.planned else []
            for name in names
        }
        nodes = {item.name: GraphNode(sign_of(item.state), took_text(item, now)) for item in view.steps}
        graph = self.query_one(StepGraph)
        chosen = self.requested_step or graph.chosen or first_step_to_show(view)
        self.requested_step = None
        graph.show(parents, nodes, chosen)
        self._fit()
        done = sum(1 for item in view.steps if item.step is not None)
        self.query_one("#graph-panel").border_title = (
            f"Steps {done}/{len(names)}" if view.live else f"Steps {len(names)}"
        )
        self._show_step()

    def update_ages(self, now: float) -> None:
        """How long ago the run began; of a run in progress `_tick` draws all times."""
        if self.view is not None and not self.view.live:
            self._draw_head(self.view, now)

    def _draw_head(self, view: RunView, now: float) -> None:
        head = headline(view, now)
        if head.plain != self._head:
            self._head = head.plain
            self.query_one("#head", Static).update(head)

    @on(StepGraph.ViewChanged)
    def _fit(self) -> None:
        """On a small screen an outline of few steps takes no more lines than it has: the rest is for what is known of one."""
        graph = self.query_one(StepGraph)
        small = self.has_class("-low") and self.has_class("-narrow") and graph.outlined is not False
        self.query_one("#graph-panel").styles.max_height = len(graph.parents) + 2 if small else None

    def on_resize(self) -> None:
        """Another size may be a small one, or not any more."""
        self.call_after_refresh(self._fit)

    def _tick(self) -> None:
        """Updates the times of a run in progress; a run on a cluster is queried now and then."""
        if self.view is None or not self.view.live or not self.is_current:
            return
        self._draw()
        if self.view.target and not self._querying and time.monotonic() - self._queried_at > CLUSTER_EVERY:
            self.refresh_data()

    # -- the chosen step

    @on(StepGraph.StepHighlighted)
    def _show_step(self) -> None:
        """Shows the chosen step in the open section."""
        standing, view = self.step, self.view
        if standing is None or view is None:
            return
        self.query_one("#step-panel").border_title = Text(plain(standing.name))
        getattr(self, f"_show_{self.section}")(view, standing)

    def _show_details(self, view: RunView, standing: StepProgress) -> None:
        text = details(standing, self.details.get(standing.name), self._planned(standing), time.time())
        self.query_one("#details-text", Static).update(text)
        self._request_detail(view, standing)

    def _request_detail(self, view: RunView, standing: StepProgress) -> None:
        step = standing.step
        if step is None or standing.name in self.details:
            return

        def take(found: StepDetails) -> None:
            self.details[found.step.name] = found
            self._show_step()

        planned = self._planned(standing)
        bindings = planned.inputs if planned is not None else None
        self.run_query("detail", lambda ws: step_details(ws, view.run, step, bindings), take)

    def _show_files(self, view: RunView, standing: StepProgress) -> None:
        self.query_one(StepFiles).show(self.details.get(standing.name), standing)
        self._request_detail(view, standing)

    def _show_log(self, view: RunView, standing: StepProgress) -> None:
        self.query_one(LogPane).show(view.run.id, standing.name, standing.state)

    def _show_metrics(self, view: RunView, standing: StepProgress) -> None:
        missing = missing_output("metrics", standing, self._planned(standing))
        self.query_one(StepMetrics).show(view.run, standing.name, view.before, missing)

    def _show_plots(self, view: RunView, standing: StepProgress) -> None:
        missing, finished = missing_output("plot", standing, self._planned(standing)), standing.step is not None
        self.query_one(PlotPane).show([(view.run.id, "")], standing.name, finished=finished, missing=missing)

    def _planned(self, standing: StepProgress) -> GraphStep | None:
        return (self.planned or {}).get(standing.name)

    def action_section(self, name: str) -> None:
        """Opens a section; its keys work at once."""
        again = name == self.section
        self._show_section(name)
        self._show_step()
        if again:
            pane = self.query_one(f"#{name}")
            within = pane.query("*:can-focus")
            (within.first() if within and not pane.focusable else pane).focus()

    def _show_section(self, name: str) -> None:
        self.query_one(SectionBar).chosen = name
        self.query_one(ContentSwitcher).current = name

    # -- what can be done

    def selected_run(self) -> SelectedRun | None:
        """This run, and the step that is chosen."""
        if self.view is None:
            return None
        step = self.step
        return SelectedRun(self.view.run.id, self.view.run.pipeline, self.view.live, step.name if step else None)

    def action_find(self) -> None:
        """Finds a step by a part of its name."""
        if self.view is not None:
            graph = self.query_one(StepGraph)
            offered = [MenuItem(item.name, plain(item.name), sign_of(item.state).word) for item in self.view.steps]
            self.choose("Find a step", offered, graph.choose, graph.chosen)

    def action_compare(self) -> None:
        """Puts the run beside the one before it."""
        if self.view is None:
            return
        if self.view.before is None:
            self.ui.report("it is the first recorded run of its pipeline")
            return
        self.ui.go("compare", runs=(self.view.before, self.view.run.id))
