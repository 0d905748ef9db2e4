"""`gitml lineage`: where things come from and what was made of them."""

from __future__ import annotations

import re

from tests.system.conftest import Project


def test_up_leads_from_an_artifact_to_its_files_parameters_and_commit(project: Project) -> None:
    out = project.gitml("lineage", "up", "latest:train.model").out
    commit = project.git("rev-parse", "--short=12", "HEAD")
    assert re.match(r"artifact train\.model  sha256:\w{12}\n└ step train  run \w{8} of words at " + commit, out)
    assert "param rate = 2" in out
    assert re.search(rf"file data/raw\.txt  \w{{12}} at {commit}", out)
    assert re.search(rf"file src/prepare\.sh  \w{{12}} at {commit}", out)
    assert re.search(r"artifact prepare\.clean .*\n  │ └ step prepare", out)


def test_down_leads_from_a_file_to_all_that_was_made_of_it_in_every_run(project: Project) -> None:
    project.gitml("run", "-q", "-S", "rate=5")
    out = project.gitml("lineage", "down", "data/raw.txt").out
    assert out.startswith("file data/raw.txt  ")
    assert out.count("step prepare") == 1
    assert out.count("artifact train.model") == 2


def test_down_from_a_commit_and_from_a_digest(project: Project) -> None:
    assert "step prepare" in project.gitml("lineage", "down", "HEAD").out
    digest = project.gitml("show", "--json").data["steps"][0]["outputs"]["clean"]["digest"]
    out = project.gitml("lineage", "down", digest[:20]).out
    assert out.startswith("artifact prepare.clean")
    assert "step train" in out


def test_a_file_within_an_input_directory_is_found(project: Project) -> None:
    project.write(
        "pipelines/dir.yaml",
        "inputs: {all: data}\nsteps:\n  d:\n    run: cp ${{ inputs.all }}/raw.txt ${{ outputs.o }}\n    outputs: {o: file}\n",
    )
    project.commit()
    project.gitml("run", "dir", "-q")
    assert "step d  " in project.gitml("lineage", "down", "data/raw.txt").out


def test_down_from_a_directory_leads_to_what_used_a_file_in_it(project: Project) -> None:
    out = project.gitml("lineage", "down", "src").out
    assert "step prepare" in out
    assert "step train" in out
    project.write("other/file.txt", "unused")
    project.commit()
    assert "step" not in project.gitml("lineage", "down", "other").out


def test_show_names_each_user_once(project: Project) -> None:
    project.gitml("run", "-q", "-S", "rate=5")
    shown = project.gitml("lineage", "show", "HEAD").out
    assert shown.count("prepare") == 1
    assert shown.count("train") == 1


def test_up_is_meant_when_no_direction_is_named(project: Project) -> None:
    assert (
        project.gitml("lineage", "latest:train.model").out == project.gitml("lineage", "up", "latest:train.model").out
    )


def test_a_reused_artifact_leads_to_the_run_that_made_it(project: Project) -> None:
    first = project.gitml("log", "--json").data[-1]["run"]
    project.gitml("run", "-q")
    assert f"step train  run {first[:8]}" in project.gitml("lineage", "up", "latest:train.model").out


def test_json_is_a_graph(project: Project) -> None:
    data = project.gitml("lineage", "up", "latest:train.model", "--json").data
    ids = {thing["id"] for thing in data["things"]}
    assert set(data["roots"]) <= ids
    assert all({source, target} <= ids for source, target in data["edges"])
    assert {thing["kind"] for thing in data["things"]} == {"artifact", "step", "file", "param", "commit"}


def test_show_tells_what_a_thing_is(project: Project) -> None:
    out = project.gitml("lineage", "show", "latest:prepare.clean").out
    assert re.search(r"^name       prepare\.clean$", out, re.M)
    assert re.search(r"^used by    train$", out, re.M)


def test_what_names_nothing_is_told(project: Project) -> None:
    answer = project.gitml("lineage", "up", "nothing/here", code=2)
    assert answer.err.startswith("gitml: nothing here is called 'nothing/here': name RUN:STEP.PORT, a digest")
