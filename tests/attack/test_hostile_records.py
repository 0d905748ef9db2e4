"""Records of a forger who may push: refused with a clear line, or taken in and shown without harm, by every command that reads them.

Nothing in them is executed (each would leave a file CANARY), nothing is written outside of where it is asked for or into ``.git``, no
command breaks, and none takes a second of CPU more than for the record as it was, or 200 MiB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.attacks.forged_records import Files, forge, record_of
from tests.kit.attacks.hostile_records import CANARY, FILES, Change, by_chance, forged, mutations
from tests.kit.projects.command_line import Project
from tests.kit.projects.team import Team

MOST_SECONDS = 2.0  # the slowest look takes 0.9 s on a usual machine, 1.4 s on a slow one
MOST_MEMORY = 200 << 20
REFUSED = (  # kinds of which each has to be refused when it arrives, whatever it is otherwise
    "mount: ", "port: ", "environment 0", "environment 6", "code: a path", "inputs: a revision", "commit: ", "pipeline: a path",
    "path: a path", "modules: a revision", "attempt: a path", "origin: a path", "step: '../../x'", "step: '-rf'",
)  # fmt: skip


class Campaign(NamedTuple):
    """What a forger pushed, and who looks at it: the record of each change by its name, and those that were refused with why."""

    victim: Project
    runs: Mapping[str, str]
    refused: Mapping[str, str]
    real: str


def campaign(tmp_path: Path, changes: Mapping[str, Change]) -> Campaign:
    """Has a forger push the record of a real run once more for each change, and a victim clone it all."""
    team = Team(tmp_path)
    forger = team.person("forger")
    forger.repo.commit("all kinds", FILES)
    forger.repo.git("push", "-q")
    run = forger.run("--tag", "t", code=1)["run"]
    _, files = record_of(forger, run)
    names: dict[str, str] = {}
    everything: dict[str, tuple[str, bytes]] = {}
    for number, (name, change) in enumerate(changes.items()):
        folder, changed = forged(files, run, number, change)
        names[folder[-16:]] = name
        everything |= {f"{folder}/{path}": ("100644", content) for path, content in changed.items()}
    forge(forger.repo, everything)
    forger.do("push", "--no-artifacts")
    done = subprocess.run(
        [sys.executable, "-m", "gitml", "clone", "-q", "--json", team.hub.path, str(tmp_path / "victim")],
        env=forger.env, cwd=tmp_path, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr.decode()
    assert b"Traceback" not in done.stderr
    victim = Project(tmp_path / "victim")
    victim.repo.git("checkout", "-q", "main")
    said = json.loads(done.stdout)
    refused = {names[item["path"][-16:]]: item["why"] for item in said["refused"]}
    return Campaign(victim, {name: id for id, name in names.items()}, refused, run)


def commands(run: str) -> list[list[str]]:
    """All that somebody may ask of a run."""
    return [
        ["show", run], ["show", run, "--json"], ["logs", run], ["metrics", "show", run], ["params", "show", run], ["metrics", "diff", "latest", run],
        ["lineage", "up", run], ["lineage", "down", run, "--json"], ["checkout", run], ["checkout", run, "--force"],
        ["checkout", run, f"out/{run}"], ["checkout", run, f"out/{run}", "--force"], ["checkout", f"{run}:all.flat", f"flat/{run}"],
        ["checkout", run, "--failed"], ["look", run],
    ]  # fmt: skip


GENERAL = [
    ["log"], ["log", "--all"], ["log", "--all", "--json"], ["status"], ["plan"], ["plan", "--json"], ["explain", "p", "all"], ["dag"], ["du"], ["run"], ["run"],
    ["status"], ["fsck"], ["fsck", "--deep"], ["gc", "-n"], ["metrics", "show"], ["push", "-n"],
]  # fmt: skip


def performed(project: Project, lines: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """What became of commands, all of one process, and at last the memory it took."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kit.attacks.victim"], input=json.dumps(lines).encode(), cwd=project.path,
        env={**project.env, "GITML_TRUST": "places,run"}, capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def outside(place: Path, victim: Path) -> Iterator[Path]:
    """Every file below `place` that is not the victim's work tree, or what gitml keeps."""
    for folder, folders, names in os.walk(place):
        if Path(folder) == victim:
            folders[:] = [name for name in folders if name == ".git"]
            names = []
        for name in names:
            path = Path(folder) / name
            if not str(path).startswith(str(victim / ".git/gitml")) and "/objects/" not in str(path):
                yield path


