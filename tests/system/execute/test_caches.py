"""`cache`: what a step leaves there is there for the next run; it counts as nothing, and every place where that matters says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gitml.execute.sandbox.isolation import image_refusal
from gitml.platform.current import platform
from tests.kit.patience import PATIENCE
from tests.system.conftest import Project

PLAIN = """\
steps:
  fetch:
    shell: sh
    run: |
      folder=${HF_HOME:-/dev/null}
      { cat $folder/log 2>/dev/null || echo none; } > ${{ outputs.o }}
      if [ -d "$folder" ]; then echo line >> $folder/log; fi
    outputs: {o: file}
"""
CACHED = PLAIN + "    cache: [HF_HOME]\n"
STRICT = "    sandbox: strict\n"
needs_strict = pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())


def ask(project: Project, text: str) -> None:
    project.write("pipelines/p.yaml", text)
    project.commit()


def made(project: Project) -> str:
    project.gitml("checkout", "-q", "latest:fetch.o", "../made", "--force")
    return (project.root.parent / "made").read_text()


def used_before(place: Path, days: float) -> None:
    found = os.stat(place / "used").st_mtime - days * 86400
    os.utime(place / "used", (found, found))


def test_the_next_run_sees_what_the_last_left_and_the_key_is_that_without_it(fresh: Project) -> None:
    ask(fresh, PLAIN)
    (plain,) = fresh.run()["steps"]
    assert "guarantees" not in plain
    ask(fresh, CACHED)
    assert fresh.run()["steps"][0]["outcome"] == "reused", "it is no part of the Action"
    (first,) = fresh.run("--no-reuse")["steps"]
    assert (first["key"], first["guarantees"]) == (plain["key"], {"cache": "HF_HOME"})
    assert made(fresh) == "none\n"
    fresh.run("--no-reuse")
    assert made(fresh) == "line\n"
    assert "  caches   HF_HOME\n" in fresh.gitml("show").out

    look = fresh.gitml("shell", "fetch", "--", "sh", "-c", "cat $HF_HOME/log")
    assert look.out == "line\nline\n"
    (owner,) = (Path(fresh.env["HOME"]) / ".cache/gitml/caches").iterdir()
    place = owner / "HF_HOME"
    assert owner.name.startswith("fresh-")
    answer = fresh.gitml("du")
    assert f"cache HF_HOME, 10 B: {place}" in answer.err
    rooms = {room["what"]: room for room in fresh.gitml("du", "--json").data["rooms"]}
    assert (rooms["caches of steps"]["items"], rooms["caches of steps"]["bytes"]) == (1, 10)

    verdict = fresh.gitml("reproduce", "--json", code=1)  # it was made with a line, and begins without
    assert verdict.data["notes"] == [
        "steps began with empty caches (HF_HOME); --caches gives them those of this machine"
    ]
    assert made(fresh) == "none\n"
    assert "guarantees" not in fresh.gitml("show", "--json").data["steps"][0]
    notes = fresh.gitml("reproduce", verdict.data["original"][:8], "--caches", "--json", code=1).data["notes"]
    assert notes == ["steps had the caches of this machine: HF_HOME"]
    assert made(fresh) == "line\nline\n"

    used_before(place, 3)
    assert fresh.gitml("gc", "--caches", "4d", "--json").data["caches"] == 0
    assert "would remove 1 cache of steps, 15 B" in fresh.gitml("gc", "-n", "--caches", "2d").out
    data = fresh.gitml("gc", "--caches", "2d", "--json").data
    assert (data["caches"], data["cache_bytes"]) == (1, 15)
    assert not owner.exists()
    assert "--caches goes without --remote" in fresh.gitml("gc", "--caches", "0", "--remote", "x", code=2).err
    fresh.run("--no-reuse")
    assert made(fresh) == "none\n"


@needs_strict
def test_what_could_read_one_serves_no_strict_step_but_one_that_may_read_it_too(fresh: Project) -> None:
    ask(fresh, CACHED)
    fresh.run()
    answer = fresh.gitml("plan", "--json")
    assert answer.data["steps"][0]["decision"] == "reuse"
    ask(fresh, CACHED + STRICT)
    told = fresh.gitml("check", code=2).out
    assert "pipelines/p.yaml:9:5: step 'fetch': sandbox: strict goes with read-only caches alone, and HF_HOME" in told
    # of a strict step that had one, by a strict step that has none
    readonly = PLAIN + STRICT + "    cache: {HF_HOME: {readonly: true}}\n"
    ask(fresh, readonly.replace("if [ -d", "if false && [ -d"))
    (first,) = fresh.run()["steps"]
    assert (first["outcome"], first["guarantees"]) == ("executed", {"sandbox": "strict", "cache": "HF_HOME"})
    assert made(fresh) == "line\n"
    assert fresh.run()["steps"][0]["outcome"] == "reused"
    ask(fresh, (PLAIN + STRICT).replace("if [ -d", "if false && [ -d"))
    (second,) = fresh.run()["steps"]
    assert second["reason"].endswith(
        "made it with the cache HF_HOME, and the step asks for a strict sandbox without it"
    )
    assert (second["outcome"], second["key"]) == ("executed", first["key"])
    assert made(fresh) == "none\n"
    ask(fresh, readonly.replace("if [ -d", "if false && [ -d"))
    assert fresh.run()["steps"][0]["outcome"] == "reused", "what had none is stricter"


def test_steps_at_once_share_a_place_and_one_of_another_clone_has_its_own(fresh: Project, tmp_path: Path) -> None:
    meet = (
        "sh -c 'touch data/kept/{0}; until [ -e data/kept/{1} ]; do sleep 0.01; done; ls data/kept > $GITML_OUTPUT_O'"
    )
    step = "  {0}:\n    run: {2}\n    cache: {{kept: {{path: data/kept}}}}\n    outputs: {{o: {{type: file, path: {0}.txt}}}}\n"
    ask(fresh, "steps:\n" + "".join(step.format(*names, meet.format(*names)) for names in (("a", "b"), ("b", "a"))))
    fresh.gitml("run", "-j", "2")
    (owner,) = (Path(fresh.env["HOME"]) / ".cache/gitml/caches").iterdir()
    assert sorted(os.listdir(owner / "kept/files")) == ["a", "b"]
    fresh.git("clone", "-q", str(fresh.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", Path(fresh.env["HOME"]))
    clone.gitml("run", "-j", "2", env={"GITML_TRUST": "run"})
    assert len(list(owner.parent.iterdir())) == 2


def test_what_the_commit_has_at_its_place_blocks_the_step_and_so_does_what_can_not_be_kept(fresh: Project) -> None:
    fresh.write("data/kept/f", "x")
    text = "steps:\n  s: {run: 'true', cache: {kept: {path: PLACE}}}\n"
    for place, has in (("data/kept", "data/kept"), ("data", "data"), ("data/kept/f/g", "data/kept/f")):
        ask(fresh, text.replace("PLACE", place))
        error = json.loads(fresh.gitml("run", "--json", code=2).err.splitlines()[-1])["error"]
        assert f"the cache kept ({place}) lies where the commit has {has}" in error["message"]
    ask(fresh, text.replace("PLACE", "data/kept/new"))
    fresh.run()
    ask(fresh, text.replace("PLACE}", "data/kept/new, readonly: true}"))
    fresh.gitml("run", "--no-reuse", code=2 if image_refusal() else 0)
    fresh.env["GITML_PLATFORM"] = "posix"
    portable = fresh.start("run", "--no-reuse")
    _, said = portable.communicate(timeout=PATIENCE)
    assert portable.returncode == 2
    assert "a read-only cache can't be kept here" in said


def test_without_a_home_folder_they_lie_in_the_repository(fresh: Project, tmp_path: Path) -> None:
    ask(fresh, CACHED)
    (tmp_path / "file").write_text("")
    env = {"HOME": str(tmp_path / "file/none")}
    fresh.gitml("run", env=env)
    assert list((fresh.root / ".git/gitml/cache/caches").glob("fresh-*/HF_HOME/files/log"))
    assert fresh.git("status", "--porcelain") == ""
