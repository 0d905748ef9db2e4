"""The commands whose power cuts are replayed, and what must hold in every state that a cut may leave."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.kit.commandline import Done, Project
from tests.kit.replay import Disk, Op, build, record, state_after
from tests.kit.repository import Repository

FILES = {
    "pipelines/p.yaml": (
        "params: {n: 1}\nsteps:\n"
        "  a:\n    run: sh src/make.sh ${{ params.n }} ${{ outputs.o }}\n    outputs: {o: file}\n    code: [conf/]\n"
        "  b:\n    run: sh src/many.sh ${{ steps.a.outputs.o }} ${{ outputs.d }}\n    outputs: {d: directory}\n"
    ),
    "src/make.sh": '{ cat conf/one; echo "number $1"; } > "$2"\n',
    "src/many.sh": 'mkdir -p "$2/sub"; cp "$1" "$2/x"; cp "$1" "$2/sub/y"; echo z > "$2/z"\n'
    'for n in $(seq 90); do cat "$1" > "$2/$n"; echo "$n" >> "$2/$n"; done\n',  # so many that all are synced at once
    "conf/one": "one\n",
    "modules/words/module.yaml": (
        "name: words\nversion: 1.0.0\nrun: sh words.sh ${{ outputs.o }}\noutputs: {o: file}\n"
    ),
    "modules/words/words.sh": 'echo words > "$1"\n',
}


class Recorded(NamedTuple):
    """A command's operations, the folder they begin with, and the runs that were acknowledged before and by it."""

    name: str
    ops: list[Op]
    before: Path
    final: Path
    acknowledged: frozenset[str]
    by_it: frozenset[str]


class Verdict(NamedTuple):
    """What was wrong with a state: acknowledged runs `lost`, `wedged` for good, `torn` bytes used, other `faults`."""

    lost: str = ""
    wedged: str = ""
    torn: str = ""
    faults: str = ""


def _edit(project: Project) -> None:
    (project.path / "conf/one").write_text("other\n")
    (project.path / "conf/two").write_text("untracked\n")


def _damage(project: Project) -> None:
    for path in sorted((project.path / ".git/gitml/objects").glob("??/*"))[:1]:
        path.chmod(0o644)
        path.write_bytes(b"bad")


COMMANDS: dict[str, tuple[tuple[str, ...], Callable[[Project], object]]] = {
    "cold": (("run", "--json", "-S", "n=7"), lambda project: None),
    "cached": (("run", "--json"), lambda project: None),
    "forced": (("run", "--json", "--force"), lambda project: None),
    "dirty": (("run", "--json"), _edit),
    "plan": (("plan",), _edit),
    "push": (("push",), lambda project: project.do("run", "-q", "-S", "n=3")),
    "publish": (("module", "publish", "modules/words"), lambda project: None),
    "gc": (("gc", "--keep-last", "1"), lambda project: project.do("run", "-q", "-S", "n=4")),
    "checkout": (("checkout", "latest", "out"), lambda project: None),
    "repair": (("fsck", "--repair"), _damage),
}


def base(folder: Path) -> Path:
    """A project with two runs that its remote has."""
    hub = Repository(folder / "base/hub.git", bare=True)
    project = Project(folder / "base/r", FILES)
    project.repo.git("remote", "add", "origin", "../hub.git")
    project.repo.git("push", "-q", "origin", "main")
    project.do("run", "-q")
    project.do("push", "-q")
    project.do("run", "-q", "-S", "n=2")
    assert hub.path
    return folder / "base"


