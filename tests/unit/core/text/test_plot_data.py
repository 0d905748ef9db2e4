"""Tables as curves."""

from __future__ import annotations

import math

import pytest

from gitml.core.text.plot_data import MOST, can_be_plot, histogram, parse_plot
from gitml.core.text.plot_options import PlotOptions
from gitml.errors import InputError


@pytest.mark.parametrize(
    "data",
    [
        b"epoch,loss,kind\n1,0.5,a\n2,0.25,b\n",
        b"epoch\tloss\n1\t0.5\n2\t0.25\n",
        b'[{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]',
        b'{"epoch": [1, 2], "loss": [0.5, 0.25]}',
        b'{"curve": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]}',
        "\ufeffepoch,loss\r\n1,0.5\r\n2,0.25\r\n".encode(),
    ],
)
def test_the_same_table_in_any_form_is_the_same_curve(data: bytes) -> None:
    plot = parse_plot(data)
    assert plot is not None
    assert plot.x_name == "epoch"
    assert plot.series == (("loss", (1.0, 2.0), (0.5, 0.25)),)


def test_names_in_the_first_column_become_labels() -> None:
    plot = parse_plot(b"model,accuracy\nada,0.9\nbert,0.8\n")
    assert plot is not None
    assert plot.labels == ("ada", "bert")
    assert plot.series[0].y == (0.9, 0.8)


