"""Combinations of matrices: lists, mappings, ranges, zip, include, exclude, lists of parameters, parameters of some values alone."""

from __future__ import annotations

import pytest
import yaml

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.params import bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.graph import Graph, graph_as_json, graph_from_json
from gitml.core.parameters.value_path import as_scalar, leaves, path_text

PARAMS = "params:\n  models: [svm, forest]\n  os: {type: mapping, default: {linux: {py: '3.11'}, mac: {py: '3.12'}}}\n  gamma: 0.1\n  depth: 3\n"


def graph(matrix: str, run: str = "x", more: str = "", **given: str) -> Graph:
    text = f"{PARAMS}steps:\n  s:\n    run: {run}\n    matrix: {matrix}\n{more}"
    pipeline = parse_pipeline(text.encode(), "pipelines/p.yaml")
    built = build_graph(pipeline, bind_params(pipeline.params, list(given.items())))
    assert graph_from_json(graph_as_json(built)) == built
    return built


def names(matrix: str, **given: str) -> list[str]:
    return [name.removeprefix("s") for name in graph(matrix, **given).steps]


def words(matrix: str, run: str, **given: str) -> dict[str, str]:
    return {step.label: " ".join(step.argv) for step in graph(matrix, f'"{run}"', **given).steps.values()}


def mistake(matrix: str, run: str = "x", more: str = "", **given: str) -> str:
    with pytest.raises(SpecError) as caught:
        graph(matrix, run, more, **given)
    return "; ".join(str(diagnostic).removeprefix("pipelines/p.yaml:") for diagnostic in caught.value.diagnostics)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("{m: [a, b], n: [1, 2]}", ["[a,1]", "[a,2]", "[b,1]", "[b,2]"]),
        ("{m: '${{ params.models }}'}", ["[svm]", "[forest]"]),
        ("{os: '${{ params.os }}'}", ["[linux]", "[mac]"]),
        ("{os: [{name: linux, py: 3}, {bits: 64, endian: little}]}", ["[linux]", "[64-little]"]),
        ("{n: {range: [1, 3]}}", ["[1]", "[2]", "[3]"]),
        ("{n: {range: [0, 0.3, 0.1]}}", ["[0.0]", "[0.1]", "[0.2]", "[0.3]"]),
        ("{n: {range: [3, 1, -1]}}", ["[3]", "[2]", "[1]"]),
        ("{zip: {a: [1, 2], b: [x, y]}}", ["[1,x]", "[2,y]"]),
        ("{m: [a, b], zip: {p: [1, 2], q: [3, 4]}}", ["[a,1,3]", "[a,2,4]", "[b,1,3]", "[b,2,4]"]),
        ("{m: [a, b], n: [1, 2], exclude: [{m: a, n: 2}]}", ["[a,1]", "[b,1]", "[b,2]"]),
        ("{m: [a, b], n: [1, 2], exclude: [{m: a}]}", ["[b,1]", "[b,2]"]),
        ("{m: [a], n: [1], include: [{m: b, n: 7}]}", ["[a,1]", "[b,7]"]),
        ("{include: [a, b]}", ["[a]", "[b]"]),
        ("{zip: [1, 2], when: [x]}", ["[1,x]", "[2,x]"]),
    ],
)
def test_combinations(matrix: str, expected: list[str]) -> None:
    assert names(matrix) == expected


def test_values_of_one_run_decide_which_there_are() -> None:
    matrix = "{m: '${{ params.models }}'}"
    assert names(matrix, models="[knn, svm, 3]") == ["[knn]", "[svm]", "[3]"]
    assert names(matrix, models="[]") == []
    odd = r'["a]b", "c,d", "e\nf", "🐍", ".."]'
    assert names(matrix, models=odd) == ["[a]b]", "[c,d]", "[e\nf]", "[🐍]", "[..]"]
    assert "matrix 'm' (params.models) has 'a' twice" in mistake(matrix, models="[a, a]")
    assert "has '1' twice" in mistake(matrix, models="[1, '1']")
    assert "has a value that is no text" in mistake(matrix, models="[[1]]")
    assert "a matrix of 10,001 combinations" in mistake(matrix, models=str(list(range(10_001))))


