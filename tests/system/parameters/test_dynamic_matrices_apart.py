"""Dynamic matrices where others are at work: a killed run, a teammate's clone, Ray, a submitted run, the screen of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.record import Run
from gitml.engine.planning.load import load
from gitml.engine.planning.planner import Planner, policy_for
from gitml.engine.planning.request import Origin, RunRequest
from gitml.engine.run import head_of
from gitml.git.revisions import IdentQuery
from gitml.submission.bundle import SubmissionRequest, results_to_take, write_job_bundle
from gitml.submission.job_main import run_job_bundle
from gitml.tui.screens.run.view import planned_steps
from tests.kit.projects.command_line import Project, alive, wait_until
from tests.kit.projects.project import Project as ProjectInProcess
from tests.kit.projects.team import Team

PIPELINE = """\
params: {{list: '["a", "b"]'}}
steps:
  split:
    shell: bash
    run: printf %s ${{{{ params.list }}}} > ${{{{ outputs.parts }}}}
    outputs: {{parts: file}}
  train:
    matrix: {{part: "${{{{ steps.split.outputs.parts }}}}"}}
    shell: bash
    run: |
      {wait}
      cat ${{{{ inputs.data }}}} > ${{{{ outputs.o }}}}; echo ${{{{ matrix.part }}}} >> ${{{{ outputs.o }}}}
    outputs: {{o: file}}
  gather: {{shell: bash, run: "cat ${{{{ steps.train[*].outputs.o }}}} > ${{{{ outputs.o }}}}", outputs: {{o: {{type: file, path: all.txt}}}}}}
