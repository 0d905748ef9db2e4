"""The services of the application that pages and widgets use; they import this module, and the application imports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from rich.style import Style
from textual.dom import DOMNode

from gitml.tui.change_detector import RepositoryState
from gitml.tui.errors import ErrorMessage
from gitml.tui.query_runner import QueryRunner

Styles = Mapping[str, Style]
"""Text styles by name: see `gitml.tui.styles`."""


class Services(Protocol):
    """The part of `gitml.tui.app.GitmlApp` that a page may use."""

    queries: QueryRunner
    state: RepositoryState | None
    text_styles: Styles

    def go(self, name: str, **what: Any) -> None:
        """Opens a screen that shows `what`."""

    def report(self, text: str) -> None:
        """Shows a plain text for some seconds."""

    def report_error(self, error: Exception | ErrorMessage) -> None:
        """Shows an error that has no place of its own."""

    def copy(self, text: str, what: str) -> None:
        """Copies a text to the clipboard; `what` names it in the report."""

    def saved_page_state(self, route: str) -> dict[str, Any]:
        """What the page of a route saved last time."""


def services(node: DOMNode) -> Services:
    """The services of the application that a page or widget is part of."""
    return cast(Services, node.app)


def styles_of(node: DOMNode) -> Styles:
    """The text styles of the current theme."""
    return services(node).text_styles
