"""The screen Run, of a run whose combinations come from a list that a step makes while it is seen."""

from __future__ import annotations

from pathlib import Path

from gitml.tui.widgets.graph import StepGraph
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project, wait_until
from tests.kit.screen import shown

PIPELINE = """\
params: {gate: {type: str}}
steps:
  split:
    shell: bash
    run: until test -e ${{ params.gate }}1; do sleep 0.02; done; echo '["a", "b"]' > ${{ outputs.l }}
    outputs: {l: file}
  train:
    matrix: {part: "${{ steps.split.outputs.l }}"}
    shell: bash
    run: until test -e ${{ params.gate }}2; do sleep 0.02; done; echo ${{ matrix.part }} > ${{ outputs.o }}
    outputs: {o: file}
  gather: {shell: bash, run: "cat ${{ steps.train[*].outputs.o }}"}
"""


async def test_the_graph_grows_by_the_combinations_once_their_list_is_there(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"pipelines/p.yaml": PIPELINE})
    gate = tmp_path / "gate"
    process = project.start("run", "-q", "-S", f"gate={gate}")
    try:
        wait_until(lambda: list((project.path / ".git/gitml/live").glob("*/run.json")))
        (live,) = (project.path / ".git/gitml/live").iterdir()
        async with shown(project.path, project.env, "run", run=live.name) as ui:
            await ui.until("train[*]")
            Path(f"{gate}1").touch()
            await ui.until("train[b]")
            await ui.settle()
            assert "train[*]" not in ui.text()
            graph = ui.app.screen.query_one(StepGraph)
            assert graph.parents == {
                "split": [],
                "train[a]": ["split"],
                "train[b]": ["split"],
                "gather": ["train[a]", "train[b]"],
            }
            Path(f"{gate}2").touch()
            await ui.until("✓ succeeded")
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()
