"""A new kind of environment needs an entry in two tables, and no other change: a toy kind is planned, run, explained and checked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gitml.core.kinds import environment_kinds
from gitml.core.kinds.environment_kinds import EnvironmentFile, EnvironmentKind
from gitml.core.language.diagnostics import SpecError
from gitml.core.model.environment import Environment, environment_of
from gitml.errors import InputError
from gitml.execute.environments import environments
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    RealizedEnvironment,
)
from tests.kit.projects.project import Project, outcomes, reasons

PREFIX = "toy:"
PIPELINE = (
    "environment: toy:{}\nsteps:\n  a: {{shell: sh, run: 'greet > ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n"
)


def parse_toy(text: str) -> tuple[str, str | None]:
    return text, None if text[len(PREFIX) :].isidentifier() else f"{text!r} names no toy"


def script_of_toy(name: str) -> EnvironmentFile:
    return EnvironmentFile(f"toys/{name[len(PREFIX) :]}.sh")


TOY = EnvironmentKind(lambda text: text.startswith(PREFIX), parse_toy, lambda spec: (script_of_toy(spec.name),))
"""``toy:NAME``, the part that is pure."""


class ToyProvider(EnvironmentProvider):
    """A folder on PATH whose one program, ``greet``, is the file that the commit has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        source = query.source
        content = source.file(script_of_toy(source.spec.name).path) or b""
        if not content.startswith(b"#!"):
            raise InputError("a toy is a script", where=source.spec.name)
        return environment_of({"kind": "toy", "script": f"sha256:{hashlib.sha256(content).hexdigest()}"}, source)

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        place = self._place(environment)
        return (str(place),) if place.exists() else None

    def realize(self, here: MachineSoftware, environment: Environment, control: BuildControl) -> RealizedEnvironment:
        place = self._place(environment)
        os.makedirs(place, exist_ok=True)
        (place / "greet").write_bytes(environment.source.files[0][1])
        (place / "greet").chmod(0o755)
        return RealizedEnvironment((str(place),), (str(place),), None)

    def _place(self, environment: Environment) -> Path:
        return self.folder / environment.digest[7:19]


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environment_kinds.ENVIRONMENT_KINDS, "toy", TOY)
    monkeypatch.setitem(environments.ENVIRONMENT_PROVIDERS, "toy", ToyProvider(tmp_path / "toys"))


def project_with_a_toy(tmp_path: Path) -> Project:
    files = {"toys/hello.sh": "#!/bin/sh\necho hello\n", "pipelines/p.yaml": PIPELINE.format("hello")}
    return Project(tmp_path / "r", files)


def test_a_step_runs_in_it_and_its_content_is_part_of_the_key(tmp_path: Path) -> None:
    project = project_with_a_toy(tmp_path)
    first = project.run()
    assert project.output(first.steps[0]) == b"hello\n"
    assert outcomes(project.run()) == {"a": "reused"}
    project.repo.commit("another greeting", {"toys/hello.sh": "#!/bin/sh\necho hi\n"})
    second = project.run()
    assert (outcomes(second), project.output(second.steps[0])) == ({"a": "executed"}, b"hi\n")
    assert second.steps[0].key != first.steps[0].key
    assert reasons(second)["a"].startswith("environment script: ")


def test_its_mistakes_are_reported_where_they_are_written(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'toy:a b' names no toy"):
        Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE.format("a b")}).plan()


def test_a_step_whose_environment_has_no_file_in_the_commit_is_blocked(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE.format("gone")})
    with pytest.raises(InputError, match=r"environment file 'toys/gone\.sh' is not in the commit"):
        project.run()


def test_both_tables_have_the_same_kinds() -> None:
    assert set(environment_kinds.ENVIRONMENT_KINDS) == set(environments.ENVIRONMENT_PROVIDERS)
