"""Projects whose hooks are installed or about to be; copied from one that was made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit.projects.project_with_hooks import ProjectWithHooks


@pytest.fixture(scope="session")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = ProjectWithHooks(tmp_path_factory.mktemp("hooked") / "project")
    project.run()
    return project.path


@pytest.fixture(scope="session")
def hooked_once(ran_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copied(ran_once, tmp_path_factory.mktemp("hooks") / "project")
    project.do("hooks", "install")
    return project.path


def copied(source: Path, path: Path) -> ProjectWithHooks:
    shutil.copytree(source, path, symlinks=True)
    return ProjectWithHooks(path, {})


@pytest.fixture
def project(ran_once: Path, tmp_path: Path) -> ProjectWithHooks:
    """A project that has run once and has no hooks."""
    return copied(ran_once, tmp_path / "project")


@pytest.fixture
def hooked(hooked_once: Path, tmp_path: Path) -> ProjectWithHooks:
    """The same with gitml's hooks."""
    return copied(hooked_once, tmp_path / "project")
