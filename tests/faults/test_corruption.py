"""Flips, cuts, blanks and losses in the store, the index, the refs and Git's objects: nothing wrong is ever used, and what has a
copy, or a step that makes it, heals by one command.

`CORRUPTIONS=2000 make test-campaigns ARGS="-k corruption"` does as many.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.kit.commandline import Done, Project
from tests.kit.corruption import damage

COUNT = int(os.environ.get("CORRUPTIONS", "60"))
EACH = 10
AREAS = ("store", "store", "store", "index", "index", "refs", "git")
HEALED = ("store", "index", "refs")  # of Git's own objects there is no copy here
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


class Campaign:
    """A repository with three recorded runs, copied and damaged again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = Project(folder / "base", {"work.py": WORK, "pipelines/p.yaml": PIPELINE})
        self.runs: dict[str, tuple[str, str]] = {}
        for key, salt in (("a", "0"), ("b", "0"), ("a", "1")):
            self.runs[self.base.run("-S", f"key={key}", "-S", f"salt={salt}")["run"]] = (key, salt)
        self.count: Counter[str] = Counter()

    def copy(self) -> Project:
        place = self.folder / "copy"
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self.base.path), str(place)], check=True)
        return Project(place)

    def trial(self, seed: int) -> None:
        chance = random.Random(seed)
        project = self.copy()
        done = damage(project.path / ".git", chance.choice(AREAS), chance)
        assert done is not None
        self.at = f"seed {seed}: {done}"
        self.right_or_refused(project, "c", "0" if chance.random() < 0.5 else "7", "a")
        healing = self.gitml(project, "fsck", "--repair", "--deep", codes=(0, 3))
        must = done.area in HEALED
        if not must:
            self.count[f"git, repair ended with {healing.code}"] += 1
        healed = self.right_or_refused(project, "d", "9", "a", must=must)
        kept = (
            must and done.how != "loss"
        )  # an object that is gone may have been deleted on purpose: a run makes it again
        for run, (key, salt) in self.runs.items():
            self.checked_out(project, run, key, salt, must=kept)
        if must:
            listed = self.gitml(project, "log", "--json", "--all", codes=(0,)).json
            assert self.runs.keys() <= {run["run"] for run in listed}, self.at
            self.gitml(project, "fsck", "--deep", codes=(0,))
        self.count[f"{done.area}, {'healed' if healed else 'refused'}"] += 1

    def right_or_refused(self, project: Project, name: str, salt: str, key: str, *, must: bool = False) -> bool:
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


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("corruption"))


@pytest.mark.campaign
@pytest.mark.parametrize("block", range(COUNT // EACH))
def test_nothing_wrong_is_used_and_what_has_a_copy_heals(campaign: Campaign, block: int) -> None:
    for seed in range(block * EACH, (block + 1) * EACH):
        campaign.trial(seed)
    print(dict(campaign.count))
