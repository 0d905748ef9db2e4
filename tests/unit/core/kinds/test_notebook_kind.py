"""A step that executes a notebook is read, checked and rendered as the command that does it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitml.core.kinds.notebook_kind import PROGRAM
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.graph import GraphStep, graph_as_json, graph_from_json


def steps(step: str, before: str = "", **params: Any) -> list[GraphStep]:
    text = (
        f"{before}\nsteps:\n  make:\n    run: touch ${{{{ outputs.x }}}}\n    outputs: {{x: file}}\n  t:\n    {step}\n"
    )
    graph = build_graph(parse_pipeline(text.encode(), "pipelines/p.yaml"), params)
    assert graph_from_json(json.loads(json.dumps(graph_as_json(graph)))) == graph
    return [found for found in graph.steps.values() if found.base == "t"]


def mistakes(step: str, before: str = "") -> list[str]:
    with pytest.raises(SpecError) as caught:
        steps(step, before)
    return [diagnostic.message for diagnostic in caught.value.diagnostics]


def given(step: GraphStep) -> Any:
    return {name: value for word in step.argv[4:] for name, value in json.loads(word).items()}


def test_the_command_names_the_notebook_and_what_it_is_given() -> None:
    (step,) = steps("notebook: nb/./fit.ipynb")
    assert step.argv == ("python3", PROGRAM, "nb/./fit.ipynb", "-")
    assert step.notebook == "nb/fit.ipynb"


def test_values_keep_their_types_and_count_as_parameters() -> None:
    before = "params: {rate: 0.5, name: it's, deep: true}\ninputs: {raw: data/raw.csv}"
    step = (
        'notebook: "nb/${{ matrix.kind }}.ipynb"\n    matrix: {kind: [a, b]}\n'
        '    params: {n: 3, text: "3", rate: "${{ params.rate }}", name: "${{ params.name }}", kind: "${{ matrix.kind }}",\n'
        '      both: "${{ params.name }}-${{ params.rate }}", deep: "${{ params.deep }}", raw: "${{ inputs.raw }}",\n'
        '      x: "${{ steps.make.outputs.x }}", o: "${{ outputs.o }}"}\n    outputs: {o: file}'
    )
    one, other = steps(step, before, rate=0.5, name="it's", deep=True)
    assert given(one) == {
        "n": 3, "text": "3", "rate": 0.5, "name": "it's", "kind": "a", "both": "it's-0.5", "deep": True,
        "raw": "data/raw.csv", "x": ".gitml/in/0/x", "o": ".gitml/out/o",
    }  # fmt: skip
    assert (one.notebook, other.notebook) == ("nb/a.ipynb", "nb/b.ipynb")
    assert dict(one.params) == {"rate": 0.5, "name": "it's", "deep": True}
    assert [(item.name, item.mount) for item in one.inputs] == [("raw", "data/raw.csv"), ("x", ".gitml/in/0/x")]
    assert one.parents == ("make",)


@pytest.mark.parametrize(
    ("outputs", "page"),
    [
        ("{notebook: file, other: {type: file, path: x.ipynb}}", ".gitml/out/notebook"),
        ("{page: {type: file, path: out/fit.ipynb}, scores: metrics}", "out/fit.ipynb"),
        ("{notebook: directory}", "-"),
        ("{scores: metrics}", "-"),
        ("{page: {type: directory, path: x.ipynb}}", "-"),
    ],
)
def test_the_executed_notebook_goes_to_an_output_of_its_name_or_ending(outputs: str, page: str) -> None:
    (step,) = steps(f"notebook: a.ipynb\n    outputs: {outputs}")
    assert step.argv[3] == page


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("notebook: a.py", "notebook is a path that ends in .ipynb, not 'a.py'"),
        ("notebook: ../a.ipynb", "notebook is a path that leaves the tree ('..')"),
        ("notebook: a.ipynb\n    run: b", "run is not for steps with notebook"),
        ("notebook: a.ipynb\n    shell: sh", "shell is not for steps with notebook"),
        ("notebook: a.ipynb\n    nodes: 2", "nodes is not for steps with notebook: one kernel executes it"),
        ("notebook: a.ipynb\n    params: {a-b: 1}", "'a-b' can't be the name of a variable in a notebook"),
        ("notebook: a.ipynb\n    params: {class: 1}", "'class' can't be the name of a variable in a notebook"),
        ("notebook: a.ipynb\n    params: {a: [1]}", "parameter 'a' must be text, a number, true or false"),
        ('notebook: a.ipynb\n    params: {a: "${{ params.no }}"}', "unknown parameter 'no'"),
        ('notebook: "${{ inputs.x }}.ipynb"', "notebook can use params.x and matrix.x, not inputs.x"),
        (
            "notebook: a.ipynb\n    outputs: {a: {type: file, path: x.ipynb}, b: {type: file, path: y.ipynb}}",
            "several outputs could be the executed notebook (a, b): call one of them notebook",
        ),
        (
            "notebook: nb/a.ipynb\n    outputs: {o: {type: file, path: nb/a.ipynb}}",
            "step 't': output 'o' lies where the notebook is: give it another path",
        ),
    ],
)
def test_a_mistake_is_reported_with_what_is_wrong(step: str, said: str) -> None:
    assert said in mistakes(step)


def test_a_secret_is_no_parameter_of_a_notebook_as_it_would_be_in_what_that_saves() -> None:
    before = "params: {token: {secret: true}}"
    (said,) = mistakes('notebook: a.ipynb\n    params: {token: "${{ params.token }}"}', before)
    assert said.startswith("params.token is secret, and everybody on the machine can read the words of a command: env:")


def test_a_list_stays_a_list_and_one_of_it_its_type() -> None:
    before = "params: {sizes: {type: list, default: [1, 2]}}"
    step = 'notebook: a.ipynb\n    params: {all: "${{ params.sizes }}", one: "${{ params.sizes[1] }}"}'
    (found,) = steps(step, before, sizes=[1, 2])
    assert given(found) == {"all": [1, 2], "one": 2}


def test_a_parameter_that_stands_for_an_optional_input_goes_with_it() -> None:
    text = (
        "steps:\n  make:\n    run: touch ${{ outputs.x }}\n    outputs: {x: {type: file, optional: true}}\n"
        '  t:\n    notebook: a.ipynb\n    inputs: {x: {from: "${{ steps.make.outputs.x }}", optional: true}}\n'
        '    params: {z: 1, a: "${{ inputs.x }}"}\n'
    )
    step = build_graph(parse_pipeline(text.encode(), "pipelines/p.yaml"), {}).steps["t"]
    assert step.argv[4:] == ('{"a": ".gitml/in/0/x"}', '{"z": 1}')
    assert step.conditional == ((4, (0,)),)
