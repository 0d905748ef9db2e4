"""Projects whose hooks are installed or about to be; copied from one that was made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit.hooked import Hooked


@pytest.fixture(scope="session")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Hooked(tmp_path_factory.mktemp("hooked") / "project")
    project.run()
    return project.path


@pytest.fixture
def project(ran_once: Path, tmp_path: Path) -> Hooked:
    """A project that has run once and has no hooks."""
    path = tmp_path / "project"
    shutil.copytree(ran_once, path, symlinks=True)
    return Hooked(path, {})


@pytest.fixture
def hooked(project: Hooked) -> Hooked:
    """The same with gitml's hooks."""
    project.do("hooks", "install")
    return project
