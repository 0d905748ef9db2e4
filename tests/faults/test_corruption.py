"""Flips, cuts, blanks and losses in the store, the index, the refs and Git's objects, records among them: nothing wrong is ever
used or shown, and what has a copy, or a step that makes it, heals by one command.

`CORRUPTIONS=2000 make test-campaigns ARGS="-k corruption"` does as many, `CORRUPTIONS_FROM=5000` others.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.disks.corruption import damage
from tests.kit.projects.command_line import Done, Project
from tests.kit.projects.repository import Repository

COUNT = int(os.environ.get("CORRUPTIONS", "40"))
FROM = int(os.environ.get("CORRUPTIONS_FROM", "0"))
EACH = 10
AREAS = ("store", "store", "index", "index", "refs", "git", "git")
WORK = """\
import hashlib, json, pathlib, sys
what, *rest = sys.argv[1:]
if what == "make":
    key, small, big, folder = rest
    pathlib.Path(small).write_text(f"small {key}")
    pathlib.Path(big).write_bytes(hashlib.sha256(key.encode()).digest() * 50_000)
    place = pathlib.Path(folder)
    (place / "below").mkdir(parents=True)
    for number in range(4):
        (place / "below" / f"{number}.txt").write_text(f"{key} {number}")
    (place / "large").write_bytes(hashlib.sha256(key.encode() + b"!").digest() * 40_000)
else:
    small, big, folder, salt, told, metrics = rest
    seen = hashlib.sha256(salt.encode())
    for path in (pathlib.Path(small), pathlib.Path(big), *sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file())):
        seen.update(path.read_bytes())
    pathlib.Path(told).write_text(seen.hexdigest())
    pathlib.Path(metrics).write_text(json.dumps({"score": int(seen.hexdigest()[:8], 16)}))
"""
PIPELINE = """\
params: {key: {type: str, default: a}, salt: {type: str, default: "0"}}
steps:
  make:
    run: >-
      python3 work.py make ${{ params.key }} ${{ outputs.small }} ${{ outputs.big }} ${{ outputs.folder }}
    outputs: {small: file, big: file, folder: directory}
  use:
    run: >-
      python3 work.py use ${{ steps.make.outputs.small }} ${{ steps.make.outputs.big }} ${{ steps.make.outputs.folder }}
      ${{ params.salt }} ${{ outputs.told }} ${{ outputs.metrics }}
    outputs: {told: file, metrics: metrics}
