"""A new kind of output port is one entry of PORT_KINDS: here a `table`, whose file must have a header."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

from gitml.core.kinds.port_kinds import PORT_KINDS, PortKind
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.parse import parse_pipeline, pipeline_schema
from gitml.core.model.action import ActionOutput
from gitml.core.text.metrics_file import ParsedMetrics
from gitml.errors import InputError
from gitml.history.files.plots import plots_of
from gitml.modules.spec import interface_of, parse_module
from registry.interface import interface_as_json, interface_from_json
from tests.kit.projects.project import Project, outcomes

PIPELINE = """\
params: {header: "name,age"}
steps:
  make:
    shell: sh
    run: printf '%s\\nann,7\\n' ${{ params.header }} > ${{ outputs.people }}
    outputs: {people: table}
  use:
    run: cp ${{ steps.make.outputs.people }} ${{ outputs.copy }}
    outputs: {copy: file}
"""


def read_table(file: BinaryIO, output: ActionOutput) -> ParsedMetrics:
    header = file.readline().decode().strip()
    if "," not in header:
        raise InputError(
            f"table {output.name} ({output.mount}) has no header", hint="write the names of its columns first"
        )
    return ParsedMetrics({f"{output.name}.columns": header.count(",") + 1.0}, (f"{output.name} has columns {header}",))


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        PORT_KINDS, "table", PortKind("table", "a CSV file with a header", read=read_table, is_drawn=True)
    )


def test_a_step_makes_it_the_executor_reads_it_and_later_steps_and_runs_reuse_it(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})
    assert {decision.kind for decision in project.plan().decisions.values()} == {"run", "unknown"}
    run = project.run()
    assert [(step.error, step.outcome) for step in run.steps] == [(None, "executed")] * 2
    assert run.metrics() == {"make.people.columns": 2.0}
    assert [output.kind for output in run.steps[0].outputs] == ["table"]
    assert project.output(run.steps[1], "copy") == b"name,age\nann,7\n"
    assert set(outcomes(project.run()).values()) == {"reused"}
    with project.workspace() as ws:
        assert [plot.name for plot in plots_of(ws, run)] == ["make.people"]


def test_one_that_is_not_of_the_kind_fails_its_step(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})
    run = project.run(given=[("header", "people")])
    assert run.status == "failed"
    assert "table people (.gitml/out/people) has no header" in (run.steps[0].error or "")


def test_modules_registries_and_the_schema_know_it() -> None:
    spec = parse_module(b"name: m\nrun: cp ${{ inputs.i }} ${{ outputs.o }}\ninputs: {i: table}\noutputs: {o: table}\n")
    assert interface_from_json(interface_as_json(interface_of(spec))) == interface_of(spec)
    steps = pipeline_schema()["allOf"][0]["else"]["properties"]["steps"]
    outputs = steps["additionalProperties"]["properties"]["outputs"]
    assert "table" in outputs["additionalProperties"]["anyOf"][0]["enum"]


def test_a_kind_that_nobody_knows_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PORT_KINDS, "table")
    with pytest.raises(SpecError, match="must be file or directory or metrics or plot, not 'table'"):
        parse_pipeline(PIPELINE.encode(), "pipelines/p.yaml")
    with pytest.raises(SpecError, match="must be file or directory or metrics or plot, not 'table'"):
        parse_module(b"name: m\nrun: cp a ${{ outputs.o }}\noutputs: {o: table}\n")
