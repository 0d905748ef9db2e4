"""Fifty stores that mean harm, and the commands that use them: each ends soon, in little memory, and keeps nothing bad."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit import processes
from tests.kit.processes import Measured
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository, environment
from tests.kit.servers.hostile_server import ENDS, Connection, HostileServer, Request, answer, batch

MIB = 1 << 20
SECONDS = 20.0
MEMORY = 200 * MIB
PIPELINE = """\
params: {n: 1}
steps:
  make:
    shell: sh
    run: |
      head -c 2500000 /dev/zero | tr '\\0' x > ${{ outputs.big }}
      mkdir ${{ outputs.dir }}
      for i in 1 2 3 4 5; do echo $i > ${{ outputs.dir }}/$i; done
      mkdir ${{ outputs.dir }}/sub
      head -c 1500000 /dev/zero | tr '\\0' y > ${{ outputs.dir }}/sub/large
    outputs: {big: file, dir: directory}
  use:
    shell: sh
    run: cat ${{ steps.make.outputs.big }} ${{ steps.make.outputs.dir }}/sub/large | wc -c > ${{ outputs.o }}; echo ${{ params.n }} >> ${{ outputs.o }}
    outputs: {o: file}
"""


def measured(project: Project, *args: str) -> Measured:
    """A command to its end, which must come in five times the bound."""
    env = {**project.env, "GITML_TRUST": "places,run", "PYTHONPATH": str(Path.cwd())}
    return processes.measured([sys.executable, "-m", "gitml", *args], str(project.path), env)


class Lab:
    """A run that Ann pushed: the store in a folder, the hub, and Bob's clone of it, copied for each try."""

    def __init__(self, top: Path, remotes: str) -> None:
        self.top = top
        self.hub = Repository(top / "hub.git", bare=True)
        config = f"remotes: {remotes}\nrecords: {{inline_file: 0, inline_run: 0}}\n"
        ann = Project(top / "ann", {"pipelines/t.yaml": PIPELINE, "gitml.yaml": config})
        ann.repo.git("remote", "add", "origin", self.hub.path)
        ann.repo.git("push", "-q", "origin", "main")
        run = ann.run()
        ann.do("push")
        self.digests = {
            f"{step['name']}.{port}": output["digest"].removeprefix("sha256:")
            for step in run["steps"]
            for port, output in step["outputs"].items()
        }
        self.large = hashlib.sha256(b"y" * 1_500_000).hexdigest()
        bob = Project(top / "bob-first", None)
        shutil.rmtree(bob.path)
        bob = Project(top / "seed", {"x": ""})
        bob.do("clone", self.hub.path, str(top / "bob-first"))
        self.secret = top / "secret"
        self.secret.mkdir()
        (self.secret / "file").write_text("CANARY " * 1000)

    def bob(self) -> Project:
        """A fresh clone of Bob's."""
        shutil.rmtree(self.top / "bob", ignore_errors=True)
        shutil.copytree(self.top / "bob-first", self.top / "bob", symlinks=True)
        return Project(self.top / "bob")

    def outside(self) -> dict[str, str]:
        """Everything beside Bob's clone and the store that must stay as it is."""
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for place in (self.secret, self.top / "ann")
            for path in sorted(place.rglob("*"))
            if path.is_file() and ".git/" not in str(path)
        }


def try_it(lab: Lab, name: str, bob: Project, commands: tuple[str, ...]) -> list[str]:
    """What went wrong with the commands that use a store, in words."""
    wrong = []
    before = lab.outside()
    for command in commands:
        took = measured(bob, *command.split())
        told = f"{name}: gitml {command}: exit {took.code}, {took.seconds:.1f} s, {took.memory // MIB} MiB"
        print(told)
        if took.seconds > SECONDS:
            wrong.append(f"{told}: too long")
        if took.memory > MEMORY:
            wrong.append(f"{told}: too much memory")
        if "Traceback" in took.said or took.code in (70, 137) or took.code < 0:
            wrong.append(f"{told}: {took.said[-600:]}")
        if "CANARY" in took.said:
            wrong.append(f"{told}: tells of a file outside")
    checked = measured(bob, "fsck", "--deep")
    if checked.code:
        wrong.append(f"{name}: something bad was kept: {checked.said[-600:]}")
    if lab.outside() != before:
        wrong.append(f"{name}: something outside was changed")
    return wrong


# Folders