"""


def made(key: str) -> dict[str, bytes]:
    """The files that the step `make` writes, by path below a checkout."""
    return {
        "make/small": f"small {key}".encode(),
        "make/big": hashlib.sha256(key.encode()).digest() * 50_000,
        **{f"make/folder/below/{number}.txt": f"{key} {number}".encode() for number in range(4)},
        "make/folder/large": hashlib.sha256(key.encode() + b"!").digest() * 40_000,
    }


def seen_by_use(key: str, salt: str) -> str:
    """What the step `use` writes: the hex digest of all that it is given."""
    seen = hashlib.sha256(salt.encode())
    for content in made(key).values():
        seen.update(content)
    return seen.hexdigest()


def truth(key: str, salt: str) -> dict[str, str]:
    """The digests of a run's files, by path below a checkout."""
    told = seen_by_use(key, salt)
    metrics = json.dumps({"score": int(told[:8], 16)})
    files = {**made(key), "use/told": told.encode(), "use/metrics": metrics.encode()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


class Base(NamedTuple):
    """A repository that is copied for each trial, its runs, and what commands that only look say of them."""

    project: Project
    runs: Mapping[str, tuple[str, str]]
    shown: Mapping[tuple[str, ...], str]


class Campaign:
    """Repositories with three recorded runs, copied and damaged again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bases = {
            "alone": self.base("alone", remote=False, packed=False),
            "packed": self.base("packed", remote=True, packed=True),
            "pushed": self.base("pushed", remote=True, packed=False),
        }
        self.count: Counter[str] = Counter()
        self.at = ""

    def base(self, name: str, *, remote: bool, packed: bool) -> Base:
        """A repository with or without a Git remote that has all of it; `packed` as ``git gc`` leaves it."""
        project = Project(self.folder / name, {"work.py": WORK, "pipelines/p.yaml": PIPELINE})
        runs: dict[str, tuple[str, str]] = {}
        for key, salt in (("a", "0"), ("b", "0"), ("a", "1")):
            runs[project.run("-S", f"key={key}", "-S", f"salt={salt}")["run"]] = (key, salt)
        if remote:
            hub = Repository(self.folder / f"{name}.git", bare=True)
            project.repo.git("remote", "add", "origin", hub.path)
            project.repo.git("push", "-q", "-u", "origin", "main")
            project.do("push")
        if packed:
            project.repo.git("repack", "-adq")
            pack_own_refs(project)
        asked = [("log", "--json", "--all"), *[("show", run, "--json") for run in runs]]
        return Base(project, runs, {words: project.do(*words).out for words in asked})

    def trial(self, seed: int) -> None:
        """Damages a copy; looks, runs, repairs, and sees that all is right or refused at first, and whole in the end."""
        chance = random.Random(seed)
        name = chance.choice(sorted(self.bases))
        base = self.bases[name]
        place = self.folder / "copy"
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run(["cp", "-a", str(base.project.path), str(place)], check=True)
        project = Project(place)
        done = damage(place / ".git", chance.choice(AREAS), chance)
        assert done is not None
        self.at = f"seed {seed}, {name}: {done}"
        run = chance.choice(sorted(base.runs))
        self.looked_at(project, base, run, codes=(0, 2, 3, 5))
        self.right_or_refused(project, "0" if chance.random() < 0.5 else "7", "a")
        # Without a remote there is no copy of Git's objects.
        must = done.area != "git" or name != "alone"
        self.gitml(project, "fsck", "--repair", "--deep", codes=(0, 3))
        # An object that is gone may have been deleted on purpose: a run that needs it makes it again.
        kept = must and not (done.area == "store" and done.how == "loss")
        salt = "0" if kept and chance.random() < 0.5 else "9"
        healed = self.right_or_refused(project, salt, "a", must=must)
        for one, (key, salt) in base.runs.items():
            self.checked_out(project, one, key, salt, must=kept)
        if must:
            self.looked_at(project, base, run, codes=(0,))
            self.gitml(project, "fsck", "--deep", codes=(0,))
        self.count[f"{name}: {done.area}, {'healed' if healed else 'refused'}"] += 1

    def looked_at(self, project: Project, base: Base, run: str, codes: tuple[int, ...]) -> None:
        """What commands say of the runs, and of one of them, is what they said before the damage, or they refuse."""
        for words in (("log", "--json", "--all"), ("show", run, "--json")):
            before = base.shown[words]
            done = self.gitml(project, *words, codes=codes)
            if done.code != 0:
                continue
            if words[0] == "log":
                known = {run["run"]: run for run in json.loads(before)}
                listed = {run["run"]: run for run in done.json if run["run"] in known}
                assert listed == known, f"{self.at}: {words}\n{done.out}\ninstead of\n{before}\n{done.err}"
            else:
                assert done.out == before, f"{self.at}: {words}\n{done.out}\ninstead of\n{before}"

    def right_or_refused(self, project: Project, salt: str, key: str, *, must: bool = False) -> bool:
        """Runs; whether it succeeded. Then all it says, and all that it made, is right."""
        codes = (0,) if must else (0, 1, 3, 5)
        done = self.gitml(project, "run", "--json", "-S", f"key={key}", "-S", f"salt={salt}", codes=codes)
        if done.code != 0:
            return False
        run = done.json
        use = next(step for step in run["steps"] if step["name"] == "use")
        score = int(seen_by_use(key, salt)[:8], 16)
        assert use["metrics"] == {"score": score}, f"{self.at}: {use['metrics']} instead of {score}"
        self.checked_out(project, run["run"], key, salt, must=must)
        return True

    def checked_out(self, project: Project, run: str, key: str, salt: str, *, must: bool) -> None:
        place = self.folder / "out"
        shutil.rmtree(place, ignore_errors=True)
        done = self.gitml(project, "checkout", run, str(place), codes=(0,) if must else (0, 2, 3, 5))
        found = {
            str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in place.rglob("*")
            if path.is_file()
        }
        right = truth(key, salt)
        assert all(right.get(name) == content for name, content in found.items()), f"{self.at}: wrong bytes of {run}"
        if done.code == 0:
            assert found == right, f"{self.at}: {run} is not whole"

    def gitml(self, project: Project, *words: str, codes: tuple[int, ...]) -> Done:
        done = project.do(*words, code=None)
        assert "Traceback" not in done.err, f"{self.at}\n{done.err}"
        assert done.code in codes, f"{self.at}\ngitml {' '.join(words)} ended with {done.code}\n{done.out}\n{done.err}"
        return done


def pack_own_refs(project: Project) -> None:
    """Has ``packed-refs`` hold the refs of gitml, and of no branch: the damage is to be what gitml can know of."""
    git = project.path / ".git"
    refs = [line.split() for line in project.repo.git("for-each-ref", "--format=%(objectname) %(refname)").splitlines()]
    own = [(oid, ref) for oid, ref in refs if ref.startswith("refs/gitml/")]
    lines = [
        "# pack-refs with: peeled fully-peeled sorted ",
        *[f"{oid} {ref}" for oid, ref in sorted(own, key=lambda one: one[1])],
    ]
    (git / "packed-refs").write_text("\n".join(lines) + "\n")
    shutil.rmtree(git / "refs/gitml")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("corruption"))


@pytest.mark.campaign
@pytest.mark.parametrize("block", range(COUNT // EACH))
def test_nothing_wrong_is_used_and_what_has_a_copy_heals(campaign: Campaign, block: int) -> None:
    wrong = []
    for seed in range(FROM + block * EACH, FROM + (block + 1) * EACH):
        try:
            campaign.trial(seed)
        except AssertionError as error:
            wrong.append(str(error))
            print(error)
    print(dict(campaign.count))
    assert not wrong, "\n\n".join(wrong)
