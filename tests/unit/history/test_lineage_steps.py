"""Lineage one step at a time: joined it is the whole; modules are things of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.errors import InputError
from gitml.history.lineage.lineage import children_of, downstream, parents_of, upstream
from gitml.history.lineage.nodes import LineageNode, find_nodes
from gitml.modules.folder import create_module
from gitml.modules.impact import publish
from gitml.modules.service import ModuleService
from tests.kit.projects.project import Project

pytestmark = pytest.mark.slow  # whole runs, one after another

PIPELINE = """\
params: {n: 1}
inputs: {raw: data/raw.txt}
steps:
  a: {run: "sh src/a.sh ${{ inputs.raw }} ${{ outputs.o }}", outputs: {o: file}}
  c: {module: count@1.0.0, inputs: {text: "${{ steps.a.outputs.o }}"}}
  d: {module: count@1.0.0, inputs: {text: "${{ inputs.raw }}"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "r", {"src/a.sh": 'cat "$1" "$1" > "$2"\n', "data/raw.txt": "the words\n"})
    create_module(made.repo.file("m"), "count")
    path = Path(made.repo.file("m/module.yaml"))
    path.write_text(path.read_text().replace("0.1.0", "1.0.0"))
    made.repo.commit("a module", {"pipelines/p.yaml": PIPELINE})
    with made.workspace() as ws:
        modules = ModuleService(ws.location, ws.objects)
        publish(modules, "", "m")
        modules.close()
    made.run()
    return made


def test_steps_joined_give_the_whole_in_both_directions(project: Project) -> None:
    with project.workspace() as ws:
        for whole, step, begin_with in (
            (upstream, parents_of, "latest:c.counts"),
            (downstream, children_of, "data/raw.txt"),
        ):
            roots = find_nodes(ws, begin_with)
            expected = whole(ws, roots)
            nodes: dict[str, LineageNode] = {}
            edges: dict[str, list[str]] = {}
            todo = list(roots)
            while todo:
                node = todo.pop()
                if node.id in nodes:
                    continue
                nodes[node.id] = node
                found = step(ws, node)
                if found:
                    edges[node.id] = list(dict.fromkeys(one.id for one in found))
                todo += found
            assert (set(nodes), edges) == (set(expected.nodes), expected.edges)


def test_a_step_leads_to_the_module_it_used_and_the_module_to_all_that_was_made_with_it(project: Project) -> None:
    with project.workspace() as ws:
        (artifact,) = find_nodes(ws, "latest:c.counts")
        (step,) = parents_of(ws, artifact)
        (module,) = (node for node in parents_of(ws, step) if node.kind == "module")
        assert module.name == "count@1.0.0"
        assert find_nodes(ws, "count@1.0.0") == find_nodes(ws, "count") == [module]
        assert {node.name for node in children_of(ws, module)} == {"c", "d"}


def test_a_file_leads_to_the_steps_whose_modules_got_a_copy_of_it(project: Project) -> None:
    with project.workspace() as ws:
        (file,) = find_nodes(ws, "data/raw.txt")
        assert {node.name for node in children_of(ws, file)} == {"a", "d"}


@pytest.mark.parametrize("text", ["nosuch", "count@9.9.9", "team:count", "no such"])
def test_what_is_nothing_is_said_with_what_could_be_named(project: Project, text: str) -> None:
    with project.workspace() as ws, pytest.raises(InputError) as error:
        find_nodes(ws, text)
    assert "MODULE@VERSION" in str(error.value.hint)
