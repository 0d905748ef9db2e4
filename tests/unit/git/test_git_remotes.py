"""Names of remotes and the private refs of their logs."""

from __future__ import annotations

import pytest

from gitml.errors import InputError
from gitml.git.errors import explain
from gitml.git.log.remote_refs import (
    check_remote,
    configured,
    default_remote,
    refspecs,
    tip_of,
    tracked,
    tracking_ref,
    without_secrets,
)
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, isolate


@pytest.fixture(params=["sha1", "sha256"])
def repo(tmp_path, monkeypatch, request):
    isolate(monkeypatch)
    made = Repository(tmp_path / "r", object_format=request.param)
    made.commit("one")
    return made


def test_every_remote_has_private_refs_of_its_own():
    assert tracking_ref("origin", "runs") == "refs/gitml/remotes/origin/runs"
    odd = ["https://a/x", "a/b", "..", "x.lock", "ä", "https://a/y", "a..b"]
    refs = {tracking_ref(remote, "runs") for remote in odd}
    assert len(refs) == len(odd)
    assert all(ref.split("/")[3].isalnum() and len(ref.split("/")) == 5 for ref in refs)


def test_a_password_has_no_part_in_the_name_of_a_ref():
    assert tracking_ref("https://u:one@a/x", "runs") == tracking_ref("https://u:two@a/x", "runs")
    assert "word" not in "".join(refspecs("https://u:word@a/x"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://u:p@h/x", "https://h/x"),
        ("fatal: unable to access 'https://tok@h/x/': no", "fatal: unable to access 'https://h/x/': no"),
        ("git@github.com:a/b", "git@github.com:a/b"),
        ("ssh://git@h:22/x https://a:b@c/d", "ssh://h:22/x https://c/d"),
    ],
)
def test_user_and_password_are_left_out_of_urls(text, left):
    assert without_secrets(text) == left


@pytest.mark.parametrize("remote", ["", "-x", "--upload-pack=x", "a\nb", "a\x7f"])
def test_what_git_could_take_for_something_else_is_no_remote(remote):
    with pytest.raises(InputError):
        check_remote(remote)


def test_tips_are_found_loose_and_packed(repo):
    location = discover(repo.path, {})
    head = repo.git("rev-parse", "HEAD")
    refs = ["refs/gitml/remotes/a/runs", "refs/gitml/remotes/b/runs"]
    for ref in refs:
        repo.git("update-ref", ref, head)
    repo.git("update-ref", "refs/gitml/remotes/a/registry", head)
    assert tracked(location, "runs") == dict.fromkeys(refs, head)
    repo.git("pack-refs", "--all")
    assert tracked(location, "runs") == dict.fromkeys(refs, head)
    assert tip_of(location, refs[0]) == head
    newer = repo.commit("two")
    repo.git("update-ref", refs[0], newer)
    assert tracked(location, "runs") == {refs[0]: newer, refs[1]: head}
    repo.git("update-ref", "-d", refs[1])
    assert tracked(location, "runs") == {refs[0]: newer}
    assert tip_of(location, refs[1]) is None


def test_the_usual_remote(repo):
    location = discover(repo.path, {})
    with pytest.raises(InputError, match="no remote"):
        default_remote(location)
    repo.git("remote", "add", "team/one", "x")
    assert default_remote(location) == "team/one"
    repo.git("remote", "add", "two", "y")
    with pytest.raises(InputError, match="which remote"):
        default_remote(location)
    repo.git("remote", "add", "origin", "z")
    assert default_remote(location) == "origin"
    repo.git("config", "branch.main.remote", "two")
    assert default_remote(location) == "two"
    repo.git("checkout", "-q", "--detach")
    assert default_remote(location) == "origin"
    assert configured(location) == ("origin", "team/one", "two")


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ("fatal: Authentication failed for 'https://u:pw@h/'", 7, "does not let you in"),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", 7, "publickey"),
        ("remote: HTTP Basic: Access denied\nfatal: Authentication failed", 7, "does not let you in"),
        ("fatal: unable to access 'x': SSL certificate problem: self signed", 7, "certificate is not trusted"),
        ("fatal: unable to access 'x': Could not resolve host: h", 6, "can't be reached"),
        ("ssh: connect to host h port 22: Connection timed out", 6, "can't be reached"),
        ("fatal: the remote end hung up unexpectedly\nfatal: early EOF", 6, "connection broke"),
        (
            "remote: fatal: No space left on device\nerror: remote unpack failed: index-pack abnormal exit",
            6,
            "could not take it",
        ),
        ("fatal: write error: No space left on device", 5, "No space left"),
        ("fatal: mismatched algorithms: client sha1; server sha256", 6, "mismatched"),
        ("error: inflate: data stream error\nfatal: pack has bad object", 3, "not whole"),
        ("fatal: transport 'ext' not allowed", 7, "ext"),
        (
            "fatal: detected dubious ownership in repository at '/srv/t.git'\nTo add an exception for this directory, call:\n"
            "fatal: Could not read from remote repository.",
            7,
            "folder of another user: detected dubious ownership in repository at '/srv/t.git'",
        ),
        (
            "remote: error: insufficient permission for adding an object to repository database ./objects",
            7,
            "belong to another user",
        ),
        ("", 6, "without a word"),
    ],
)
def test_what_git_says_becomes_one_error_with_its_mend(repo, said, code, told):
    error = explain(discover(repo.path, {}), "fetch", "https://u:pw@h/x", said)
    assert error.exit_code == code
    assert told in error.message
    assert error.where == (repo.path if code == 5 else "https://h/x")  # a full disk is this one
    assert error.hint
    assert "pw" not in f"{error.message}{error.where}{error.hint}"
    assert "\n" not in error.message
