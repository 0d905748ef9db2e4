"""How many examples: few by default, so that all properties take seconds; ``GITML_TESTS=thorough`` looks much longer.

A test that runs pipelines asks `examples` for its share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.kit.projects.repository import isolate

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile("fast", max_examples=40, deadline=None, suppress_health_check=CHECKS)
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=CHECKS)
settings.load_profile("thorough" if os.environ.get("GITML_TESTS") == "thorough" else "fast")


@pytest.fixture(scope="session", autouse=True)
def isolated() -> Iterator[None]:
    """Nothing of the user's Git configuration or identity."""
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        yield
