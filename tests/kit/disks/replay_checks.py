"""The commands whose power cuts are replayed, and what must hold in every state that a cut may leave."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.kit.disks.power_cut_replay import Disk, Op, build, record, state_after
from tests.kit.projects.command_line import Done, Project
from tests.kit.projects.repository import Repository

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


ROOT = Path(__file__).parents[3]


class Recorded(NamedTuple):
    """A command's operations, the folders they begin and end with, and the runs that were acknowledged before and by it.

    `place` is where the command was performed: states are built there, since a project may name its store by the whole path.
    """

    name: str
    ops: list[Op]
    place: Path
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


def _let_it_go(project: Project) -> None:
    """Nothing but the newest run keeps what the others made: no branch names their commit."""
    project.repo.git("commit", "-q", "--amend", "-m", "another")
    project.repo.git("push", "-qf", "origin", "main")
    project.do("run", "-q", "-S", "n=4")


def _kill(project: Project) -> None:
    """A run that was killed before it wrote its record."""
    (project.path / "conf/one").write_text("other\n")
    words = [sys.executable, "-m", "tests.kit.projects.run_project", str(project.path), "before:" + _APPEND]
    killed = subprocess.run(words, cwd=ROOT, env=project.env, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr


def _add_store(project: Project) -> None:
    """Outputs too large for records, and a folder that they are uploaded to."""
    place = project.path.parent / "store"
    place.mkdir()
    text = f"records: {{inline_file: 2, inline_run: 2}}\nremotes: ['file://{place}']\n"
    project.repo.commit("a store", {"gitml.yaml": text})
    project.do("run", "-q", "-S", "n=8")


def _work_elsewhere(project: Project) -> None:
    """Another clone pushed a run and a module."""
    folder = project.path.parent
    project.repo.git("clone", "-q", str(folder / "hub.git"), str(folder / "other"))
    other = Project(folder / "other", None)
    other.do("run", "-q", "-S", "n=9")
    other.do("module", "publish", "modules/words")
    other.do("push")
    other.do("module", "push")


def _forget(project: Project) -> None:
    for path in (project.path / ".git/gitml").glob("index.db*"):
        path.unlink()


_APPEND = "gitml.git.log.record_log.GitRecordLog.append"

COMMANDS: dict[str, tuple[tuple[str, ...], Callable[[Project], object]]] = {
    "cold": (("run", "--json", "-S", "n=7"), lambda project: None),
    "cached": (("run", "--json"), lambda project: None),
    "forced": (("run", "--json", "--force"), lambda project: None),
    "dirty": (("run", "--json"), _edit),
    "plan": (("plan",), _edit),
    "push": (("push",), lambda project: project.do("run", "-q", "-S", "n=3")),
    "publish": (("module", "publish", "modules/words"), lambda project: None),
    "upload": (("push",), _add_store),
    "module push": (("module", "push"), lambda project: project.do("module", "publish", "modules/words")),
    "fetch": (("fetch",), _work_elsewhere),
    "gc": (("gc", "--keep-last", "1"), _let_it_go),
    "checkout": (("checkout", "latest", "out"), lambda project: project.do("run", "-q")),
    "repair": (("fsck", "--repair"), _damage),
    "recovery": (("log",), _kill),
    "index anew": (("log",), _forget),
    "reproduce": (("reproduce", "latest"), lambda project: None),
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
    place = folder / name / "place"
    shutil.copytree(base, place, symlinks=True)
    project = Project(place / "r", None)
    prepare(project)
    before = folder / name / "before"
    shutil.copytree(place, before, symlinks=True)
    scratch = folder / name / "scratch"
    shutil.copytree(place, scratch, symlinks=True)  # to look at the runs would record those that were killed
    known = runs(Project(scratch / "r", None))
    shutil.rmtree(scratch)
    log = folder / name / "calls"
    ops, code = record([sys.executable, "-m", "gitml", *words], place, project.env, project.path, log)
    log.unlink()
    if code:
        raise AssertionError(f"{name} gave {code}")
    final = folder / name / "final"
    shutil.copytree(place, final, symlinks=True)
    after = runs(project)
    moved = [op._replace(path=_in(op.path, place, before), other=_in(op.other, place, before)) for op in ops]
    shutil.rmtree(place)
    return Recorded(name, moved, place, before, final, frozenset(known), frozenset(after - known))


def _in(path: str, old: Path, new: Path) -> str:
    return str(new) + path[len(str(old)) :] if path.startswith(str(old)) else path


def runs(project: Project) -> set[str]:
    return {row["run"] for row in project.do("log", "--all", "--json").json}


def one_state(item: Recorded, model: str, seed: int) -> tuple[str, Verdict]:
    """(digest of the state, what is wrong with it) of one cut, chosen by `seed`; one in four at the command's end."""
    chance = random.Random(seed)
    count = len(item.ops) if seed % 4 == 0 else chance.randint(0, len(item.ops))
    state = state_after(Disk(item.before, item.final), item.ops[:count], model, chance)
    digest = build(state, item.before, item.place)
    long_ago = time.time() - 3600  # what was there before the machine started again
    for place, _, names in os.walk(item.place):
        for name in names:
            if name.endswith(".lock"):
                os.utime(os.path.join(place, name), (long_ago, long_ago))
    return digest, verdict(item, at_end=count == len(item.ops))


