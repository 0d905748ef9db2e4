from __future__ import annotations

import pytest

from tests.kit.projects.module_folders import module_folders
from tests.kit.projects.repository import isolate


@pytest.fixture(autouse=True)
def _isolated(monkeypatch):
    isolate(monkeypatch)


@pytest.fixture
def here(tmp_path):
    """An empty registry in a repository, with a folder to publish."""
    with module_folders(tmp_path / "here") as made:
        yield made
