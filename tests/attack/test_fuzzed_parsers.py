"""Every parser of bytes that others wrote bears hostile ones: it returns or raises the error that it documents, soon."""

from __future__ import annotations

import os

import pytest

from tests.attack.fuzz import apart, keep
from tests.kit.attacks.fuzzer import GROWTH, LONGEST, alarmed, fuzz, known, one
from tests.kit.attacks.parsers import surfaces

SHORT = 2000
COUNT = int(os.environ.get("GITML_ATTACK_COUNT", "5000"))
"""Executions of the long form; `make test-attack COUNT=n SEED=n` sets them, and which inputs they get."""
SEED = int(os.environ.get("GITML_ATTACK_SEED", "2"))


@pytest.mark.parametrize("name", surfaces())
def test_each_parser_takes_what_is_good(name: str) -> None:
    surface = surfaces()[name]
    with alarmed():
        assert one(surface, surface.mutator.seeds[0]) is None


@pytest.mark.parametrize("name", surfaces())
def test_no_parser_breaks_on_what_broke_one_before(name: str) -> None:
    with alarmed():
        broken = {path.name: how for path in known(name) if (how := one(surfaces()[name], path.read_bytes()))}
    assert set(broken.values()) <= {"refused"}


@pytest.mark.parametrize("name", surfaces())
def test_no_parser_breaks_on_hostile_bytes(name: str) -> None:
    outcome = fuzz(surfaces()[name], SHORT, seed=1)
    assert outcome.failures == ()
    assert outcome.executions == SHORT
    assert outcome.taken + outcome.refused == SHORT


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.timeout(600 + COUNT // 100)
@pytest.mark.parametrize("name", surfaces())
def test_no_parser_breaks_on_many_hostile_bytes_in_little_memory(name: str) -> None:
    outcome = apart(name, COUNT, SEED)
    assert [(failure.how, keep(name, failure)) for failure in outcome.failures] == []
    assert outcome.executions == COUNT
    assert outcome.slowest < LONGEST
    assert outcome.growth < GROWTH
