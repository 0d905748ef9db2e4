"""Inputs that steps declare by themselves: where they lie, what they mean in the command, and what is a mistake in them."""

from __future__ import annotations

import json

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.params import bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.action import Action, decode_action
from gitml.core.model.digest import Digest
from gitml.core.model.graph import Binding, Graph, graph_as_json, graph_from_json
from gitml.core.planner.step_words import words_with


def build(text: str, **given: str) -> Graph:
    pipeline = parse_pipeline(text.encode(), "pipelines/p.yaml")
    return build_graph(pipeline, bind_params(pipeline.params, list(given.items())))


def mistake(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        build(text)
    (found,) = caught.value.diagnostics
    return str(found).removeprefix("pipelines/p.yaml:")


MADE = """\
params: {year: 2024}
inputs: {mails: data/mails.csv}
steps:
  one:
    run: x ${{ outputs.plain }}
    outputs: {clean: {type: file, path: data/clean.csv}, plain: file, parts: {type: directory, path: data/parts}}
  many:
    run: x ${{ matrix.m }} ${{ outputs.plain }}
    matrix: {m: [svm, a b]}
    outputs: {model: {type: file, path: "models/${{ matrix.m }}.bin"}, plain: file}
"""


@pytest.mark.parametrize(
    ("written", "bindings"),
    [
        ("data/raw.csv", [("data/raw.csv", "data/raw.csv", None)]),
        ("./conf//", [("conf", "conf", None)]),
        ('"data/${{ params.year }}.csv"', [("data/2024.csv", "data/2024.csv", None)]),
        ("{from: data/raw.csv, path: in/raw.csv}", [("in/raw.csv", "data/raw.csv", None)]),
        ('"${{ inputs.mails }}"', [("data/mails.csv", "data/mails.csv", None)]),
        ('{from: "${{ inputs.mails }}", path: "m-${{ params.year }}"}', [("m-2024", "data/mails.csv", None)]),
        ('"${{ steps.one.outputs.clean }}"', [("data/clean.csv", None, "one")]),
        ('{from: "${{ steps.one.outputs.clean }}", path: ./x//y.csv}', [("x/y.csv", None, "one")]),
        ('"${{ steps.one.outputs.plain }}"', [(".gitml/in/0/plain", None, "one")]),
        ('"${{ steps.many[svm].outputs.model }}"', [("models/svm.bin", None, "many[svm]")]),
        (
            '"${{ steps.many[*].outputs.model }}"',
            [("models/svm.bin", None, "many[svm]"), ("models/a b.bin", None, "many[a b]")],
        ),
        (
            '{from: "${{ steps.many[*].outputs.model }}", path: all}',
            [("all/svm/svm.bin", None, "many[svm]"), ("all/a_b~806c5cd3/a b.bin", None, "many[a b]")],
        ),
        (
            '"${{ steps.many[*].outputs.plain }}"',
            [
                (".gitml/in/0/svm/plain", None, "many[svm]"),
                (".gitml/in/0/a_b~806c5cd3/plain", None, "many[a b]"),
            ],
        ),
    ],
)
def test_an_input_lies_where_its_path_says_or_else_where_its_source_has_it(
    written: str, bindings: list[tuple[str, str | None, str | None]]
) -> None:
    step = build(MADE + f"  two:\n    run: use\n    inputs: {{x: {written}}}\n").steps["two"]
    assert [(item.mount, item.path, item.step) for item in step.inputs] == bindings
    assert {item.name for item in step.inputs} == {"x"}
    assert set(step.parents) == {parent for _, _, parent in bindings if parent}


def test_in_the_command_a_step_s_own_input_comes_before_the_pipeline_s_and_its_source_is_placed_once() -> None:
    step = build(
        MADE
        + """\
  two:
    run: >-
      use ${{ inputs.mails }} ${{ inputs.clean }} ${{ steps.one.outputs.clean }} ${{ steps.one.outputs.plain }}
      --all=${{ inputs.models }}
    inputs:
      models: "${{ steps.many[*].outputs.model }}"
      mails: {from: data/other.csv, path: here.csv}
      clean: "${{ steps.one.outputs.clean }}"
"""
    ).steps["two"]
    assert step.argv == (
        *("use", "here.csv", "data/clean.csv", "data/clean.csv", ".gitml/in/0/plain"),
        "--all=models/svm.bin models/a b.bin",
    )
    assert step.inputs == (
        Binding("clean", "data/clean.csv", None, "one", "clean"),
        Binding("mails", "here.csv", "data/other.csv"),
        Binding("models", "models/svm.bin", None, "many[svm]", "model"),
        Binding("models", "models/a b.bin", None, "many[a b]", "model"),
        Binding("plain", ".gitml/in/0/plain", None, "one", "plain"),
    )


def test_the_order_in_which_inputs_are_written_says_nothing() -> None:
    one, other = "b: data/b.csv", "a: data/a.csv"
    texts = [f"steps: {{s: {{run: x, inputs: {{{a}, {b}}}}}}}" for a, b in ((one, other), (other, one))]
    assert build(texts[0]).steps["s"] == build(texts[1]).steps["s"]


def test_an_input_of_a_combination_may_be_what_the_same_combination_made() -> None:
    graph = build(
        MADE
        + """\
  test:
    matrix: {m: [svm, a b]}
    run: use ${{ matrix.m }}
    inputs: {model: "${{ steps.many[matrix].outputs.model }}", part: "parts/${{ matrix.m }}.csv"}
"""
    )
    assert [(item.mount, item.step) for item in graph.steps["test[a b]"].inputs] == [
        ("models/a b.bin", "many[a b]"),
        ("parts/a b.csv", None),
    ]


STEP = -1  # the mistake is told at the name of a step


@pytest.mark.parametrize(
    ("inputs", "place", "told"),
    [
        ("x: https://example.org/a.csv", 3, "input 'x' is a URL"),
        ("x: data/*.csv", 3, "input 'x' is a pattern"),
        ("x: ../a", 3, "input 'x' is a path that leaves the tree"),
        ("x: {path: a}", 3, "input 'x' needs from: a path of the commit, or ${{ steps.x.outputs.y }}"),
        ("x: {from: a, lazy: true}", 13, "unknown key 'lazy' in input 'x'"),
        ("x: {from: a, path: .git/a}", 19, "path of input 'x' is a path into .git"),
        ("x: {from: a, path: .gitml/in/0/a}", 19, "path of input 'x' can't lie in .gitml"),
        ("x: {from: a, path: ./}", 19, "path of input 'x' is the whole tree"),
        ("x: [a, b]", 3, "input 'x' must be text"),
        ('x: "${{ steps.none.outputs.o }}"', 3, "input 'x': unknown step 'none'"),
        ('x: "${{ steps.one.outputs.no }}"', 3, "input 'x': step 'one' has no output 'no'"),
        ('x: "${{ steps.many.outputs.model }}"', 3, "input 'x': step 'many' has a matrix"),
        ('x: "${{ inputs.x }}"', 3, "input 'x': unknown input 'x'"),
        ('x: "${{ outputs.o }}"', 3, "input 'x' can use params.x and matrix.x, not outputs.o"),
        ('x: "a/${{ steps.one.outputs.clean }}"', 3, "input 'x' can use params.x and matrix.x, not steps.one"),
        ('x: {from: a, path: "${{ matrix.none }}"}', 3, "input 'x': step 'two' has no matrix value 'none'"),
        ('x: "${{ params.token }}"', 3, "input 'x': params.token is secret, and paths are recorded"),
        ('x: "${{ steps.two.outputs.o }}"', STEP, "steps wait for each other: two -> two"),
        ("x: a, y: {from: b, path: a}", STEP, "step 'two': inputs 'x' and 'y' both lie at 'a': give one another path"),
        (
            "y: data/parts/a",
            STEP,
            "output 'parts' of step 'one' (data/parts) and the input 'y' (data/parts/a) lie in one another",
        ),
        (
            'x: "${{ steps.one.outputs.parts }}", y: {from: a, path: data/parts/a}',
            STEP,
            "input 'y' (data/parts/a) lies in the input 'x' (data/parts): give one another path",
        ),
        ("x: {from: a, path: made/x}", STEP, "step 'two': output 'o' (made) overlaps input 'made/x'"),
    ],
)
def test_a_mistake_in_an_input_is_told_at_its_place(inputs: str, place: int, told: str) -> None:
    text = MADE.replace("year: 2024", "year: 2024, token: {secret: true}")
    text += f"  two:\n    run: use\n    outputs: {{o: {{type: directory, path: made}}}}\n    inputs: {{{inputs}}}\n"
    found = mistake(text)
    assert told in found
    assert ":3: " in found if place == STEP else found.startswith(f"14:{14 + place}: ")


def test_files_of_the_commit_may_lie_in_one_another_as_they_do_there() -> None:
    step = build("inputs: {all: data/}\nsteps: {s: {run: 'x ${{ inputs.all }}', inputs: {one: data/a.csv}}}").steps["s"]
    assert [item.mount for item in step.inputs] == ["data/a.csv", "data"]


OPTIONAL = """\
steps:
  one:
    run: x ${{ outputs.a }}
    matrix: {m: [1, 2]}
    outputs: {a: {type: file, optional: true}}
  two:
    run: >-
      use -v --a ${{ inputs.a }} --b=${{ steps.one[2].outputs.a }} --all ${{ inputs.all }} end
    inputs:
      a: {from: "${{ steps.one[1].outputs.a }}", optional: true}
      all: {from: "${{ steps.one[*].outputs.a }}", optional: true, path: all}
      b: {from: "${{ steps.one[2].outputs.a }}", optional: true}
  three:
    shell: sh
    run: test -n ${{ inputs.a }} || echo ${{ params.p }} ${{ inputs.a }}
    inputs: {a: {from: "${{ steps.one[1].outputs.a }}", optional: true}}
params: {p: 7}
"""


def test_words_of_optional_inputs_go_with_the_option_before_them() -> None:
    graph = build(OPTIONAL)
    assert graph.steps["one[1]"].outputs[0].options == (("optional", True),)
    two = graph.steps["two"]
    assert [(item.name, item.optional) for item in two.inputs] == [
        ("a", True),
        ("all", True),
        ("all", True),
        ("b", True),
    ]
    assert words_with(two, frozenset()) == two.argv
    assert words_with(two, frozenset(range(4))) == ("use", "-v", "end")
    assert words_with(two, frozenset({0, 1})) == (*("use", "-v", "--b=.gitml/in/1/a", "--all", "all/2/a", "end"),)
    assert words_with(graph.steps["three"], frozenset({0}))[1:] == ("", "7", "")
    assert graph_from_json(json.loads(json.dumps(graph_as_json(graph)))) == graph


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("{run: use, inputs: {a: {from: data, optional: true}}}", "input 'a' is no output of a step"),
        ("{run: use, inputs: {a: {from: data, optional: maybe}}}", "optional of input 'a' must be true or false"),
        (
            "{run: 'use --all=${{ inputs.a }}', inputs: {a: {from: '${{ steps.one[*].outputs.a }}', optional: true}}}",
            "inputs.a is optional and may be several: let it be a word of its own",
        ),
        (
            "{run: '${{ inputs.a }} x', inputs: {a: {from: '${{ steps.one[1].outputs.a }}', optional: true}}}",
            "the program can't be an optional input",
        ),
    ],
)
def test_a_mistake_in_an_optional_input_is_told(step: str, told: str) -> None:
    assert told in mistake(OPTIONAL.replace("params:", f"  four: {step}\nparams:"))


