"""Lineage: from any thing upstream to what it was made from, downstream to all that was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from gitml.history.lineage.lineage import NodeDetails, children_of, node_details, parents_of
from gitml.history.lineage.nodes import LineageNode, find_nodes, newest_nodes
from gitml.tui.errors import ErrorMessage
from gitml.tui.page import Page
from gitml.tui.screens.lineage.view import SIGNS, Branch, LineageTree, label_of, thing_text
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs import MenuItem
from gitml.tui.widgets.notice import Notice

UP, DOWN = "up", "down"


class LineagePage(Page):
    """A tree that grows where it is opened, and what the thing under the cursor is."""

    route = "lineage"
    main_query = "begin"
    CSS_PATH = "lineage.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "turn('up')", "Made from"),
        Binding("d", "turn('down')", "Made of it"),
        Binding("slash", "find", "Find", key_display="/"),
        Binding("backspace", "back", "Back", key_display="⌫"),
        Binding("o", "open", "Open"),
        Binding("f", "forward", "Forward", show=False),
        Binding("y", "copy", "Copy id", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.direction = UP
        self.thing: LineageNode | None = None
        self._before: list[tuple[LineageNode, str]] = []
        self._after: list[tuple[LineageNode, str]] = []
        self._text: str | None = None
        self._seeking = False  # a thing was named, and is looked for

    def body(self) -> ComposeResult:
        """The tree, and beside it what the thing is."""
        yield Notice("#lineage")
        with Horizontal(id="lineage"):
            with Vertical(id="lineage-tree-panel", classes="panel"):
                yield LineageTree(id="lineage-tree")
            yield Static(id="lineage-thing", classes="panel")

    def on_mount(self) -> None:
        """Where one was last time."""
        kept = self.ui.saved_page_state(self.route)
        self.direction = kept.get("direction", UP) if kept.get("direction") in (UP, DOWN) else UP
        self._text = kept.get("thing")

    def page_state(self) -> Mapping[str, Any]:
        """The thing that the tree is of."""
        if self.thing is None:
            return {}
        return {"thing": _reference(self.thing), "direction": self.direction}

    def open_with(self, **what: Any) -> None:
        """A thing, as `history.lineage.nodes.find_nodes` knows it: ``RUN:STEP.PORT``, a digest, a path, a commit, a module."""
        if what.get("direction") in (UP, DOWN):
            self.direction = what["direction"]
        if self._text is None and not self._before:
            self.thing = None  # what the page began with by itself is nothing to go back to
        self._find(str(what["thing"]), what.get("rev", "HEAD"))

    def refresh_data(self) -> None:
        """The tree, when there is none yet and none is looked for."""
        if self.thing is not None or self._seeking:
            return
        text = self._text
        self.run_query("begin", lambda ws: find_nodes(ws, text) if text else newest_nodes(ws), self._begin)

    def query_failed(self, key: str, error: ErrorMessage) -> None:
        """What was shown last time may be gone; what is looked for may not be there."""
        if key == "begin" and self._text is not None:
            self._text = None
            self.refresh_data()
        else:
            super().query_failed(key, error)
        if key == "find":
            self._seeking = False
            self.refresh_data()

    # -- where the tree begins

    def _begin(self, found: list[LineageNode]) -> None:
        if found:
            self._choose_thing(found)
            return
        self.query_one(Notice).show_text(
            "Nothing was made here yet",
            "Lineage is computed from the records of runs: the inputs and the outputs of each step.",
            next=[("gitml run", "run a pipeline"), ("/", "look for a file, a commit or a module")],
        )

    def _find(self, text: str, rev: str = "HEAD") -> None:
        self._seeking = True
        self.cancel_query("begin")
        self.run_query("find", lambda ws: find_nodes(ws, text, rev), self._choose_thing)

    def _choose_thing(self, found: list[LineageNode]) -> None:
        """One is shown; of several one is chosen, but when the page is only opened."""
        self._seeking = False
        if len(found) == 1 or self.thing is None:
            self._show(found[-1] if self.thing is None else found[0])
            return
        things = {thing.id: thing for thing in found}
        choices = [MenuItem(id, label_of(thing).plain) for id, thing in things.items()]
        self.choose("Which one?", choices, lambda id: self._show(things[id]))

    def _show(self, thing: LineageNode, direction: str | None = None) -> None:
        """Shows the tree of a thing; from there it goes back to the one before."""
        if self.thing is not None:
            self._before.append((self.thing, self.direction))
            self._after.clear()
        self._draw(thing, direction or self.direction)

    def _draw(self, thing: LineageNode, direction: str) -> None:
        self.thing, self.direction = thing, direction
        self.query_one(Notice).hide()
        tree, panel = self.query_one(LineageTree), self.query_one("#lineage-tree-panel")
        name = plain(thing.name)
        panel.border_title = f"What {name} was made from" if direction == UP else f"What was made of {name}"
        panel.border_subtitle = f"{len(self._before)} back" if self._before else ""
        tree.start(thing)
        tree.focus()
        self._about(thing)

    @on(Tree.NodeExpanded)
    def _expanded(self, event: Tree.NodeExpanded[Branch]) -> None:
        node, branch = event.node, event.node.data
        if branch is None or branch.again or not self.query_one(LineageTree).lacks(node):
            return
        query = parents_of if self.direction == UP else children_of
        self.run_query(f"node {node.id}", lambda ws: query(ws, branch.thing), lambda found: self._grow(node, found))

    def _grow(self, node: TreeNode[Branch], found: list[LineageNode]) -> None:
        tree = self.query_one(LineageTree)
        tree.put(node, found)
        # What has no choice needs no key: the step behind an artifact, the outputs of a step.
        if len(node.children) == 1 and node.children[0].allow_expand and found[0].kind in ("step", "artifact"):
            node.children[0].expand()

    # -- what the thing under the cursor is

    @on(Tree.NodeHighlighted)
    def _highlighted(self, event: Tree.NodeHighlighted[Branch]) -> None:
        branch = event.node.data
        if branch is not None and branch.thing.kind != "more":
            self._about(branch.thing)

    def _about(self, thing: LineageNode) -> None:
        self.run_query("facts", lambda ws: node_details(ws, thing), lambda facts: self._describe(thing, facts))

    def _describe(self, thing: LineageNode, facts: NodeDetails) -> None:
        panel = self.query_one("#lineage-thing", Static)
        panel.border_title = f"{SIGNS.get(thing.kind, '')} {thing.kind}"
        panel.update(thing_text(thing, facts))

    # -- what can be done

    @on(LineageTree.BranchSelected)
    def action_go_there(self) -> None:
        """The tree of the thing under the cursor."""
        thing = self.query_one(LineageTree).current
        if thing is not None and self.thing is not None and thing.id != self.thing.id and thing.kind != "param":
            self._show(thing)

    def action_turn(self, direction: str) -> None:
        """Up or down from the thing under the cursor."""
        thing = self.query_one(LineageTree).current or self.thing
        if thing is None or thing.kind == "param":
            return
        if thing.kind == "commit" and direction == UP:
            self.ui.report("nothing comes before a commit here: d shows what was made of it")
            return
        self._show(thing, direction)

    def action_back(self) -> None:
        """The tree before this one."""
        self._travel(self._before, self._after)

    def action_forward(self) -> None:
        """The tree that one came back from."""
        self._travel(self._after, self._before)

    def _travel(self, there: list[tuple[LineageNode, str]], back: list[tuple[LineageNode, str]]) -> None:
        if there and self.thing is not None:
            back.append((self.thing, self.direction))
            self._draw(*there.pop())

    def action_leave(self) -> None:
        """Back through the trees first."""
        if self._before:
            self.action_back()
        else:
            super().action_leave()

    def action_find(self) -> None:
        """Another thing, by name."""
        explained = "RUN:STEP.PORT, a digest, a path of the commit, a commit, or MODULE@VERSION"
        self.prompt(
            "The lineage of what?", explained, "", lambda text: self._find(text.strip()) if text.strip() else None
        )

    def action_open(self) -> None:
        """The screen that shows the thing itself."""
        thing = self.query_one(LineageTree).current
        if thing is None:
            return
        if thing.kind == "artifact":
            self.ui.go("artifacts", digest=thing.content)
        elif thing.kind == "module":
            self.ui.go("modules", module=thing.name)
        elif thing.kind == "step" and thing.run:
            self.ui.go("run", run=thing.run, step=thing.name)
        elif thing.kind == "commit":
            self.ui.go("time", rev=thing.content)
        else:
            self.ui.report(f"a {thing.kind} has no screen of its own")

    def action_copy(self) -> None:
        """The id of the thing under the cursor."""
        thing = self.query_one(LineageTree).current
        if thing is not None:
            self.ui.copy(thing.content, thing.kind)


def _reference(thing: LineageNode) -> str:
    """What finds the thing again."""
    if thing.kind == "step" and thing.run:
        return f"{thing.run}:{thing.name}"
    return thing.name if thing.kind in ("file", "module") else thing.content
