"""What a use of a module means for a pipeline: by the lock, by the registry, from another repository, offline."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.errors import InputError, IntegrityError
from gitml.git.integrity import repairs
from gitml.git.repository import discover
from gitml.modules.folder import check_folder, create_module, load_spec, publish_folder
from gitml.modules.lockfile import lock_as_bytes, parse_lock
from gitml.modules.registry_places import registries_in
from gitml.modules.service import ModuleService
from tests.kit.projects.repository import Repository


class Project:
    """A repository with the module that `gitml module init` writes, and its Modules."""

    def __init__(self, path, registries=None):
        self.repo = Repository(path)
        self.modules = ModuleService(discover(self.repo.path, {}), None, registries)
        if not os.path.exists(self.repo.file("m")):
            create_module(self.repo.file("m"), "count")
        self.repo.commit("a module")

    def publish(self, version, **options):
        path = self.repo.file("m/module.yaml")
        with open(path) as file:
            lines = [f"version: {version}\n" if line.startswith("version:") else line for line in file]
        with open(path, "w") as file:
            file.writelines(lines)
        self.repo.commit(version)
        return publish_folder(self.modules, self.repo.file("m"), **options)

    def lock(self, use):
        entry = self.modules.resolve(use).entry
        return {entry.use: entry}


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "p")
    yield made
    made.modules.close()


def test_a_begun_module_is_right_and_can_be_published_and_read_back(project):
    assert check_folder(project.repo.file("m")).name == "count"
    project.publish("1.0.0", default=True)
    found = project.modules.resolve("count")
    assert (found.entry.version, found.state, found.entry.registry) == ("1.0.0", "active", "")
    spec = load_spec(project.modules.objects, found.content_oid)
    assert spec == check_folder(project.repo.file("m"))


def test_without_a_lock_the_newest_is_meant_and_with_it_what_it_says(project):
    project.publish("1.0.0")
    lock = parse_lock(lock_as_bytes(project.lock("count@^1")))
    project.publish("1.1.0")
    assert project.modules.resolve("count@^1").entry.version == "1.1.0"
    assert project.modules.resolve("count@^1", lock).entry.version == "1.0.0"
    assert project.modules.resolve("count", lock).entry.version == "1.1.0"
    assert lock["count@^1"].state == project.repo.git("rev-parse", "refs/gitml/registry~1")


def test_a_locked_version_that_was_disabled_is_refused_unless_it_is_allowed(project):
    project.publish("1.0.0")
    lock = project.lock("count")
    project.modules.registry().disable("count", "1.0.0", reason="leaks")
    with pytest.raises(InputError, match=r"count 1.0.0 is disabled: leaks"):
        project.modules.resolve("count", lock)
    found = project.modules.resolve("count", lock, allow_disabled=True)
    assert (found.entry.version, found.state) == ("1.0.0", "disabled")


def test_a_locked_version_that_was_deprecated_warns(project):
    project.publish("1.0.0")
    lock = project.lock("count")
    project.modules.registry().deprecate("count", reason="old")
    assert project.modules.resolve("count", lock).warnings == ("module count is deprecated: old",)


def test_a_lock_that_names_another_content_is_refused(project):
    project.publish("1.0.0")
    lock = project.lock("count")
    bad = {use: entry._replace(content="git:" + "1" * 40) for use, entry in lock.items()}
    with pytest.raises(IntegrityError, match="another content"):
        project.modules.resolve("count", bad)


def test_without_the_registry_the_lock_suffices_where_the_content_is_here(project):
    project.publish("1.0.0")
    lock = project.lock("count")
    project.modules.close()
    project.repo.git("update-ref", "-d", "refs/gitml/registry")
    os.unlink(project.repo.file(".git/gitml/registry.db"))  # else the registry is restored to where it ended
    found = project.modules.resolve("count", lock)
    assert (found.entry.version, found.state) == ("1.0.0", "unknown")
    assert "gitml.lock alone" in found.warnings[0]
    gone = {use: entry._replace(content="git:" + "1" * 40) for use, entry in lock.items()}
    with pytest.raises(InputError, match="is not in the registry here"):
        project.modules.resolve("count", gone)


def test_a_deleted_registry_is_restored_to_where_it_ended_and_that_is_said(project):
    project.publish("1.0.0")
    lock = project.lock("count")
    tip = project.repo.git("rev-parse", "refs/gitml/registry")
    project.repo.git("update-ref", "-d", "refs/gitml/registry")
    told = []
    repairs.listen(told.append)
    found = project.modules.resolve("count", lock)
    assert (found.entry.version, found.state, found.warnings) == ("1.0.0", "active", ())
    assert project.repo.git("rev-parse", "refs/gitml/registry") == tip
    assert told == [f"refs/gitml/registry was restored to {tip[:12]}: it was deleted"]


@pytest.mark.parametrize("alias", ["team", ""])
def test_content_of_another_registry_is_brought_here_and_stays(tmp_path, alias):
    shared = Project(tmp_path / "shared")
    shared.publish("1.0.0")
    shared.modules.close()
    user = Repository(tmp_path / "user")
    user.commit("x", {"a": "a"})
    modules = ModuleService(discover(user.path, {}), None, {alias: "../shared"})
    use = f"{alias}:count@^1" if alias else "count@^1"
    found = modules.resolve(use)
    assert found.entry.use == use
    assert load_spec(modules.objects, found.content_oid).name == "count"
    entry = found.entry
    modules.close()
    shutil.rmtree(tmp_path / "shared")
    user.git("gc", "-q", "--prune=now")
    modules = ModuleService(discover(user.path, {}), None, {alias: "../shared"})
    assert modules.resolve(use, {entry.use: entry}).content_oid == found.content_oid
    shutil.rmtree(tmp_path / "user/.git/gitml/registries")
    assert load_spec(modules.objects, found.content_oid).name == "count"
    modules.close()


def test_a_registry_that_is_not_named_is_told_with_the_nearest(tmp_path):
    repo = Repository(tmp_path / "r")
    modules = ModuleService(discover(repo.path, {}), None, {"team": "../x"})
    with pytest.raises(InputError, match=r"no registry 'taem' \(did you mean 'team'\?\)"):
        modules.resolve("taem:count")
    modules.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"<<<<<<< HEAD\n",
        b'{"format": 1, "modules": {"a": {}}}',
        b"[" * 9999,
    ],
)
def test_what_is_no_lock_is_refused_by_name(data):
    with pytest.raises(InputError, match="not a lock file") as caught:
        parse_lock(data)
    assert caught.value.where == "gitml.lock"


def test_a_lock_of_a_newer_format_is_refused_by_name():
    with pytest.raises(
        InputError, match="a lock file of format 2, written by a newer gitml; this one reads format 1"
    ) as caught:
        parse_lock(b'{"format": 2, "modules": {}}')
    assert (caught.value.where, caught.value.hint) == ("gitml.lock", "use the newer gitml")


def test_an_entry_of_a_lock_that_is_about_something_else_is_refused(project):
    project.publish("1.0.0")
    raw = json.loads(lock_as_bytes(project.lock("count")))
    raw["modules"]["other"] = raw["modules"]["count"]
    with pytest.raises(InputError, match="'other' is about 'count'"):
        parse_lock(json.dumps(raw).encode())


def test_registries_are_read_from_the_settings():
    assert registries_in(b"registry: https://x/y.git\nregistries: {team: ../t}\ndefaults: {}\n") == {
        "": "https://x/y.git",
        "team": "../t",
    }
    assert registries_in(b"defaults: {}\n") == {}
    for bad in (b"registry: --upload-pack=x\n", b"registries: [a]\n", b"registries: {'a b': x}\n"):
        with pytest.raises(SpecError):
            registries_in(bad)


def test_an_environment_that_is_not_in_the_folder_is_told(project):
    with open(project.repo.file("m/module.yaml"), "a") as file:
        file.write("environment: requirements.txt\n")
    with pytest.raises(SpecError, match=r"requirements.txt"):
        check_folder(project.repo.file("m"))
    with pytest.raises(SpecError, match=r"requirements.txt"):
        project.publish("1.0.0")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("script", "the command starts no Python script"),
        ("{script: other.py}", "environment file 'other.py' is not in the module's folder"),
        ('{image: "python:3.12"}', "is named by a tag, which may be moved: a module names it by its digest"),
    ],
)
def test_an_environment_that_no_version_could_have_is_not_published(project, environment, message):
    with open(project.repo.file("m/module.yaml"), "w") as file:
        file.write("name: count\nversion: 0.1.0\nrun: bash -c 'date > ${{ outputs.o }}'\noutputs: {o: file}\n")
        file.write(f"environment: {environment}\n")
    for refused in (lambda: check_folder(project.repo.file("m")), lambda: project.publish("1.0.0")):
        with pytest.raises(SpecError) as caught:
            refused()
        assert message in str(caught.value)
