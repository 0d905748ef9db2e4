"""Records over real servers: OpenSSH, and smart HTTP with a credential helper; and what is said when they refuse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project
from tests.kit.projects.team import Team
from tests.kit.servers.git_servers import Http, Ssh, free_port, http_server, ssh_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("git-servers")]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    with ssh_server(tmp_path_factory.mktemp("s") / "ssh") as server:
        yield server


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def web(team: Team) -> Iterator[Http]:
    team.hub.git("config", "http.receivepack", "true")
    with http_server(team.path) as server:
        yield server


def helper(web: Http, password: str | None = None) -> str:
    """A credential helper that knows the password."""
    return (
        f"!f() {{ test $1 = get && printf 'username=%s\\npassword=%s\\n' {web.user} '{password or web.password}'; }}; f"
    )


def all_text(person: Project) -> bytes:
    """All bytes of the repository's own files, objects and records included."""
    texts = [person.repo.git_bytes("cat-file", "--batch-all-objects", "--batch")]
    for place, _, names in os.walk(person.path / ".git"):
        texts += [(Path(place) / name).read_bytes() for name in names]
    return b"\n".join(texts)


def test_records_go_over_ssh_with_the_users_own_key(team: Team, sshd: Ssh) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    for person in (ann, bob):
        person.repo.git("remote", "set-url", "origin", sshd.url(team.hub.path))
        person.repo.git("config", "core.sshCommand", sshd.command)
    run = ann.run("-S", "who=ann")
    bob.run("-S", "who=bob")
    assert ann.do("push", "--json").json["sent"]["runs"] == 1
    moved = bob.do("push", "--json").json
    assert (moved["received"]["runs"], moved["sent"]["runs"]) == (1, 1)
    assert ann.do("pull", "--json").json["received"]["runs"] == 1
    assert run["run"] in team.runs_of(bob)
    clone = ann.do(
        "clone", sshd.url(team.hub.path), "cat", "--json", cwd=team.path, env={"GIT_SSH_COMMAND": sshd.command}
    )
    assert clone.json["received"]["runs"] == 2


def test_a_key_that_the_host_does_not_know_is_refused_at_once(team: Team, sshd: Ssh, tmp_path: Path) -> None:
    ann = team.person("ann")
    ann.repo.git("remote", "set-url", "origin", sshd.url(team.hub.path))
    ann.run()
    stranger = f"ssh -F none -o IdentitiesOnly=yes -i {tmp_path}/none -o UserKnownHostsFile={sshd.known_hosts}"
    done = ann.do("push", env={"GIT_SSH_COMMAND": stranger}, code=7)
    assert "does not let you in" in done.err
    assert done.err.count("\n") == 1
    unknown = sshd.command.replace(str(sshd.known_hosts), str(tmp_path / "nobody"))
    done = ann.do("push", env={"GIT_SSH_COMMAND": unknown}, code=7)
    assert "does not know the host's key" in done.err
    assert done.err.count("\n") == 1


def test_records_go_over_http_with_a_credential_helper_and_the_password_stays_out_of_everything(
    team: Team, web: Http
) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    for person in (ann, bob):
        person.repo.git("remote", "set-url", "origin", web.url())
        person.repo.git("config", "credential.helper", helper(web))
    ann.run("-S", "who=ann")
    bob.run("-S", "who=bob")
    told = [ann.do("push"), bob.do("push"), ann.do("fetch", "--json"), ann.do("push", "-n", "--json")]
    assert told[2].json["received"]["runs"] == 1
    assert "git-receive-pack" in " ".join(path for _, path, user in web.asked if user == "ann")
    ann.repo.git("config", "--unset", "credential.helper")
    assert web.password.encode() not in all_text(ann)
    assert not any(web.password in done.out + done.err for done in told)


def test_a_password_in_a_url_is_neither_shown_nor_kept(team: Team, web: Http) -> None:
    ann = team.person("ann")
    ann.run()
    good = web.url(credentials=f"{web.user}:{web.password}@")
    told = [ann.do("push", good), ann.do("push", good, "--json"), ann.do("fetch", good)]
    assert told[0].out == f"{web.url()}: 1 run sent\n"
    bad = web.url("nothing.git", credentials=f"{web.user}:{web.password}@")
    told += [ann.do("push", bad, code=6), ann.do("fetch", bad, code=6)]
    wrong = web.url(credentials=f"{web.user}:{web.password}-not@")
    told += [ann.do("fetch", wrong, code=7)]
    assert not any(web.password in done.out + done.err for done in told)
    assert web.password.encode() not in all_text(ann)


def test_insteadof_and_a_proxy_are_those_of_the_users_git(team: Team, web: Http) -> None:
    ann = team.person("ann")
    ann.repo.git("config", f"url.{web.url('')}.insteadOf", "work:")
    ann.repo.git("config", "credential.helper", helper(web))
    ann.repo.git("remote", "set-url", "origin", "work:hub.git")
    ann.run()
    assert ann.do("push", "--json").json["sent"]["runs"] == 1
    ann.repo.git("config", "http.proxy", f"http://127.0.0.1:{free_port()}")
    assert "can't be reached" in ann.do("fetch", code=6).err


def test_nobody_is_asked_for_a_password_where_nobody_can_answer(team: Team, web: Http) -> None:
    ann = team.person("ann")
    ann.repo.git("remote", "set-url", "origin", web.url())
    ann.run()
    for verb in ("push", "fetch", "pull"):
        done = ann.do(verb, code=7)
        assert "does not let you in" in done.err
        assert "credential helper" in done.err
        assert done.err.count("\n") == 1
    ann.repo.git("config", "credential.helper", helper(web, "wrong"))
    assert "does not let you in" in ann.do("push", code=7).err
    clone = ann.do("clone", web.url(), "new", cwd=team.path, code=7)
    assert "does not let you in" in clone.err
    assert not (team.path / "new").exists()
