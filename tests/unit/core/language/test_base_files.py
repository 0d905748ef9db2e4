"""``extends``: what a pipeline has of its base files, and that a mistake is reported in the file in which it stands."""

from __future__ import annotations

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.parse import parse_pipeline
from gitml.core.language.spec import Pipeline
from gitml.errors import InputError

BASE = """\
name: train-all
params: {seed: 7, lr: {default: 0.1, min: 0, help: rate}, gone: 1}
inputs: {raw: data/raw.csv, more: data/more.csv}
env: {A: "1", B: "2"}
steps:
  prepare:
    run: python3 prepare.py ${{ inputs.raw }} ${{ outputs.clean }} ${{ params.seed }}
    outputs: {clean: file, log: {type: file, path: log.txt}}
    code: [a.py, b.py]
  extra: {run: echo extra}
"""


def parse(text: str, **files: str) -> Pipeline:
    def read(path: str) -> bytes:
        name = path.removeprefix("conf/").removesuffix(".yaml")
        if name not in files:
            raise InputError(f"{path} is not in the commit", hint="commit it, or fix the path")
        return files[name].encode()

    return parse_pipeline(text.encode(), "ml/pipelines/p.yaml", read_file=read)


def mistakes(text: str, **files: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(text, **files)
    return [str(found) for found in caught.value.diagnostics]


def test_mappings_merge_this_file_counts_lists_replace_and_null_removes() -> None:
    made = parse(
        """\
extends: conf/base.yaml
params: {lr: {max: 1}, gone: null, seed: 8}
inputs: {more: null}
env: {B: null}
steps:
  extra: null
  prepare: {outputs: {log: null}, code: [c.py], timeout: 10m}
  train: {run: "python3 train.py ${{ steps.prepare.outputs.clean }} ${{ params.lr }}"}
""",
        base=BASE,
    )
    assert made.name == "p"
    assert {name: (one.default, one.min, one.max) for name, one in made.params.items()} == {
        "seed": (8, None, None),
        "lr": (0.1, 0, 1),
    }
    assert list(made.inputs) == ["raw"]
    prepare = made.steps["prepare"]
    assert list(made.steps) == ["prepare", "train"]
    assert [port.name for port in prepare.outputs] == ["clean"]
    assert prepare.code == (("c.py",),)
    assert prepare.settings.timeout == 600
    assert dict(prepare.env) == {"A": ("1",), "B": None}


def test_a_later_base_file_counts_before_an_earlier_one_and_base_files_have_base_files() -> None:
    made = parse(
        "extends: [conf/one.yaml, conf/two.yaml]\nparams: {c: 3}\n",
        one="extends: conf/root.yaml\nparams: {a: 1, b: 1}\n",
        two="extends: conf/root.yaml\nparams: {b: 2, c: 2}\n",
        root="steps: {s: {run: a}}\nparams: {a: 0, b: 0, c: 0, d: 0}\n",
    )
    # what two has of root counts before what one says: it is the later one, whole
    assert {name: param.default for name, param in made.params.items()} == {"a": 0, "b": 2, "c": 3, "d": 0}


def test_a_mistake_is_reported_in_the_file_in_which_it_stands() -> None:
    broken = BASE.replace("inputs.raw", "inputs.rwa").replace("code: [", "cdoe: [")
    found = mistakes("extends: conf/base.yaml\nsteps:\n  train: {run: 'x ${{ params.sed }}'}\n", base=broken)
    assert [text.split(": ")[0] for text in found] == [
        "ml/conf/base.yaml:7:29",
        "ml/conf/base.yaml:9:5",
        "ml/pipelines/p.yaml:3:19",
    ]
    assert mistakes("extends: conf/base.yaml\n", base="a: [")[0].startswith("ml/conf/base.yaml:2:1: not YAML")
    assert mistakes("extends: conf/base.yaml\n", base="- a") == [
        "ml/conf/base.yaml:1:1: a base file is a mapping, as a pipeline is",
        "ml/pipelines/p.yaml:1:1: steps is missing: a pipeline has at least one step",
    ]
    # a clash that shows only with both is where the step is
    both = "extends: conf/base.yaml\nsteps: {prepare: {outputs: {other: {type: file, path: log.txt}}}}\n"
    assert "outputs 'log' and 'other'" in mistakes(both, base=BASE)[0]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": "extends: conf/b.yaml", "b": "extends: [conf/c.yaml]", "c": "extends: conf/b.yaml"},
         "ml/conf/c.yaml:1:10: extends: files extend each other: conf/b.yaml -> conf/c.yaml -> conf/b.yaml"),
        ({"a": "extends: conf/a.yaml"}, "ml/conf/a.yaml:1:10: extends: files extend each other: conf/a.yaml -> conf/a.yaml"),
        ({"a": "extends: pipelines/p.yaml"}, "'pipelines/p.yaml' is directly in pipelines/, where every file is a pipeline"),
        ({"a": "extends: ../x.yaml"}, "ml/conf/a.yaml:1:10: extends: '../x.yaml' is a path that leaves the tree"),
        ({"a": "extends: conf/none.yaml"}, "ml/conf/a.yaml:1:10: extends: conf/none.yaml is not in the commit (commit it"),
        ({"a": "extends: {b: c}"}, "extends"),
        ({name: f"extends: conf/{chr(ord(name) + 1)}.yaml" for name in "abcdefgh"} | {"i": "help: x"},
         "extends: more than 8 base files in one another"),
    ],
)  # fmt: skip
def test_base_files_that_lead_nowhere_or_in_cycles_are_named(files: dict[str, str], said: str) -> None:
    assert any(said in found for found in mistakes("extends: conf/a.yaml\nsteps: {s: {run: a}}\n", **files))


def test_eight_base_files_in_one_another_are_borne_and_many_that_name_one_another_take_no_time() -> None:
    chain = {name: f"extends: conf/{chr(ord(name) + 1)}.yaml" for name in "abcdefg"} | {"h": "steps: {s: {run: a}}"}
    assert list(parse("extends: conf/a.yaml", **chain).steps) == ["s"]
    names = "abcdefgh"
    wide = {
        name: f"extends: [{', '.join(f'conf/{other}.yaml' for other in names[at + 1 :] * 3)}]" if at < 7 else "help: x"
        for at, name in enumerate(names)
    }
    assert parse("extends: conf/a.yaml\nsteps: {s: {run: a}}\n", **wide).help == "x"
    many = {f"x{n}": "help: x" for n in range(101)}
    text = f"extends: [{', '.join(f'conf/{name}.yaml' for name in many)}]\nsteps: {{s: {{run: a}}}}\n"
    assert "extends: more than 100 base files" in mistakes(text, **many)[0]
