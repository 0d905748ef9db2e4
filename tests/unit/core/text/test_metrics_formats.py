"""Metrics as tools write them: YAML, TOML, CSV and JSON lines, told apart by the declaration or the ending."""

from __future__ import annotations

import math
from io import BytesIO

import pytest

from gitml.core.text.metrics_file import LINES_LARGEST, ParsedMetrics, read_metrics
from gitml.errors import InputError


def read(text: str | bytes, mount: str = "m", format: str | None = None) -> ParsedMetrics:
    data = text.encode() if isinstance(text, str) else text
    return read_metrics(BytesIO(data), mount, format)


YAML = "accuracy: 0.9\nlr: 1e-3\nbig: 1.0e+20\nsvm: {f1: 0.5, kernel: rbf, ok: yes}\nfine: true\nnone: ~\nday: 2026-12-01\n"


@pytest.mark.parametrize(("mount", "format"), [("m.yaml", None), ("m.YML", None), ("m", "yaml"), ("m.json", "yaml")])
def test_yaml_by_its_ending_or_its_declaration(mount: str, format: str | None) -> None:
    measured = read(YAML, mount, format)
    assert measured.numbers == {"accuracy": 0.9, "lr": 0.001, "big": 1e20, "svm.f1": 0.5, "fine": 1}
    assert measured.labels == {"svm.kernel": "rbf", "svm.ok": "yes", "day": "2026-12-01"}


def test_yaml_has_its_own_words_for_the_numbers_that_json_lacks() -> None:
    measured = read("a: .nan\nb: -.inf\nc: NaN\nd: '.inf'\n", "m.yaml")
    assert math.isnan(measured.numbers["a"])
    assert math.isnan(measured.numbers["c"])
    assert measured.numbers["b"] == -math.inf
    assert measured.labels == {"d": ".inf"}


def test_toml_has_tables_dates_and_infinities() -> None:
    measured = read('acc = 0.5\nname = "svm"\nday = 2026-12-01\nx = -inf\n[by.class]\na = 1\n', "m.toml")
    assert measured.numbers == {"acc": 0.5, "x": -math.inf, "by.class.a": 1}
    assert measured.labels == {"name": "svm", "day": "2026-12-01"}


def test_a_table_of_one_row_has_a_metric_a_column() -> None:
    measured = read("model,acc,n,worked,gap\nsvm,0.5,7,True,\n", "m.csv")
    assert measured == ParsedMetrics({"acc": 0.5, "n": 7, "worked": 1}, (), {"model": "svm"})


def test_a_table_of_named_rows_has_a_metric_a_cell() -> None:
    measured = read("\ufeffclass,f1,note\r\ncat,0.5,ok\r\ndog,nan,\r\n", "m.csv")
    assert measured.numbers["cat.f1"] == 0.5
    assert math.isnan(measured.numbers["dog.f1"])
    assert measured.labels == {"cat.note": "ok"}


def test_rows_of_a_long_table_are_named_by_all_columns_of_names() -> None:
    text = "fold,metric,value,label\ntest,f1,0.5,knn\ntest,acc,1,knn\ntrain,f1,0.75,knn\ntest,f1,0.25,svm\n"
    measured = read(text, "m.csv")
    assert measured == ParsedMetrics(
        {"test.f1.knn.value": 0.5, "test.acc.knn.value": 1, "train.f1.knn.value": 0.75, "test.f1.svm.value": 0.25},
        (),
        {},
    )
    assert read("set,n,acc,note\na,1,0.5,x\nb,1,1,x\n", "m.csv").labels == {"a.note": "x", "b.note": "x"}


@pytest.mark.parametrize("ending", [".tsv", ".csv", ""])
def test_tabs_separate_where_there_are_no_commas(ending: str) -> None:
    assert read("a\tb\n1\t2\n", f"m{ending}", None if ending else "csv").numbers == {"a": 1, "b": 2}


def test_the_index_of_a_data_frame_is_no_metric() -> None:
    assert read(",acc\n0,0.5\n", "m.csv").numbers == {"acc": 0.5}
    assert read(",acc\nsvm,0.5\nforest,1\n", "m.csv").numbers == {"svm.acc": 0.5, "forest.acc": 1}


def test_rows_without_names_count_by_their_last_value_and_that_is_told() -> None:
    measured = read("epoch,loss,val\n1,0.5,0.7\n2,0.25,\n", "m.csv")
    assert measured.numbers == {"epoch": 2, "loss": 0.25, "val": 0.7}
    assert measured.remarks == ("m.csv: its 2 rows have no names: of each column the last value counts",)


