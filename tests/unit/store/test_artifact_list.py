"""The list of artifacts: complete, sorted, searched, paged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.store.index.artifacts import COLUMNS, GONE, HERE, RECORD, ArtifactList, ArtifactQuery
from gitml.store.index.index import Index
from gitml.store.index.results import put_action, put_result
from gitml.store.index.runs import put_run


def named(text: str) -> Digest:
    return digest_of(text.encode())


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(str(tmp_path / "index.db"))
    yield index
    index.close()


def add(
    index: Index,
    run: str,
    at: float,
    step: str,
    port: str,
    content: str,
    size: int,
    *,
    kind: str = "file",
    key: str = "",
) -> None:
    """A run in which a step gave an output."""
    action = named(key or f"{step} {content}")
    outputs = (OutputRef(port, kind, named(content), size),)
    done = StepRun(step, "executed", "", 1.0, action, outputs)
    put_run(
        index,
        Run(run, "p", "pipelines/p.yaml", "p", "succeeded", "0" * 40, at, at + 1, "me", "here", "1", steps=(done,)),
        "0" * 40,
    )
    put_result(index, action, ActionResult(outputs, {}, Cost(), run, at), None, "p", step)


def names(listing: ArtifactList, wanted: ArtifactQuery = ArtifactQuery()) -> list[str]:  # noqa: B008
    return [artifact.name for artifact in listing.page(wanted, 0, 100)]


def test_a_content_made_again_is_one_artifact_with_the_newest_maker(index: Index) -> None:
    add(index, "a" * 16, 100.0, "old", "o", "x", 5)
    add(index, "b" * 16, 200.0, "new", "o", "x", 5)
    (found,) = ArtifactList(index, []).page(ArtifactQuery(), 0, 10)
    assert (found.name, found.run, found.makers, found.size, found.made) == ("new.o", "b" * 16, 2, 5, 200.0)


def test_uses_and_when_it_was_last_used_are_told(index: Index) -> None:
    from gitml.core.model.action import Action, ActionInput

    add(index, "a" * 16, 100.0, "make", "o", "x", 5)
    action = Action(("cat",), None, (), (), (ActionInput("i", "in", "file", named("x")),), (), (), named("env"))
    put_action(index, action.key(), action.preimage())
    step = StepRun("take", "executed", "", 1.0, action.key())
    put_run(
        index,
        Run("b" * 16, "p", "p", "p", "succeeded", "0" * 40, 300.0, 301.0, "me", "h", "1", steps=(step,)),
        "0" * 40,
    )
    (found,) = ArtifactList(index, []).page(ArtifactQuery(), 0, 10)
    assert (found.uses, found.used, found.made) == (1, 300.0, 100.0)


def test_where_bytes_are_is_told(index: Index) -> None:
    for number, content in enumerate(("here", "inline", "both", "gone")):
        add(index, f"{number:016x}", number, content, "o", content, number)
    for content in ("inline", "both"):
        index.put_contents([(named(content), "0" * 40)])
    listing = ArtifactList(index, [named("here"), named("both")])
    places = {artifact.step: artifact.where for artifact in listing.page(ArtifactQuery(), 0, 10)}
    assert places == {"here": HERE, "both": HERE, "inline": RECORD, "gone": GONE}
    assert listing.totals() == {HERE: (2, 2), RECORD: (1, 1), GONE: (1, 3)}


@pytest.mark.parametrize("order", COLUMNS)
def test_every_column_sorts_both_ways(index: Index, order: str) -> None:
    for number in range(20):
        add(index, f"{number:016x}", 100.0 + number, f"s{number % 7:02}", "o", f"c{number}", number * 3 % 11)
    listing = ArtifactList(index, [named("c3"), named("c7")])
    rising = listing.page(ArtifactQuery((), order, False), 0, 20)
    falling = listing.page(ArtifactQuery((), order, True), 0, 20)

    def value(artifact: object) -> object:
        return artifact.name if order == "name" else getattr(artifact, order)  # type: ignore[attr-defined]

    assert [value(a) for a in rising] == sorted(value(a) for a in rising)  # type: ignore[type-var]
    assert [value(a) for a in falling] == [value(a) for a in rising][::-1]


def test_pages_join_to_the_whole(index: Index) -> None:
    for number in range(25):
        add(index, f"{number:016x}", number, "s", "o", f"c{number}", 1)
    listing = ArtifactList(index, [])
    wanted = ArtifactQuery((), "size", True)
    paged = [artifact.digest for at in range(0, 30, 7) for artifact in listing.page(wanted, at, 7)]
    assert paged == [artifact.digest for artifact in listing.page(wanted, 0, 100)]
    assert len(set(paged)) == listing.count(wanted) == 25


def test_words_must_all_occur_and_signs_of_patterns_mean_themselves(index: Index) -> None:
    add(index, "a" * 16, 1.0, "train[svm_1]", "model", "x", 1)
    add(index, "b" * 16, 2.0, "train[svm%1]", "model", "y", 1)
    listing = ArtifactList(index, [])
    assert len(names(listing, ArtifactQuery(("train", "model")))) == 2
    assert names(listing, ArtifactQuery(("SVM_1",))) == ["train[svm_1].model"]
    assert names(listing, ArtifactQuery(("%",))) == ["train[svm%1].model"]
    assert names(listing, ArtifactQuery((named("x")[7:20],))) == ["train[svm_1].model"]
    assert listing.count(ArtifactQuery(("none such",))) == 0
    assert names(listing, ArtifactQuery(("'; DROP TABLE artifact; --",))) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_the_result_of_a_step_with_a_metric_that_is_no_number_is_read_back_and_its_outputs_have_their_sizes(
    index: Index, number: float
) -> None:
    add(index, "a" * 16, 100.0, "s", "o", "x", 5)
    outputs = (OutputRef("o", "file", named("x"), 5),)
    put_result(index, named("s x"), ActionResult(outputs, {"m": number}, Cost(), "a" * 16, 100.0), None, "p", "s")
    (found,) = ArtifactList(index, []).page(ArtifactQuery(), 0, 10)
    assert found.size == 5
    kept = index.result(named("s x"))
    assert kept is not None
    assert repr(kept.metrics["m"]) == repr(number)


def test_sizes_that_add_up_to_more_than_an_integer_holds_are_told(index: Index) -> None:
    for name in ("x", "y", "z"):
        add(index, name * 16, 100.0, name, "o", name, 2**62)
    assert ArtifactList(index, []).totals()[GONE] == (3, 3 * 2**62)