def verdict(item: Recorded, *, at_end: bool) -> Verdict:
    """Looks at a state as a user would who comes back after the cut, and gives the same command again."""
    project = Project(item.place / "r", None)
    acknowledged = item.acknowledged | (item.by_it if at_end else frozenset())
    uploaded, written = _uploaded(item.final / "store"), _files(item.final / "r/out")
    lost = _not_sent(item, project, acknowledged) if at_end else ""
    looks = _Looks(project, item.name)
    if not looks.are_well:
        project.do("fsck", "--repair", code=None)
        looks = _Looks(project, item.name)
    found = {row["run"] for row in looks.listed.json} if looks.listed.code == 0 else set()
    if not found >= acknowledged:
        lost = lost or f"{sorted(acknowledged - found)} of {sorted(acknowledged)}: {looks.listed.err}"
    wedged = "; ".join(f"{one.words}: {one.done.err}" for one in looks.needed if one.done.code)
    if item.name in _SENDING and not acknowledged <= remote_runs(item.place / "hub.git"):
        wedged = wedged or "not sent"
    torn = "" if looks.done.code else _torn(project, looks.done)
    torn = torn or _differing(uploaded, item.place / "store") or _differing(written, item.place / "r/out")
    faults = [f"fsck: {looks.checked.out}"] if looks.checked.code else []
    faults += [f"traceback: {one.err}" for one in looks.all if one.code == 70]
    return Verdict(lost, wedged, torn, "; ".join(faults))


class _Looks:
    """What a user does first: a run, the list of runs, the command that was cut off, fsck."""

    def __init__(self, project: Project, name: str) -> None:
        self.done = project.do("run", "--json", code=None)
        self.listed = project.do("log", "--all", "--json", code=None)
        self.again = project.do(*COMMANDS[name][0], code=None)
        self.checked = project.do("fsck", code=None)
        self.all = (self.done, self.listed, self.again, self.checked)
        self.published = name not in _PUBLISHING or "1.0.0" in project.do("module", "show", "words", code=None).out
        # what is published already is refused
        self.needed = [_Asked("run", self.done)]
        if name != "publish" or not self.published:
            self.needed.append(_Asked(name, self.again))

    @property
    def are_well(self) -> bool:
        return self.published and not any(
            (*[one.done.code for one in self.needed], self.listed.code, self.checked.code)
        )


class _Asked(NamedTuple):
    words: str
    done: Done


_SENDING = ("push", "upload")
_PUBLISHING = ("publish", "module push", "fetch")


def _not_sent(item: Recorded, project: Project, acknowledged: frozenset[str]) -> str:
    """What a command that ended well had brought elsewhere, or published, and is not there."""
    gone = _differing(_uploaded(item.final / "store"), item.place / "store")
    if gone:
        return f"uploaded: {gone}"
    missing = acknowledged - remote_runs(item.place / "hub.git")
    if item.name in _SENDING and missing:
        return f"at the remote: {sorted(missing)}"
    if item.name in _PUBLISHING and "1.0.0" not in project.do("module", "show", "words", code=None).out:
        return "the published module"
    return ""


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _uploaded(store: Path) -> dict[str, bytes]:
    """The objects and manifests in a folder store, without what names that one store."""
    return {name: content for name, content in _files(store).items() if "/" in name}


def _differing(files: Mapping[str, bytes], folder: Path) -> str:
    """The first of these files that a folder lacks or has with other content."""
    for name, content in files.items():
        place = folder / name
        if not place.is_file() or place.read_bytes() != content:
            return name
    return ""


def _torn(project: Project, done: Done) -> str:
    for step in done.json["steps"]:
        for port, output in step["outputs"].items():
            path = project.object(output["digest"])
            if path.exists() and f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" != output["digest"]:
                return f"{step['name']}.{port}"
    return ""


def remote_runs(hub: Path) -> set[str]:
    """The runs that a bare repository has."""
    listed = subprocess.run(
        ["git", "-C", str(hub), "ls-tree", "-r", "--name-only", "refs/gitml/runs"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {path.split("/")[5] for path in listed.stdout.split() if path.endswith("/run.json")}
