from __future__ import annotations

import hashlib
import os

import pytest

from gitml.errors import InputError, IntegrityError
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from gitml.git.revisions import branch_name, commit_info, resolve_commit, user_ident
from tests.kit.projects.repository import DATE, Repository, isolate


@pytest.fixture
def repo(tmp_path, monkeypatch):
    isolate(monkeypatch)
    return Repository(tmp_path / "r")


@pytest.fixture
def resolve(repo):
    location = discover(repo.path, {})
    with Objects(location) as objects:
        yield lambda rev: resolve_commit(objects, location, rev)


def test_every_way_to_name_a_commit(repo, resolve):
    first = repo.commit("first line", {"a": "1"})
    second = repo.commit("second", {"a": "2"})
    repo.git("tag", "light", first)
    repo.git("tag", "-a", "-m", "annotated", "v1.0", first)
    repo.git("branch", "feature/x", first)
    for rev in (
        "HEAD~1",
        "HEAD^",
        "light",
        "v1.0",
        "feature/x",
        first[:8],
        first,
        "refs/tags/v1.0",
        ":/first line",
        "@{1}",
        "main@{1}",
    ):
        assert resolve(rev) == first, rev
    for rev in ("HEAD", "main", "@", "@{0}", second.upper()[:12].lower()):
        assert resolve(rev) == second, rev


def test_an_unknown_revision_names_what_is_near(repo, resolve):
    repo.commit("one")
    repo.git("branch", "feature/learning-rate")
    with pytest.raises(InputError, match="unknown revision 'feature/learnin-rate'") as caught:
        resolve("feature/learnin-rate")
    assert "feature/learning-rate" in caught.value.hint


@pytest.mark.parametrize(
    "rev", ["--output=f", "-n1", "nope", "@{99999}", "nope@{1}", "HEAD:a", "HEAD^{tree}", "a b", "HEAD@{u}"]
)
def test_what_is_no_commit_is_refused_in_one_line(repo, resolve, rev):
    repo.commit("one", {"a": "1"})
    with pytest.raises(InputError) as caught:
        resolve(rev)
    assert "\n" not in caught.value.message
    assert sorted(os.listdir(repo.path)) == [".git", "a"]


@pytest.mark.parametrize("rev", ["HEAD\n", "a\0b", "", "@{1}\n"])
def test_control_characters_are_refused(repo, resolve, rev):
    repo.commit("one")
    with pytest.raises(InputError, match="not a revision"):
        resolve(rev)


def test_a_range_is_refused_where_one_revision_is_wanted(repo, resolve):
    with pytest.raises(InputError, match="range"):
        resolve("a..b")


def test_before_the_first_commit_head_is_no_commit_yet(resolve):
    with pytest.raises(InputError, match="no commit yet"):
        resolve("HEAD")


def test_a_beginning_of_several_ids_is_ambiguous(repo, resolve):
    tree = repo.git("hash-object", "-w", "-t", "tree", "--stdin", input=b"")
    beginnings = set()
    for number in range(5000):
        content = f"tree {tree}\nauthor a <a> {number} +0000\ncommitter a <a> 0 +0000\n\nx\n".encode()
        start = hashlib.sha1(b"commit %d\0%s" % (len(content), content)).hexdigest()[:4]
        if start in beginnings:
            break
        beginnings.add(start)
    for other in range(number + 1):
        content = f"tree {tree}\nauthor a <a> {other} +0000\ncommitter a <a> 0 +0000\n\nx\n".encode()
        if hashlib.sha1(b"commit %d\0%s" % (len(content), content)).hexdigest()[:4] == start:
            repo.git("hash-object", "-w", "-t", "commit", "--stdin", input=content)
    with pytest.raises(InputError, match="several"):
        resolve(start)


def test_what_a_commit_says(repo):
    first = repo.commit("Subject é\n\nbody\n", {"a": "1"})
    second = repo.commit("two")
    with Objects(discover(repo.path, {})) as objects:
        info = commit_info(objects, second)
        assert info.parents == (first,)
        assert info.tree == repo.git("rev-parse", "HEAD^{tree}")
        assert (info.author, info.time, info.subject) == ("Ada <ada@example.org>", DATE + 120, "two")
        assert commit_info(objects, first).subject == "Subject é"
        assert commit_info(objects, first).parents == ()
        with pytest.raises(IntegrityError, match="not a commit"):
            commit_info(objects, repo.git("rev-parse", "HEAD:a"))


def test_an_old_encoding_is_read(repo):
    repo.git("config", "i18n.commitEncoding", "latin1")
    repo.write({"m": "caf\xe9".encode("latin1")})
    repo.git("commit", "-q", "--allow-empty", "-F", "m")
    with Objects(discover(repo.path, {})) as objects:
        assert commit_info(objects, repo.git("rev-parse", "HEAD")).subject == "café"


def test_the_branch_of_head(repo):
    location = discover(repo.path, {})
    assert branch_name(location) == "main"
    repo.commit("one")
    repo.git("switch", "-qc", "feature/x")
    assert branch_name(location) == "feature/x"
    repo.git("checkout", "-q", "--detach")
    assert branch_name(location) is None


def test_who_works_here(repo, monkeypatch):
    location = discover(repo.path, {})
    assert user_ident(location) == "Ada <ada@example.org>"
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    monkeypatch.delenv("GIT_AUTHOR_EMAIL")
    repo.git("config", "user.name", "Grace H")
    repo.git("config", "user.email", "grace@example.org")
    assert user_ident(location) == "Grace H <grace@example.org>"
    repo.git("config", "--remove-section", "user")
    monkeypatch.setenv("USER", "someone")
    assert user_ident(location).startswith("someone <someone@")
