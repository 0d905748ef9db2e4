"""A step that takes a part of what another made runs again for that part alone: here, and in a clone that has records alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.system.conftest import Project

PIPELINE = """\
params: {noise: 1}
steps:
  split:
    shell: sh
    run: |
      mkdir -p data/raw/sub
      cp src/train.txt data/raw/train.csv
      for n in 1 2; do { echo $n; head -c 2499998 src/big.txt; } > data/raw/sub/$n.csv; done
      echo ${{ params.noise }} > data/raw/noise.txt
      ln -s sub/1.csv data/raw/first.csv
    code: [src/*.txt]
    outputs: {raw: {type: directory, path: data/raw}}
  train:
    run: wc -c data/raw/train.csv
    inputs: {train: "${{ steps.split.outputs.raw }}/train.csv"}
  tables:
    shell: sh
    run: find data/raw -type f | sort | tee ${{ outputs.names }}
    inputs: {tables: "${{ steps.split.outputs.raw }}/sub/*.csv"}
    outputs: {names: file}
  linked:
    run: wc -c ${{ inputs.first }}
    inputs: {first: {from: "${{ steps.split.outputs.raw }}/first.csv", path: first.csv}}
"""


def outcomes(run: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in run["steps"]}


def decisions(project: Project, *words: str) -> dict[str, str]:
    return {step["name"]: step["decision"] for step in project.gitml("plan", "--json", *words).data["steps"]}


def test_a_part_of_a_directory_is_an_input_of_its_own_here_and_in_a_clone_that_has_records_alone(
    project: Project, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    project.write("pipelines/parts.yaml", PIPELINE)
    project.write("src/train.txt", "a,b\n")
    project.write("src/big.txt", "0123456789\n" * 250000)
    project.write("gitml.yaml", f"records: {{inline_file: 1KiB, inline_run: 4KiB}}\nremotes: ['file://{store}']\n")
    project.commit()
    first = project.run("parts")
    assert set(outcomes(first).values()) == {"executed"}
    assert "2500000 first.csv" in project.gitml("logs", first["run"], "linked").out
    assert project.gitml("logs", first["run"], "tables").out.split()[-2:] == [
        "data/raw/sub/1.csv",
        "data/raw/sub/2.csv",
    ]  # and nothing else is there

    # another file of the directory changes: what takes a part of it does not run
    others = project.run("parts", "-S", "noise=2")
    assert outcomes(others) == {"split": "executed", "train": "reused", "tables": "reused", "linked": "reused"}
    project.write("src/train.txt", "a,b,c\n")
    project.commit()
    changed = project.run("parts")
    assert outcomes(changed) == {"split": "executed", "train": "executed", "tables": "reused", "linked": "reused"}
    assert "input train changed" in next(step["reason"] for step in changed["steps"] if step["name"] == "train")
    project.gitml("reproduce", "latest")
    raw = f"{first['run'][:8]}:split.raw"
    assert "split" in project.gitml("lineage", f"{first['run'][:8]}:tables.names").out
    assert "train" in project.gitml("lineage", "down", raw).out
    project.gitml("gc")
    assert set(outcomes(project.run("parts")).values()) == {"reused"}

    # what is not there
    project.write(
        "pipelines/parts.yaml", PIPELINE.replace("/train.csv}", "/trian.csv}").replace("raw }}/train", "raw }}/trian")
    )
    said = project.gitml("run", "parts", code=None)
    assert "there is no 'trian.csv' (did you mean 'train.csv'?)" in said.out + said.err
    project.git("checkout", "-q", ".")

    # a clone that has records alone
    hub = tmp_path / "hub.git"
    project.git("init", "-q", "--bare", "-b", "main", str(hub))
    project.git("remote", "add", "origin", str(hub))
    project.git("push", "-q", "origin", "main")
    project.gitml("push")
    clone = cloned(project, hub, tmp_path / "clone")
    assert set(decisions(clone, "parts").values()) == {"unknown"}
    assert "listing of split.raw" in clone.gitml("plan", "parts").out
    assert set(outcomes(clone.run("parts", "train", "tables")).values()) == {"reused"}
    assert not any(size > 1000000 for size in stored(clone))  # the listings came, the files did not
    assert set(outcomes(clone.run("parts")).values()) == {"reused"}
    assert set(decisions(clone, "parts").values()) == {"reuse"}  # known from then on

    # a step that runs there fetches what it takes, and places it, without the rest; of a linked file what links lead to
    assert outcomes(clone.run("parts", "--force", "train"))["train"] == "executed"
    assert not any(size > 1000000 for size in stored(clone))
    again = clone.run("parts", "--force", "linked")
    assert "2500000 first.csv" in clone.gitml("logs", again["run"], "linked").out
    assert [size for size in stored(clone) if size > 1000000] == [2500000]
    assert outcomes(clone.run("parts", "--force", "tables"))["tables"] == "executed"
    assert [size for size in stored(clone) if size > 1000000] == [2500000] * 2

    # and so does a shell in the sandbox of one
    looking = cloned(project, hub, tmp_path / "looking")
    looked = looking.gitml("shell", "-p", "parts", "linked", "--", "wc", "-c", "first.csv")
    assert looked.out == "2500000 first.csv\n"
    assert [size for size in stored(looking) if size > 1000000] == [2500000]

    # and one that can't have the directory from anywhere makes it again
    shutil.rmtree(store)
    last = cloned(project, hub, tmp_path / "last")
    assert outcomes(last.run("parts", "tables")) == {"split": "executed", "tables": "reused"}


def cloned(project: Project, hub: Path, root: Path) -> Project:
    project.git("clone", "-q", str(hub), str(root))
    clone = Project(root, root.parent / f"{root.name}-home")
    clone.env["GITML_TRUST"] = "places,run"
    clone.gitml("fetch")
    return clone


def stored(project: Project) -> list[int]:
    return [path.stat().st_size for path in (project.root / ".git/gitml/objects").rglob("*") if path.is_file()]