def test_in_a_workdir_paths_are_written_as_seen_from_there_and_places_stay() -> None:
    text = """\
workdir: ./ml/
inputs: {raw: data/raw.csv, top: ml/own.csv}
steps:
  one:
    run: python3 train.py ${{ inputs.raw }} ${{ inputs.top }} --at=${{ inputs.x }} ${{ outputs.o }} ${{ outputs.p }}
    inputs: {x: {from: other.csv, path: ml/deep/x.csv}}
    outputs: {o: file, p: {type: file, path: ml/p.txt}}
  two: {run: "use ${{ steps.one.outputs.o }}", workdir: .}
  three: {shell: sh, run: "use ${{ steps.one.outputs.o }}"}
  four: {notebook: nb/x.ipynb, inputs: {o: "${{ steps.one.outputs.o }}"}}
"""
    one, two, three, four = build(text).steps.values()
    assert four.argv[1:3] == ("../.gitml/execute_notebook.py", "../nb/x.ipynb")
    assert (four.notebook, four.settings.keyed()) == ("nb/x.ipynb", (("workdir", "ml"),))
    assert one.argv == (
        *("python3", "train.py", "../data/raw.csv", "own.csv", "--at=deep/x.csv"),
        *("../.gitml/out/o", "p.txt"),
    )
    assert [item.mount for item in one.inputs] == ["ml/deep/x.csv", "data/raw.csv", "ml/own.csv"]
    assert [item.mount for item in one.outputs] == [".gitml/out/o", "ml/p.txt"]
    assert one.settings.keyed() == (("workdir", "ml"),)
    assert (two.argv, two.settings.keyed()) == (("use", ".gitml/in/0/o"), ())
    assert three.argv[1:] == ("../.gitml/in/0/o",)


