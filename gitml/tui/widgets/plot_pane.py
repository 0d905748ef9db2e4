"""PlotPane: the plots of a step, of one run or of several over one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from gitml.errors import GitmlError
from gitml.history.files.plots import StepPlot, plots_of
from gitml.history.files.preview import PICTURE, preview
from gitml.history.runs import get_run
from gitml.tui.page import page_of
from gitml.tui.screens.run.view import MissingOutput
from gitml.tui.text import plain
from gitml.tui.widgets.notice import Notice
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.tui.widgets.charts import Chart
    from gitml.tui.widgets.pictures import LabelledPicture, PictureRow


_MOST_PICTURES = 12  # at once, of a directory
_NONE = MissingOutput("No plots", "None of these runs has an output of the type plot.")


class PlotPane(Vertical, can_focus=True):
    """One plot at a time; the arrow keys change it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "turn(1)", "Next plot", show=False),
        Binding("left", "turn(-1)", "Plot before", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._of: object = None
        self._found: list[tuple[str, StepPlot]] = []  # label and plot
        self._names: list[str] = []
        self._at = 0
        self._missing = _NONE
        self._chart: Chart | None = None
        self._pictures: PictureRow | None = None

    def compose(self) -> ComposeResult:
        """Why there is no plot; the chart, or the pictures, come when there are some."""
        yield Notice()

    def show(
        self,
        runs: Sequence[tuple[str, str]],
        step: str | None,
        *,
        finished: bool = True,
        missing: MissingOutput = _NONE,
    ) -> None:
        """The plots of runs (id and what it is called), of all their steps or one of them; `missing` is shown for none."""
        if self._of == (tuple(runs), step, finished, missing):
            return
        self._of = (tuple(runs), step, finished, missing)
        self._missing = missing
        shown = tuple(runs)

        def read(ws: Workspace) -> list[tuple[str, StepPlot]]:
            return [(label, plot) for id, label in shown for plot in plots_of(ws, get_run(ws, id).run, step)]

        page_of(self).run_query("plots", read, self._take)

    def _take(self, found: list[tuple[str, StepPlot]]) -> None:
        self._found = found
        self._names = list(dict.fromkeys(plot.name for _, plot in found))
        self._at = min(self._at, max(0, len(self._names) - 1))
        self._draw()

    def action_turn(self, by: int) -> None:
        """Another plot."""
        if self._names:
            self._at = (self._at + by) % len(self._names)
            self._draw()

    def _draw(self) -> None:
        notice = self.query_one(Notice)
        for drawn in (self._chart, self._pictures):
            if drawn is not None:
                drawn.display = False
        if not self._names:
            notice.show_text(self._missing.title, self._missing.text)
            return
        name = self._names[self._at]
        of = f" ({self._at + 1} of {len(self._names)}, arrow keys)" if len(self._names) > 1 else ""
        mine = [(label, plot) for label, plot in self._found if plot.name == name]
        drawable = [(label, plot.plot) for label, plot in mine if plot.plot is not None]
        if not drawable:
            if len(mine) > _MOST_PICTURES:
                of = f"{of} (the first {_MOST_PICTURES} of {len(mine)}; gitml plots --html has more)"
            notice.show_text(plain(name) + of, "…")
            page_of(self).run_query(
                "pictures",
                lambda ws: [
                    _picture_of(ws, " ".join(filter(None, (label, plot.file))), plot)
                    for label, plot in mine[:_MOST_PICTURES]
                ],
                lambda found: self._take_pictures(name, of, found),
            )
            return
        notice.hide()
        from gitml.tui.widgets.charts import Chart

        if self._chart is None:
            self._chart = Chart()
            self.mount(self._chart)
        self._chart.display = True
        self._chart.draw(name + of, drawable)

    def _take_pictures(self, name: str, of: str, found: list[LabelledPicture]) -> None:
        if not self._names or self._names[self._at] != name:
            return
        notice = self.query_one(Notice)
        if not any(one.image is not None for one in found):
            notice.show_text(plain(name) + of, *dict.fromkeys(plain(one.note) for one in found))
            return
        from gitml.tui.widgets.pictures import PictureRow

        notice.hide()
        if self._pictures is None:
            self._pictures = PictureRow()
            self.mount(self._pictures)
        self._pictures.display = True
        self._pictures.show(plain(name) + of, found)


def _picture_of(ws: Workspace, label: str, plot: StepPlot) -> LabelledPicture:
    """A plot that is no table: a picture, or why it can't be shown."""
    from gitml.tui.widgets.pictures import LabelledPicture

    try:
        found = preview(ws, plot.ref.digest, plot.ref.size, tree=plot.ref.is_tree)
    except GitmlError as error:
        return LabelledPicture(label, None, error.message)
    if found.kind != PICTURE:
        return LabelledPicture(label, None, plot.why)
    from gitml.tui.widgets.pictures import decoded

    image, note = decoded(found)
    return LabelledPicture(label, image, f"{found.about}: {note}" if note else found.about)
