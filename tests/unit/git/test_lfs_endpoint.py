"""Where the LFS server of a remote is: the rules of git-lfs, by real Git configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitml.errors import InputError, RemoteError, TrustError
from gitml.git import credentials
from gitml.git.command import Location
from gitml.git.lfs import http
from gitml.git.lfs.endpoint import Endpoint, authenticate, find_endpoint
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, isolate


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    isolate(monkeypatch)
    return Repository(tmp_path / "repo")


def location(repo: Repository) -> Location:
    return discover(repo.path, dict(os.environ))


def place(repo: Repository, remote: str | None = None) -> Endpoint:
    return find_endpoint(location(repo), remote)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/team/x.git", "https://host/team/x.git/info/lfs"),
        ("https://host/team/x", "https://host/team/x.git/info/lfs"),
        ("https://host/team/x/", "https://host/team/x.git/info/lfs"),
    ],
)
def test_it_goes_with_the_url_of_the_remote(repo: Repository, url: str, expected: str) -> None:
    repo.git("remote", "add", "origin", url)
    assert place(repo) == Endpoint(expected)


@pytest.mark.parametrize(
    ("url", "ssh"),
    [
        ("git@host:team/x.git", ("git@host", "", "team/x.git")),
        ("ssh://git@host:2222/team/x.git", ("git@host", "2222", "team/x.git")),
        ("host:x", ("host", "", "x")),
    ],
)
def test_over_ssh_the_host_is_asked(repo: Repository, url: str, ssh: tuple[str, str, str]) -> None:
    repo.git("remote", "add", "origin", url)
    assert place(repo).ssh == ssh


def test_settings_come_before_it_and_lfsconfig_comes_last(repo: Repository) -> None:
    repo.git("remote", "add", "origin", "https://host/x.git")
    repo.write({".lfsconfig": "[lfs]\n\turl = https://from/lfsconfig/\n"})
    assert place(repo) == Endpoint("https://from/lfsconfig", source=".lfsconfig")
    repo.git("config", "lfs.url", "https://from/config")
    assert place(repo) == Endpoint("https://from/config")
    repo.git("config", "--unset", "lfs.url")
    repo.write({".lfsconfig": ""})
    repo.git("config", "remote.origin.lfsurl", "https://from/remote")
    assert place(repo).url == "https://from/remote"


def test_instead_of_is_heeded(repo: Repository) -> None:
    repo.git("remote", "add", "origin", "hub:x.git")
    repo.git("config", "url.https://mirror/.insteadOf", "hub:")
    assert place(repo).url == "https://mirror/x.git/info/lfs"


def test_a_remote_of_this_machine_keeps_its_objects_itself(repo: Repository, tmp_path: Path) -> None:
    hub = Repository(tmp_path / "hub.git", bare=True)
    work = Repository(tmp_path / "work")
    repo.git("remote", "add", "origin", hub.path)
    repo.git("remote", "add", "other", f"file://{work.path}")
    repo.git("remote", "add", "relative", "../hub.git")
    assert place(repo).folder == f"{os.path.realpath(hub.path)}/lfs"
    assert place(repo, "other").folder == f"{os.path.realpath(work.path)}/.git/lfs"
    assert place(repo, "relative").folder == f"{os.path.realpath(hub.path)}/lfs"


def test_without_a_remote_there_is_none_and_it_is_said(repo: Repository) -> None:
    with pytest.raises(InputError, match="no Git remote"):
        place(repo)
    with pytest.raises(InputError, match="upstream"):
        place(repo, "upstream")
    repo.git("remote", "add", "only", "https://host/x")
    assert place(repo).url.startswith("https://host/x")


def test_a_password_in_the_url_is_never_shown(repo: Repository) -> None:
    repo.git("remote", "add", "origin", "https://me:secret@host/x.git")
    assert "secret" not in place(repo).shown
    found = credentials.ask(location(repo), place(repo).url)
    assert (found.username, found.password) == ("me", "secret")
    assert "secret" not in repr(found)


def test_the_host_answers_over_ssh_with_an_address_and_a_token(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "ssh.sh"
    fake.write_text(
        '#!/bin/sh\nfor last; do :; done\necho "$last" >&2\n'
        'case "$last" in *"\'team/a b.git\' upload") echo \'{"href": "https://lfs/", "header": {"Authorization": "T"}}\';;\n'
        "*) echo no such repository >&2; exit 3;; esac\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(fake))
    access = authenticate(("git@host", "", "team/a b.git"), "upload", location(repo))
    assert access == ("https://lfs", {"Authorization": "T"})
    with pytest.raises(RemoteError, match="no such repository"):
        authenticate(("git@host", "", "x"), "upload", location(repo))


def test_credentials_come_from_the_helpers_of_git(repo: Repository, tmp_path: Path) -> None:
    helper = tmp_path / "helper"
    helper.write_text(
        f'#!/bin/sh\necho "$1" >> {tmp_path}/asked\ncat >> {tmp_path}/asked\necho username=ada\necho password=pw\n'
    )
    helper.chmod(0o755)
    repo.git("config", "credential.helper", str(helper))
    found = credentials.ask(location(repo), "https://host/x.git/info/lfs")
    assert (found.host, found.username, found.password) == ("host", "ada", "pw")
    assert found.header == "Basic YWRhOnB3"
    credentials.tell(location(repo), found, good=True)
    credentials.tell(location(repo), found, good=False)
    asked = (tmp_path / "asked").read_text()
    assert [line for line in asked.splitlines() if line in ("get", "store", "erase")] == ["get", "store", "erase"]


def test_without_a_helper_that_knows_it_is_said_how_to_mend_it(repo: Repository) -> None:
    with pytest.raises(TrustError) as caught:
        credentials.ask(location(repo), "https://host/x")
    assert "credential.helper" in str(caught.value.hint)


def test_of_lfsconfig_nothing_else_is_obeyed(repo: Repository, tmp_path: Path) -> None:
    repo.git("remote", "add", "origin", "https://host/x.git")
    other = tmp_path / "other"
    other.write_text("[lfs]\n\turl = https://included/\n")
    repo.write(
        {
            ".lfsconfig": f"[include]\n\tpath = {other}\n[core]\n\tsshCommand = false\n[lfs]\n\tactivitytimeout = 1\n"
            "[gitml]\n\tallowHref = *\n[credential]\n\thelper = !false\n"
        }
    )
    assert place(repo) == Endpoint("https://host/x.git/info/lfs")
    assert http._idle(location(repo)) == 60.0


def test_lfsconfig_that_is_no_file_of_the_repository_is_refused(repo: Repository, tmp_path: Path) -> None:
    repo.git("remote", "add", "origin", "https://host/x.git")
    other = tmp_path / "other"
    other.write_text("[lfs]\n\turl = https://outside/\n")
    config = Path(repo.path) / ".lfsconfig"
    for make in (lambda: config.symlink_to(other), lambda: os.mkfifo(config), lambda: config.symlink_to("/dev/zero")):
        make()
        with pytest.raises(InputError):
            place(repo)
        config.unlink()
    config.write_bytes(b"#" * (1 << 20))
    with pytest.raises(InputError, match="KiB"):
        place(repo)


@pytest.mark.parametrize(
    "url", ["ssh://$(touch x)/y", "ssh://-oProxyCommand=x/y", "a;b:c", "ssh://me@-x/y", "`x`@host:y"]
)
def test_a_host_that_is_none_is_not_asked(repo: Repository, url: str) -> None:
    repo.git("remote", "add", "origin", "https://host/x.git")
    repo.write({".lfsconfig": f'[lfs]\n\turl = "{url}"\n'})
    with pytest.raises(InputError):
        place(repo)
