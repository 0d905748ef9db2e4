"""A new kind of step is one entry of STEP_KINDS: here `shout: TEXT`, which becomes a command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gitml.core.kinds.step_kinds import STEP_KINDS, Pairs, StepKind
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.keys import OUTPUTS, TEXT, Key, keys_of
from gitml.core.language.parse import PipelineReader, parse_pipeline, pipeline_schema
from tests.kit.projects.project import Project, outcomes, reasons

PIPELINE = """\
params: {who: ann}
steps:
  greet:
    matrix: {word: [hello, bye]}
    shout: "${{ matrix.word }} ${{ params.who }}"
    outputs: {said: file}
  count:
    shell: sh
    run: cat ${{ steps.greet[*].outputs.said }} > ${{ outputs.all }}
    outputs: {all: file}
"""
SCRIPT = 'tr a-z A-Z > "$2" <<< "$1"'


def read_shout(reader: PipelineReader, name: str, pairs: Pairs) -> Mapping[str, Any]:
    node = pairs["shout"][1]
    text = reader.template(node, reader.text_of(node, "shout") or "")
    outputs = reader.outputs_in(name, pairs)
    places = [reader.template(node, f"${{{{ outputs.{port.name} }}}}") for port in outputs]
    return {
        "words": (("bash",), ("-c",), (SCRIPT,), ("shout",), text, *places),
        "outputs": outputs,
        "env": reader.env_in(pairs),
    }


SHOUT = StepKind("shout", keys_of(Key("shout", "what is shouted", TEXT), OUTPUTS), read_shout)


@pytest.fixture(autouse=True)
def shout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STEP_KINDS, "shout", SHOUT)


def test_it_is_planned_run_by_the_engine_and_reused(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})
    assert [(name, decision.kind) for name, decision in project.plan().decisions.items()] == [
        ("greet[hello]", "run"),
        ("greet[bye]", "run"),
        ("count", "unknown"),
    ]
    run = project.run()
    assert [step.error for step in run.steps] == [None] * 3
    assert project.output(run.steps[2], "all") == b"HELLO ANN\nBYE ANN\n"
    assert set(outcomes(project.run()).values()) == {"reused"}
    again = project.run(given=[("who", "bob")])
    assert reasons(again)["greet[bye]"] == "param who: ann -> bob"


def test_its_keys_are_its_own_and_the_schema_has_them() -> None:
    with pytest.raises(SpecError) as caught:
        parse_pipeline(b"steps:\n  a: {shout: x, run: y}\n  b: {run: y, shuot: x}\n", "pipelines/p.yaml")
    assert [diagnostic.message for diagnostic in caught.value.diagnostics] == [
        "run is not for steps with shout",
        "unknown key 'shuot' in step 'b' (did you mean 'shout'?)",
    ]
    step = pipeline_schema()["allOf"][0]["else"]["properties"]["steps"]["additionalProperties"]
    assert step["properties"]["shout"]["description"] == "what is shouted"
    assert {"required": ["shout"]} in step["anyOf"]