def test_parts_of_mappings_are_words() -> None:
    assert words("{os: '${{ params.os }}'}", "x ${{ matrix.os.name }} ${{ matrix.os.py }} ${{ matrix.os }}") == {
        "linux": 'x linux 3.11 {"name": "linux", "py": "3.11"}',
        "mac": 'x mac 3.12 {"name": "mac", "py": "3.12"}',
    }
    include = "{m: [a, b], include: [{m: a, extra: 1}, {m: b, extra: 2}]}"
    assert words(include, "x ${{ matrix.m }} ${{ matrix.extra }}") == {"a": "x a 1", "b": "x b 2"}
    assert "matrix.extra: '' has no key 'extra'" in mistake(
        "{m: [a, b], include: [{m: a, extra: 1}]}", "'${{ matrix.extra }}'"
    )


def test_a_parameter_that_some_values_use_counts_for_these_alone() -> None:
    matrix = "{m: [svm, forest, knn], when: {gamma: {m: svm}, depth: {m: [forest, knn]}}}"
    run = "fit ${{ matrix.m }} --gamma ${{ params.gamma }} --depth=${{ params.depth }}"
    assert words(matrix, run) == {
        "svm": "fit svm --gamma 0.1",
        "forest": "fit forest --depth=3",
        "knn": "fit knn --depth=3",
    }
    steps = graph(matrix, f'"{run}"').steps
    assert [dict(step.params) for step in steps.values()] == [{"gamma": 0.1}, {"depth": 3}, {"depth": 3}]
    assert "when of 's' has 'x'" not in mistake("{m: [a], when: {gamma: {x: a}}}")
    assert "when of 'gamma' has 'x', which is no axis" in mistake("{m: [a], when: {gamma: {x: a}}}")
    assert "when of step 's': unknown parameter 'gama'" in mistake("{m: [a], when: {gama: {m: a}}}")


CONFIG = b"train:\n  seed: 1\n  svm: {c: 2, kernel: rbf}\n  knn:\n    k: 3   # few\nmodels: [svm, knn]\n"


@pytest.mark.parametrize(
    ("reads", "svm", "knn"),
    [
        ("[train]", {"train.seed": 1, "train.svm.c": 2}, {"train.seed": 1, "train.knn.k": 3}),
        ("[train.svm, train.knn.k]", {"train.svm.c": 2}, {"train.knn.k": 3}),
        (
            '["*"]',
            {"train.seed": 1, "train.svm.c": 2, "models": "M"},
            {"train.seed": 1, "train.knn.k": 3, "models": "M"},
        ),
        ("[train.knn]", {}, {"train.knn.k": 3}),
        ("[train.seed]", {"train.seed": 1}, {"train.seed": 1}),
    ],
)
def test_what_a_program_reads_is_without_what_counts_for_other_values(
    reads: str, svm: dict[str, object], knn: dict[str, object]
) -> None:
    when = "{train.svm: {m: svm}, train.svm.kernel: {m: never}, train.knn: {m: knn}}"
    text = f"params: {{from: params.yaml}}\nsteps:\n  s:\n    run: x\n    params: {reads}\n    matrix: {{m: [svm, knn, never], when: {when}}}\n"
    pipeline = parse_pipeline(text.encode(), "pipelines/p.yaml", read_file=lambda name: CONFIG)
    built = build_graph(pipeline, bind_params(pipeline.params, []))
    for label, expected in (("svm", svm), ("knn", knn)):
        step = built.steps[f"s[{label}]"]
        assert dict(step.params) == {
            key: '["svm", "knn"]' if value == "M" else value for key, value in expected.items()
        }
        found = yaml.safe_load(built.texts[step.inputs[0].content]) if step.inputs else {}
        leaves_found = {path_text(path): as_scalar(value) for path, value in leaves(found)} if found else {}
        assert leaves_found == dict(step.params)


def test_a_name_that_a_program_reads_holds_no_expression() -> None:
    text = "params: {from: params.yaml}\nsteps:\n  s:\n    run: x\n    params: ['train.${{ matrix.m }}']\n    matrix: {m: [svm]}\n"
    with pytest.raises(SpecError, match="one value of a matrix alone uses stands under its `when`"):
        parse_pipeline(text.encode(), "pipelines/p.yaml", read_file=lambda name: CONFIG)


