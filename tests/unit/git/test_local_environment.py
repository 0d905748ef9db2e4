"""A git that reads and writes this repository alone, and may last while steps run, gets no variable that may be secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitml.git.command import clean_environment, local_environment
from gitml.git.persistent_process import PersistentProcess
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, environment

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "secret",
    "HTTPS_PROXY": "http://me:secret@proxy",
    "SSH_AUTH_SOCK": "secret",
    "GIT_TOKEN": "secret",
    "GIT_ASKPASS": "secret",
    "GIT_HTTP_PROXY_AUTHMETHOD": "secret",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "http.extraHeader",
    "GIT_CONFIG_VALUE_0": "secret",
    "GIT_CONFIG_KEY_1": "core.abbrev",
    "GIT_CONFIG_VALUE_1": "11",
    "GIT_CONFIG_PARAMETERS": "'http.extraheader=secret' 'credential.helper'='secret' 'user.name'='it'\\''s me'",
}
NEEDED = {
    "HOME": "/h",
    "PATH": os.environ["PATH"],
    "XDG_CONFIG_HOME": "/x",
    "GIT_CONFIG_GLOBAL": "/g",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_TRACE": "0",
    "GIT_DIR": "/elsewhere",
}


def test_configuration_stays_and_secrets_go() -> None:
    found = local_environment({**SECRETS, **NEEDED})
    assert [name for name, value in found.items() if "secret" in value] == []
    assert found.items() >= clean_environment(NEEDED).items()
    assert found["GIT_CONFIG_PARAMETERS"] == "'user.name=it'\\''s me'"
    assert (found["GIT_CONFIG_COUNT"], found["GIT_CONFIG_VALUE_1"]) == ("2", "11")
    assert local_environment({"GIT_CONFIG_PARAMETERS": "'torn"})["GIT_CONFIG_PARAMETERS"] == ""


def test_git_takes_what_is_left_of_it(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "r")
    env = {**local_environment({**environment(), **SECRETS})}
    assert repo.git("config", "core.abbrev", env=env).strip() == "11"
    assert repo.git("config", "user.name", env=env).strip() == "it's me"


@pytest.mark.parametrize("partial", [False, True])
def test_a_lasting_git_of_a_whole_clone_gets_none_and_of_a_partial_one_what_it_fetches_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partial: bool
) -> None:
    repo = Repository(tmp_path / "r")
    repo.commit("a file", {"f": "x\n"})
    if partial:
        (Path(repo.path) / ".git/objects/pack/pack-1.promisor").write_text("")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    lasting = PersistentProcess(discover(repo.path, environment()), "cat-file", "--batch", local=True)
    try:
        lasting.send(b"HEAD:f\n")
        assert lasting.line().endswith(b" blob 2")
        assert lasting.exactly(3) == b"x\n\n"
        assert lasting._process is not None
        shown = Path(f"/proc/{lasting._process.pid}/environ").read_bytes()
    finally:
        lasting.close()
    assert (b"secret" in shown) == partial
