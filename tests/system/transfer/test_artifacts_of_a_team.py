"""Two people, one bare repository, one store: what the second needs comes, when it is needed, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project
from tests.kit.projects.team_artifacts import ArtifactTeam, bytes_stored, stored
from tests.kit.servers.store_servers import (
    S3_ENVIRONMENT,
    az_environment,
    az_server,
    lfs_server,
    lfs_token,
    make_bucket,
    make_container,
    s3_server,
    wipe_bucket,
    wipe_container,
)

pytestmark = [pytest.mark.xdist_group("remote-servers"), pytest.mark.slow]


@pytest.fixture(params=["file", "s3", "az", "lfs", "lfs-folder"])
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtifactTeam]:
    kind = request.param
    if kind == "file":
        yield ArtifactTeam(tmp_path, f"[file://{tmp_path}/store]", wipe=partial(empty, tmp_path / "store"))
    elif kind == "s3":
        server = s3_server(tmp_path / "server")
        make_bucket(server.port, "team")
        yield ArtifactTeam(
            tmp_path,
            f"[{{name: lab, url: 's3://team/x', endpoint: 'http://127.0.0.1:{server.port}'}}]",
            S3_ENVIRONMENT,
            partial(wipe_bucket, server.port, "team"),
        )
        server.kill()
    elif kind == "az":
        server = az_server(tmp_path / "server")
        make_container(server.port, "team")
        wipe = partial(wipe_container, server.port, "team")
        yield ArtifactTeam(tmp_path, "['az://team/x']", az_environment(server.port), wipe)
        server.kill()
    elif kind == "lfs":
        secret = "a-secret-of-the-tests-that-is-long-enough-0123456789"
        server = lfs_server(tmp_path / "server", token_secret=secret)
        helper = tmp_path / "helper.sh"
        helper.write_text(f'#!/bin/sh\ntest "$1" = get && echo username=_jwt && echo password={lfs_token(secret)}\n')
        helper.chmod(0o755)
        settings = {
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "gc.auto",
            "GIT_CONFIG_VALUE_0": "0",
            "GIT_CONFIG_KEY_1": "lfs.url",
            "GIT_CONFIG_VALUE_1": f"http://127.0.0.1:{server.port}/org/team.git/info/lfs",
            "GIT_CONFIG_KEY_2": "credential.helper",
            "GIT_CONFIG_VALUE_2": str(helper),
        }
        yield ArtifactTeam(tmp_path, "lfs", settings, partial(empty, tmp_path / "server/objects"))
        server.kill()
    else:
        yield ArtifactTeam(tmp_path, "lfs", wipe=partial(empty, tmp_path / "hub.git/lfs"))


def empty(folder: Path) -> None:
    """Takes all out of a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_the_tour(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = team.people["author"]
    first = ada.run("big")
    forecast = ada.do("push", "-n")
    assert "make.model" in forecast.out
    assert not (tmp_path / "store").exists()
    sent = ada.do("push", "--json").json
    (store,) = sent["artifacts"]
    assert {root["name"] for root in store["sent"]} == {"make.model", "make.parts"}
    assert sent["sent"]["runs"] == 1
    again = ada.do("push", "--json").json["artifacts"]
    assert [(one["sent"], one["bytes"]) for one in again] == [([], 0)]

    bob = team.person("bob")
    bob.do("pull")
    assert set(bob.outcomes("big").values()) == {"reused"}
    assert stored(bob) == set()  # nothing was downloaded
    changed = bob.run("big", "-S", "cut=20")
    assert {s["name"]: s["outcome"] for s in changed["steps"]} == {
        "make": "reused",
        "head": "executed",
        "count": "reused",
    }
    assert len(stored(bob)) == 2  # the model, and what was made of it
    assert bob.content(changed, "head", "first")[:10] == ada.content(first, "head", "first")
    bob.do("checkout", f"{first['run'][:8]}:make.parts", str(tmp_path / "out"))
    ada.do("checkout", f"{first['run'][:8]}:make.parts", str(tmp_path / "same"))
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "same")
    assert "link" in snapshot(tmp_path / "out")
    bob.do("push")

    ada.do("pull")
    assert changed["run"] in team.runs_of(ada)
    before = bytes_stored(ada)
    ada.do("pull", "--runs", changed["run"])
    assert bytes_stored(ada) - before < 100  # what Bob made is small, and came with the records or now
    assert set(ada.outcomes("big", "-S", "cut=20").values()) == {"reused"}
    assert ada.do("fsck").out == ""
    assert bob.do("fsck", "--remote", store["remote"], "--deep").out == ""


def test_a_store_that_was_emptied_is_filled_again_by_a_push(team: ArtifactTeam) -> None:
    ada, bob = team.people["author"], team.person("bob")
    ada.run("big")
    ada.do("push")
    bob.do("pull", "--artifacts")
    bob.run("big", "-S", "cut=20")
    bob.do("push")
    for person in (ada, bob):
        sent_nothing(person)
    team.wipe()
    sent = ada.do("push", "--json").json["artifacts"][0]
    assert {root["name"] for root in sent["sent"]} == {"make.model", "make.parts"}
    assert ada.do("fsck", "--remote", sent["remote"], "--deep").out == ""
    for person in (bob, ada):
        sent_nothing(person)


def sent_nothing(person: Project) -> None:
    """That a push has nothing to send to the store, and moves nothing."""
    (store,) = person.do("push", "--json").json["artifacts"]
    assert (store["sent"], store["missing"], store["bytes"]) == ([], [], 0)


def test_a_log_that_lies_in_the_store_only_is_printed(tmp_path: Path) -> None:
    team = ArtifactTeam(tmp_path, f"[file://{tmp_path}/store]")
    ada = team.people["author"]
    script = "import sys\nprint('many words ' * 5000)\nopen(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read(5))\n"
    ada.repo.commit("a step that says much", {"head.py": script})
    ada.repo.git("push", "-q", "origin", "main")
    run = ada.run("big")["run"]
    ada.do("push")
    bob = team.person("bob")
    bob.do("pull")
    assert stored(bob) == set()
    assert bob.do("logs", run, "head").out.count("many words") == 5000
    assert len(stored(bob)) == 1
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").mkdir()
    carol = team.person("carol")
    carol.do("pull")
    assert "the log of head" in carol.do("logs", run, "head", code=3).err


def test_what_is_lost_here_is_healed_from_the_store(team: ArtifactTeam) -> None:
    ada = team.people["author"]
    run = ada.run("big")
    ada.do("push")
    model = run["steps"][0]["outputs"]["model"]["digest"]
    damage = sorted(stored(ada))
    for name in damage:
        path = ada.object("sha256:" + name)
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    told = ada.do("fsck", "--repair", code=None)
    assert "fetched from a remote store" in told.out
    assert "made again" not in told.out
    assert ada.do("fsck", "--deep").out == ""
    assert ada.object(model).stat().st_size == 3_000_000
    assert len(team.runs_of(ada)) == 1


def test_no_secret_is_written_anywhere(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = team.people["author"]
    ada.run("big")
    said = [ada.do("push", "-v"), ada.do("push", "--json"), ada.do("remotes", "--check", "--json")]
    secrets = [S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], "eyJ"]  # tokens of the LFS server begin so
    for place, _, names in os.walk(ada.path):
        for name in names:
            content = (Path(place) / name).read_bytes()
            assert not any(secret.encode() in content for secret in secrets), f"{place}/{name}"
    assert not any(secret in done.out + done.err for secret in secrets for done in said)


def snapshot(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found
