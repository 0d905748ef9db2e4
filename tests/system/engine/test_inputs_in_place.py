"""A project whose scripts have their paths inside runs as it is: inputs lie where the scripts look for them."""

from __future__ import annotations

from typing import Any

from tests.system.conftest import Project

PIPELINE = """\
inputs: {raw: data/raw.txt}
steps:
  prepare:
    run: sh src/prepare.sh
    inputs: {raw: data/raw.txt}
    outputs:
      clean: {type: file, path: data/clean.txt}
      other: {type: file, path: data/other.txt}
  train:
    run: sh src/train.sh
    inputs:
      clean: "${{ steps.prepare.outputs.clean }}"
      words: {from: "${{ inputs.raw }}", path: conf/words.txt}
    outputs: {model: {type: file, path: models/model.txt}}
"""
FILES = {
    "pipelines/place.yaml": PIPELINE,
    "data/raw.txt": "some words\n",
    "src/prepare.sh": "tr a-z A-Z < data/raw.txt > data/clean.txt; wc -l < data/raw.txt > data/other.txt\n",
    "src/train.sh": (
        'cat data/clean.txt conf/words.txt > models/model.txt\nls data; echo "$GITML_INPUT_CLEAN $GITML_INPUT_WORDS"\n'
    ),
}


def outcomes(run: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in run["steps"]}


def test_scripts_find_their_inputs_at_their_own_paths_and_a_run_is_reused_until_content_or_place_changes(
    project: Project,
) -> None:
    for path, text in FILES.items():
        project.write(path, text)
    project.commit()
    first = project.run("place")
    assert outcomes(first) == {"prepare": "executed", "train": "executed"}
    log = project.gitml("logs", first["run"], "train").out
    assert "clean.txt\ndata/clean.txt conf/words.txt\n" in log
    assert "other.txt" not in log  # nothing but what was declared is there
    project.gitml("checkout", first["run"])
    assert (project.root / "models/model.txt").read_text() == "SOME WORDS\nsome words\n"
    assert outcomes(project.run("place")) == {"prepare": "reused", "train": "reused"}

    # the same bytes under the same name: nothing that uses them runs
    project.write("src/prepare.sh", FILES["src/prepare.sh"].replace("wc -l", "wc -c"))
    project.commit()
    assert outcomes(project.run("place")) == {"prepare": "executed", "train": "reused"}
    # another place: it counts
    project.write("src/train.sh", FILES["src/train.sh"].replace("conf/words", "conf/w"))
    project.write("pipelines/place.yaml", PIPELINE.replace("conf/words.txt", "conf/w.txt"))
    project.commit()
    plan = project.gitml("explain", "place", "train").out
    assert "conf/words.txt -> file conf/w.txt" in plan
    assert outcomes(project.run("place")) == {"prepare": "reused", "train": "executed"}
    # and so does what lies at it, whether or not the command names it
    project.write("data/raw.txt", "other words\n")
    project.commit()
    assert outcomes(project.run("place")) == {"prepare": "executed", "train": "executed"}
    project.gitml("reproduce", "latest")