def place_of(lab: Lab, part: str, store: Path) -> Path:
    """Where a part of the store lies."""

    def of(folder: str, name: str) -> Path:
        return store / folder / name[:2] / name[2:]

    tree = lab.digests["make.dir"]
    manifest = json.loads(of("trees", tree).read_bytes())
    return {
        "object": of("objects", lab.digests["make.big"]),
        "part": of("objects", lab.large),
        "pack": of("objects", manifest["packs"][0][0]),
        "listings": of("objects", manifest["listings"][0][0]),
        "manifest": of("trees", tree),
        "note": store / "gc.json",
    }[part]


def filled(path: Path, *pieces: bytes) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(path.parent)
            sock.bind(path.name)
        finally:
            os.chdir(here)
            os.close(here)


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(20 << 30)


Spoil = Callable[[Path, Lab, bytes], object]
ANY: dict[str, Spoil] = {
    "pipe": lambda path, lab, was: os.mkfifo(path),
    "socket": lambda path, lab, was: bound(path),
    "folder": lambda path, lab, was: path.mkdir(),
    "link outside": lambda path, lab, was: path.symlink_to(lab.secret / "file"),
    "link to a device": lambda path, lab, was: path.symlink_to("/dev/zero"),
    "link to itself": lambda path, lab, was: path.symlink_to(path.name),
    "nothing": lambda path, lab, was: None,
    "empty": lambda path, lab, was: filled(path),
    "shorter": lambda path, lab, was: filled(path, was[:-1]),
    "longer": lambda path, lab, was: filled(path, was, b"x"),
    "sparse": lambda path, lab, was: sparse(path),
    "other bytes": lambda path, lab, was: filled(path, bytes(len(was))),
    "huge": lambda path, lab, was: filled(path, *[was[:1] * MIB] * 300),
}


