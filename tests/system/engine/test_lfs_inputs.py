"""Inputs that are Git LFS pointers: gitml fetches what they stand for by itself, into its own store, where a step needs it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gitml.core.config.remotes import RemoteSpec, StoredObject
from gitml.core.model.digest import digest_of
from gitml.git.lfs.client import LfsClient
from gitml.git.lfs.endpoint import find_endpoint
from gitml.git.repository import discover
from tests.kit.projects.command_line import Project
from tests.kit.projects.team import Team
from tests.kit.projects.team_artifacts import stored
from tests.kit.servers.store_servers import lfs_server

pytestmark = [pytest.mark.xdist_group("remote-servers"), pytest.mark.slow]

DATA = os.urandom(100_000)
NAME = hashlib.sha256(DATA).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{NAME}\nsize {len(DATA)}\n"
PIPELINE = """\
name: sum
inputs: {raw: data/raw.bin, all: data}
steps:
  one:
    run: python3 sum.py ${{ inputs.raw }} ${{ outputs.sum }}
    outputs: {sum: file}
  below:
    run: python3 sum.py ${{ inputs.all }}/raw.bin ${{ outputs.sum }}
    outputs: {sum: file}
"""
SUM = "import hashlib, sys; open(sys.argv[2], 'w').write(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())\n"
FILES = {"pipelines/sum.yaml": PIPELINE, "sum.py": SUM, "data/raw.bin": POINTER}


def author(team: Team) -> Project:
    """Somebody who commits a pointer, as if by git-lfs."""
    ada = team.person("ada")
    ada.repo.commit("with LFS", {**FILES, ".gitattributes": "data/* filter=lfs -text\n"})
    ada.repo.git("push", "-q", "origin", "main")
    return ada


def keep(hub: str) -> Path:
    """Puts the content where Git LFS of a folder has it."""
    place = Path(hub, f"lfs/objects/{NAME[:2]}/{NAME[2:4]}/{NAME}")
    place.parent.mkdir(parents=True)
    place.write_bytes(DATA)
    return place


def sums(person: Project) -> set[str]:
    run = person.run("sum")
    return {person.content(run, step, "sum").decode() for step in ("one", "below")}


def test_what_a_pointer_stands_for_is_fetched_when_a_step_needs_it(tmp_path: Path) -> None:
    team = Team(tmp_path)
    keep(team.hub.path)
    ada = author(team)
    assert sums(ada) == {NAME}
    assert NAME in stored(ada)
    assert not (ada.path / ".git/lfs").exists()  # what Git LFS keeps is not written
    assert (ada.path / "data/raw.bin").read_text() == POINTER  # nor the work tree
    again = ada.do("run", "sum", "--force")
    assert "fetch" not in again.err
    assert ada.do("fsck", "--deep").code == 0


def test_it_is_fetched_from_a_server_without_a_word_in_gitml_yaml(tmp_path: Path) -> None:
    server = lfs_server(tmp_path / "server")
    team = Team(tmp_path)
    ada = author(team)
    url = f"http://127.0.0.1:{server.port}/org/team.git/info/lfs"
    ada.repo.git("config", "lfs.url", url)
    location = discover(str(ada.path), dict(os.environ))
    there = LfsClient(RemoteSpec("lfs", "lfs"), location, find_endpoint(location, None))
    there.put(StoredObject(digest_of(DATA), len(DATA)), DATA, lambda _: None)
    there.close()
    assert sums(ada) == {NAME}
    server.kill()
    bob = team.person("bob")
    bob.repo.git("config", "lfs.url", url)
    failed = bob.do("run", "sum", code=1)
    assert "content of Git LFS can't be downloaded" in failed.err
    assert "git lfs pull --include=data/raw.bin" in failed.err


def test_wrong_content_is_refused(tmp_path: Path) -> None:
    team = Team(tmp_path)
    place = keep(team.hub.path)
    place.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    ada = author(team)
    assert "came wrong" in ada.do("run", "sum", code=1).err
    assert NAME not in stored(ada)
