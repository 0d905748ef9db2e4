"""What is known of a node besides its name: its size, whether its bytes are here, in what run and at what commit it was made."""

from __future__ import annotations

from typing import NamedTuple

from gitml.core.model.action import Action
from gitml.git.revisions import CommitInfo, commit_info
from gitml.history.files import contents
from gitml.history.lineage.lineage import action_of
from gitml.history.lineage.nodes import LineageNode
from gitml.store.index.artifacts import makers_of
from gitml.store.index.runs import RunRow, run_row
from gitml.workspace import Workspace


class NodeDetails(NamedTuple):
    """None is what does not apply or is not known. `run` is where it was made; `action` what was performed for it; `size` in
    bytes; `here` whether its bytes are on this machine; `wall` how long its step took, in seconds.
    """

    action: Action | None = None
    run: RunRow | None = None
    commit: CommitInfo | None = None
    size: int | None = None
    here: bool | None = None
    wall: float | None = None


def node_details(ws: Workspace, node: LineageNode) -> NodeDetails:
    """What the index and Git know of a node."""
    run = run_row(ws.index, node.run) if node.run else None
    commit = commit_info(ws.objects, node.commit) if node.commit else None
    if node.kind == "artifact":
        action = action_of(ws, node)
        ref = None
        for maker in makers_of(ws.index, node.content)[:1]:  # type: ignore[arg-type]
            result = ws.index.result(maker.key)
            ref = next((one for one in result.outputs if one.digest == node.content), None) if result else None
        here = contents.is_here(ws, ref.digest, ref.size, tree=ref.is_tree) if ref is not None else None
        return NodeDetails(action, run, commit, ref.size if ref else None, here)
    if node.kind == "step":
        action = action_of(ws, node)
        result = ws.index.result(node.content)  # type: ignore[arg-type]
        return NodeDetails(action, run, commit, wall=result.cost.wall if result is not None else None)
    if node.kind == "file":
        kind, length = ws.objects.kind_size(node.content)
        return NodeDetails(commit=commit, size=length if kind == "blob" else None)
    return NodeDetails(run=run, commit=commit)
