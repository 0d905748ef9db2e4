"""`gitml lineage`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.session import DefaultGroup, Session, verb
from gitml.cli.text.terminal import paint, safe, speaks_unicode

if TYPE_CHECKING:
    from gitml.history.lineage.lineage import Lineage
    from gitml.history.lineage.nodes import LineageNode

_COLOURS = {
    "artifact": "cyan",
    "step": "bold",
    "file": "green",
    "param": "yellow",
    "module": "blue",
    "commit": "magenta",
}
_MANY = 2000  # lines of a tree beyond which it is cut


@click.group("lineage", cls=DefaultGroup, default="up")
def command() -> None:
    """Show where an artifact, a file or a commit comes from, and what was made of it.

    THING is RUN:STEP.PORT, RUN:STEP or RUN; a digest or its beginning; a path of the commit; a commit; or MODULE@VERSION.
    """


_at_option = click.option("--at", "rev", default="HEAD", metavar="REV", help="The commit in which a path is looked up.")


@verb("up", of=command, json=True)
@click.argument("thing")
@_at_option
def up(session: Session, thing: str, rev: str) -> None:
    """Show all that THING was made from: steps, their inputs, code and parameters, down to files and commits."""
    from gitml.history.lineage import lineage

    _show(session, lineage.upstream(session.ws, _found(session, thing, rev)))


@verb("down", of=command, json=True)
@click.argument("thing")
@_at_option
def down(session: Session, thing: str, rev: str) -> None:
    """Show all that was ever made of THING, in every recorded run."""
    from gitml.history.lineage import lineage

    found = lineage.downstream(session.ws, _found(session, thing, rev))
    if not found.edges:
        session.remark("no recorded run made anything of it")
    _show(session, found)


@verb("show", of=command, json=True)
@click.argument("thing")
@_at_option
def show(session: Session, thing: str, rev: str) -> None:
    """Show what THING is: its content, the step that made it, and how many steps used it."""
    from gitml.history.lineage import lineage

    ws = session.ws
    shown: list[dict[str, Any]] = []
    for found in _found(session, thing, rev):
        data = found._asdict()
        data["made_from"] = list(dict.fromkeys(item.name for item in lineage.parents_of(ws, found)))
        data["used_by"] = list(dict.fromkeys(item.name for item in lineage.children_of(ws, found)))
        shown.append(data)
    session.result(shown)
    for data in shown:
        for name, value in data.items():
            if name != "id" and value not in (None, "", []):
                phrase = ", ".join(map(safe, value)) if isinstance(value, list) else safe(str(value))
                label = name.replace("_", " ")
                session.show(f"{paint(f'{label:<10}', 'dim')} {phrase}")


def _found(session: Session, thing: str, rev: str) -> list[LineageNode]:
    from gitml.history.lineage.nodes import find_nodes

    return find_nodes(session.recovered_ws, thing, rev)


def _show(session: Session, found: Lineage) -> None:
    if session.json:
        edges = [[source, target] for source, targets in found.edges.items() for target in targets]
        nodes = [node._asdict() for node in found.nodes.values()]
        session.show_json({"roots": list(found.roots), "things": nodes, "edges": edges})
        return
    for number, line in enumerate(_tree(found)):
        if number == _MANY:
            session.note(f"cut after {_MANY:,} lines; --json has everything")
            break
        session.show(line)


def _tree(found: Lineage) -> Iterator[str]:
    """An indented tree; a node that was printed in full is only named when it occurs again."""
    branch, corner, bar = ("├ ", "└ ", "│ ") if speaks_unicode() else ("+ ", "' ", "| ")
    phrase: set[str] = set()
    stack = [(root, "", "", "") for root in reversed(found.roots)]
    while stack:
        id, lead, turn, below = stack.pop()
        # A file's commit is printed on the file's line: a branch for it would double the tree.
        children = [] if found.nodes[id].kind == "file" and id not in found.roots else found.edges.get(id, [])
        again = id in phrase and bool(children)
        yield lead + turn + _line(found.nodes[id]) + (" (above)" if again else "")
        if again:
            continue
        phrase.add(id)
        for number, child in enumerate(reversed(children)):
            last = number == 0
            stack.append((child, lead + below, corner if last else branch, "  " if last else bar))


def _line(node: LineageNode) -> str:
    kind = paint(node.kind, _COLOURS[node.kind])
    text = f"{kind} {safe(node.name)}"
    if node.kind == "param":
        return f"{text} = {safe(node.content)}"
    if node.kind == "commit":
        return f"{kind} {node.content[:12]}  {safe(node.name)}"
    if node.kind in ("artifact", "file", "module"):
        content = node.content[: 19 if node.kind == "artifact" else 12]
        place = f" at {node.commit[:12]}" if node.kind == "file" and node.commit else ""
        return f"{text}  {paint(content + place, 'dim')}"
    where = f"run {node.run[:8]}" if node.run else ""
    return f"{text}  {where} of {safe(node.pipeline or '?')}" + (f" at {node.commit[:12]}" if node.commit else "")
