"""PlotOptions: what a pipeline says of how a plot is shown. Nothing of it is in an ActionKey; the record of a run keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

IMAGES = "images"
"""The template of pictures, which a directory of them may have, too."""
TEMPLATES = ("line", "scatter", "bar", "confusion", "histogram", IMAGES)


class PlotOptions(NamedTuple):
    """What is empty is chosen by the table. `template` is one of TEMPLATES; of a newer gitml it may be another."""

    x: str = ""
    y: tuple[str, ...] = ()
    title: str = ""
    template: str = ""

    def as_json(self) -> dict[str, Any]:
        """What is not empty."""
        return {name: list(value) if name == "y" else value for name, value in self._asdict().items() if value}


AS_IT_IS = PlotOptions()


def plot_options(raw: Mapping[str, Any]) -> PlotOptions:
    """The inverse of `PlotOptions.as_json`; TypeError or AttributeError for what is none. Other keys are passed over."""
    x, y, title, template = (raw.get(name, usual) for name, usual in AS_IT_IS._asdict().items())
    if isinstance(y, str):
        raise TypeError("the columns of a plot are no list")
    if not all(isinstance(text, str) for text in (x, title, template, *y)):
        raise TypeError("what a plot is shown by is not text")
    return PlotOptions(x, tuple(y), title, template)
