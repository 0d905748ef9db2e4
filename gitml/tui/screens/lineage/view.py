"""Lineage as a tree whose branches are queried when they are opened, and a node of it as text."""

from __future__ import annotations

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
    """A thing and what it was made from, or what was made of it. A page gives the branches of a node that `lacks` them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Go there", key_display="⏎"),
        Binding("right,l", "open", "Open", show=False),
        Binding("left,h", "shut", "Close", show=False),
        Binding("up,k", "cursor_up", "Up", show=False),
        Binding("down,j", "cursor_down", "Down", show=False),
    ]

    class BranchSelected(Message):
        """The thing under the cursor is to be the root."""

    def __init__(self, id: str) -> None:
        super().__init__("", id=id)
        self.show_root = True
        self.auto_expand = False  # a click on a name only moves the cursor; the sign before it opens
        self.guide_depth = 3
        self._expanded: dict[str, int] = {}  # by the thing's id: the node that has its branches

    def start(self, thing: LineageNode) -> None:
        """Shows the tree of this thing, its first branches opened."""
        self._expanded = {}
        self.clear()
        self.root.data = Branch(thing)
        self.root.set_label(label_of(thing))
        self.root.allow_expand = True
        self.move_cursor(self.root)
        self.root.expand()

    def put(self, node: TreeNode[Branch], found: list[LineageNode]) -> None:
        """Shows the branches of a node; those for a tree that was there before are left out."""
        if node.data is None or not self.lacks(node):
            return
        self._expanded[node.data.thing.id] = node.id
        for thing in found[:BRANCH_LIMIT]:
            again = thing.id in self._expanded or thing.kind == "param"
            node.add(label_of(thing, again=thing.id in self._expanded), Branch(thing, again), allow_expand=not again)
        if len(found) > BRANCH_LIMIT:
            more = LineageNode("", "more", f"and {len(found) - BRANCH_LIMIT:,} more")
            node.add_leaf(label_of(more), Branch(more, again=True))
        if not found:
            node.allow_expand = False
            if node is self.root:
                node.add_leaf(Text("nothing is recorded in this direction", "dim"))

    def lacks(self, node: TreeNode[Branch]) -> bool:
        """Whether the node has no branches yet, and is in this tree, not in one that was there before: messages may come late."""
        top = node
        while top.parent is not None:
            top = top.parent
        return top is self.root and not node.children

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
        branch = self.cursor_node.data if self.cursor_node is not None else None
        return branch.thing if branch is not None and branch.thing.kind != "more" else None


def label_of(thing: LineageNode, *, again: bool = False) -> Text:
    """A line of the tree."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{SIGNS.get(thing.kind, '?')} ", KIND_STYLES.get(thing.kind, "dim"))
    if thing.kind == "commit":
        text.append(f"{thing.content[:8]} ", "accent")
    text.append(plain(thing.name), "dim" if again else "bold" if thing.kind == "step" else "plain")
    if thing.kind == "param":
        text.append(f" = {plain(thing.content)}", "held")
    elif thing.kind == "artifact":
        text.append(f"  {thing.content[7:15]}", "dim")
    elif thing.kind == "file":
        text.append(f"  {thing.content[:8]}", "dim")
    elif thing.kind == "step" and thing.run:
        text.append(f"  run {thing.run[:8]} of {plain(thing.pipeline or '?')}", "dim")
    if again:
        text.append("  above", "dim")
    return text


def thing_text(thing: LineageNode, facts: NodeDetails) -> Text:
    """A thing, in what run and at what commit it was made, and what was performed for it."""
    text = Text()

    def line(label: str, value: str, style: str = "plain") -> None:
        if value:
            text.append(f"{label:<9}", "dim")
            text.append(f"{value}\n", style)

    text.append(f"{plain(thing.name)}\n\n", "bold")
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
        _append_action(text, facts.action)
    return text


def _append_action(text: Text, action: Action) -> None:
    text.append("\ncommand\n", "head")
    text.append(f"{plain(' '.join(action.argv))}\n", "plain")
    if action.params:
        text.append("\nparameters\n", "head")
        for name, value in action.params:
            text.append(f"{plain(name)}", "plain")
            text.append(f" = {plain(number(value))}\n", "held")
    taken = count(len(action.inputs), "input")
    text.append(f"\n{taken}, {count(len(action.code), 'code file')}\n", "dim")
