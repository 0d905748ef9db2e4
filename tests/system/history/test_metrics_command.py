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


def test_metrics_in_other_formats_and_labels_are_recorded_shown_and_reused(tmp_path: Path) -> None:
    files = {
        "work.sh": 'printf "acc: 1e-1\\nmodel: svm\\n" > $1\nprintf "class,f1\\ncat,0.5\\ndog,1\\n" > $2\n'
        'printf \'{"loss": 2, "curve": [1]}\\n{"loss": 1}\\n\' > $3\nprintf \'lr = inf\\nwhy = "%s"\\n\' "$KEY" > $4\n',
        "pipelines/p.yaml": """\
params: {key: {secret: true}}
steps:
  s:
    run: sh work.sh ${{ outputs.y }} ${{ outputs.c }} ${{ outputs.l }} ${{ outputs.t }}
    env: {KEY: "${{ params.key }}"}
    outputs:
      y: {type: metrics, format: yaml}
      c: {type: metrics, path: eval/classes.csv}
      l: {type: metrics, format: jsonl}
      t: {type: metrics, path: eval/more.toml}
""",
    }
    project = Project(tmp_path / "p", files)
    project.env["GITML_SECRET_KEY"] = "hunter2hunter2"
    first = project.run("--secret", "key")
    (step,) = first["steps"]
    assert step["metrics"] == {"acc": 0.1, "cat.f1": 0.5, "dog.f1": 1, "loss": 1, "lr": "Infinity"}
    assert step["labels"]["model"] == "svm"
    assert "hunter2" not in str(first)
    again = project.run("--secret", "key")
    assert again["steps"][0]["outcome"] == "reused"
    assert again["steps"][0]["labels"] == step["labels"]
    assert project.do("show", again["run"], "--json").json == again
    assert "labels   model svm" in project.do("show").out
    assert [line.split() for line in project.do("metrics").out.splitlines()][-2] == ["s.model", "svm"]
    assert project.do("metrics", "show", first["run"], "--json").json[0]["labels"]["s.model"] == "svm"
    same = project.do("metrics", "diff", "--json").json
    assert (same["metrics"], same["labels"]) == ([], [])
    project.repo.write({"work.sh": files["work.sh"].replace("svm", "x" * 70 + "y").replace('loss": 1', 'loss": 3')})
    project.run("--secret", "key")
    project.repo.write({"work.sh": files["work.sh"].replace("model: svm", f"model: {'x' * 70}z\\nkind: new")})
    third = project.run("--secret", "key")
    changes = project.do("metrics", "diff", f"{first['run']}..{third['run']}", "--exit-code", "--json", code=1).json
    assert changes["metrics"] == []
    assert changes["labels"] == [
        {"name": "s.model", "before": "svm", "after": "x" * 70 + "z", "changed": True},
        {"name": "s.kind", "before": None, "after": "new", "changed": True},
    ]
    assert "s.why" in [one["name"] for one in project.do("metrics", "diff", "--all", "--json").json["labels"]]
    lines = [line.split() for line in project.do("metrics", "diff").out.splitlines() if "->" in line]
    assert lines[-2:] == [["s.model", "x" * 70 + "y", "->", "x" * 70 + "z"], ["s.kind", "-", "->", "new"]]
    assert ["s.loss", "3", "->", "1", "-2"] in lines
    other = files["pipelines/p.yaml"].replace("format: yaml", "format: json")
    project.repo.write({"pipelines/p.yaml": other})
    failed = project.run("--secret", "key", code=1)
    assert "not a JSON metrics file" in failed["steps"][0]["error"]
    project.repo.write({"pipelines/p.yaml": other.replace("format: json", "format: xml")})
    assert "must be json or yaml or toml or csv or jsonl" in project.do("plan", code=2).err
    project.repo.write({"pipelines/p.yaml": other.replace("metrics, format: json", "file, format: json")})
    assert "is of type file, and only `metrics` has `format`" in project.do("plan", code=2).err