def check(tmp_path: Path, attack: Campaign, chosen: Sequence[str]) -> None:
    victim = attack.victim
    clean, *_ = [performed(victim, commands(attack.real))]
    allowed = {" ".join(one["words"]).replace(attack.real, "RUN"): one["seconds"] for one in clean[:-1]}
    before = {path: path.read_bytes() for path in outside(tmp_path, victim.path)}
    lines = [words for name in chosen for words in commands(attack.runs[name])]
    *told, last = performed(victim, [*lines, *GENERAL])
    names = {id: name for name, id in attack.runs.items()}
    problems = []
    for one in told:
        words = " ".join(one["words"])
        run = next((id for id in names if id in words), "")
        what = f"{words} ({names.get(run, '')})"
        if (
            one["code"] in (70, 1 if one["words"][0] not in ("run", "plan", "fsck", "metrics") else 70)
            or "internal error" in one["err"]
        ):
            problems.append(f"{what} gave {one['code']}: {one['err'][-700:]}")
        for text in (one["out"], one["err"]):
            if any(not char.isprintable() and char not in "\n" for char in text) and "logs" not in one["words"]:
                problems.append(f"{what} wrote {ascii(text)[:300]}")
        limit = allowed.get(words.replace(run, "RUN") if run else words, 0.5) + MOST_SECONDS
        if one["seconds"] > limit + (4 if not run else 0):
            problems.append(f"{what} took {one['seconds']:.1f} s")
    if problems:
        pytest.fail("\n".join(problems))
    assert last["peak"] < clean[-1]["peak"] + MOST_MEMORY
    assert not list(tmp_path.rglob(CANARY))
    changed = {path for path, content in before.items() if path.read_bytes() != content} - allowed_changes(victim)
    assert changed == set()
    assert set(outside(tmp_path, victim.path)) - before.keys() - allowed_changes(victim) == set()
    found = [path for path in victim.path.rglob("*") if path.name.lower() == ".git" and path != victim.path / ".git"]
    assert found == []


def allowed_changes(victim: Project) -> set[Path]:
    """What commands of gitml and git change in ``.git`` by themselves."""
    git = victim.path / ".git"
    return (
        {git / name for name in ("index", "packed-refs", "refs/gitml/runs", "config", "FETCH_HEAD", "ORIG_HEAD")}
        | set(git.glob("logs/**/*"))
        | set(git.glob("refs/gitml/**/*"))
        | set((victim.path.parent / "cache").rglob("*"))
    )


@pytest.mark.slow
def test_what_no_gitml_would_have_written_is_refused_by_name_with_a_reason(tmp_path: Path) -> None:
    changes = mutations()
    attack = campaign(tmp_path, {**changes, **{f"chance {number}": by_chance(number) for number in range(60)}})
    assert len(attack.runs) > 250
    assert {name for name in changes if name.startswith(REFUSED)} - attack.refused.keys() == set()
    assert not [name for name in attack.refused if name.startswith("mount that may be")]
    for name, why in attack.refused.items():
        assert why.isprintable(), name
        assert 10 < len(why) < 500, name
    accepted = [name for name in attack.runs if name not in attack.refused]
    check(tmp_path, attack, accepted[::16])


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_no_command_is_harmed_by_any_record(tmp_path: Path) -> None:
    changes = {**mutations(), **{f"chance {number}": by_chance(number) for number in range(200)}}
    attack = campaign(tmp_path, changes)
    check(tmp_path, attack, [name for name in attack.runs if name not in attack.refused])


def test_the_record_as_it_was_is_taken_in(tmp_path: Path) -> None:
    same: Change = lambda files: files  # noqa: E731
    attack = campaign(tmp_path, {"same": same})
    assert attack.refused == {}
    files: Files = record_of(attack.victim, attack.runs["same"])[1]
    assert json.loads(files["run.json"])["run"] == attack.runs["same"]
