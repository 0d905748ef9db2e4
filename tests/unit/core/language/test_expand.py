"""Graphs: commands rendered, inputs mounted, matrices spread out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.params import bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.action import ActionOutput
from gitml.core.model.graph import Binding, Graph, GraphStep
from gitml.errors import InputError


def build(text: str, **given: str) -> Graph:
    pipeline = parse_pipeline(text.encode(), "pipelines/p.yaml")
    return build_graph(pipeline, bind_params(pipeline.params, list(given.items())))


def step(text: str, name: str = "a", **given: str) -> GraphStep:
    return build(text, **given).steps[name]


PAIR = """\
params: {n: 3, unused: 1}
inputs: {raw: ./data//raw.csv}
steps:
  a:
    run: make --n=${{ params.n }} ${{ inputs.raw }} ${{ inputs.raw }} ${{ outputs.o }} ${{ outputs.named }}
    outputs: {o: directory, named: {type: file, path: models/best.bin}}
  b:
    run: use ${{ steps.a.outputs.o }} ${{ steps.a.outputs.named }} ${{ inputs.raw }} ${{ outputs.o }}
    outputs: {o: file}
"""


def test_commands_are_rendered_with_mounts_that_name_no_step() -> None:
    graph = build(PAIR)
    a, b = graph.steps.values()
    assert a.argv == ("make", "--n=3", "data/raw.csv", "data/raw.csv", ".gitml/out/o", "models/best.bin")
    assert a.params == (("n", 3),)
    assert a.inputs == (Binding("raw", "data/raw.csv", "data/raw.csv"),)
    assert a.outputs == (
        ActionOutput("o", ".gitml/out/o", "directory"),
        ActionOutput("named", "models/best.bin", "file"),
    )
    assert b.argv == ("use", ".gitml/in/0/o", ".gitml/in/1/best.bin", "data/raw.csv", ".gitml/out/o")
    assert b.inputs == (
        Binding("o", ".gitml/in/0/o", None, "a", "o"),
        Binding("named", ".gitml/in/1/best.bin", None, "a", "named"),
        Binding("raw", "data/raw.csv", "data/raw.csv"),
    )
    assert (a.parents, b.parents) == ((), ("a",))


def test_inputs_of_one_name_are_numbered() -> None:
    text = """\
steps:
  a: {run: "x ${{ outputs.o }}", outputs: {o: file}}
  b: {run: "y ${{ outputs.o }}", outputs: {o: file}}
  c: {run: "z ${{ steps.a.outputs.o }} ${{ steps.b.outputs.o }} ${{ steps.a.outputs.o }}"}
"""
    c = step(text, "c")
    assert [(i.name, i.mount, i.step) for i in c.inputs] == [("o", ".gitml/in/0/o", "a"), ("o_2", ".gitml/in/1/o", "b")]
    assert c.argv == ("z", ".gitml/in/0/o", ".gitml/in/1/o", ".gitml/in/0/o")


MATRIX = """\
params: {p: 1}
steps:
  many:
    run: x ${{ matrix.m }} ${{ matrix.n }} ${{ outputs.o }}
    outputs: {o: file, s: {type: metrics, path: "out/${{ matrix.m }}-${{ matrix.n }}.json"}}
    matrix: {m: [svm, a b], n: [1, 0.50]}
  gather:
    run: g ${{ steps.many[*].outputs.o }} --all=${{ steps.many[*].outputs.o }}
  same:
    run: s ${{ steps.many[matrix].outputs.o }} ${{ matrix.k }}
    matrix: {n: [0.5, 1], k: [z], m: [svm]}
  chosen:
    run: c ${{ steps.many[svm,0.5].outputs.s }}
  later:
    run: l
    after: [many, chosen]
"""


def test_a_matrix_is_spread_out_last_axis_fastest() -> None:
    graph = build(MATRIX)
    names = [name for name, s in graph.steps.items() if s.base == "many"]
    assert names == ["many[svm,1]", "many[svm,0.5]", "many[a b,1]", "many[a b,0.5]"]
    assert graph.steps["many[a b,0.5]"].argv == ("x", "a b", "0.5", ".gitml/out/o")
    assert graph.steps["many[a b,0.5]"].label == "a b,0.5"
    assert graph.steps["many[a b,0.5]"].outputs[1].mount == "out/a b-0.5.json"


def test_gathering_gives_a_word_each_in_order_or_one_text() -> None:
    gather = step(MATRIX, "gather")
    mounts = [binding.mount for binding in gather.inputs]
    assert [mount.rsplit("/", 2)[1].split("~")[0] for mount in mounts] == ["svm,1", "svm,0.5", "a_b,1", "a_b,0.5"]
    assert gather.argv == ("g", *mounts, "--all=" + " ".join(mounts))
    assert gather.parents == ("many[svm,1]", "many[svm,0.5]", "many[a b,1]", "many[a b,0.5]")
    assert {binding.name for binding in gather.inputs} == {"o"}


def test_the_matrix_selector_takes_the_combination_that_agrees_whatever_the_order_of_axes() -> None:
    graph = build(MATRIX)
    same = {name: s.parents for name, s in graph.steps.items() if s.base == "same"}
    assert same == {"same[0.5,z,svm]": ("many[svm,0.5]",), "same[1,z,svm]": ("many[svm,1]",)}


def test_a_label_chooses_one_and_its_file_keeps_its_name() -> None:
    chosen = step(MATRIX, "chosen")
    assert chosen.parents == ("many[svm,0.5]",)
    assert chosen.argv == ("c", ".gitml/in/0/svm-0.5.json")


def test_after_a_matrix_step_is_after_all_its_combinations() -> None:
    later = step(MATRIX, "later")
    assert later.parents == ("many[svm,1]", "many[svm,0.5]", "many[a b,1]", "many[a b,0.5]", "chosen")
    assert later.inputs == ()


@pytest.mark.parametrize(
    "labels",
    [
        ["a/b", "a_b", "a\\b"],
        [".", "..", "..."],
        ["", "x"],
        ["~", "$(x)"],
        ["é", "è"],
        ["a\nb", "a b"],
        ["-x", "*"],
        [".git", "A"],
    ],
)
def test_odd_labels_get_mounts_of_their_own_that_are_single_harmless_names(labels: list[str]) -> None:
    import json

    text = (
        f'steps:\n  m: {{run: "x ${{{{ outputs.o }}}}", outputs: {{o: file}}, matrix: {{k: {json.dumps(labels, ensure_ascii=False)}}}}}\n'
        '  g: {run: "g ${{ steps.m[*].outputs.o }}"}\n'
    )
    folders = [
        binding.mount.removeprefix(".gitml/in/0").removesuffix("/o").removeprefix("/")
        for binding in step(text, "g").inputs
    ]
    assert len(set(folders)) == len(labels)
    for folder in folders:
        assert "/" not in folder
        assert folder not in (".", "..")
        assert folder.isascii()
        assert not set(folder) & set("*$~ \n\\") - {"~"}


def test_steps_come_after_all_they_wait_for_and_else_as_written() -> None:
    text = """\
steps:
  z: {run: "x ${{ steps.y.outputs.o }}"}
  free: {run: x}
  y: {run: "x ${{ outputs.o }}", outputs: {o: file}, after: w}
  w: {run: x}
"""
    assert list(build(text).steps) == ["w", "y", "z", "free"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params: {e: ''}\nsteps: {a: {run: '${{ params.e }}'}}", "the command is empty once its values are filled in"),
        ("params: {e: ''}\nsteps: {a: {run: '\"\"'}}", "the command is empty"),
        (
            "inputs: {i: data}\nparams: {p: data}\n"
            "steps: {a: {run: 'x ${{ inputs.i }}', outputs: {o: {type: file, path: '${{ params.p }}/x'}}}}",
            "output 'o' (data/x) overlaps input 'data'",
        ),
        (
            "inputs: {i: data/x}\nparams: {p: data}\n"
            "steps: {a: {run: 'x ${{ inputs.i }}'}, b: {run: x, outputs: {o: {type: file, path: '${{ params.p }}'}}}}",
            "output 'o' of step 'b' (data) and the input 'i' (data/x) lie in one another",
        ),
        (
            "inputs: {i: 'd/${{ params.p }}'}\nparams: {p: svm}\n"
            "steps: {a: {matrix: {m: [tree, svm]}, run: x, outputs: {o: {type: file, path: 'd/${{ matrix.m }}'}}}}",
            "output 'o' of step 'a[svm]' (d/svm) is the input 'i': give it another path, or take the input from the step: ${{ steps.a[svm].outputs.o }}",
        ),
        ("params: {p: ..}\nsteps: {a: {run: x, outputs: {o: {type: file, path: 'x/${{ params.p }}/../y'}}}}", None),
        (
            "params: {p: ../y}\nsteps: {a: {run: x, outputs: {o: {type: file, path: '${{ params.p }}'}}}}",
            "leaves the tree",
        ),
        (
            "params: {p: .}\nsteps: {a: {run: x, outputs: {o: {type: file, path: '${{ params.p }}'}}}}",
            "is the whole tree",
        ),
        (
            "params: {p: /etc}\nsteps: {a: {run: x, outputs: {o: {type: file, path: '${{ params.p }}'}}}}",
            "absolute path",
        ),
        ("params: {p: .git}\nsteps: {a: {run: x, outputs: {o: {type: file, path: '${{ params.p }}/x'}}}}", "into .git"),
        (
            "params: {p: .gitml}\nsteps: {a: {run: x, outputs: {o: {type: file, path: '${{ params.p }}/in/0/x'}}}}",
            "lie in .gitml",
        ),
        ("steps: {a: {shell: sh, run: \"cat <<'E'\\n${{ params.p }}\\nE\\n\"}}\nparams: {p: 1}", "here-document"),
        ("steps: {a: {shell: sh, run: 'echo $((${{ params.p }}))'}}\nparams: {p: x}", "whole number"),
    ],
)
def test_what_only_values_show_is_refused_at_the_step(text: str, message: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        build(text)
    if message is not None:
        assert message in caught.value.message
        assert caught.value.where is not None
        assert caught.value.where.startswith("pipelines/p.yaml:")


def test_combinations_of_one_step_may_make_one_path_and_not_one_within_another() -> None:
    graph = build("steps: {a: {run: x, outputs: {o: {type: file, path: out}}, matrix: {m: [1, 2]}}}")
    assert [step.outputs[0].mount for step in graph.steps.values()] == ["out", "out"]
    parts = "outputs: {o: {type: directory, path: out}, m: {type: metrics, path: out/m.json}}"
    assert len(build(f"steps: {{a: {{run: x, {parts}, matrix: {{m: [1, 2]}}}}}}").steps) == 2
    text = "steps: {a: {run: x, outputs: {o: {type: directory, path: 'd${{ matrix.m }}'}}, matrix: {m: ['', /x]}}}"
    with pytest.raises(SpecError, match=r"'a\[\]' and 'a\[/x\]' both make 'd/x'"):
        build(text)


def test_an_input_whose_value_leads_out_is_refused() -> None:
    text = "params: {p: ../x}\ninputs: {i: 'data/${{ params.p }}/../..'}\nsteps: {a: {run: 'x ${{ inputs.i }}'}}"
    with pytest.raises((InputError, SpecError), match="leaves the tree"):
        build(text)
    text = "params: {p: ../../x}\ninputs: {i: 'data/${{ params.p }}'}\nsteps: {a: {run: 'x ${{ inputs.i }}'}}"
    with pytest.raises(InputError, match="leaves the tree"):
        build(text)


def test_a_value_is_never_cut_into_words() -> None:
    text = "params: {p: x}\nsteps: {a: {run: \"say ${{ params.p }} '${{ params.p }}' --o=${{ params.p }}\"}}"
    value = "a b 'c' \"d\" $e `f` \\ \n"
    assert step(text, p=value).argv == ("say", value, value, f"--o={value}")


def test_selecting_takes_all_that_is_needed_and_all_combinations() -> None:
    graph = build(MATRIX)
    assert graph.select(["chosen"]) == ["many[svm,0.5]", "chosen"]
    assert graph.select(["same"]) == ["many[svm,1]", "many[svm,0.5]", "same[0.5,z,svm]", "same[1,z,svm]"]
    assert graph.select(["many[svm,1]", "many[svm,1]"]) == ["many[svm,1]"]
    with pytest.raises(InputError, match=r"no step 'gathr' in pipeline 'p' \(did you mean 'gather'\?\)"):
        graph.select(["gathr"])
    assert [step.name for step in graph.steps.values() if "chosen" in step.parents] == ["later"]


def test_a_chain_of_5000_steps_and_a_gathering_of_10000_are_built_in_seconds() -> None:
    lines = ["steps:", "  s0: {run: 'x ${{ outputs.o }}', outputs: {o: file}}"]
    lines += [
        f"  s{n}: {{run: 'x ${{{{ steps.s{n - 1}.outputs.o }}}} ${{{{ outputs.o }}}}', outputs: {{o: file}}}}"
        for n in range(1, 5000)
    ]
    many: dict[str, Any] = {"start": time.process_time()}
    graph = build("\n".join([lines[0], *reversed(lines[1:])]))
    assert list(graph.steps) == [f"s{n}" for n in range(5000)]
    assert len(graph.select(["s4999"])) == 5000
    hundred = ", ".join(map(str, range(100)))
    wide = (
        f"steps:\n  m: {{run: 'x ${{{{ outputs.o }}}}', outputs: {{o: file}}, matrix: {{a: [{hundred}], b: [{hundred}]}}}}\n"
        "  g: {run: 'g ${{ steps.m[*].outputs.o }}'}\n"
    )
    assert len(step(wide, "g").inputs) == 10_000
    assert time.process_time() - many["start"] < 20
