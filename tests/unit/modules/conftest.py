from __future__ import annotations

import pytest

from tests.kit.projects.repository import isolate


@pytest.fixture(autouse=True)
def _isolated(monkeypatch):
    isolate(monkeypatch)
