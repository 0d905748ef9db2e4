"""The environment of tests that run pipelines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.projects.repository import isolate


@pytest.fixture(scope="session", autouse=True)
def isolated() -> Iterator[None]:
    """Nothing of the user's Git configuration or identity."""
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        yield
