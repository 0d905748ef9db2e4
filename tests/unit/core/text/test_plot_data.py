"""Tables as curves."""

from __future__ import annotations

import pytest

from gitml.core.text.plot_data import MOST, can_be_plot, parse_plot


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
