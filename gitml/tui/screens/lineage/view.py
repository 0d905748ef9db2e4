"""Lineage as a tree whose branches are queried when they are opened, and a node of it as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from gitml.core.model.action import Action
from gitml.core.text.format import count, duration, number, size
from gitml.history.lineage.lineage import NodeDetails
from gitml.history.lineage.nodes import LineageNode
from gitml.history.time_format import moment
from gitml.tui.services import Styles
from gitml.tui.styles import sign_of
from gitml.tui.text import plain

SIGNS = {"artifact": "◆", "step": "»", "file": "▪", "param": "=", "module": "◇", "commit": "●", "more": "…"}
KIND_STYLES = {
    "artifact": "link", "step": "bold", "file": "good", "param": "held", "module": "reused", "commit": "accent", "more": "dim",
}  # fmt: skip
BRANCH_LIMIT = 500  # branches of one thing


class Branch(NamedTuple):
    """A thing in the tree. `again` says that it stands above already, where its branches are."""

    thing: LineageNode
    again: bool = False


class LineageTree(Tree[Branch]):
    """A thing and what it was made from, or what was made of it. `ChildrenRequested` asks for the branches of an opened node."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Go there", key_display="⏎"),
        Binding("right,l", "open", "Open", show=False),
        Binding("left,h", "shut", "Close", show=False),
        Binding("up,k", "cursor_up", "Up", show=False),
        Binding("down,j", "cursor_down", "Down", show=False),
    ]

    class BranchSelected(Message):
        """The thing under the cursor is to be the root."""

    @dataclass
    class ChildrenRequested(Message):
        """The branches of `node` are to be shown."""

        node: TreeNode[Branch]

    def __init__(self, id: str) -> None:
        super().__init__("", id=id)
        self.show_root = True
        self.auto_expand = False  # a click on a name only moves the cursor; the sign before it opens
        self.guide_depth = 3
        self._expanded: dict[str, int] = {}  # by the thing's id: the node that has its branches

    def start(self, thing: LineageNode, styles: Styles) -> None:
        """Shows the tree of this thing, its first branches opened."""
        self._expanded = {}
        self.clear()
        self.root.data = Branch(thing)
        self.root.set_label(label_of(thing, styles))
        self.root.allow_expand = True
        self.move_cursor(self.root)
        self.root.expand()

    def put(self, node: TreeNode[Branch], found: list[LineageNode], styles: Styles) -> None:
        """Answers ChildrenRequested; an answer for a tree that was there before is left out."""
        assert node.data is not None
        if node.children or not self._has(node):
            return
        self._expanded[node.data.thing.id] = node.id
        for thing in found[:BRANCH_LIMIT]:
            again = thing.id in self._expanded or thing.kind == "param"
            node.add(
                label_of(thing, styles, again=thing.id in self._expanded), Branch(thing, again), allow_expand=not again
            )
        if len(found) > BRANCH_LIMIT:
            more = LineageNode("", "more", f"and {len(found) - BRANCH_LIMIT:,} more")
            node.add_leaf(label_of(more, styles), Branch(more, again=True))
        if not found:
            node.allow_expand = False
            if node is self.root:
                node.add_leaf(Text("nothing is recorded in this direction", style=styles["dim"]))

    def repaint(self, styles: Styles) -> None:
        """Writes every line again in these styles."""
        nodes = [self.root]
        while nodes:
            node = nodes.pop()
            nodes += node.children
            if node.data is not None:
                above = node.data.again and node.data.thing.kind not in ("param", "more")
                node.set_label(label_of(node.data.thing, styles, again=above))

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Branch]) -> None:
        """Requests the branches, once."""
        event.stop()
        node = event.node
        if node.data is not None and not node.children and not node.data.again and self._has(node):
            self.post_message(self.ChildrenRequested(node))

    def _has(self, node: TreeNode[Branch]) -> bool:
        """Whether the node is in this tree, and not in one that was there before: its messages may come late."""
        top = node
        while top.parent is not None:
            top = top.parent
        return top is self.root

    def action_choose(self) -> None:
        """Makes the thing under the cursor the root."""
        self.post_message(self.BranchSelected())

    def action_open(self) -> None:
        """Opens the node under the cursor; of an open one, goes to its first branch."""
        node = self.cursor_node
        if node is None:
            return
        if node.is_expanded and node.children:
            self.action_cursor_down()
        elif node.allow_expand:
            node.expand()

    def action_shut(self) -> None:
        """Closes the node under the cursor; of a closed one, goes to where it hangs."""
        node = self.cursor_node
        if node is None:
            return
        if node.is_expanded and node.allow_expand and node.children:
            node.collapse()
        elif node.parent is not None:
            self.move_cursor(node.parent)

    @property
    def current(self) -> LineageNode | None:
        """The thing the cursor is on."""
        node = self.cursor_node
        return (
            node.data.thing if node is not None and node.data is not None and node.data.thing.kind != "more" else None
        )