inputs: {{data: data.txt}}
"""
SETTINGS = "defaults: {pipeline: p}\ntargets: {big: {ray: 'ray.example:8265'}}\n"
FILES = {"pipelines/p.yaml": PIPELINE.format(wait=":"), "data.txt": "data\n", "gitml.yaml": SETTINGS}


def test_a_killed_run_is_recorded_with_the_combinations_that_it_had_found(tmp_path: Path) -> None:
    marker = f"gitml-test-dynamic-{os.getpid()}"
    wait = f"if [ ${{{{ matrix.part }}}} = b ]; then bash -c 'exec -a {marker} sleep 60'; fi"
    project = Project(tmp_path / "p", {**FILES, "pipelines/p.yaml": PIPELINE.format(wait=wait)})
    process = project.start("run", "-j", "1")
    wait_until(lambda: bool(alive(f"{marker}\x0060")))
    going = project.do("show", "--json", "latest", code=None)
    assert "train[b]" in going.out
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(marker))
    shown = project.do("show", "latest", "--json").json
    assert {step["name"]: step["outcome"] for step in shown["steps"]} == {
        "split": "executed",
        "train[a]": "executed",
        "train[b]": "cancelled",
        "gather": "cancelled",
    }
    assert project.outcomes("train[a]") == {"split": "reused", "train[a]": "reused"}


def test_a_teammate_reuses_it_all_from_the_records_and_sees_the_combinations(tmp_path: Path) -> None:
    team = Team(tmp_path)
    ann = team.person("ann")
    ann.repo.commit("project", FILES)
    ann.repo.git("push", "-q", "origin", "main")
    run = ann.run("p")
    ann.do("push")
    bob = team.person("bob")
    bob.do("fetch")
    assert {step["decision"] for step in bob.do("plan", "p", "--json").json["steps"]} == {"reuse"}
    assert bob.outcomes("p") == dict.fromkeys([step["name"] for step in run["steps"]], "reused")
    # commands that look at one combination know it
    assert "same as in run" in bob.do("explain", "p", "train[b]").out
    assert bob.do("shell", "train[b]", "cat", "data.txt").out == "data\n"
    assert "several combinations: train[a], train[b]" in bob.do("shell", "train", "true", code=2).err
    assert (
        "what step 'train[*]' needs of split is not known"
        in bob.do("shell", "-S", 'list=["z"]', "train[z]", "true", code=2).err
    )
    assert "as many as split.parts lists (2 last time)" in bob.do("explain", "p", "train", "-S", 'list=["z"]').out
    # outputs come to places of their own, however many there are
    spec = FILES["pipelines/p.yaml"].replace(
        "outputs: {o: file}\n  gather", "outputs: {o: {type: file, path: o.txt}}\n  gather"
    )
    bob.repo.commit("places", {"pipelines/p.yaml": spec})
    bob.do("run", "p", "--checkout", "-S", 'list=["a"]')
    assert (bob.path / "o.txt/a/o.txt").exists() or (bob.path / "a/o.txt").exists()
    assert (bob.path / "all.txt").read_text() == "data\na\n"


def test_the_screen_of_a_run_has_its_combinations(tmp_path: Path) -> None:
    project = ProjectInProcess(tmp_path / "p", FILES)
    run = project.run()
    with project.workspace() as ws:
        assert list(planned_steps(ws, run)) == ["split", "train[a]", "train[b]", "gather"]
        assert "b" in planned_steps(ws, run)["train[b]"].argv


def test_a_submitted_run_finds_its_combinations_on_the_cluster(tmp_path: Path) -> None:
    project = ProjectInProcess(tmp_path / "p", FILES)
    project.run(wanted=["split"])
    for list_ in ('["a", "b"]', '["c"]'):
        folder = tmp_path / f"bundle-{len(list_)}"
        folder.mkdir()
        with project.workspace() as ws:
            loaded = load(ws, None, None, [("list", list_)])
            request = RunRequest(origin=Origin("ann", False, None, "main"))
            planner = Planner(ws, loaded, policy_for(loaded, (), force=False, reuse=True))
            plan = planner.plan()
            head = head_of(ws, loaded, request, IdentQuery(ws.location), ws.now())
            asked = SubmissionRequest(head, request, "big")
            write_job_bundle(ws, planner, plan, asked, results_to_take(planner, plan), str(folder))
        run = _performed(folder, tmp_path)
        assert [step.name for step in run.steps][1:-1] == [f"train[{part}]" for part in json.loads(list_)]
        assert run.status == "succeeded"


def _performed(folder: Path, tmp_path: Path) -> Run:
    return run_job_bundle(
        str(folder),
        {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "c")},
        lambda _: None,
        StopSignal(),
    )


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(300)
def test_lists_and_combinations_on_ray(tmp_path: Path) -> None:
    settings = "targets: {own: {ray: local, cpus: 2}}\n"
    spec = FILES["pipelines/p.yaml"].replace("steps:\n", "target: own\nsteps:\n", 1)
    project = Project(tmp_path / "p", {**FILES, "pipelines/p.yaml": spec, "gitml.yaml": settings})
    run = project.run()
    assert {step["name"]: step["outcome"] for step in run["steps"]} == dict.fromkeys(
        ["split", "train[a]", "train[b]", "gather"], "executed"
    )
    assert project.content(run, "gather", "o") == b"data\na\ndata\nb\n"
    assert project.outcomes("-S", 'list=["b", "c"]') == {
        **dict.fromkeys(["split", "train[c]", "gather"], "executed"),
        "train[b]": "reused",
    }


def test_a_list_that_only_a_remote_store_has_is_fetched_by_a_run_alone(tmp_path: Path) -> None:
    settings = SETTINGS + f"records: {{inline_file: 1B, inline_run: 1B}}\nremotes: [file://{tmp_path}/store]\n"
    team = Team(tmp_path)
    ann = team.person("ann")
    ann.repo.commit("project", {**FILES, "gitml.yaml": settings})
    ann.repo.git("push", "-q", "origin", "main")
    names = [step["name"] for step in ann.run("p")["steps"]]
    ann.do("push")
    bob = team.person("bob")
    bob.do("fetch")
    looked = {step["name"]: step["decision"] for step in bob.do("plan", "p", "--json").json["steps"]}
    assert looked["train[*]"] == "unknown"  # a command that only looks asks no store
    asked = bob.do("run", "-n", "p", "--json").json["steps"]
    assert {step["name"]: step["decision"] for step in asked} == dict.fromkeys(names, "reuse")
    assert bob.outcomes("p") == dict.fromkeys(names, "reused")
