"""Comparing values, and points in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.errors import InputError
from gitml.history.compare import compare_runs, differences
from gitml.history.time_format import parse_time
from tests.kit.projects.project import Project


def test_every_name_of_both_sides_is_told() -> None:
    found = {item.name: item for item in differences({"a": 1, "b": 2.0, "c": 3}, {"a": 1, "b": 2.5, "d": 4})}
    assert [name for name, item in found.items() if item.changed] == ["b", "d", "c"]
    assert found["b"].delta == 0.5
    assert (found["c"].after, found["d"].before, found["c"].delta) == (None, None, None)


def test_a_change_of_type_is_a_change() -> None:
    (item,) = differences({"a": 1}, {"a": 1.0})
    assert item.changed
    (item,) = differences({"a": True}, {"a": 1})
    assert item.changed
    assert item.delta is None


def test_nan_is_the_same_as_nan_and_no_change_of_it_has_a_size() -> None:
    nan, inf = float("nan"), float("inf")
    found = differences({"a": nan, "b": nan, "c": 1.0, "d": inf}, {"a": float("nan"), "b": 1.0, "c": inf, "d": inf})
    assert [(item.changed, item.delta) for item in found] == [(False, None), (True, None), (True, None), (False, None)]


@pytest.mark.parametrize(
    ("text", "past"),
    [("90s", 90), ("5m", 300), ("12h", 43200), ("3d", 259200), ("2 weeks ago", 1209600), ("1 day", 86400)],
)
def test_spans_count_back_from_now(text: str, past: int) -> None:
    assert parse_time(text, 10_000_000.0) == 10_000_000.0 - past


def test_dates_are_local_unless_they_name_a_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert parse_time("1970-01-02", 0.0) == 86400 - 7200
        assert parse_time("1970-01-02T00:00:00+00:00", 0.0) == 86400
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "tomorrow", "3x", "2026-13-01", "9999999d x"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_time(text, 0.0)


def test_labels_are_compared_among_the_metrics(tmp_path: Path) -> None:
    text = """\
params: {model: svm}
steps:
  s:
    shell: sh
    run: 'echo "{\\"acc\\": 1, \\"model\\": \\"${{ params.model }}\\"}" > ${{ outputs.m }}'
    outputs: {m: metrics}
"""
    project = Project(tmp_path / "p", {"pipelines/p.yaml": text})
    runs = [project.run("p", given=given) for given in ((), (("model", "nb"),))]
    with project.workspace() as ws:
        found = compare_runs(ws, [run.id for run in runs])
    lines = {line.name: line for line in found.lines if line.section == "metrics"}
    assert (lines["s.model"].values, lines["s.model"].changed, lines["s.model"].steps) == (("svm", "nb"), True, ("s",))
    assert not lines["s.acc"].changed
