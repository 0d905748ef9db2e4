"""PORT_KINDS: the kinds of output ports, each declared once.

Pipelines and modules take the names of the kinds from here, the executor how a file is checked when its step has ended, and
what shows outputs which of them are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from gitml.core.text.plot_options import IMAGES, TEMPLATES
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.core.model.action import ActionOutput
    from gitml.core.text.metrics_file import ParsedMetrics


class PortKind(NamedTuple):
    """A kind of port. `help` is its sentence in the documentation.

    `read` checks the file that a step left and gives the metrics in it; InputError for what is not of the kind. Its arguments
    are the open file and the output as it was declared. None: any bytes will do. What `is_drawn` is shown as a picture or a
    chart. `options` are the keys of its declaration beside those of every kind, `formats` the values of `format`, `templates`
    those of `template`.
    """

    name: str
    help: str
    is_directory: bool = False
    read: Callable[[BinaryIO, ActionOutput], ParsedMetrics] | None = None
    is_drawn: bool = False
    options: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


def _read_metrics(file: BinaryIO, output: ActionOutput) -> ParsedMetrics:
    from gitml.core.text.metrics_file import read_metrics

    return read_metrics(file, output.mount, output.option("format"))


def _check_plot(file: BinaryIO, output: ActionOutput) -> ParsedMetrics:
    """InputError unless the file can be shown as a plot."""
    from gitml.core.text.metrics_file import ParsedMetrics
    from gitml.core.text.plot_data import LOOKED_AT, can_be_plot

    head = file.read(LOOKED_AT)
    if not can_be_plot(head, whole=len(head) < LOOKED_AT):
        what = "is empty" if not head else "is no picture, table or HTML page"
        hint = "write a PNG, SVG, CSV or JSON, or declare it as `file`"
        raise InputError(f"plot {output.name} ({output.mount}) {what}", hint=hint)
    return ParsedMetrics()


PORT_KINDS: dict[str, PortKind] = {
    kind.name: kind
    for kind in (
        PortKind("file", "a file", options=("pattern",)),
        PortKind(
            "directory",
            "a directory; the step makes it",
            is_directory=True,
            options=("pattern", "title", "template"),
            templates=(IMAGES,),
        ),
        PortKind(
            "metrics",
            "numbers by name: JSON, YAML, TOML, CSV or JSON lines",
            read=_read_metrics,
            options=("format",),
            formats=("json", "yaml", "toml", "csv", "jsonl"),
        ),
        PortKind(
            "plot",
            "a picture, a table (CSV, TSV or JSON) that `gitml ui` draws, or an HTML page",
            read=_check_plot,
            is_drawn=True,
            options=("x", "y", "title", "template"),
            templates=TEMPLATES,
        ),
    )
}


def may_lie_in(kind: str, folder: str) -> bool:
    """Whether a port of a kind may be a file of another port of the same step: what is read or drawn, of a directory."""
    inner = PORT_KINDS.get(kind)
    return inner is not None and inner.read is not None and not inner.is_directory and is_directory(folder)


def is_directory(kind: str) -> bool:
    """Whether a port of that kind is a directory: one that another gitml knows is a file."""
    found = PORT_KINDS.get(kind)
    return found is not None and found.is_directory
