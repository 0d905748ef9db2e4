"""`metrics` without a run: which run it shows."""

from __future__ import annotations

from pathlib import Path

from tests.kit.projects.command_line import Project


def test_metrics_names_the_run_that_has_none_and_shows_the_newest_that_has_some(tmp_path: Path) -> None:
    files = {
        "score.sh": "test $1 = 0 || exit 1\necho '{\"accuracy\": 0.5}' > $2\n",
        "pipelines/p.yaml": "params: {code: 0}\nsteps:\n  s:\n    run: sh score.sh ${{ params.code }} ${{ outputs.m }}\n"
        "    outputs: {m: metrics}\n",
    }
    project = Project(tmp_path / "p", files)
    good = project.run()["run"][:8]
    bad = project.run("-S", "code=1", code=1)["run"][:8]
    shown = project.do("metrics")
    assert "0.5" in shown.out
    assert f"run {bad} (failed) has no metrics; run {good} is the newest that has some" in shown.err
    assert f"run {bad} (failed)" in project.do("metrics", bad).err