def label_of(thing: LineageNode, styles: Styles, *, again: bool = False) -> Text:
    """A line of the tree."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{SIGNS.get(thing.kind, '?')} ", style=styles[KIND_STYLES.get(thing.kind, "dim")])
    if thing.kind == "commit":
        text.append(f"{thing.content[:8]} ", style=styles["accent"])
    text.append(plain(thing.name), style=styles["dim" if again else "bold" if thing.kind == "step" else "plain"])
    if thing.kind == "param":
        text.append(f" = {plain(thing.content)}", style=styles["held"])
    elif thing.kind == "artifact":
        text.append(f"  {thing.content[7:15]}", style=styles["dim"])
    elif thing.kind == "file":
        text.append(f"  {thing.content[:8]}", style=styles["dim"])
    elif thing.kind == "step" and thing.run:
        text.append(f"  run {thing.run[:8]} of {plain(thing.pipeline or '?')}", style=styles["dim"])
    if again:
        text.append("  above", style=styles["dim"])
    return text


def thing_text(thing: LineageNode, facts: NodeDetails, styles: Styles) -> Text:
    """A thing, in what run and at what commit it was made, and what was performed for it."""
    text = Text()

    def line(label: str, value: str, style: str = "plain") -> None:
        if value:
            text.append(f"{label:<9}", style=styles["dim"])
            text.append(f"{value}\n", style=styles[style])

    text.append(f"{plain(thing.name)}\n\n", style=styles["bold"])
    if thing.kind == "param":
        line("value", plain(thing.content), "held")
    elif thing.kind != "commit":
        line("id", thing.content[:26] if thing.kind != "file" else thing.content[:16], "dim")
    if facts.size is not None:
        line("size", size(facts.size))
    if facts.here is not None:
        line("bytes", "here" if facts.here else "not here any more", "good" if facts.here else "held")
    if facts.wall is not None:
        line("took", duration(facts.wall))
    if facts.run is not None:
        sign = sign_of(facts.run.status)
        line("run", f"{facts.run.id[:8]} {sign.mark} {sign.word}", "link")
        line("of", plain(facts.run.pipeline))
        line("started", moment(facts.run.started))
    if facts.commit is not None and thing.commit is not None:
        line("commit", thing.commit[:12], "accent")
        if thing.kind != "commit":
            line(" ", plain(facts.commit.subject))
        line("by", plain(facts.commit.author.partition(" <")[0]))
        line("on", moment(facts.commit.time))
    if facts.action is not None:
        _append_action(text, facts.action, styles)
    return text


def _append_action(text: Text, action: Action, styles: Styles) -> None:
    text.append("\ncommand\n", style=styles["head"])
    text.append(f"{plain(' '.join(action.argv))}\n", style=styles["plain"])
    if action.params:
        text.append("\nparameters\n", style=styles["head"])
        for name, value in action.params:
            text.append(f"{plain(name)}", style=styles["plain"])
            text.append(f" = {plain(number(value))}\n", style=styles["held"])
    taken = count(len(action.inputs), "input")
    text.append(f"\n{taken}, {count(len(action.code), 'code file')}\n", style=styles["dim"])