def recorded(base: Path, folder: Path, name: str) -> Recorded:
    """One command, performed on a copy of `base`."""
    words, prepare = COMMANDS[name]
    place = folder / name / "begin"
    shutil.copytree(base, place, symlinks=True)
    project = Project(place / "r", None)
    prepare(project)
    before = folder / name / "before"
    shutil.copytree(place, before, symlinks=True)
    known = runs(project)
    log = folder / name / "calls"
    ops, code = record([sys.executable, "-m", "gitml", *words], place, project.env, project.path, log)
    log.unlink()
    if code:
        raise AssertionError(f"{name} gave {code}")
    final = folder / name / "final"
    shutil.copytree(place, final, symlinks=True)
    after = runs(project)
    moved = [op._replace(path=_in(op.path, place, before), other=_in(op.other, place, before)) for op in ops]
    return Recorded(name, moved, before, final, frozenset(known), frozenset(after - known))


def _in(path: str, old: Path, new: Path) -> str:
    return str(new) + path[len(str(old)) :] if path.startswith(str(old)) else path


def runs(project: Project) -> set[str]:
    return {row["run"] for row in project.do("log", "--all", "--json").json}


def one_state(item: Recorded, folder: Path, model: str, seed: int) -> tuple[str, Verdict]:
    """(digest of the state, what is wrong with it) of one cut, chosen by `seed`; one in four at the command's end."""
    chance = random.Random(seed)
    count = len(item.ops) if seed % 4 == 0 else chance.randint(0, len(item.ops))
    state = state_after(Disk(item.before, item.final), item.ops[:count], model, chance)
    digest = build(state, item.before, folder)
    long_ago = time.time() - 3600  # what was there before the machine started again
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".lock"):
                os.utime(os.path.join(place, name), (long_ago, long_ago))
    acknowledged = item.acknowledged | (item.by_it if count == len(item.ops) else frozenset())
    return digest, verdict(Project(folder / "r", None), acknowledged, at_end=count == len(item.ops), name=item.name)


def verdict(project: Project, acknowledged: frozenset[str], *, at_end: bool, name: str) -> Verdict:
    """Looks at a state as a user would who comes back after the cut."""
    done = project.do("run", "--json", code=None)
    listed = project.do("log", "--all", "--json", code=None)
    checked = project.do("fsck", code=None) if done.code == 0 and listed.code == 0 else None
    if checked is None or checked.code:
        project.do("fsck", "--repair", code=None)
        done = project.do("run", "--json", code=None)
        listed = project.do("log", "--all", "--json", code=None)
        checked = project.do("fsck", code=None)
    found = {row["run"] for row in listed.json} if listed.code == 0 else set()
    lost = "" if found >= acknowledged else f"{sorted(acknowledged - found)} of {sorted(acknowledged)}: {listed.err}"
    wedged = "" if done.code == 0 else f"run: {done.err}"
    torn = "" if done.code else _torn(project, done)
    if name == "push" and not wedged:
        missing = acknowledged - _remote_runs(project) if at_end else set()
        lost = lost or (f"at the remote: {sorted(missing)}" if missing else "")
        pushed = project.do("push", code=None)
        wedged = "" if pushed.code == 0 and _remote_runs(project) >= acknowledged else f"push: {pushed.err}"
    if name == "publish" and at_end and "1.0.0" not in project.do("module", "show", "words", code=None).out:
        lost = lost or "the published module"
    faults = [f"fsck: {checked.out}"] if checked.code else []
    faults += [f"traceback: {one.err}" for one in (done, listed, checked) if one.code == 70]
    return Verdict(lost, wedged, torn, "; ".join(faults))


def _torn(project: Project, done: Done) -> str:
    for step in done.json["steps"]:
        for port, output in step["outputs"].items():
            path = project.object(output["digest"])
            if path.exists() and f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" != output["digest"]:
                return f"{step['name']}.{port}"
    return ""


def _remote_runs(project: Project) -> set[str]:
    hub = project.path.parent / "hub.git"
    listed = subprocess.run(
        ["git", "-C", str(hub), "ls-tree", "-r", "--name-only", "refs/gitml/runs"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {path.split("/")[5] for path in listed.stdout.split() if path.endswith("/run.json")}


def as_json(verdict: Verdict) -> str:
    return json.dumps(verdict._asdict())