def test_json_lines_count_by_the_last_value_of_each_key() -> None:
    lines = '{"step": 1, "loss": 2, "at": {"k": "x"}}\n\n{"step": 2, "loss": 1, "at": {"k": 3}, "acc": null}\n'
    measured = read(lines, "m.jsonl")
    assert measured.numbers == {"step": 2, "loss": 1, "at.k": 3}
    assert measured.labels == {}
    assert read(lines, "m", "jsonl") == measured


@pytest.mark.parametrize("mount", ["m.csv", "m.toml", "m.yaml", "m.jsonl", "m.txt", "m"])
def test_a_json_object_is_one_whatever_the_ending(mount: str) -> None:
    assert read('{"a": 1,\n "b": {"c": NaN}}', mount).numbers["a"] == 1


@pytest.mark.parametrize(
    ("format", "text", "said"),
    [
        ("yaml", "a: 1\na: 2\n", "line 2: duplicate key 'a', first on line 1"),
        ("yaml", "a.b: 1\na: {b: 2}\n", "metric a.b is there twice"),
        ("yaml", "0.5", "not a YAML mapping of metrics"),
        ("yaml", "- 1", "not a YAML mapping of metrics"),
        ("yaml", "a: !!python/object/apply:numpy.core.multiarray.scalar [1]", "tags such as"),
        ("yaml", "a: &a [1]\n" + "\n".join(f"b{n}: [*a]" for n in range(3)) + "\nc: [", "not a YAML metrics file"),
        ("toml", "a = 1\na = 2\n", "not a TOML metrics file"),
        ("toml", "0.5", "not a TOML metrics file"),
        ("csv", "a,a\n1,2\n", "column a is there twice"),
        ("csv", "n,a\nx,1\nx,2\n", "metric x is there twice"),
        ("csv", "n,k,a\nx,p,1\nx,q,2\nx,p,3\n", "metric x.p is there twice"),
        ("csv", "n,k,a\nx,,1\nx,q,2\n", "metric x is there twice"),
        ("csv", "0.5", "a table without a head"),
        ("csv", "0.5,1\n2,3\n", "a table without a head"),
        ("csv", "a,b\n", "a table without a row"),
        ("csv", "a,b\n1,2,3\n", "line 2 has 3 cells, and there are 2 columns"),
        ("csv", "a,,c\n1,2,3\n", "column 2 has no name"),
        ("csv", "a;b\n1;2\n", "a table whose cells are not apart"),
        ("csv", b"a\n\xff\n", "is not UTF-8"),
        ("csv", 'a,b\n1,"' + "x" * 200_000 + '"\n', "line 2 is not CSV"),
        ("jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n', "metric a is there twice"),
        ("jsonl", '{"a": 1}\n{"a":', "line 2 is not JSON"),
        ("jsonl", "0.5", "line 1 is not a JSON object of metrics"),
        ("json", '{"a": 1}{"a": 2}', "not a JSON metrics file: Extra data"),
        ("json", "[" * 100_000, "not a JSON metrics file"),
        ("json", '{"a":' * 500 + "1" + "}" * 500, "metrics nested deeper than 64 levels"),
        ("json", f'{{"n": 1{"0" * 5000}}}', "not a JSON metrics file"),
    ],
)
def test_what_is_no_metrics_file_is_refused_in_words(format: str, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError) as error:
        read(text, "m", format)
    assert said in error.value.message
    assert (error.value.where or "").startswith("m")


@pytest.mark.parametrize("format", ["json", "yaml", "toml", "csv", "jsonl", None])
@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_file_is_told_as_that(format: str | None, text: str) -> None:
    with pytest.raises(InputError, match="a metrics file that is empty"):
        read(text, "m", format)


def test_a_log_of_json_lines_may_be_long_and_is_bounded() -> None:
    line = b'{"loss": 1, "pad": "' + b"x" * 400 + b'"}\n'
    assert read(line * 10_000, "m.jsonl").numbers == {"loss": 1}
    with pytest.raises(InputError, match="larger than 16 MiB"):
        read(line * (LINES_LARGEST // len(line) + 1), "m.jsonl")
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read(line * 10_000, "m", "csv")


def test_a_long_name_over_many_values_takes_no_memory() -> None:
    inner = ",".join(f'"k{n}": {{"v": 1}}' for n in range(20_000))
    measured = read(f'{{"{"x" * 400_000}": {{{inner}}}, "loss": 1}}')
    assert measured.numbers == {"loss": 1}
    assert measured.remarks[0].endswith("a name or text of more than 500 characters is not recorded")
