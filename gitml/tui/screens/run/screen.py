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
from gitml.history.progress import StepProgress
from gitml.history.step_details import StepDetails, step_details
from gitml.tui.actions import Acted, ActingPage
from gitml.tui.errors import Told
from gitml.tui.screens.run.absence import Absence, absence
from gitml.tui.screens.run.queries import Seen, look_at, planned_steps
from gitml.tui.screens.run.text import headline, telling_step, took_text
from gitml.tui.state_styles import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs.choices import Choice
from gitml.tui.widgets.graph import Graph, Node
from gitml.tui.widgets.log.log_pane import LogPane
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.plots.plot_pane import PlotPane
from gitml.tui.widgets.sections import Sections
from gitml.tui.widgets.step.details import Known, details
from gitml.tui.widgets.step.files import StepFiles
from gitml.tui.widgets.step.metrics import StepMetrics

SECTIONS = (
    ("details", "d", "Details"),
    ("files", "f", "Files"),
    ("log", "l", "Log"),
    ("metrics", "m", "Metrics"),
    ("plots", "p", "Plots"),
)

CLUSTER_EVERY = 3.0  # seconds between questions to a cluster about a run that goes on there


class RunPage(ActingPage):
    """One run."""

    place = "run"
    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(key, f"section({name!r})", title, show=False) for name, key, title in SECTIONS],
        Binding("c", "compare", "Compare"),
        Binding("slash", "find", "Find step", key_display="/"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None
        self.seen: Seen | None = None
        self.planned: Mapping[str, GraphStep] | None = None  # None: not read yet
        self.details: dict[str, StepDetails] = {}
        self.wanted_step: str | None = None
        self._head = ""
        self._asking = False
        self._asked = 0.0  # when the answer came

    def body(self) -> ComposeResult:
        """The run in two lines; its graph beside what is known of the chosen step."""
        yield Static(id="head")
        yield Notice()
        with Horizontal(id="parts"):
            with Vertical(classes="panel", id="graph-panel") as panel:
                panel.border_title = "Steps"
                yield Graph(id="graph")
            with Vertical(classes="panel", id="step-panel"):
                yield Sections(SECTIONS)
                with ContentSwitcher(initial="details"):
                    with VerticalScroll(id="details"):
                        yield Static(id="details-text")
                    yield StepFiles(id="files")
                    yield LogPane(id="log")
                    yield StepMetrics(id="metrics")
                    yield PlotPane(id="plots")

    def on_mount(self) -> None:
        """The details first."""
        section = str(self.ui.recalled(self.place).get("section", "details"))
        self._show_section(section if section in {name for name, _, _ in SECTIONS} else "details")
        self.query_one(Graph).focus()
        self.set_interval(1.0, self._tick)

    def remembered(self) -> Mapping[str, Any]:
        """The section."""
        return {"section": self.section}

    def arrive(self, **what: Any) -> None:
        """Shows the run ``run=``, with ``step=`` chosen and ``section=`` open."""
        self.run_id = str(what["run"])
        self.seen, self.planned = None, None
        self.details = {}
        self.wanted_step = what.get("step")
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
        chosen = self.query_one(Graph).chosen
        return next((item for item in self.seen.steps if item.name == chosen), None) if self.seen else None

    def refresh_data(self) -> None:
        """The run as it stands now."""
        id = self.run_id
        if id is not None:
            self._asking = True
            self.ask("run", lambda ws: look_at(ws, id), self._show)

    def wrong(self, key: str, error: Told) -> None:
        """A run that can't be read in place of it; a graph that can't be read above the steps; the rest as messages."""
        if key == "run":
            self._asking, self._asked = False, time.monotonic()
        if key == "run" and self.seen is None:
            self.query_one("#parts").display = False
            self.query_one(Notice).tell(error)
        elif key == "run" and self.seen is not None and self.seen.target:
            self.query_one("#graph-panel").border_subtitle = Text(plain(error.message))  # it is asked again
        elif key == "log":
            self.query_one(LogPane).went_wrong(error)
        elif key == "graph":
            self.planned = {}
            told = f"how they hang together can't be read: {error.message}"
            self.query_one("#graph-panel").border_subtitle = Text(plain(told))
            self._draw()
        else:
            super().wrong(key, error)

    def _show(self, seen: Seen) -> None:
        if self.seen is not None and self.seen.target:
            self.query_one("#graph-panel").border_subtitle = None
        self.seen = seen
        self._asking, self._asked = False, time.monotonic()
        self.query_one("#parts").display = True
        self.query_one(Notice).hush()
        if self.planned is None:
            run = seen.run
            self.ask("graph", lambda ws: planned_steps(ws, run), self._show_graph)
        self._draw()

    def _show_graph(self, planned: Mapping[str, GraphStep]) -> None:
        self.planned = planned
        self._draw()

    def _draw(self) -> None:
        seen = self.seen
        if seen is None or self.planned is None:
            return
        now = time.time()
        head = headline(seen, self.ui.inks, now)
        self._head = head.plain
        self.query_one("#head", Static).update(head)
        names = [item.name for item in seen.steps]
        known = set(names)
        parents = {
            name: [one for one in self.planned[name].parents if one in known] if name in self.planned else []
            for name in names
        }
        nodes = {item.name: Node(sign_of(item.state), took_text(item, now)) for item in seen.steps}
        graph = self.query_one(Graph)
        chosen = self.wanted_step or graph.chosen or telling_step(seen)
        self.wanted_step = None
        graph.show(parents, nodes, chosen)
        self._fit()
        done = sum(1 for item in seen.steps if item.step is not None)
        self.query_one("#graph-panel").border_title = (
            f"Steps {done}/{len(names)}" if seen.live else f"Steps {len(names)}"
        )
        self._show_step()

    def redraw(self) -> None:
        """The headline and the details."""
        self._draw()

    def age(self, now: float) -> None:
        """How long ago the run began; of a run in progress `_tick` draws all that goes on."""
        if self.seen is None or self.seen.live:
            return
        head = headline(self.seen, self.ui.inks, now)
        if head.plain != self._head:
            self._head = head.plain
            self.query_one("#head", Static).update(head)

    @on(Graph.Turned)
    def _fit(self) -> None:
        """On a small screen an outline of few steps takes no more lines than it has: the rest is for what is known of one."""
        graph = self.query_one(Graph)
        small = self.has_class("-low") and self.has_class("-narrow") and graph.outlined is not False
        self.query_one("#graph-panel").styles.max_height = len(graph.parents) + 2 if small else None

    def on_resize(self) -> None:
        """Another size may be a small one, or not any more."""
        self.call_after_refresh(self._fit)

    def _tick(self) -> None:
        """Times of what runs go on; a run on a cluster is asked for now and then."""
        if self.seen is None or not self.seen.live or not self.is_current:
            return
        self._draw()
        if self.seen.target and not self._asking and time.monotonic() - self._asked > CLUSTER_EVERY:
            self.refresh_data()

    # -- the chosen step

    @on(Graph.Moved)
    def _moved(self) -> None:
        self._show_step()

    def _show_step(self) -> None:
        """What the open section tells of the chosen step."""
        standing, seen = self.step, self.seen
        if standing is None or seen is None:
            return
        self.query_one("#step-panel").border_title = Text(plain(standing.name))
        getattr(self, f"_show_{self.section}")(seen, standing)

    def _show_details(self, seen: Seen, standing: StepProgress) -> None:
        known = self.details.get(standing.name)
        planned = (self.planned or {}).get(standing.name)
        text = details(Known(standing, known, planned), self.ui.inks, time.time())
        self.query_one("#details-text", Static).update(text)
        self._want_detail(seen, standing)

    def _want_detail(self, seen: Seen, standing: StepProgress) -> None:
        step = standing.step
        if step is None or standing.name in self.details:
            return

        def take(found: StepDetails) -> None:
            self.details[found.step.name] = found
            self._show_step()

        planned = (self.planned or {}).get(standing.name)
        bindings = planned.inputs if planned is not None else None
        self.ask("detail", lambda ws: step_details(ws, seen.run, step, bindings), take)

    def _show_files(self, seen: Seen, standing: StepProgress) -> None:
        self.query_one(StepFiles).show(self.details.get(standing.name), standing)
        self._want_detail(seen, standing)

    def _show_log(self, seen: Seen, standing: StepProgress) -> None:
        self.query_one(LogPane).show(seen.run.id, standing.name, standing.state)

    def _show_metrics(self, seen: Seen, standing: StepProgress) -> None:
        self.query_one(StepMetrics).show(seen.run, standing.name, seen.before, self._absence("metrics", standing))

    def _show_plots(self, seen: Seen, standing: StepProgress) -> None:
        self.query_one(PlotPane).show(
            [(seen.run.id, "")],
            standing.name,
            finished=standing.step is not None,
            absent=self._absence("plot", standing),
        )

    def _absence(self, kind: str, standing: StepProgress) -> Absence:
        planned = (self.planned or {}).get(standing.name)
        return absence(kind, standing, planned.outputs if planned is not None else None)

    @on(Sections.Chosen)
    def _section_chosen(self, event: Sections.Chosen) -> None:
        self.action_section(event.name)

    def action_section(self, name: str) -> None:
        """Opens a section; its keys work at once."""
        again = name == self.section
        self._show_section(name)
        self._show_step()
        if again:
            self._focus_section(name)

    def _show_section(self, name: str) -> None:
        self.query_one(Sections).chosen = name
        self.query_one(ContentSwitcher).current = name

    def _focus_section(self, name: str) -> None:
        pane = self.query_one(f"#{name}")
        (pane if pane.focusable else pane.query("*:can-focus").first() if pane.query("*:can-focus") else pane).focus()

    # -- what can be done

    def acted_on(self) -> Acted | None:
        """This run, and the step that is chosen."""
        if self.seen is None:
            return None
        step = self.step
        return Acted(self.seen.run.id, self.seen.run.pipeline, self.seen.live, step.name if step else None)

    def action_find(self) -> None:
        """Finds a step by a part of its name."""
        if self.seen is not None:
            graph = self.query_one(Graph)
            offered = [Choice(item.name, plain(item.name), sign_of(item.state).word) for item in self.seen.steps]
            self.choose("Find a step", offered, graph.choose, graph.chosen)

    def action_compare(self) -> None:
        """Puts the run beside the one before it."""
        if self.seen is None:
            return
        if self.seen.before is None:
            self.ui.say("it is the first recorded run of its pipeline")
            return
        self.ui.go("compare", runs=(self.seen.before, self.seen.run.id))
