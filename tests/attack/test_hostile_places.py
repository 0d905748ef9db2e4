"""Places that a tracked file names: no remote helper, nothing inside the repository, and no settings of a stranger's folder."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository, environment

PIPELINE = "steps:\n  s: {run: 'touch ${{ outputs.o }}', outputs: {o: file}}\n  m: {module: 'count@0.1.0'}\n"
MODULE = "name: count\nversion: 0.1.0\noutputs: {o: file}\nrun: 'touch ${{ outputs.o }}'\n"
FILES = {"pipelines/t.yaml": PIPELINE, "count/module.yaml": MODULE}


def project(tmp_path: Path, registry: str = "") -> Project:
    """A project whose gitml.yaml names a registry."""
    return Project(tmp_path / "p", {**FILES, "gitml.yaml": f"registry: {registry!r}\n"} if registry else FILES)


def registry(path: Path) -> Repository:
    """A bare repository whose hook tells that it ran."""
    made = Repository(path, bare=True)
    hook = path / "hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {path.parent}/hook-ran\n")
    hook.chmod(0o755)
    made.git("config", "core.alternateRefsCommand", f"touch {path.parent}/setting-ran; false")
    made.git("config", "core.fsmonitor", f"touch {path.parent}/setting-ran; false")
    return made


@pytest.mark.parametrize("url", ["fd::17", "ext::sh -c 'touch RAN'", "canary::x", "canary://host/x"])
@pytest.mark.parametrize("command", ["module pull", "lock", "module push"])
def test_a_registry_named_by_a_remote_helper_is_refused_at_once(tmp_path: Path, url: str, command: str) -> None:
    here = project(tmp_path, url)
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (helpers / "git-remote-canary").write_text(f"#!/bin/sh\ntouch {tmp_path}/RAN\nsleep 300\n")
    (helpers / "git-remote-canary").chmod(0o755)
    begun = time.monotonic()
    done = here.do(*command.split(), env={"PATH": f"{helpers}:{here.env['PATH']}"}, code=None)
    assert time.monotonic() - begun < 20
    assert f"transport '{url.partition(':')[0]}' not allowed" in done.out + done.err
    assert done.code == 7
    assert not list(tmp_path.rglob("RAN"))


def test_what_the_user_allows_by_name_is_spoken_and_what_the_user_forbids_is_not(tmp_path: Path) -> None:
    here = project(tmp_path, "canary::x")
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (helpers / "git-remote-canary").write_text(f"#!/bin/sh\ntouch {tmp_path}/RAN\n")
    (helpers / "git-remote-canary").chmod(0o755)
    path = {"PATH": f"{helpers}:{here.env['PATH']}"}
    settings = tmp_path / "gitconfig"
    settings.write_text('[protocol "canary"]\nallow = always\n')
    here.do("module", "pull", env={**path, "GIT_CONFIG_GLOBAL": str(settings)}, code=None)
    assert (tmp_path / "RAN").exists()
    registry(tmp_path / "shared.git")
    here.repo.write({"gitml.yaml": f"registry: {tmp_path}/shared.git\n"})
    here.do("module", "pull")
    settings.write_text("[protocol]\nallow = never\n")
    away = {"GIT_CONFIG_GLOBAL": str(settings)}
    (here.path / ".git/gitml").rename(tmp_path / "before")
    assert "transport 'file' not allowed" in here.do("module", "pull", env=away, code=7).err
    stricter = {"GIT_ALLOW_PROTOCOL": "https"}
    assert "transport 'file' not allowed" in here.do("module", "pull", env=stricter, code=7).err
    here.repo.write({"gitml.yaml": "registry: fd::17\n"})
    assert "not allowed" in here.do("module", "pull", env={"GIT_ALLOW_PROTOCOL": "fd:file"}, code=7).err


def test_a_remote_that_the_user_configured_is_spoken_with_as_git_would(tmp_path: Path) -> None:
    here = project(tmp_path)
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (helpers / "git-remote-canary").write_text(f"#!/bin/sh\ntouch {tmp_path}/RAN\n")
    (helpers / "git-remote-canary").chmod(0o755)
    here.repo.git("remote", "add", "origin", "canary::x")
    here.do("fetch", env={"PATH": f"{helpers}:{here.env['PATH']}"}, code=None)
    assert (tmp_path / "RAN").exists()


@pytest.mark.parametrize("way", ["./sub.git", "sub.git", "file", "link", "link-in", "git-folder", "worktree"])
def test_a_registry_inside_the_repository_is_refused_and_runs_nothing(tmp_path: Path, way: str) -> None:
    here = project(tmp_path)
    registry(here.path / "sub.git")
    named = {
        "file": f"file://{here.path}/sub.git",
        "link": "out/sub.git",
        "link-in": f"{tmp_path}/in/sub.git",
        "git-folder": ".git/sub.git",
        "worktree": f"{tmp_path}/other/sub.git",
    }.get(way, way)
    (tmp_path / "elsewhere").mkdir()
    registry(tmp_path / "elsewhere/sub.git")
    os.symlink(tmp_path / "elsewhere", here.path / "out")
    os.symlink(here.path, tmp_path / "in")
    registry(here.path / ".git/sub.git")
    here.repo.commit("all")
    here.repo.git("worktree", "add", "-q", str(tmp_path / "other"))
    here.repo.write({"gitml.yaml": f"registry: {named}\n"})
    here.repo.commit("registry")
    for command in ("module pull", "module push", "module publish count", "lock"):
        done = here.do(*command.split(), code=2)
        assert "lies inside this repository" in done.err, command
        assert len(done.err.splitlines()) == 1
    assert not [*tmp_path.rglob("hook-ran"), *tmp_path.rglob("setting-ran")]


def test_a_registry_on_a_shared_disk_works_with_its_hooks(tmp_path: Path) -> None:
    registry(tmp_path / "team.git")
    here = project(tmp_path, "../team.git")
    here.do("module", "publish", "count")
    here.do("module", "push")
    assert (tmp_path / "hook-ran").exists()


@pytest.mark.parametrize("inside", [True, False])
def test_a_remote_store_inside_the_repository_is_refused(tmp_path: Path, inside: bool) -> None:
    here = Project(
        tmp_path / "p", {"pipelines/t.yaml": PIPELINE.partition("  m:")[0].replace("touch", "cp /proc/uptime")}
    )
    here.repo.git("remote", "add", "origin", Repository(tmp_path / "hub.git", bare=True).path)
    place = here.path / "store" if inside else tmp_path / "store"
    place.mkdir()
    os.symlink(place, tmp_path / "to-it")
    for url in (place, tmp_path / "to-it"):
        here.repo.write({"gitml.yaml": f"remotes: file://{url}\nrecords: {{inline_file: 0, inline_run: 0}}\n"})
        here.do("run", "-f")
        for command in ("push", "remotes --check", "fsck --remote file"):
            done = here.do(*command.split(), code=None)
            assert ("lies inside this repository" in done.out + done.err) is inside, command
            assert bool(done.code) is inside, command
    assert bool(list(place.iterdir())) is not inside


@pytest.mark.root
def test_no_setting_of_a_folder_of_another_user_is_obeyed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    far = Repository(tmp_path / "far.git", bare=True)
    far.git("config", "extensions.partialClone", "origin")
    far.git("config", "remote.origin.url", "ssh://127.0.0.1/x")
    far.git("config", "remote.origin.promisor", "true")
    far.git("config", "core.sshCommand", f"touch {tmp_path}/RAN; false")
    (tmp_path / "far.git/refs/gitml").mkdir()
    for log in ("runs", "registry"):
        (tmp_path / f"far.git/refs/gitml/{log}").write_text("1" * 40 + "\n")
    subprocess.run(["chown", "-R", "4242", str(tmp_path / "far.git")], check=True)
    here = project(tmp_path, f"{tmp_path}/far.git")
    done = here.do("module", "publish", "count", code=None)
    done = here.do("module", "push", code=None)
    assert "Traceback" not in done.err
    (here.path / "gitml.yaml").unlink()
    here.repo.write({"pipelines/t.yaml": PIPELINE.partition("  m:")[0]})
    here.repo.git("remote", "add", "far", f"{tmp_path}/far.git")
    here.do("run")
    assert "does not trust a folder of another user" in here.do("push", "far", code=7).err
    assert not (tmp_path / "RAN").exists()
    assert environment()["GIT_CONFIG_GLOBAL"] == os.devnull  # else a setting of this machine could allow it
