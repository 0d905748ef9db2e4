"""What pages and widgets use of the application; they import this module, and the application imports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from rich.style import Style
from textual.app import App
from textual.dom import DOMNode

from gitml.core.text.format import safe
from gitml.tui.change_detector import RepositoryState
from gitml.tui.errors import ErrorMessage, error_message
from gitml.tui.query_runner import QueryRunner

Styles = Mapping[str, Style]
"""Text styles by name: see `gitml.tui.styles`."""


class Services(App[None]):
    """The part of `gitml.tui.app.GitmlApp` that a page may use."""

    queries: QueryRunner
    state: RepositoryState | None
    text_styles: Styles
    saved: dict[str, Any]  # for the next start

    def go(self, name: str, **what: Any) -> None:
        """Opens a route and has it show `what`: a run as ``go("run", run=id)``, the list of runs as ``go("runs")``."""
        raise NotImplementedError

    def report(self, text: str) -> None:
        """Shows a plain text for some seconds."""
        self.notify(safe(text), markup=False, timeout=4)

    def report_error(self, error: Exception | ErrorMessage) -> None:
        """Shows an error that has no place of its own."""
        message = error if isinstance(error, ErrorMessage) else error_message(error)
        self.notify(message.text, title=message.title, severity="error", markup=False, timeout=10)

    def copy(self, text: str, what: str) -> None:
        """Copies a text to the clipboard; `what` names it in the report."""
        self.copy_to_clipboard(text)
        self.report(f"{what} copied: {text}")

    def saved_page_state(self, route: str) -> dict[str, Any]:
        """What the page of a route saved last time."""
        found = self.saved.get(f"page:{route}")
        return found if isinstance(found, dict) else {}


def services(node: DOMNode) -> Services:
    """The services of the application that a page or widget is part of."""
    return cast(Services, node.app)


def styles_of(node: DOMNode) -> Styles:
    """The text styles of the current theme."""
    return services(node).text_styles
