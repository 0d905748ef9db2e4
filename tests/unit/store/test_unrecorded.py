"""Results of runs without a record: they count while the run may get one, and nothing is left of them when it can't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.store.index.bulk import RecordedRun
from gitml.store.index.index import Index

KEY, OTHER = digest_of(b"key"), digest_of(b"other key")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(str(tmp_path / "index.db"))


def result(run: str, at: float, content: bytes = b"out") -> ActionResult:
    return ActionResult((OutputRef("o", "file", digest_of(content), len(content)),), {}, Cost(1.0), run, at)


def run(id: str, *keys: Digest) -> Run:
    steps = tuple([StepRun(f"s{n}", "executed", "", 1.0, key, result(id, 1.0).outputs) for n, key in enumerate(keys)])
    return Run(id, "p", "p.yaml", "e", "succeeded", "c" * 40, 1.0, 2.0, "", "", "", steps=steps)


def by_one(index: Index, run: Run) -> None:
    index.put_run(run, "r" * 40)


def by_many(index: Index, run: Run) -> None:
    index.put_many([RecordedRun(run, "r" * 40, {})])


def test_a_result_without_a_record_counts_until_it_is_forgotten(index: Index) -> None:
    index.put_unrecorded(KEY, result("lost", 1.0), None, "p", "s")
    assert index.result(KEY) == result("lost", 1.0)
    assert index.unrecorded() == {"lost"}
    index.forget_unrecorded("lost")
    assert index.result(KEY) is None
    assert index.results_of("p", "s", 5) == []
    assert index.unrecorded() == set()


@pytest.mark.parametrize("record", [by_one, by_many])
def test_a_run_that_is_recorded_keeps_its_results(index: Index, record: Callable[[Index, Run], None]) -> None:
    index.put_unrecorded(KEY, result("kept", 1.0), None, "p", "s0")
    record(index, run("kept", KEY))
    assert index.unrecorded() == set()
    index.forget_unrecorded("kept")
    known = index.result(KEY)
    assert known is not None
    assert known.run == "kept"


@pytest.mark.parametrize("record", [by_one, by_many])
def test_what_a_record_lacks_is_taken_back_when_it_comes(index: Index, record: Callable[[Index, Run], None]) -> None:
    index.put_unrecorded(KEY, result("short", 1.0), None, "p", "s0")
    index.put_unrecorded(OTHER, result("short", 1.5), None, "p", "s1")
    index.put_unrecorded(OTHER, result("another", 1.6), None, "p", "s1")
    record(index, run("short", KEY))
    known = index.result(KEY)
    assert known is not None
    assert known.run == "short"
    assert index.result(OTHER) == result("another", 1.6)
    assert index.unrecorded() == {"another"}
    index.forget_unrecorded("another")
    assert index.result(OTHER) is None


def test_what_was_known_before_counts_again(index: Index) -> None:
    by_one(index, run("first", KEY))
    index.put_result(KEY, result("first", 1.0), None, "p", "s0")
    index.put_unrecorded(KEY, result("lost", 2.0, b"differs"), None, "p", "s0")
    assert len(index.variants(KEY)) == 2
    index.forget_unrecorded("lost")
    assert index.result(KEY) == result("first", 1.0)
    assert index.variants(KEY) == []
    assert [(one.run, one.at) for one in index.results_of("p", "s0", 5)] == [("first", 1.0)]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_two_lost_runs_neither_counts(index: Index, order: tuple[str, ...]) -> None:
    index.put_unrecorded(KEY, result("a", 1.0), None, "p", "s0")
    index.put_unrecorded(KEY, result("b", 2.0), None, "p", "s0")
    for name in order:
        index.forget_unrecorded(name)
    assert index.result(KEY) is None


def test_a_later_result_of_another_run_stays(index: Index) -> None:
    index.put_unrecorded(KEY, result("lost", 1.0), None, "p", "s0")
    index.put_unrecorded(KEY, result("goes on", 2.0), None, "p", "s0")
    index.forget_unrecorded("lost")
    assert index.result(KEY) == result("goes on", 2.0)


def test_nothing_that_came_from_records_is_left_when_they_are_forgotten(index: Index) -> None:
    by_one(index, run("first", KEY)._replace(tags=("t",)))
    index.put_result(KEY, result("first", 1.0), None, "p", "s0")
    index.put_unrecorded(OTHER, result("lost", 2.0), None, "p", "s1")
    index.put_inline(digest_of(b"out"), "e" * 40)
    index.set_meta("tip", "abc")
    index.set_meta("else", "abc")
    index.remember("imports", "oid", [])
    index.forget_records("tip")
    assert index.runs(limit=None, tag="t") == index.runs(limit=None) == []
    assert (index.result(KEY), index.result(OTHER), index.unrecorded()) == (None, None, set())
    assert (index.inline(digest_of(b"out")), index.meta("tip"), index.meta("else")) == (None, None, "abc")
    assert index.fact("imports", "oid") == []
