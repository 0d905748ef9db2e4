"""Scrolling in views of many rows."""

from __future__ import annotations

from textual.scroll_view import ScrollView


def bring_into_view(view: ScrollView, row: int, heads: int) -> None:
    """Scrolls so that `row` is seen below the `heads` lines of titles that stay."""
    height = max(1, view.size.height - heads)
    top = int(view.scroll_offset.y)
    if row < top:
        view.scroll_to(y=row, animate=False, immediate=True)
    elif row >= top + height:
        view.scroll_to(y=row - height + 1, animate=False, immediate=True)
