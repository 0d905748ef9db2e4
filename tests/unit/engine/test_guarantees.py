"""A result that was made in a laxer sandbox, or with more of the network, is not reused by a step that asks for a stricter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitml.core.planner.plan import REUSE, RUN
from gitml.core.records.record import Run, decode_run, encode_record, encode_run, step_from_json
from gitml.execute.sandbox.isolation import refusal
from gitml.platform.current import platform
from tests.kit.projects.project import Project

pytestmark = pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())

STRICT = {"sandbox": "strict"}
STEP = "    run: sh -c 'date +%s%N > ${{ outputs.o }}'\n    outputs: {o: {type: file}}\n"
NORMAL = f"steps:\n  t:\n{STEP}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repo", {"pipelines/p.yaml": NORMAL})


def ask(project: Project, strict: bool) -> None:
    project.repo.commit(
        "asked", {"pipelines/p.yaml": ("sandbox: strict\n" if strict else "sandbox: normal\n") + NORMAL}
    )


def outcome(run: Run) -> tuple[str, dict[str, str]]:
    assert run.status == "succeeded", run
    return run.steps[0].outcome, dict(run.steps[0].guarantees)


def test_what_a_normal_sandbox_made_runs_again_strictly_and_serves_both_from_then_on(project: Project) -> None:
    first = project.run()
    assert outcome(first) == ("executed", {})
    ask(project, strict=True)
    decision = project.plan().decisions["t"]
    assert decision.kind == RUN
    assert decision.reason == f"run {first.id[:8]} made it in a normal sandbox, and the step asks for a strict one"
    second = project.run()
    assert outcome(second) == ("executed", STRICT)
    assert second.steps[0].key == first.steps[0].key, "it is no part of the key"
    assert outcome(project.run()) == ("reused", STRICT)
    ask(project, strict=False)
    assert outcome(project.run()) == ("reused", STRICT)


def test_a_guarantee_is_known_from_the_record_alone(project: Project) -> None:
    ask(project, strict=True)
    project.run()
    (Path(project.repo.path) / ".git/gitml/index.db").unlink()
    assert project.plan().decisions["t"].kind == REUSE


@pytest.mark.slow
@pytest.mark.skipif(refusal("none") != "", reason="this machine gives no network namespaces")
def test_what_was_made_with_more_of_the_network_runs_again_with_less_and_serves_both_from_then_on(
    project: Project,
) -> None:
    def asking(word: str) -> None:
        project.repo.commit("asked", {"pipelines/p.yaml": f"network: {word}\n{NORMAL}"})

    first = project.run()
    asking("loopback")
    told = "made it with network: {}, and the step asks for network: {}"
    assert project.plan().decisions["t"].reason == f"run {first.id[:8]} {told.format('full', 'loopback')}"
    second = project.run()
    assert outcome(second) == ("executed", {"network": "loopback"})
    assert second.steps[0].key == first.steps[0].key, "it is no part of the key"
    asking("none")
    assert project.plan().decisions["t"].reason == f"run {second.id[:8]} {told.format('loopback', 'none')}"
    assert outcome(project.run()) == ("executed", {"network": "none"})
    for word in ("none", "loopback", "full"):
        asking(word)
        assert outcome(project.run()) == ("reused", {"network": "none"})
    (Path(project.repo.path) / ".git/gitml/index.db").unlink()
    asking("none")
    assert project.plan().decisions["t"].kind == REUSE, "the record says it"


def test_of_two_equal_steps_the_strict_one_is_made_strictly(tmp_path: Path) -> None:
    text = f"steps:\n  a:\n{STEP}  b:\n    sandbox: strict\n    after: [a]\n{STEP}"
    project = Project(tmp_path / "repo", {"pipelines/p.yaml": text})
    assert {name: decision.kind for name, decision in project.plan().decisions.items()} == {"a": RUN, "b": RUN}
    run = project.run(jobs=1)
    assert [(step.outcome, dict(step.guarantees)) for step in run.steps] == [("executed", {}), ("executed", STRICT)]


def test_records_say_it_in_both_ways_of_writing_and_leave_it_out_where_there_is_none(project: Project) -> None:
    plain = project.run()
    assert b"guarantees" not in encode_run(plain)
    strict = plain._replace(steps=(plain.steps[0]._replace(guarantees=STRICT),))
    assert [step.guarantees for step in decode_run(encode_run(strict)).steps] == [STRICT]
    many = strict._replace(steps=tuple(strict.steps[0]._replace(name=f"t{n}") for n in range(1200)))
    files = encode_record(many)
    read = decode_run(files["run.json"], lambda name: files[f"steps/{name}.jsonl"])
    assert [step.guarantees for step in read.steps] == [STRICT] * 1200
    step = json.loads(encode_run(strict))["steps"][0]
    with pytest.raises(ValueError, match="not a step"):
        step_from_json({**step, "guarantees": ["strict"]})