def test_what_is_no_number_leaves_a_gap_and_many_points_are_thinned() -> None:
    plot = parse_plot(b"step,loss\n1,0.5\n2,nan\n3,\n4,0.1\n5,inf\n")
    assert plot is not None
    assert plot.series[0].x == (1.0, 4.0)
    plot = parse_plot(b"step,loss\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(50_000)))
    assert plot is not None
    assert len(plot.series[0].x) <= MOST


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n\xff", b"<svg></svg>", b"{", b"words\nonly\n", b"[]", b"[[]]", b"null"]
)
def test_what_is_no_table_of_numbers_is_no_plot(data: bytes) -> None:
    assert parse_plot(data) is None


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\0\0\x10" * 2


@pytest.mark.parametrize(
    "data",
    [
        PNG,
        b"<svg viewBox='0 0 1 1'></svg>",
        b"step,loss\n1,0.5\n",
        b"step\tloss\n1\t0.5\n",
        b"1\n2\n",
        b'[{"x": 1}]',
        b'{"train": [{"x": 1}]}',
        b"<!DOCTYPE html><p>plotly",
        b"\xef\xbb\xbfa;b\n1;2\n",
    ],
)
def test_pictures_tables_and_pages_can_be_plots(data: bytes) -> None:
    assert can_be_plot(data, whole=True)


@pytest.mark.parametrize(
    "data",
    [b"", b"  \n", b"%PDF-1.4\n1 0 obj\n2\n", b"\x80\x04pickle\n\x95\n", b"no plot", b"{broken", b"[]", b"a\0b\n1\n"],
)
def test_what_is_neither_can_not(data: bytes) -> None:
    assert not can_be_plot(data, whole=True)


def test_of_a_large_file_the_beginning_tells() -> None:
    assert can_be_plot(b'{"rows": [' + b"1, " * 20000, whole=False)
    assert can_be_plot("x,y\n1,\u00e9".encode()[:-1], whole=False)


ROC = b'{"roc": [{"threshold": Infinity, "fpr": 0, "tpr": 0}, {"threshold": 0.5, "fpr": 0.2, "tpr": 0.8}]}'


def test_the_curves_of_dvc_are_drawn_as_they_are_meant() -> None:
    roc = parse_plot(ROC)
    assert roc is not None
    assert (roc.x_name, roc.y_name, roc.template) == ("fpr", "tpr", "line")
    assert roc.series == (("tpr", (0.0, 0.2), (0.0, 0.8)),)
    prc = parse_plot(b'{"prc": [{"precision": 1, "recall": 0, "threshold": 0.5}, {"precision": 0.5, "recall": 1}]}')
    assert prc is not None
    assert (prc.x_name, prc.y_name) == ("recall", "precision")
    live = parse_plot(b"timestamp\tstep\tacc\n1700000000\t0\t0.1\n1700000001\t1\t0.2\n")
    assert live is not None
    assert (live.x_name, [series.name for series in live.series]) == ("step", ["acc"])
    scores = parse_plot(b"threshold,f1\n0.1,0.5\n0.2,0.6\n")
    assert scores is not None
    assert (scores.x_name, scores.y_name) == ("threshold", "f1")


@pytest.mark.parametrize(
    "data",
    [
        b'[{"actual": "b", "predicted": "a"}, {"actual": "a", "predicted": "a"}, {"actual": "b", "predicted": "b"}]',
        b'{"cm": [{"actual": "b", "predicted": "a"}, {"actual": "a", "predicted": "a"}, {"actual": "b", "predicted": "b"}]}',
        b"one,other\nb,a\na,a\nb,b\n",
        b"y_true,y_pred,count\nb,a,1\na,a,1\nb,b,1\n",
    ],
)
def test_two_columns_of_labels_are_a_confusion_matrix(data: bytes) -> None:
    plot = parse_plot(data)
    assert plot is not None
    assert plot.template == "confusion"
    assert plot.confusion == (("a", "b"), ((1.0, 0.0), (1.0, 1.0)))


def test_labels_that_are_numbers_are_in_their_order() -> None:
    plot = parse_plot(b"actual,predicted\n10,9\n9,9\n2,10\n")
    assert plot is not None
    assert plot.confusion is not None
    assert plot.confusion.labels == ("2", "9", "10")


def test_options_say_what_is_drawn() -> None:
    table = b"epoch,loss,acc,kind\n1,0.5,0.6,a\n2,0.25,0.7,b\n"
    plot = parse_plot(table, PlotOptions("epoch", ("acc", "loss"), "Scores", "scatter"))
    assert plot is not None
    assert [series.name for series in plot.series] == ["acc", "loss"]
    assert (plot.title, plot.template, plot.y_name) == ("Scores", "scatter", "")
    bars = parse_plot(table, PlotOptions(x="epoch", y=("acc",), template="bar"))
    assert bars is not None
    assert (bars.labels, bars.template) == (("1", "2"), "bar")
    both = parse_plot(ROC, PlotOptions(x="fpr", y=("tpr", "threshold")))
    assert both is not None
    assert [series.name for series in both.series] == ["tpr", "threshold"]
    named = parse_plot(table, PlotOptions(x="kind", y=("loss",), template="line"))
    assert named is not None
    assert (named.labels, named.template) == (("a", "b"), "line")
    newer = parse_plot(table, PlotOptions(template="of a newer gitml"))
    assert newer is not None
    assert newer.template == "line"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (PlotOptions(x="nope"), "the table has no column 'nope'"),
        (PlotOptions(y=("loss", "nope")), "the table has no column 'nope'"),
        (PlotOptions(y=("kind",)), "column 'kind' has no numbers"),
        (PlotOptions(x="kind", template="histogram"), "column 'kind' has no numbers"),
        (PlotOptions(template="images"), "a table, and `template: images` is for pictures"),
    ],
)
def test_options_that_the_table_does_not_bear_are_told(options: PlotOptions, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_plot(b"epoch,loss,kind\n1,0.5,a\n2,0.25,b\n", options)
    assert error.value.message == said


def test_a_matrix_of_too_many_labels_and_one_without_a_second_column_are_told() -> None:
    rows = b"".join(b"label%d,x\n" % n for n in range(200))
    with pytest.raises(InputError, match="201 labels"):
        parse_plot(b"actual,predicted\n" + rows)
    with pytest.raises(InputError, match="needs two"):
        parse_plot(b"actual\na\nb\n", PlotOptions(template="confusion"))


@pytest.mark.parametrize(
    "values", [[1.0], [2.0, 2.0], [-1e308, 1e308], [0.0, 5e-324], [1.0, 1.0 + 2**-52], [-3.0, 0.5, 9.0, 9.0]]
)
def test_every_value_of_a_histogram_is_in_a_bar(values: list[float]) -> None:
    edges, (counts, again) = histogram([values, values])
    assert sum(counts) == len(values)
    assert counts == again
    assert len(edges) == len(counts) + 1
    assert edges[0] <= min(values)
    assert edges[-1] >= max(values)
    assert all(math.isfinite(edge) for edge in edges)


def test_a_histogram_counts_all_values_and_is_not_thinned() -> None:
    plot = parse_plot(b"v\n" + b"1\n2\n" * 5000, PlotOptions(template="histogram"))
    assert plot is not None
    assert (plot.x_name, plot.y_name, len(plot.series[0].y)) == ("v", "count", 10_000)
