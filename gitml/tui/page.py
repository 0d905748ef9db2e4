"""Page: the base of every screen. It runs queries, takes their results as callbacks, and shows errors in place.

`run_query(key, query, then)`: `query` runs in a thread with that thread's Workspace and returns plain values; `then` runs as a
callback of the page and is the only one of the two to touch widgets. The result of a query is dropped when a newer query
of the same key was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from gitml.consent.kinds import PLACES
from gitml.consent.questions import ConsentError, Question, question_lines
from gitml.tui.change_detector import RepositoryState
from gitml.tui.errors import ErrorMessage, error_message
from gitml.tui.query_runner import EXCLUSIVE
from gitml.tui.services import Services, services
from gitml.tui.text import plain
from gitml.tui.widgets.bars import KeyBar, TopBar
from gitml.tui.widgets.notice import Notice
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.tui.widgets.dialogs import MenuItem

Value = TypeVar("Value")
DialogResult = TypeVar("DialogResult")


class Page(Screen[None]):
    """A screen of the application. Subclasses define `body`, and where needed `open_with`, `refresh_data` and `query_failed`."""

    route: ClassVar[str] = ""
    main_query: ClassVar[str] = ""  # the key of the one without which there is nothing to show
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "Keys", key_display="?"),
        Binding("escape", "leave", "Back", show=False),
        Binding("ctrl+r", "refresh", "Refresh", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (150, "-vast")]  # noqa: RUF012 - as Screen declares it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._serials: dict[str, int] = {}
        self.busy = False  # something is about to be queried

    @property
    def ui(self) -> Services:
        """The services of the application."""
        return services(self)

    # -- what a screen gives

    def body(self) -> ComposeResult:
        """The widgets between the top bar and the footer."""
        yield from ()

    def open_with(self, **what: Any) -> None:
        """Shows a certain object: called with the arguments of `Services.go` after the page is mounted."""

    def refresh_data(self) -> None:
        """Queries all that is shown again: the page was opened, or runs began, went on or ended somewhere."""

    def query_failed(self, key: str, error: ErrorMessage) -> None:
        """Shows why the query `key` failed: in place of what the page shows for `main_query`, else as a message."""
        if key == self.main_query:
            self.query_one(Notice).show_error(error)
        else:
            self.ui.report_error(error)

    def draw_frame(self) -> None:
        """Writes what is styled in the frame of a panel; called again when the theme changed."""

    def update_ages(self, now: float) -> None:
        """Writes times like ``3m ago`` again; called each second while the page is seen, without a query."""

    def page_state(self) -> Mapping[str, Any]:
        """The state of this page that the next start restores, as JSON values."""
        return {}

    # -- what the application uses

    @property
    def is_open(self) -> bool:
        """Whether all its widgets are there: not yet while it is being opened, and not any more while it is being closed."""
        return self.is_mounted and self.display and bool(self.query(TopBar))  # what is being removed has no `display`

    def show_state(self, state: RepositoryState | None) -> None:
        """Shows the state of the repository."""
        self.query_one(TopBar).state = state

    # -- what a screen uses

    def run_query(
        self,
        key: str,
        query: Callable[[Workspace], Value],
        then: Callable[[Value], None],
        *,
        exclusive: bool = False,
        lane: str | None = None,
    ) -> None:
        """Runs a query in a thread; see the module's docstring. `exclusive`: it changes the repository. Its lane is its
        key on this page where no `lane` is given.
        """
        serial = self._serials[key] = self._serials.get(key, 0) + 1

        def deliver(value: Value, error: Exception | None) -> None:  # in the thread of the query
            if self.is_attached:
                self.call_later(self._take, key, serial, value, error, then)

        self.ui.queries.submit((id(self), key), query, deliver, lane=EXCLUSIVE if exclusive else lane)

    def run_online(self, key: str, query: Callable[[Workspace], Value], then: Callable[[Value], None]) -> None:
        """Runs a query that uses places named by the repository's files, or runs its steps, as the user requested.

        A dialog asks the user who did not allow it yet; the query runs after a yes.
        """

        def online(ws: Workspace) -> Value | ConsentError:
            try:
                with ws.consent.online():
                    return query(ws)
            except ConsentError as error:
                return error

        def taken(value: Value | ConsentError) -> None:
            if not isinstance(value, ConsentError):
                then(value)
                return
            request = value.question
            title = "May these places be used?" if request.kind == PLACES else "May these steps run?"
            lines = [plain(line) for line in question_lines(request)]
            self.confirm(title, lines, lambda: granted(request), yes="Allow", danger=True)

        def granted(request: Question) -> None:
            def grant(ws: Workspace) -> None:
                ws.consent.grant(request)

            self.run_query(key, grant, lambda _: self.run_online(key, query, then), exclusive=True)

        self.run_query(key, online, taken, exclusive=True)

    def cancel_query(self, key: str) -> None:
        """Drops the result of a query."""
        self._serials[key] = self._serials.get(key, 0) + 1
        self.ui.queries.cancel((id(self), key))

    def _take(
        self, key: str, serial: int, value: Value, error: Exception | None, then: Callable[[Value], None]
    ) -> None:
        if serial != self._serials.get(key) or not self.is_open:
            return
        if error is not None:
            self.query_failed(key, error_message(error))
        else:
            then(value)

    def open_dialog(self, dialog: Screen[DialogResult], then: Callable[[DialogResult], None]) -> None:
        """Opens a dialog; `then` gets its result, and is not called when the dialog was left or the answer is no. No dialog opens
        on a page that was left meanwhile.
        """

        def closed(result: DialogResult | None) -> None:
            if result is not None and result is not False:
                then(result)

        if self.app.screen is self:
            self.app.push_screen(dialog, closed)

    def show_text(self, title: str, text: Text) -> None:
        """Opens a text to read."""
        from gitml.tui.widgets.dialogs import TextViewer

        self.open_dialog(TextViewer(title, text), lambda _: None)

    def confirm(
        self, title: str, lines: Sequence[str], then: Callable[[], None], *, yes: str = "Yes", danger: bool = False
    ) -> None:
        """Asks for a confirmation, with the consequences (plain lines) in view; `then` is called after a yes."""
        from gitml.tui.widgets.dialogs import ConfirmDialog

        self.open_dialog(ConfirmDialog(title, lines, yes, danger=danger), lambda _: then())

    def choose(
        self, title: str, choices: Sequence[MenuItem], then: Callable[[str], None], chosen: str | None = None
    ) -> None:
        """Asks for one of several; `then` gets its key, and is not called when none was chosen."""
        from gitml.tui.widgets.dialogs import ChoiceDialog

        self.open_dialog(ChoiceDialog(title, choices, chosen), then)

    def prompt(self, title: str, explained: str, value: str, then: Callable[[str], None]) -> None:
        """Asks for a line of text; `then` gets it, and is not called when it was left with Esc."""
        from gitml.tui.widgets.dialogs import TextPrompt

        self.open_dialog(TextPrompt(title, explained, value), then)

    # -- how it is laid out

    def compose(self) -> ComposeResult:
        """The top bar, the page's own, the keys."""
        yield TopBar(self.route)
        yield from self.body()
        yield KeyBar()

    def on_screen_resume(self) -> None:
        """The page is seen again: what it shows may be old."""
        if self.is_open:
            self.show_state(self.ui.state)
            self.refresh_data()

    def action_leave(self) -> None:
        """Back to where the page was opened from."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def action_refresh(self) -> None:
        """Asks again for all that is shown."""
        self.refresh_data()


def page_of(widget: Widget) -> Page:
    """The page that a widget is part of."""
    return cast(Page, widget.screen)
