"""`gitml promote`: the files and values of a run become a commit, and the next run there makes nothing again."""

from __future__ import annotations

from pathlib import Path

from tests.kit.projects.command_line import Project

PIPELINE = "pipelines/p.yaml"
SPEC = """\
params:
  from: [params.yaml, more.toml, last.json]
  seed: 7                       # of chance
  until: {type: str, help: the last day}
  sizes: &sizes [1, 2]
  net:
    type: mapping
    default: {depth: 3}
steps:
  a:
    run: python3 src/a.py ${{ params.seed }} ${{ params.until }} ${{ params.sizes }} ${{ params.net }}
    params: ["*"]
    outputs: {o: {type: file, path: o.txt}}
"""
PARAMS = "# values\r\ntrain:\r\n  lr: 1e-3   # small\r\n  layers:\r\n  - 1\r\n  - 2\r\nbase: &b {x: 1}\r\nother: *b\r\n"
CODE = """\
import sys
text = "".join(open(name).read() for name in ("params.yaml", "more.toml", "last.json"))
open("o.txt", "w").write(text + " ".join(sys.argv))
"""
FILES = {
    PIPELINE: SPEC,
    "params.yaml": PARAMS.encode(),
    "more.toml": "[more]\nk = 1  # one\n",
    "last.json": '{"j": [1, 2]}',
    "src/a.py": CODE,
    "README.md": "x\n",
}


def test_what_turned_out_well_becomes_a_commit(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", FILES)
    (project.path / "src/a.py").write_text(CODE.replace("open(", "open(", 1) + "# better\n")
    (project.path / "README.md").write_text("y\n")
    given = [
        "train.lr=0.00002",
        "train.layers=[3]",
        "more.k=5",
        "j=[7]",
        "seed=8",
        "until=2026",
        "sizes=[9]",
        "net.depth=4",
    ]
    run = project.run(*(word for value in given for word in ("-S", value)), "-m", "better")
    before = project.state()
    made = project.do("promote", run["run"], "--branch", "better", "--json").json
    after = project.state()
    assert after.pop("branches") != before.pop("branches")
    assert after == before  # the work tree, the index and HEAD are as they were
    git = project.repo.git
    assert git("rev-parse", "better").strip() == made["commit"]
    assert git("rev-parse", "better~1") == git("rev-parse", "HEAD")
    assert git("log", "-1", "--format=%s", "better").strip() == "better"
    assert git("show", "better:README.md").strip() == "y"
    assert git("show", "better:src/a.py").rstrip().endswith("# better")
    shown = git("show", f"better:{PIPELINE}").rstrip() + "\n"
    assert shown == (
        SPEC.replace("seed: 7  ", "seed: 8  ")
        .replace("{type: str, help", '{default: "2026", type: str, help')
        .replace("&sizes [1, 2]", "&sizes [9]")
        .replace("{depth: 3}", "{depth: 4}")
    )
    git("checkout", "-q", "-f", "better")
    assert (project.path / "params.yaml").read_bytes().decode() == PARAMS.replace("1e-3", "2.0e-05").replace(
        "- 1\r\n  - 2", "  [3]"
    )
    assert (project.path / "more.toml").read_text() == "[more]\nk = 5  # one\n"
    assert project.outcomes() == {"a": "reused"}
    again = project.do("promote", run["run"], "--branch", "better").out
    assert "is branch better at" in again
    assert (
        "there is a branch better, and it is something else"
        in project.do("promote", project.run("-S", "seed=9")["run"], "--branch", "better", code=2).err
    )
    clean = project.run()["run"]
    assert "there is nothing to promote" in project.do("promote", clean, code=2).err
    assert "can't be the name of a branch" in project.do("promote", run["run"], "--branch", "a..b", code=2).err
    assert "can't be the name of a branch" in project.do("promote", run["run"], "--branch", "-x", code=2).err
    assert (
        project.do("promote", run["run"]).out.splitlines()[-1].startswith(f"made branch promoted/{run['run'][:8]} at ")
    )


def test_a_run_in_a_subfolder_and_one_of_a_commit(tmp_path: Path) -> None:
    spec = "params: {from: params.yaml}\nsteps:\n  a: {run: cat params.yaml, params: [a]}\n"
    project = Project(
        tmp_path / "p", {f"ml/{PIPELINE}": spec, "ml/params.yaml": "a: 1\nb: 2\n", "params.yaml": "a: 5\n"}
    )
    run = project.run("-S", "a=3", cwd=project.path / "ml")
    project.do("promote", run["run"], "--branch", "three")
    assert project.repo.git("show", "three:ml/params.yaml").strip() == "a: 3\nb: 2"
    assert project.repo.git("diff", "--name-only", "HEAD", "three").split() == ["ml/params.yaml"]
    assert {step["outcome"] for step in project.run("ml:p", "--at", "three")["steps"]} == {"reused"}