def test_a_mapping_is_without_what_counts_for_other_values() -> None:
    matrix = "{m: [linux, mac], when: {os.linux: {m: linux}, os.mac: {m: mac}}}"
    assert words(matrix, "x '${{ params.os }}' ${{ params.os.mac.py }}") == {
        "linux": 'x {"linux": {"py": "3.11"}}',
        "mac": 'x {"mac": {"py": "3.12"}} 3.12',
    }


def test_other_steps_choose_among_combinations() -> None:
    more = (
        "    outputs: {o: file}\n"
        "  t: {run: 'u ${{ steps.s[matrix].outputs.o }}', matrix: {m: '${{ params.models }}', k: [1, 2]}}\n"
        "  one: {run: 'u ${{ steps.s[svm].outputs.o }}'}\n"
        "  all: {run: 'u ${{ steps.s[*].outputs.o }}'}\n"
    )
    run = "'x ${{ outputs.o }}'"
    built = graph("{m: '${{ params.models }}'}", run, more)
    assert built.steps["t[forest,2]"].parents == ("s[forest]",)
    assert built.steps["all"].parents == ("s[svm]", "s[forest]")
    assert "step 's' has no combination [svm] in this run" in mistake(
        "{m: '${{ params.models }}'}", run, more, models="[forest]"
    )
    assert graph("{m: '${{ params.models }}'}", run, more.replace("[svm]", "[forest]"), models="[forest]").steps[
        "all"
    ].argv == (
        "u",
        ".gitml/in/0/forest/o",
    )


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("{m: [a, a]}", "matrix 'm' has 'a' twice"),
        ("{m: [1, '1']}", "matrix 'm' has '1' twice"),
        ("{m: []}", "matrix 'm' has no values"),
        ("{m: [[1]]}", "a value of matrix 'm' must be text"),
        ("{m: [null]}", "a value of matrix 'm' must be text"),
        ("{}", "a matrix has at least one axis"),
        ("{m: '${{ params.gamma }}'}", "params.gamma is float, not a list"),
        ("{m: '${{ params.nodels }}'}", "unknown parameter 'nodels' (did you mean 'models'?)"),
        ("{m: 'a ${{ params.models }}'}", "takes a list, or what is one"),
        ("{m: {rang: [1, 2]}}", "unknown key 'rang'"),
        ("{m: {range: [1]}}", "takes [first, last] or [first, last, step]"),
        ("{m: {range: [1, 5, -1]}}", "never reaches its end"),
        ("{m: {range: [1, 5, 0]}}", "never reaches its end"),
        ("{m: {range: [1, 20000]}}", "has 20,000 values; at most 10,000"),
        ("{m: {range: [a, b]}}", "range of matrix 'm' must be a number"),
        ("{zip: {a: [1], b: [1, 2]}}", "lists of one length: a has 1, b has 2"),
        (
            "{m: [a, b], exclude: [{m: c}]}",
            "exclude of the matrix has m: c, which is no combination (there is 'a', 'b')",
        ),
        ("{m: [a, b], exclude: [{n: c}]}", "exclude of the matrix has 'n', which is no axis"),
        ("{m: [a, b], n: [1], include: [{m: c, x: 1}]}", "which agrees with no combination"),
        ("{m: [a, b], include: [{m: a}]}", "which is a combination already"),
        ("{a: ['1,2', '1'], b: ['3', '2,3']}", "two combinations of the matrix have the label '1,2,3'"),
    ],
)
def test_mistakes(matrix: str, message: str) -> None:
    assert message in mistake(matrix)


def test_ten_thousand_combinations_are_wired_in_little_time() -> None:
    many = graph(
        "{n: {range: [1, 10000]}}",
        "'x ${{ matrix.n }} ${{ outputs.o }}'",
        "    outputs: {o: file}\n  t: {run: 'y ${{ steps.s[matrix].outputs.o }}', matrix: {n: {range: [1, 10000]}}}\n",
    )
    assert many.steps["t[7777]"].parents == ("s[7777]",)
