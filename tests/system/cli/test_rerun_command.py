"""`gitml rerun`: what a run ran, at its commit, with what is given replaced."""

from __future__ import annotations

from typing import Any

from tests.system.conftest import PIPELINE, Project


def outcomes(run: dict[str, Any]) -> list[str]:
    return [step["outcome"] for step in run["steps"]]


def rerun(project: Project, *words: str) -> dict[str, Any]:
    data: dict[str, Any] = project.gitml("rerun", "--json", *words).data
    return data


def test_what_a_run_ran_is_run_again_whatever_the_files_are_now(project: Project) -> None:
    project.write("src/train.sh", 'echo draft > "$3"; echo "{}" > "$4"\n')
    draft = project.run("words", "train", "-S", "rate=3", "--experiment", "e1")
    project.write("src/train.sh", "exit 1\n")
    project.write("pipelines/words.yaml", PIPELINE.replace("rate", "speed"))
    project.commit()
    same = rerun(project, draft["run"])
    assert outcomes(same) == ["reused", "reused"]
    assert (same["commit"], same["params"], same["experiment"]) == (draft["commit"], {"rate": 3}, "e1")
    assert same["selected"] == ["train"]
    changed = rerun(project, draft["run"][:6], "-S", "rate=4", "--experiment", "e2", "-m", "more")
    assert outcomes(changed) == ["reused", "executed"]
    assert (changed["params"], changed["experiment"], changed["message"]) == ({"rate": 4}, "e2", "more")
    assert outcomes(rerun(project, draft["run"], "-f")) == ["reused", "executed"]
    assert outcomes(rerun(project, draft["run"], "--no-reuse")) == ["executed", "executed"]
    plan = project.gitml("rerun", draft["run"], "-n", "--exit-code", "-S", "rate=9", code=1)
    assert "run      train" in plan.out
    detached = project.gitml("rerun", "--detach", "-q", draft["run"], "-S", "rate=5").out.strip()
    assert project.gitml("wait", detached).out == f"run {detached[:8]} words succeeded\n"
    assert project.gitml("show", detached, "--json").data["params"] == {"rate": 5}


def test_what_can_not_be_run_again_is_one_clear_line(project: Project) -> None:
    (run,) = (row["run"] for row in project.gitml("log", "--json").data)

    def refusal(*words: str, code: int = 2) -> str:
        answer = project.gitml("rerun", *words, code=code)
        assert answer.err.count("\n") == 1
        return answer.err.removeprefix("gitml: ")

    assert refusal("ffff0000").startswith("no run 'ffff0000'")
    assert refusal("HEAD").startswith("not a run: 'HEAD'")
    assert refusal(run, "-S", "raet=2") == "unknown parameter 'raet' (did you mean 'rate'?) (-S raet=…)\n"
    assert refusal(run, "-S", "rate=20").startswith("parameter 'rate' must be at most 9")
    assert refusal(run, "-S", "rate").startswith("not name=value: 'rate' (-S)")
    assert refusal(run, "--exit-code").startswith("it is for a dry run (--exit-code)")
    assert "nowhere" in refusal(run, "--on", "nowhere")
    project.write("src/train.sh", "exit 1\n")
    draft = project.run(code=1)
    commit = draft["commit"]
    (project.root / ".git/objects" / commit[:2] / commit[2:]).unlink()
    assert refusal(draft["run"], code=3).startswith(
        f"commit {commit[:12]} of run {draft['run'][:8]} is not in this repository: fetch it"
    )


def test_a_run_in_progress_is_named_as_one(project: Project, sleeper: Any) -> None:
    sleeper()
    run = project.wait_for_live()
    answer = project.gitml("rerun", run, code=2)
    assert answer.err == f"gitml: run {run[:8]} is still going on: gitml wait {run[:8]}\n"


def test_modules_are_those_of_the_run_and_a_disabled_one_is_refused(project: Project) -> None:
    module = "name: shout\nversion: {}\noutputs: {{o: file}}\nrun: sh shout.sh ${{{{ outputs.o }}}}\ncode: [shout.sh]\n"
    for version in ("1.0.0", "1.1.0"):
        project.write("modules/shout/module.yaml", module.format(version))
        project.write("modules/shout/shout.sh", f"echo {version} > $1\n")
        project.write("pipelines/uses.yaml", "steps:\n  a:\n    module: shout@^1\n")
        project.commit()
        project.gitml("module", "publish", "modules/shout")
        if version == "1.0.0":
            old = project.run("uses")
    new = project.run("uses")
    assert new["steps"][0]["outcome"] == "executed"
    again = rerun(project, old["run"], "-f")
    assert again["steps"][0]["outputs"] == old["steps"][0]["outputs"]
    assert again["modules"] == old["modules"]
    project.gitml("module", "disable", "shout@1.0.0", "--reason", "wrong")
    refused = project.gitml("rerun", old["run"], code=2).err
    assert "disabled" in refused
    allowed = rerun(project, old["run"], "--allow-disabled")
    assert [item["version"] for item in allowed["modules"].values()] == ["1.0.0"]
