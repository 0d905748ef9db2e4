"""`gitml dag`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from gitml.cli.pipeline_arguments import PipelineArguments, pipeline_arguments
from gitml.cli.session import Session, verb
from gitml.cli.text.terminal import safe, speaks_unicode, width

if TYPE_CHECKING:
    from gitml.core.model.graph import Graph

Parents = dict[str, list[str]]
_TIMES = "\N{MULTIPLICATION SIGN}"


@verb("dag", json=True)
@pipeline_arguments
@click.option("--expand", is_flag=True, help="Show each combination of a matrix, not each step as written.")
@click.option("--tree", "as_tree", is_flag=True, help="Draw an indented tree, as is done for large graphs.")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--dot", is_flag=True, help="Print a Graphviz file.")
def command(
    session: Session,
    wanted: PipelineArguments,
    expand: bool,
    as_tree: bool,
    mermaid: bool,
    dot: bool,
) -> None:
    """Draw the graph of a pipeline, or of the steps that are named and all they need.

    Lines that longer ways make plain anyway are left out of the drawing; --mermaid, --dot and --json have every one.
    """
    selection = wanted.load(session)
    graph = selection.loaded.graph
    names = graph.select(selection.wanted) if selection.wanted else list(graph.steps)
    if session.json:
        session.show_json(
            {
                "pipeline": graph.pipeline,
                "steps": [{"name": name, "needs": list(graph.steps[name].parents)} for name in names],
            }
        )
        return
    parents, labels = _nodes(graph, names, expand)
    if mermaid:
        session.show(*_mermaid(parents, labels))
    elif dot:
        session.show(*_dot(graph.pipeline, parents, labels))
    else:
        session.show(*_drawn(parents, labels, as_tree))


def _drawn(parents: Parents, labels: dict[str, str], as_tree: bool) -> list[str]:
    from gitml.core.text.graph_diagram import ascii_only, drawn, tree

    room = width()
    drawing = None if as_tree else drawn(parents, labels, room)
    lines = tree(parents, labels, room=room) if drawing is None else drawing.lines
    return lines if speaks_unicode() else ascii_only(lines)


def _nodes(graph: Graph, names: list[str], expand: bool) -> tuple[Parents, dict[str, str]]:
    """What is drawn: each step, or without `expand` steps as written, where all combinations of a matrix are one."""
    shown = {name: name if expand else step.base for name, step in graph.steps.items()}
    parents: dict[str, dict[str, None]] = {}
    counts = Counter(shown[name] for name in names)
    for name in names:
        known = parents.setdefault(shown[name], {})
        known |= dict.fromkeys(shown[parent] for parent in graph.steps[name].parents)
    labels = {node: safe(node) + (f" {_TIMES}{counts[node]}" if counts[node] > 1 else "") for node in parents}
    return {node: list(known) for node, known in parents.items()}, labels


def _mermaid(parents: Parents, labels: dict[str, str]) -> list[str]:
    ids = {name: f"s{number}" for number, name in enumerate(parents)}
    lines = ["flowchart TD"]
    lines += [f'  {ids[name]}["{_entity(labels[name])}"]' for name in parents]
    lines += [f"  {ids[parent]} --> {ids[name]}" for name, direct in parents.items() for parent in direct]
    return lines


def _entity(text: str) -> str:
    """Mermaid reads some characters as its own: those are written as entities."""
    return "".join(char if char.isalnum() or char in f" _-.,=[]{_TIMES}" else f"#{ord(char)};" for char in text)


def _dot(pipeline: str, parents: Parents, labels: dict[str, str]) -> list[str]:
    ids = {name: f"s{number}" for number, name in enumerate(parents)}
    lines = [f"digraph {_quoted(safe(pipeline))} {{", "  node [shape=box, style=rounded];"]
    lines += [f"  {ids[name]} [label={_quoted(labels[name])}];" for name in parents]
    lines += [f"  {ids[parent]} -> {ids[name]};" for name, direct in parents.items() for parent in direct]
    return [*lines, "}"]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