@pytest.mark.parametrize("workdir", ["..", "/ml", ".git", ".gitml/in", "''", "[a]", "a/../b"])
def test_a_workdir_lies_in_the_project(workdir: str) -> None:
    assert mistake(f"workdir: {workdir}\nsteps: {{a: {{run: x}}}}").startswith("1:10: workdir ")


def test_a_recorded_action_works_in_no_folder_outside_its_sandbox() -> None:
    action = Action(("x",), None, (), (), (), (), (), Digest(f"sha256:{'a' * 64}"), settings=(("workdir", "ml"),))
    assert decode_action(action.preimage()) == action
    for folder in ("..", "/", "a/../..", "", ".git/hooks", 7):
        with pytest.raises(ValueError, match="not an action"):
            decode_action(action._replace(settings=(("workdir", folder),)).preimage())


@pytest.mark.parametrize(
    ("written", "bindings"),
    [
        ('"${{ steps.one.outputs.parts }}/train.csv"', [("data/parts/train.csv", "train.csv")]),
        ('"${{ steps.one.outputs.parts }}//sub/./x-${{ params.year }}"', [("data/parts/sub/x-2024", "sub/x-2024")]),
        ('"${{ steps.one.outputs.parts }}/sub/*.csv"', [("data/parts", "sub/*.csv")]),
        ('{from: "${{ steps.one.outputs.parts }}/sub", path: here}', [("here", "sub")]),
        ('"${{ steps.bare.outputs.raw }}/sub/x.csv"', [(".gitml/in/0/x.csv", "sub/x.csv")]),
        ('"${{ steps.bare.outputs.raw }}/*"', [(".gitml/in/0/raw", "*")]),
        (
            '"${{ steps.each[*].outputs.raw }}/x.csv"',
            [(".gitml/in/0/a/x.csv", "x.csv"), (".gitml/in/0/b/x.csv", "x.csv")],
        ),
    ],
)
def test_a_part_of_a_directory_lies_where_the_directory_has_it(written: str, bindings: list[tuple[str, str]]) -> None:
    more = """\
  bare: {run: "x ${{ outputs.raw }}", outputs: {raw: directory}}
  each: {run: "x ${{ matrix.m }} ${{ outputs.raw }}", matrix: {m: [a, b]}, outputs: {raw: directory}}
"""
    graph = build(MADE + more + f"  two:\n    run: use\n    inputs: {{x: {written}}}\n")
    step = graph.steps["two"]
    assert [(item.mount, item.part) for item in step.inputs] == bindings
    assert graph_from_json(json.loads(json.dumps(graph_as_json(graph)))) == graph


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("${{ steps.one.outputs.parts }}x.csv", "behind steps.one.outputs.parts goes a path in the directory"),
        ("${{ steps.one.outputs.parts }}/../x", "goes a path in the directory (/train.csv, /sub/*.csv), not a path that leaves the tree"),
        ("${{ steps.one.outputs.parts }}/", "not an empty path"),
        ("${{ steps.one.outputs.parts }}/./", "not all of it"),
        ("${{ steps.one.outputs.parts }}/${{ steps.one.outputs.plain }}", "can stand params.x and matrix.x, not steps.one"),
        ("${{ steps.one.outputs.clean }}/x.csv", "steps.one.outputs.clean is a file, and only a directory has parts"),
        ("${{ inputs.mails }}/x.csv", "behind inputs.mails nothing can stand"),
    ],
)  # fmt: skip
def test_what_can_be_no_part_of_a_directory_is_a_mistake_at_its_place(written: str, said: str) -> None:
    found = mistake(MADE + f'  two:\n    run: use\n    inputs:\n      x: "{written}"\n')
    assert said in found
    assert found.startswith("14:10:")