def manifest_of(lab: Lab, **change: object) -> bytes:
    told = {"format": 1, "tree": lab.digests["make.dir"], "size": 1_500_010, "listings": [], "packs": [], "objects": []}
    return json.dumps({**told, **change}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


MANIFESTS: dict[str, Spoil] = {
    "500,000 entries": lambda p, lab, w: filled(
        p, manifest_of(lab, objects=[[f"{n:064x}", MIB] for n in range(500_000)])
    ),
    "300,000 entries": lambda p, lab, w: filled(
        p, manifest_of(lab, objects=[[f"{n:064x}", MIB] for n in range(300_000)])
    ),
    "2,000,000 entries": lambda p, lab, w: filled(
        p, b'{"format":1,"objects":[', b'["%064d",1],' % 1 * 2_000_000, b"]}"
    ),
    "many lists": lambda p, lab, w: filled(p, b'{"format":1,"x":[', b"[]," * 10_000_000, b"[]]}"),
    "one string": lambda p, lab, w: filled(p, b'{"format":1,"x":"', *[b"a" * MIB] * 200, b'"}'),
    "deep": lambda p, lab, w: filled(p, b"[" * 1_000_000),
    "a listing of 128 MiB": lambda p, lab, w: filled(p, manifest_of(lab, listings=[["ab" * 32, 128 * MIB]])),
    "a listing of an exabyte": lambda p, lab, w: filled(p, manifest_of(lab, listings=[["ab" * 32, 1 << 60]])),
    "itself": lambda p, lab, w: filled(p, manifest_of(lab, listings=[[lab.digests["make.dir"], 100]])),
    "no part": lambda p, lab, w: filled(p, manifest_of(lab)),
    "text for numbers": lambda p, lab, w: filled(p, manifest_of(lab, size="9", packs=[[7, "x"]])),
    "another directory": lambda p, lab, w: filled(p, manifest_of(lab, tree="cd" * 32)),
}
NOTES: dict[str, Spoil] = {
    "500,000 doomed": lambda p, lab, w: filled(
        p, json.dumps({"format": 1, "epoch": 1, "doomed": {f"{n:064x}": 1.5 for n in range(500_000)}}).encode()
    ),
    "numbers that are none": lambda p, lab, w: filled(p, b'{"format": 1, "epoch": 1e999, "doomed": {"x": "y"}}'),
}
FOLDERS: dict[str, tuple[str, Spoil]] = {
    **{
        f"{part}, {kind}": (part, spoil)
        for part in ("object", "pack", "manifest", "note")
        for kind, spoil in ANY.items()
    },
    **{
        f"{part}, {kind}": (part, ANY[kind])
        for part in ("part", "listings")
        for kind in ("pipe", "other bytes", "longer", "nothing")
    },
    **{f"manifest, {kind}": ("manifest", spoil) for kind, spoil in MANIFESTS.items()},
    **{f"note, {kind}": ("note", spoil) for kind, spoil in NOTES.items()},
}
COMMANDS = ("run -S n=2", "pull --runs latest", "fsck --remote file", "push")
SHORT = ("object, pipe", "manifest, link outside", "pack, longer", "manifest, 500,000 entries")


def spoilt(lab: Lab, top: Path, name: str) -> None:
    """Makes the folder that `lab` names one that is hostile in one way."""
    store = top / "store"
    shutil.rmtree(store)
    shutil.copytree(top / "store-first", store)
    part, spoil = FOLDERS[name]
    path = place_of(lab, part, store)
    was = path.read_bytes() if path.exists() else b"{}"
    path.unlink(missing_ok=True)
    spoil(path, lab, was)


@pytest.fixture(scope="module")
def folder_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    top = tmp_path_factory.mktemp("folders")
    lab = Lab(top, f"file://{top}/store")
    shutil.copytree(top / "store", top / "store-first")
    return lab


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_folder_costs_little_and_leaves_nothing(folder_lab: Lab, name: str) -> None:
    spoilt(folder_lab, folder_lab.top, name)
    assert not try_it(folder_lab, name, folder_lab.bob(), COMMANDS)


@pytest.mark.parametrize("name", SHORT)
def test_a_hostile_folder_costs_little(folder_lab: Lab, name: str) -> None:
    spoilt(folder_lab, folder_lab.top, name)
    assert not try_it(folder_lab, name, folder_lab.bob(), COMMANDS[:1])


# Git LFS


def lfs_objects(lab: Lab, oid: str) -> bytes:
    return (Path(lab.hub.path) / "lfs/objects" / oid[:2] / oid[2:4] / oid).read_bytes()


def honest(lab: Lab, server: list[HostileServer]) -> Callable[[Request, Connection], None]:
    """A server that has all of the hub."""

    def behave(request: Request, connection: Connection) -> None:
        if request.path.endswith("/objects/batch"):
            connection.send(batch(request, lambda oid: f"{server[0].url}/{oid}"))
        else:
            connection.send(answer(200, lfs_objects(lab, request.path.rpartition("/")[2])))

    return behave


@pytest.fixture(scope="module")
def lfs_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lfs"), "lfs")


def lfs_bob(lab: Lab, server: HostileServer) -> Project:
    bob = lab.bob()
    bob.repo.git("config", "lfs.url", server.url)
    bob.repo.git("config", "lfs.activitytimeout", "1")
    return bob


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize("where", ["questions", "objects"])
@pytest.mark.parametrize("kind", ENDS)
def test_a_hostile_lfs_server_costs_little_and_leaves_nothing(lfs_lab: Lab, kind: str, where: str) -> None:
    servers: list[HostileServer] = []
    good = honest(lfs_lab, servers)

    def behave(request: Request, connection: Connection) -> None:
        is_question = request.path.endswith("/objects/batch")
        (ENDS[kind] if is_question is (where == "questions") else good)(request, connection)

    servers.append(HostileServer(behave))
    try:
        bob = lfs_bob(lfs_lab, servers[0])
        assert not try_it(
            lfs_lab, f"{where}, {kind}", bob, ("run -S n=2", "pull --runs latest", "fsck --remote lfs", "push")
        )
    finally:
        servers[0].close()


def test_an_honest_lfs_server_of_the_kit_serves_a_run(lfs_lab: Lab) -> None:
    """What the tests above rest on."""
    servers: list[HostileServer] = []
    servers.append(HostileServer(honest(lfs_lab, servers)))
    try:
        bob = lfs_bob(lfs_lab, servers[0])
        took = measured(bob, "run", "-S", "n=2", "-q")
        assert took.code == 0, took.said
        assert any(request.method == "GET" for request in servers[0].asked)
        assert took.memory < MEMORY
    finally:
        servers[0].close()


@pytest.mark.slow
@pytest.mark.campaign
def test_random_damage_to_a_store_costs_little_and_leaves_nothing(folder_lab: Lab) -> None:
    dice = random.Random(13)
    wrong = []
    for number in range(10):
        store = folder_lab.top / "store"
        shutil.rmtree(store)
        shutil.copytree(folder_lab.top / "store-first", store)
        for path in [path for path in sorted(store.rglob("*")) if path.is_file() and dice.random() < 0.5]:
            was = path.read_bytes()
            path.unlink()
            ANY[dice.choice([kind for kind in ANY if kind != "huge"])](path, folder_lab, was)
        wrong += try_it(folder_lab, f"random {number}", folder_lab.bob(), COMMANDS)
    assert not wrong
    assert environment()
