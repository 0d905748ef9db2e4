"""Pushing and pulling: both sides' events land, in one line; of two contents of one version exactly one stays."""

from __future__ import annotations

import threading

import pytest

from gitml.errors import InputError, IntegrityError, RemoteError
from gitml.git.log.remote_refs import tip_of
from gitml.layout import REGISTRY_REF
from registry.interface import Interface
from registry.registry import Registry
from tests.kit.projects.module_folders import module_folders
from tests.kit.projects.repository import Repository


@pytest.fixture
def hub(tmp_path):
    return Repository(tmp_path / "hub.git", bare=True)


@pytest.fixture
def ann(tmp_path, hub):
    with module_folders(tmp_path / "ann") as made:
        made.repo.git("remote", "add", "origin", hub.path)
        yield made


@pytest.fixture
def bob(tmp_path, hub):
    with module_folders(tmp_path / "bob") as made:
        made.repo.git("remote", "add", "origin", hub.path)
        made.clock.now += 0.5
        yield made


def versions(module_folders, name="m"):
    return [v.version for v in module_folders.registry.versions(name)]


def is_linear(repo):
    lines = repo.git("log", "--first-parent", "--format=%s", "refs/gitml/registry").split("\n")
    return lines[-1] == "gitml log" and "join two lines" not in lines


def test_what_one_pushes_another_pulls(ann, bob, hub):
    assert bob.registry.pull().received == 0
    ann.publish("1.0.0", default=True)
    assert ann.registry.push()[:2] == (0, 1)
    assert ann.registry.push()[:2] == (0, 0)
    assert bob.registry.pull()[:2] == (1, 0)
    assert bob.registry.resolve("m") == ann.registry.resolve("m")
    assert bob.registry.verify().problems == ()
    hub.git("fsck", "--strict")


def test_two_who_publish_at_once_both_land_in_one_line(ann, bob, hub):
    ann.publish("1.0.0")
    ann.registry.push()
    bob.registry.pull()
    ann.publish("1.1.0")
    bob.publish("1.2.0")
    bob.registry.deprecate("m", "1.0.0", reason="old")
    ann.registry.push()
    shared = bob.registry.push()
    assert (shared.received, shared.sent, shared.withdrawn) == (1, 2, ())
    ann.registry.pull()
    assert versions(ann) == versions(bob) == ["1.2.0", "1.1.0", "1.0.0"]
    assert ann.registry.history("m") == bob.registry.history("m")
    assert is_linear(hub)
    assert [e.at for e in ann.registry.history("m")] == sorted(e.at for e in ann.registry.history("m"))
    assert ann.registry.verify().problems == ()


def test_of_two_contents_of_one_version_the_one_that_arrived_first_stays(ann, bob, hub):
    bob.publish("1.0.0", "of bob")  # first by the clock, second to arrive
    bob.registry.deprecate("m", "1.0.0", reason="mine is bad")
    bob.publish("1.1.0")
    ann.publish("1.0.0", "of ann")
    ann.registry.push()
    shared = bob.registry.push()
    assert [(w.event.kind, w.event.version) for w in shared.withdrawn] == [("publish", "1.0.0"), ("deprecate", "1.0.0")]
    assert "published with other content" in shared.withdrawn[0].why
    ann.registry.pull()
    for side in (ann, bob):
        kept = side.registry.version("m", "1.0.0")
        assert kept.content == "git:" + ann.repo.git("rev-parse", "HEAD:m")
        assert kept.state == "active"
        assert versions(side) == ["1.1.0", "1.0.0"]
    assert is_linear(hub)


def test_the_same_content_published_by_both_is_one_version(ann, bob):
    ann.publish("1.0.0", "x")
    bob.publish("1.0.0", "x")
    ann.registry.push()
    assert bob.registry.push() == (1, 0, ())
    assert len(bob.registry.history("m")) == 1


def test_what_the_rules_refuse_after_the_others_events_is_withdrawn(ann, bob):
    for version in ("1.0.0", "2.0.0"):
        ann.publish(version)
    ann.registry.push()
    bob.registry.pull()
    ann.registry.set_default("m", "2.0.0")
    bob.registry.deprecate("m", "2.0.0", reason="odd")
    ann.registry.push()
    shared = bob.registry.push()
    assert [w.event.kind for w in shared.withdrawn] == ["deprecate"]
    assert bob.registry.module("m").default == "2.0.0"


