"""Results of runs without a record: they count while the run may get one, and nothing is left of them when it can't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.store.index.index import Index
from gitml.store.index.results import (
    forget_records,
    forget_unrecorded,
    performed_actions,
    put_result,
    put_unrecorded,
    unrecorded_runs,
    variants_of,
)
from gitml.store.index.runs import RecordedRun, newest_runs, put_run, put_runs

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
    put_run(index, run, "r" * 40)


def by_many(index: Index, run: Run) -> None:
    put_runs(index, [RecordedRun(run, "r" * 40, {})])


def test_a_result_without_a_record_counts_until_it_is_forgotten(index: Index) -> None:
    put_unrecorded(index, KEY, result("lost", 1.0), None, "p", "s")
    assert index.result(KEY) == result("lost", 1.0)
    assert unrecorded_runs(index) == {"lost"}
    forget_unrecorded(index, "lost")
    assert index.result(KEY) is None
    assert performed_actions(index, "p", "s", 5) == []
    assert unrecorded_runs(index) == set()


@pytest.mark.parametrize("record", [by_one, by_many])
def test_a_run_that_is_recorded_keeps_its_results(index: Index, record: Callable[[Index, Run], None]) -> None:
    put_unrecorded(index, KEY, result("kept", 1.0), None, "p", "s0")
    record(index, run("kept", KEY))
    assert unrecorded_runs(index) == set()
    forget_unrecorded(index, "kept")
    known = index.result(KEY)
    assert known is not None
    assert known.run == "kept"


@pytest.mark.parametrize("record", [by_one, by_many])
def test_what_a_record_lacks_is_taken_back_when_it_comes(index: Index, record: Callable[[Index, Run], None]) -> None:
    put_unrecorded(index, KEY, result("short", 1.0), None, "p", "s0")
    put_unrecorded(index, OTHER, result("short", 1.5), None, "p", "s1")
    put_unrecorded(index, OTHER, result("another", 1.6), None, "p", "s1")
    record(index, run("short", KEY))
    known = index.result(KEY)
    assert known is not None
    assert known.run == "short"
    assert index.result(OTHER) == result("another", 1.6)
    assert unrecorded_runs(index) == {"another"}
    forget_unrecorded(index, "another")
    assert index.result(OTHER) is None


def test_what_was_known_before_counts_again(index: Index) -> None:
    by_one(index, run("first", KEY))
    put_result(index, KEY, result("first", 1.0), None, "p", "s0")
    put_unrecorded(index, KEY, result("lost", 2.0, b"differs"), None, "p", "s0")
    assert len(variants_of(index, KEY)) == 2
    forget_unrecorded(index, "lost")
    assert index.result(KEY) == result("first", 1.0)
    assert variants_of(index, KEY) == []
    assert [(one.run, one.at) for one in performed_actions(index, "p", "s0", 5)] == [("first", 1.0)]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_two_lost_runs_neither_counts(index: Index, order: tuple[str, ...]) -> None:
    put_unrecorded(index, KEY, result("a", 1.0), None, "p", "s0")
    put_unrecorded(index, KEY, result("b", 2.0), None, "p", "s0")
    for name in order:
        forget_unrecorded(index, name)
    assert index.result(KEY) is None


def test_a_later_result_of_another_run_stays(index: Index) -> None:
    put_unrecorded(index, KEY, result("lost", 1.0), None, "p", "s0")
    put_unrecorded(index, KEY, result("goes on", 2.0), None, "p", "s0")
    forget_unrecorded(index, "lost")
    assert index.result(KEY) == result("goes on", 2.0)


def test_nothing_that_came_from_records_is_left_when_they_are_forgotten(index: Index) -> None:
    by_one(index, run("first", KEY)._replace(tags=("t",)))
    put_result(index, KEY, result("first", 1.0), None, "p", "s0")
    put_unrecorded(index, OTHER, result("lost", 2.0), None, "p", "s1")
    index.put_contents([(digest_of(b"out"), "e" * 40)])
    index.set_meta("tip", "abc")
    index.set_meta("else", "abc")
    index.remember("imports", "oid", [])
    forget_records(index, "tip")
    assert newest_runs(index, limit=None, tag="t") == newest_runs(index, limit=None) == []
    assert (index.result(KEY), index.result(OTHER), unrecorded_runs(index)) == (None, None, set())
    assert (index.inline(digest_of(b"out")), index.meta("tip"), index.meta("else")) == (None, None, "abc")
    assert index.fact("imports", "oid") == []
