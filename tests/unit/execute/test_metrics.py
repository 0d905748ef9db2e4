"""What a metrics file says: numbers by name, NaN and infinities among them; nothing of it vanishes in silence."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path

import pytest

from gitml.core.text.metrics_file import ParsedMetrics, read_metrics
from gitml.errors import InputError


def read(tmp_path: Path, text: str) -> ParsedMetrics:
    return read_metrics(BytesIO(text.encode()), "m.json")


def test_numbers_come_by_dotted_name(tmp_path: Path) -> None:
    measured = read(tmp_path, '{"a": 1, "b": {"c": 0.5, "d": {"e": true}}, "n": null}')
    assert measured == ParsedMetrics({"a": 1, "b.c": 0.5, "b.d.e": 1})


@pytest.mark.parametrize("text", ["NaN", '"NaN"'])
def test_nan_is_a_metric_and_is_told(tmp_path: Path, text: str) -> None:
    measured = read(tmp_path, f'{{"loss": {text}, "accuracy": 0.1}}')
    assert math.isnan(measured.numbers["loss"])
    assert measured.numbers["accuracy"] == 0.1
    assert measured.remarks == ("metric loss is NaN: recorded as such, and never better than a number",)


def test_infinities_are_metrics_and_are_told(tmp_path: Path) -> None:
    measured = read(tmp_path, '{"up": Infinity, "down": "-Infinity", "huge": 1e999}')
    assert measured.numbers == {"up": math.inf, "down": -math.inf, "huge": math.inf}
    assert measured.remarks == (
        "metric up is Infinity, down is -Infinity, huge is Infinity: recorded as such, and never better than a number",
    )


def test_text_is_a_label(tmp_path: Path) -> None:
    measured = read(tmp_path, '{"accuracy": "0.93", "by": {"name": "svm"}, "loss": 1}')
    assert measured == ParsedMetrics({"loss": 1}, (), {"accuracy": "0.93", "by.name": "svm"})


@pytest.mark.parametrize("text", ["x" * 501, "a\\u0000b", "\\ud800"])
def test_text_that_no_record_should_hold_is_left_out_and_told(tmp_path: Path, text: str) -> None:
    measured = read(tmp_path, f'{{"by": "{text}", "loss": 1}}')
    assert (measured.numbers, measured.labels) == ({"loss": 1}, {})
    assert "metric by: " in measured.remarks[0]


def test_a_list_costs_no_run(tmp_path: Path) -> None:
    measured = read(tmp_path, '{"curve": [1, 2], "loss": 1}')
    assert measured.numbers == {"loss": 1}
    assert measured.remarks == (
        "metric curve: a list is not recorded; keep curves and tables in a `plot` or `file` output",
    )


def test_many_texts_make_one_short_line_on_which_no_terminal_acts(tmp_path: Path) -> None:
    names = ", ".join([f'"k{number}\\u001b[2J": "x"' for number in range(1000)])
    (remark,) = read(tmp_path, f"{{{names}}}").remarks
    assert remark.endswith("and 895 more: more than 100 texts in one file are not recorded")
    assert "\x1b" not in remark


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"loss": 1, "loss": 2}', "metric loss is there twice"),
        ('{"a": {"loss": 1, "loss": 1}}', "metric a.loss is there twice"),
        ('{"a": {}, "a": 1}', "metric a is there twice"),
        ('{"t": "x", "t": "y"}', "metric t is there twice"),
        ('{"a.b": 1, "a": {"b": 2}}', "metric a.b is there twice"),
        (f'{{"n": 1{"0" * 400}}}', "metric n is too large a number"),
        ("[1]", "not a JSON object of metrics"),
        ("0.5", "not a JSON object of metrics"),
        ("loss: 1", "not a JSON metrics file: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_what_is_not_metrics_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert (error.value.message, error.value.where) == (said, "m.json")