def test_an_incompatible_interface_is_refused_after_the_others_too(ann, bob):
    ann.publish("1.0.0")
    bob.publish("1.1.0", None, Interface())
    ann.registry.push()
    assert ["parameter" in w.why for w in bob.registry.push().withdrawn] == [True]


@pytest.mark.slow
def test_many_who_push_at_once_all_land(tmp_path, hub):
    people = 4
    shelves = []
    for person in range(people):
        made = module_folders(tmp_path / f"p{person}", name=f"m{person}")
        shelves.append((made, made.__enter__()))
        shelves[-1][1].repo.git("remote", "add", "origin", hub.path)
        shelves[-1][1].publish("1.0.0")
        shelves[-1][1].publish("1.1.0")
    threads = [threading.Thread(target=one.registry.push) for _, one in shelves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = shelves[0][1]
    first.registry.pull()
    assert [m.name for m in first.registry.modules()] == [f"m{n}" for n in range(people)]
    assert is_linear(hub)
    assert len(first.log()) == 2 * people
    for made, _ in shelves:
        made.__exit__(None, None, None)


def test_two_published_lines_are_joined_and_nothing_is_lost(ann, bob, tmp_path):
    other = Repository(tmp_path / "other.git", bare=True)
    ann.publish("1.0.0")
    ann.registry.push()
    bob.publish("2.0.0")
    bob.registry.push(other.path)
    bob.registry.pull()  # what bob has is on the other remote, so it must not be rewritten
    bob.registry.push()
    bob.registry.push(other.path)
    assert versions(bob) == ["2.0.0", "1.0.0"]
    ann.registry.pull()
    assert versions(ann) == ["2.0.0", "1.0.0"]
    verified = ann.registry.verify()
    assert (verified.problems, verified.events, len(verified.records)) == ((), 2, 3)


def test_two_published_contents_of_one_version_are_refused(ann, bob, tmp_path):
    other = Repository(tmp_path / "other.git", bare=True)
    ann.publish("1.0.0", "a")
    ann.registry.push()
    bob.publish("1.0.0", "b")
    bob.registry.push(other.path)
    tip = bob.registry.tip()
    with pytest.raises(IntegrityError, match="one content here and another there"):
        bob.registry.pull()
    assert bob.registry.tip() == tip


def test_a_remote_that_is_not_there_is_a_remote_error_and_an_option_is_none(ann, tmp_path):
    ann.publish("1.0.0")
    with pytest.raises(RemoteError):
        ann.registry.push(str(tmp_path / "nowhere.git"))
    with pytest.raises(InputError, match="no remote 'nowhere'"):
        ann.registry.push("nowhere")
    for remote in ("", "--upload-pack=touch x", "-x", "a\nb"):
        with pytest.raises(InputError):
            ann.registry.pull(remote)


def test_content_that_is_not_what_its_event_names_is_not_taken_in(ann, bob, hub):
    ann.publish("1.0.0")
    tip = ann.repo.git("rev-parse", "refs/gitml/registry")
    env = {"GIT_INDEX_FILE": ann.repo.file(".git/scratch")}
    ann.repo.git("read-tree", tip, env=env)
    blob = ann.repo.git("hash-object", "-w", "--stdin", input=b"evil")
    ann.repo.git("update-index", "--add", "--cacheinfo", f"100644,{blob},modules/m/@1.0.0/module.yaml", env=env)
    forged = ann.repo.git("commit-tree", "-p", tip, "-m", "forged", ann.repo.git("write-tree", env=env))
    ann.repo.git("push", "-q", "origin", f"{forged}:refs/gitml/registry")
    with pytest.raises(IntegrityError, match="not the content its event names"):
        bob.registry.pull()
    assert bob.registry.tip() is None
    ann.repo.git("update-ref", "refs/gitml/registry", forged)
    problems = ann.registry.verify().problems
    assert any("not the one that was published" in p for p in problems)
    assert any("changed by the record" in p for p in problems)


def test_a_registry_of_another_repository_is_cloned_once_and_read_offline(ann, hub, tmp_path):
    ann.publish("1.0.0")
    ann.registry.push()
    with module_folders(tmp_path / "user") as user:
        home = (user.registry.location, user.registry.objects)
        with Registry.shared(home[0], hub.path, home) as shared:
            assert shared.resolve("m").version == "1.0.0"
        (tmp_path / "hub.git").rename(tmp_path / "gone.git")
        with Registry.shared(home[0], hub.path, home) as shared:
            assert shared.resolve("m").version == "1.0.0"
            with pytest.raises(RemoteError):
                shared.pull()


def test_publishing_into_a_registry_of_another_repository_takes_the_content_along(hub, tmp_path):
    with module_folders(tmp_path / "user") as user:
        home = (user.registry.location, user.registry.objects)
        with Registry.shared(home[0], hub.path, home) as shared:
            user.registry, own = shared, user.registry
            user.publish("1.0.0")
            shared.push()
            assert shared.verify().problems == ()
            user.registry = own
    assert hub.git("ls-tree", "-r", "--name-only", "refs/gitml/registry", "modules").split("\n") == [
        "modules/m/@1.0.0/module.yaml",
        "modules/m/@1.0.0/src/a.py",
    ]


def replaced(hub, tmp_path, content="of mallory"):
    """The registry of `hub` replaced by another one, with the same version of other content; its tip."""
    with module_folders(tmp_path / "mallory") as other:
        other.publish("1.0.0", content)
        other.repo.git("push", "-q", "--force", hub.path, "refs/gitml/registry")
    return hub.git("rev-parse", "refs/gitml/registry").strip()


def tips(side):
    return {
        ref: tip_of(side.registry.journal.location, ref) for ref in (REGISTRY_REF, "refs/gitml/remotes/origin/registry")
    }


@pytest.mark.parametrize("fetched_before", [False, True])
def test_a_registry_that_was_replaced_is_refused_and_both_tips_are_named(ann, bob, hub, tmp_path, fetched_before):
    ann.publish("1.0.0", "of ann", default=True)
    ann.registry.push()
    bob.registry.pull()
    before = tips(bob)
    kept = bob.registry.resolve("m")
    theirs = replaced(hub, tmp_path)
    if fetched_before:  # by a plain `git fetch`, which forces the tracking ref
        bob.repo.git("fetch", "-q", "origin", "+refs/gitml/registr*:refs/gitml/remotes/origin/registr*")
    for side in (bob, ann):
        with pytest.raises(IntegrityError) as error:
            side.registry.pull()
        assert error.value.exit_code == 3
        assert before[REGISTRY_REF][:12] in str(error.value.message)
        assert theirs[:12] in str(error.value.message)
        assert tips(side) == before
        assert side.registry.resolve("m") == kept
        (problem,) = side.registry.verify().problems
        assert before[REGISTRY_REF] in problem
        assert theirs in problem
    with pytest.raises(IntegrityError):
        bob.registry.push()


def test_a_registry_that_was_set_back_is_refused_and_mended_by_a_push(ann, bob, hub):
    ann.publish("1.0.0")
    ann.registry.push()
    first = hub.git("rev-parse", "refs/gitml/registry").strip()
    ann.publish("1.1.0")
    ann.registry.push()
    bob.registry.pull()
    hub.git("update-ref", "refs/gitml/registry", first)
    with pytest.raises(IntegrityError, match="does not follow it"):
        bob.registry.pull()
    assert versions(bob) == ["1.1.0", "1.0.0"]
    assert bob.registry.verify().problems != ()
    bob.registry.push()
    assert bob.registry.verify().problems == ()
    assert hub.git("rev-parse", "refs/gitml/registry").strip() == tips(bob)[REGISTRY_REF]
    ann.registry.pull()


def test_another_registry_can_be_accepted_by_hand(ann, bob, hub, tmp_path):
    ann.publish("1.0.0", "of ann")
    ann.registry.push()
    bob.registry.pull()
    replaced(hub, tmp_path, "of ann")
    with pytest.raises(IntegrityError):
        bob.registry.pull()
    bob.repo.git("update-ref", "-d", "refs/gitml/taken/origin/registry")
    bob.repo.git("update-ref", "-d", "refs/gitml/remotes/origin/registry")
    bob.registry.pull()
    assert bob.registry.verify().problems == ()
