"""Outputs that are what matches a pattern: what the step made or changed, in its layout, and nothing that it was given."""

from __future__ import annotations

import json
from typing import Any

from tests.system.conftest import Project

LIGHTNING = """\
params: {crash: false}
steps:
  prepare:
    run: sh -c "mkdir -p data; echo 1 > data/made.csv; echo 2 > data/kept.csv"
    outputs: {data: {type: directory, path: data}}
  train:
    shell: sh
    run: |
      mkdir -p lightning_logs/version_0/checkpoints lightning_logs/version_0/__pycache__ tables
      echo weights > lightning_logs/version_0/checkpoints/epoch=3.ckpt
      echo x > lightning_logs/version_0/__pycache__/x.pyc
      ln -s epoch=3.ckpt lightning_logs/version_0/checkpoints/last.ckpt
      echo 'a,b' > lightning_logs/version_0/metrics.csv
      echo '#!/bin/sh' > tables/tool.sh; chmod +x tables/tool.sh
      echo changed > conf/given.csv
      ${{ params.crash }} && exit 3
      echo rest > rest.txt
    code: [conf/**]
    inputs: {data: "${{ steps.prepare.outputs.data }}", small: data.csv}
    outputs:
      logs: {type: directory, pattern: lightning_logs/**}
      best: {type: file, pattern: "**/*=*.ckpt"}
      tables: {type: directory, pattern: ["**/*.csv", tables]}
      maybe: {type: file, pattern: "*.onnx", optional: true}
  use:
    run: sh -c 'find "$0" "$1" -type f | sort; cat "$1"' ${{ inputs.tables }} ${{ inputs.best }}
    inputs: {tables: "${{ steps.train.outputs.tables }}", best: "${{ steps.train.outputs.best }}"}
"""


def write(project: Project) -> None:
    project.write("pipelines/train.yaml", LIGHTNING)
    project.write("conf/given.csv", "given\n")
    project.write("conf/other.csv", "other\n")
    project.write("data.csv", "small\n")
    project.commit()


def step_of(run: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in run["steps"] if step["name"] == name)


def test_what_matches_when_the_step_has_ended_is_taken_without_what_it_was_given(project: Project) -> None:
    write(project)
    run = project.run("train")
    assert "train made rest.txt, which is no output" in project.gitml("run", "train", "--force", "train").err
    assert set(step_of(run, "train")["outputs"]) == {"logs", "best", "tables"}
    seen = project.gitml("logs", run["run"], "use").out
    for path in ("conf/given.csv", "lightning_logs/version_0/metrics.csv", "tables/tool.sh"):
        assert f"/tables/{path}\n" in seen
    assert "weights\n" in seen
    assert not any(given in seen for given in ("other.csv", "kept.csv", "data.csv", "GITML"))
    out = project.root / "out"
    project.gitml("checkout", f"{run['run'][:8]}:train.logs", str(out))
    logs = out / "lightning_logs/version_0"
    assert (logs / "checkpoints/last.ckpt").read_text() == "weights\n"
    assert not (logs / "checkpoints/last.ckpt").is_symlink()
    assert not (logs / "__pycache__").exists()
    assert (logs / "metrics.csv").read_text() == "a,b\n"
    assert project.gitml("checkout", f"{run['run'][:8]}:train.tables", str(project.root / "tables")).code == 0
    assert (project.root / "tables/tables/tool.sh").stat().st_mode & 0o100
    assert project.run("train")["steps"][1]["outcome"] == "reused"
    project.gitml("reproduce", "latest")

    # what matches is in the key
    project.write("pipelines/train.yaml", LIGHTNING.replace("lightning_logs/**", "lightning_logs/**/*.csv"))
    changed = project.run("train", "-n").get("steps") or project.gitml("plan", "--json", "train").data["steps"]
    assert "lightning_logs/** -> directory lightning_logs/**/*.csv" in json.dumps(changed)

    # a step that fails leaves what matched until then
    project.write("pipelines/train.yaml", LIGHTNING)
    failed = project.run("train", "-S", "crash=true", code=1)
    assert set(step_of(failed, "train")["partial"]) == {"logs", "best", "tables"}


def test_a_file_that_none_or_several_match_fails_the_step_with_what_there_is(project: Project) -> None:
    write(project)
    for old, new, said in (
        ('"**/*=*.ckpt"', '"**/*.ckpt"', "output best is one file, and 2 match **/*.ckpt: lightning_logs"),
        (
            '"**/*=*.ckpt"',
            '"**/*.cpkt"',
            "made nothing that matches **/*.cpkt: it made lightning_logs/version_0/checkpoints/",
        ),
        ('"**/*=*.ckpt"', '"*.csv"', "it was given data.csv, and left it as it was"),
    ):
        project.write("pipelines/train.yaml", LIGHTNING.replace(old, new))
        run = project.run("train", "train", code=1)
        assert said in step_of(run, "train")["error"]
