"""After `gitml push` nothing of a recorded run is on that machine alone, but for what push named as staying there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gitml.core.model.result import OutputRef
from gitml.transfer.availability import Availability
from tests.kit.projects.command_line import Project
from tests.kit.projects.project import Project as Library
from tests.kit.projects.team import Team

MAKE = """\
import json, os, random, sys
def make(kind, size, out):
    chance = random.Random(kind + str(size))
    def file(path, size=size):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        open(path, "wb").write(chance.randbytes(size))
    if kind in ("file", "program"):
        file(out)
        os.chmod(out, 0o755 if kind == "program" else 0o644)
    elif kind == "flat":
        file(out + "/one")
        file(out + "/two", 5)
    elif kind == "nested":
        file(out + "/a/b/c/deep")
        file(out + "/a/near", 7)
    elif kind == "many":
        for number in range(40):
            file(f"{out}/{number:03d}", size)
    elif kind == "empty":
        os.makedirs(out + "/nothing/below" * (size > 100))
    elif kind == "links":
        file(out + "/sub/target")
        os.symlink("sub/target", out + "/link")
        os.symlink("nowhere", out + "/sub/dangling")
    elif kind == "metrics":
        json.dump({f"m{number}": float(number) for number in range(size // 12)}, open(out, "w"))
    elif kind == "plot":
        open(out, "w").write("x,y\\n" + "".join(f"{n},{n * n % 97}\\n" for n in range(size // 8)))
words = sys.argv[2:]
while words:
    make(words.pop(0), int(words.pop(0)), words.pop(0))
for number in range(int(sys.argv[1]) // 100):
    print("x" * 99)
"""
SMALL, LARGE = 90, 300_000  # below and above the usual limit of a file in a record
KINDS = {
    "file": "file",
    "program": "file",
    "flat": "directory",
    "nested": "directory",
    "many": "directory",
    "empty": "directory",
    "links": "directory",
    "metrics": "metrics",
    "plot": "plot",
}
RECORDS = {
    "usual": "",
    "nothing": "records: {inline_file: 0, inline_run: 0}\n",
    "files only": "records: {inline_file: 1KiB, inline_run: 100MiB}\n",
    "large": "records: {inline_file: 50MiB, inline_run: 100MiB}\n",
}


HEAP = "many250000"  # 40 files, each small enough for a record, together too many for the usual one


def pipeline() -> str:
    outputs = {f"{kind}{size}": (kind, size) for kind in KINDS for size in (SMALL, LARGE)} | {HEAP: ("many", 250_000)}
    words = " ".join(f"{kind} {size} ${{{{ outputs.{name} }}}}" for name, (kind, size) in outputs.items())
    ports = ", ".join(f"{name}: {KINDS[kind]}" for name, (kind, _) in outputs.items())
    return (
        f"steps:\n  make: {{run: 'python3 make.py {LARGE} {words}', outputs: {{{ports}}}}}\n"
        f"  quiet: {{run: 'python3 make.py {SMALL}'}}\n"
    )


def team_with(path: Path, records: str, remotes: str = "") -> tuple[Team, Project]:
    """A team with a project of every kind of output in every size, and one of them."""
    team = Team(path)
    ann = team.person("ann")
    files = {
        "pipelines/p.yaml": pipeline(),
        "make.py": MAKE,
        "gitml.yaml": f"defaults: {{pipeline: p}}\n{records}{remotes}",
    }
    ann.repo.commit("all kinds", files)
    ann.repo.git("push", "-q", "origin", "main")
    return team, ann


def names_of(roots: list[dict[str, Any]]) -> set[str]:
    return {root["name"] for root in roots}


def lacking(person: Project) -> set[str]:
    """Outputs and logs of the newest run that this person can't have."""
    person.do("fetch")
    code = person.do("pull", "--runs", "latest", "--json", code=None)
    return names_of(code.json["artifacts"]["lost"])


@pytest.mark.slow
@pytest.mark.parametrize("records", RECORDS)
def test_with_a_remote_store_the_clone_that_pushed_may_go(tmp_path: Path, records: str) -> None:
    team, ann = team_with(tmp_path, RECORDS[records], f"remotes: ['file://{tmp_path}/store']\n")
    run = ann.run()
    pushed = ann.do("push", "--json").json
    assert pushed["stays"] == []
    assert pushed["artifacts"][0]["missing"] == []
    shutil.rmtree(ann.path)
    bob = team.person("bob")
    assert lacking(bob) == set()
    # What came is what was made, down to the last file and log.
    library = Library(bob.path)
    with library.workspace() as ws:
        available = Availability(ws)
        for name, output in run["steps"][0]["outputs"].items():
            ref = OutputRef(name, output["kind"], output["digest"], output["size"])
            assert available.fetch_inline([ref]) == []
            assert ws.store.check(ref.digest) is None
    bob.do("fsck", "--deep")
    assert set(bob.outcomes().values()) == {"reused"}
    assert "x" * 99 in bob.do("logs", run["run"], "make").out


@pytest.mark.slow
@pytest.mark.parametrize("records", ["usual", "large"])
def test_without_a_remote_store_what_stays_is_named_and_all_else_is_had(tmp_path: Path, records: str) -> None:
    team, ann = team_with(tmp_path, RECORDS[records])
    ann.run()
    stays = names_of(ann.do("push", "--json").json["stays"])
    bob = team.person("bob")
    assert lacking(bob) == stays
    if records == "usual":
        large = {
            f"make.{kind}{LARGE}" for kind in ("file", "program", "flat", "nested", "links", "many", "metrics", "plot")
        }
        assert {"the log of make", f"make.{HEAP}", *large} == stays
    else:
        assert not stays
