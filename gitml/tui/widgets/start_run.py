"""The dialog that starts a run: a pipeline, its parameters, how it is run, and the command that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input, Label, Select, Static

from gitml import layout
from gitml.core.language.params import Param, bind_params, part_of
from gitml.core.parameters.value_path import Value, leaves, text_of_value
from gitml.engine.detached import run_arguments
from gitml.engine.planning.load import PipelineSummary
from gitml.errors import InputError
from gitml.tui.text import plain

_OPTIONS = (
    ("force", "-f", "run every step again, whatever is known"),
    ("keep-going", "-k", "after a failure go on with what does not depend on it"),
)


class TickBox(Checkbox):
    """A box whose tick is a sign, and not only a colour."""

    BUTTON_LEFT = BUTTON_RIGHT = ""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]  # noqa: N802 - Textual's name
        """The content of the box."""
        return "[✓]" if self.value else "[ ]"


class StartRunDialog(ModalScreen[list[str]]):
    """Gives the words that follow ``gitml run``, None when it was left."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s", "start", "Start", priority=True),
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as Screen declares it

    def __init__(self, offers: Sequence[PipelineSummary], pipeline: str | None) -> None:
        super().__init__()
        self.offers = {offer.name: offer for offer in offers}
        default = next((offer.name for offer in offers if offer.default), offers[0].name)
        self.pipeline = pipeline if pipeline in self.offers else default

    def compose(self) -> ComposeResult:
        """The pipeline, a line for each parameter, the options, the command."""
        with Vertical(classes="dialog wide", id="start") as box:
            box.border_title = "New run"
            box.border_subtitle = "of the files as they are now"
            choices = [(Text(plain(name)), name) for name in self.offers]
            yield Select(choices, value=self.pipeline, allow_blank=False, compact=True)
            yield Static(id="about")
            yield VerticalScroll(id="fields")
            with Vertical(id="options"):
                for name, _, what in _OPTIONS:
                    yield TickBox(what, id=name, compact=True)
            yield Input(placeholder="what the run is for (optional)", id="message")
            yield Static(id="command")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Start (Ctrl+S)", id="go", variant="primary")
                yield Button("Cancel (Esc)", id="leave")

    async def on_mount(self) -> None:
        """The parameters of the chosen pipeline. The keys go to the list of pipelines, or to the first field where there is one
        pipeline: Enter starts nothing by mistake."""
        await self._fields()
        fields = self.query("#fields Input")
        if len(self.offers) > 1:
            self.query_one(Select).focus()
        elif fields:
            fields.first().focus()
        else:
            self.query_one("#go", Button).focus()

    @on(Select.Changed)
    async def _chosen(self, event: Select.Changed) -> None:
        if event.value != self.pipeline:
            self.pipeline = str(event.value)
            await self._fields()

    @on(Input.Changed)
    @on(Checkbox.Changed)
    def _typed(self) -> None:
        self._show_command()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.focus_next()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "go":
            self.action_start()
        else:
            self.dismiss(None)

    def action_start(self) -> None:
        """Gives the words, if every parameter has a value that it can have."""
        if self._problem() is None:
            self.dismiss(self._words())
        else:
            self.app.bell()

    async def _fields(self) -> None:
        offer = self.offers[self.pipeline]
        about = self.query_one("#about", Static)
        about.update(Text(plain(offer.problem or offer.head.help)))
        about.display = bool(offer.problem or offer.head.help)
        box = self.query_one("#fields", VerticalScroll)
        await box.remove_children()
        shown = list(_shown(offer.head.params.values()))
        for param in shown[:_MOST_FIELDS]:
            parts: list[Widget] = [Label(Text(plain(param.name)), classes="field-name")]
            about_it = _about(param)
            if param.secret:
                about_it = f"secret: from {layout.SECRET_PREFIX}{param.name.upper()}"
            else:
                needed = "needed" if param.default is None and not param.source else ""
                parts.append(Input(_written(param.default), name=param.name, placeholder=needed))
            box.mount(Horizontal(*parts, Label(Text(about_it), classes="field-help"), classes="field"))
        if len(shown) > _MOST_FIELDS:
            more = f"and {len(shown) - _MOST_FIELDS:,} more in config files: gitml run -S NAME=VALUE"
            box.mount(Label(Text(more), classes="field-help"))
        self._show_command()

    def _given(self) -> list[tuple[str, str]]:
        """What differs from the defaults, as written."""
        params = {param.name: param for param in _shown(self.offers[self.pipeline].head.params.values())}
        fields = self.query("#fields Input").results(Input)
        given = [(params.get(field.name or ""), field.value) for field in fields]
        return [(param.name, value) for param, value in given if param is not None and value != _written(param.default)]

    def _problem(self) -> str | None:
        offer = self.offers[self.pipeline]
        if offer.problem:
            return offer.problem
        try:
            bind_params(offer.head.params, self._given())
        except InputError as error:
            return error.message
        return None

    def _words(self) -> list[str]:
        options = [flag for name, flag, _ in _OPTIONS if self.query_one(f"#{name}", Checkbox).value]
        message = self.query_one("#message", Input).value.strip()
        if message:
            options += ["-m", message]
        return run_arguments(self.pipeline, params=dict(self._given()), options=options)

    def _show_command(self) -> None:
        problem = self._problem()
        line = self.query_one("#command", Static)
        line.set_class(problem is not None, "wrong")
        words = [word for word in self._words() if word != "--"]
        line.update(Text(f"✗ {plain(problem)}" if problem else f"$ gitml run {plain(shlex.join(words))}"))


_MOST_FIELDS = 60


def _shown(params: Iterable[Param]) -> Iterator[Param]:
    """The parameters, of config files each value by itself."""
    for param in params:
        if not param.source:
            yield param
            continue
        for path, value in leaves(param.default, (param.name,)):
            if value != {}:
                yield part_of({param.name: param}, path)[0]._replace(default=value)


def _written(value: Value) -> str:
    return "" if value is None else text_of_value(value)


def _about(param: Param) -> str:
    bounds = ""
    if param.choices:
        bounds = " | ".join(_written(choice) for choice in param.choices)
    elif param.min is not None or param.max is not None:
        low = "" if param.min is None else f"{param.min:g}"
        high = "" if param.max is None else f"{param.max:g}"
        bounds = f"{low}..{high}"
    return plain("  ".join(part for part in (param.type, bounds, param.help) if part))