def test_an_input_of_the_pipeline_may_lie_elsewhere_and_be_optional() -> None:
    text = """\
params: {y: 1}
inputs:
  raw: {from: "data/${{ params.y }}.csv", path: "here/${{ params.y }}.csv"}
  maybe: {from: conf/stop.txt, optional: true}
steps:
  one:
    run: use ${{ inputs.raw }} --stop ${{ inputs.maybe }} ${{ inputs.own }}
    inputs: {own: {from: "${{ inputs.raw }}", path: own.csv}, stop: "${{ inputs.maybe }}"}
  two: {run: "use --raw=${{ inputs.raw }}"}
"""
    graph = build(text)
    one, two = graph.steps.values()
    assert [(item.mount, item.path, item.optional) for item in one.inputs] == [
        ("own.csv", "data/1.csv", False),
        ("conf/stop.txt", "conf/stop.txt", True),
    ]
    assert [(item.mount, item.path) for item in two.inputs] == [("here/1.csv", "data/1.csv")]
    assert (one.argv, two.argv) == (
        ("use", "own.csv", "--stop", "conf/stop.txt", "own.csv"),
        ("use", "--raw=here/1.csv"),
    )
    assert words_with(one, frozenset({1})) == ("use", "own.csv", "own.csv")
    assert graph_from_json(json.loads(json.dumps(graph_as_json(graph)))) == graph


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{from: "${{ steps.s.outputs.o }}"}', "input 'x' can use params.x, not steps.s.outputs.o"),
        ("{path: x}", "input 'x' needs from: a path of the commit"),
        ("{from: a.csv, path: .gitml/x}", "path of input 'x' can't lie in .gitml"),
        ('{from: a.csv, path: "${{ matrix.m }}"}', "path of input 'x' can use params.x, not matrix.m"),
        ('{from: a.csv, path: "${{ params.none }}"}', "unknown parameter 'none'"),
        ("{from: 's3://a/b'}", "is a URL"),
        ("{from: a.csv, lazzy: true}", "unknown key 'lazzy'"),
    ],
)
def test_what_can_be_no_input_of_a_pipeline_is_a_mistake(written: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(f"inputs:\n  x: {written}\nsteps: {{s: {{run: 'a ${{{{ inputs.x }}}}'}}}}\n")
    assert any(said in str(found) for found in caught.value.diagnostics)


def test_two_inputs_of_the_pipeline_at_one_place_are_a_mistake_of_the_step_that_uses_both() -> None:
    text = "inputs: {a: {from: x.csv, path: z}, b: {from: y.csv, path: z}}\nsteps: {s: {run: 'u ${{ inputs.a }}'}}\n"
    assert build(text).steps["s"].inputs[0].mount == "z"
    assert "both lie at 'z'" in mistake(text.replace("inputs.a }}", "inputs.a }} ${{ inputs.b }}"))
