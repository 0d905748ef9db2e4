"""The projection can be deleted, damaged, or of another schema: it is made anew, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from gitml.errors import IntegrityError
from gitml.git.repository import discover
from registry.registry import Registry


@pytest.fixture
def two(here):
    here.publish("1.0.0")
    here.publish("1.1.0", default=True)
    here.registry.deprecate("m", "1.0.0", reason="old")
    here.registry.close()
    return here


def path_of(shelf):
    return shelf.repo.file(".git/gitml/registry.db")


def answer(shelf):
    with Registry(discover(shelf.repo.path, {})) as registry:
        return registry.modules(), registry.history("m"), registry.resolve("m")


def deleted(path):
    os.unlink(path)


def emptied(path):
    open(path, "wb").close()


def overwritten(path):
    with open(path, "wb") as file:
        file.write(b"not a database " * 1000)


def cut(path):
    with open(path, "rb+") as file:
        file.truncate(os.path.getsize(path) // 2)


def flipped(path):
    with open(path, "rb+") as file:
        for page in range(1, os.path.getsize(path) // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)


def of_a_later_schema(path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("DELETE FROM event")


def of_an_earlier_schema(path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 0")
        db.execute("DROP TABLE version")


def without_a_table(path):
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE version")


def level_with_a_record_that_is_gone(path):
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE meta SET value = '{'1' * 40}'")


@pytest.mark.parametrize(
    "harm",
    [
        deleted, emptied, overwritten, cut, flipped, of_a_later_schema, of_an_earlier_schema, without_a_table,
        level_with_a_record_that_is_gone,
    ],
)  # fmt: skip
def test_whatever_happens_to_the_file_the_answers_stay(two, harm):
    before = answer(two)
    harm(path_of(two))
    assert answer(two) == before
    two.publish("1.2.0")
    assert len(answer(two)[1]) == 4


def test_rebuilding_gives_the_same(two):
    before = answer(two)
    with Registry(discover(two.repo.path, {})) as registry:
        assert registry.rebuild() == 3
    assert answer(two) == before


def test_a_file_kept_level_step_by_step_equals_one_made_at_once(two):
    def dumped():
        with sqlite3.connect(path_of(two)) as db:
            return {t: sorted(db.execute(f"SELECT * FROM {t}")) for t in ("meta", "event", "module", "version")}

    two.registry.disable("m", "1.0.0", reason="bad")
    two.publish("0.9.0")
    two.registry.close()
    step_by_step = dumped()
    deleted(path_of(two))
    answer(two)
    assert dumped() == step_by_step


def test_an_event_that_is_none_is_refused_by_its_path(two):
    tip = two.repo.git("rev-parse", "refs/gitml/registry")
    blob = two.repo.git("hash-object", "-w", "--stdin", input=b'{"format": 9}')
    env = {"GIT_INDEX_FILE": two.repo.file(".git/scratch")}
    two.repo.git("read-tree", tip, env=env)
    two.repo.git(
        "update-index", "--add", "--cacheinfo", f"100644,{blob},events/2026/01/01/aa/aaaaaaaaaaaaaaaa.json", env=env
    )
    commit = two.repo.git("commit-tree", "-p", tip, "-m", "bad", two.repo.git("write-tree", env=env))
    two.repo.git("update-ref", "refs/gitml/registry", commit)
    with (
        Registry(discover(two.repo.path, {})) as registry,
        pytest.raises(IntegrityError, match="upgrade gitml") as caught,
    ):
        registry.resolve("m")
    assert caught.value.where == "events/2026/01/01/aa/aaaaaaaaaaaaaaaa.json"


def test_resolving_loads_neither_sqlalchemy_nor_semver_nor_yaml(two):
    script = (
        "import sys; from registry.registry import Registry; r = Registry.open(); r.resolve('m'); r.resolve('m@^1')"
    )
    script += "; print([m for m in ('sqlmodel', 'sqlalchemy', 'semver', 'yaml', 'pydantic') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", script], cwd=two.repo.path, env=env, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


def test_new_events_are_taken_in_without_sqlalchemy(two):
    answer(two)
    tip = two.repo.git("rev-parse", "refs/gitml/registry")
    two.repo.git("update-ref", "refs/gitml/registry", f"{tip}~1")
    answer(two)
    two.repo.git("update-ref", "refs/gitml/registry", tip)
    script = "import sys; from registry.registry import Registry; print(Registry.open().module('m').versions[1].state)"
    script += "; print('sqlalchemy' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", script], cwd=two.repo.path, env=env, capture_output=True, check=True)
    assert done.stdout.decode().split() == ["deprecated", "False"]
