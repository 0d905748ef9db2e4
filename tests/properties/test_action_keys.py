"""Every field of an Action changes its key, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gitml.core.language.expand import build_graph
from gitml.core.language.params import bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.action import (
    Action,
    ActionInput,
    ActionOutput,
    CodeFile,
    StepCommit,
    decode_action,
)
from gitml.core.model.digest import digest_of
from gitml.core.planner.code import CodeFinder
from gitml.core.planner.plan import ActionParts, action_of
from tests.kit.memory_source import Content, MemoryFacts, MemorySource
from tests.kit.projects.project import Project
from tests.kit.strategies import actions

BASE = Action(
    argv=("python", "train.py", "--rate", "0.1"),
    shell=None,
    params=(("rate", 0.1), ("seed", 1)),
    code=(CodeFile("train.py", "100644", "1" * 40),),
    inputs=(ActionInput("raw", "data/a.csv", "file", f"git:100644:{'2' * 40}"),),
    outputs=(ActionOutput("model", ".gitml/out/model", "file"),),
    env=(("OMP_NUM_THREADS", "1"), ("TOKEN", None)),
    environment=digest_of(b"an environment"),
)
CODE, INPUT, OUTPUT = BASE.code[0], BASE.inputs[0], BASE.outputs[0]
VARIANTS: dict[str, dict[str, Any]] = {
    "a word": {"argv": ("python", "train.py", "--rate", "0.2")},
    "a word less": {"argv": ("python", "train.py", "--rate")},
    "an empty word more": {"argv": (*BASE.argv, "")},
    "two words joined": {"argv": ("python", "train.py", "--rate 0.1")},
    "words in another order": {"argv": ("python", "train.py", "0.1", "--rate")},
    "a shell": {"shell": "bash"},
    "another shell": {"shell": "sh"},
    "a parameter's value": {"params": (("rate", 0.1), ("seed", 2))},
    "an int that became a float": {"params": (("rate", 0.1), ("seed", 1.0))},
    "an int that became text": {"params": (("rate", 0.1), ("seed", "1"))},
    "an int that became a truth value": {"params": (("rate", 0.1), ("seed", True))},
    "a float in the last digit": {"params": (("rate", 0.1 + 2**-56), ("seed", 1))},
    "a parameter's name": {"params": (("rate", 0.1), ("seeds", 1))},
    "a parameter less": {"params": (("rate", 0.1),)},
    "code elsewhere": {"code": (CODE._replace(path="src/train.py"),)},
    "code made executable": {"code": (CODE._replace(mode="100755"),)},
    "other code": {"code": (CODE._replace(oid="3" * 40),)},
    "more code": {"code": (CODE, CodeFile("z.py", "100644", "1" * 40))},
    "no code": {"code": ()},
    "an input elsewhere": {"inputs": (INPUT._replace(mount="data/b.csv"),)},
    "an input's name": {"inputs": (INPUT._replace(name="other"),)},
    "an input's kind": {"inputs": (INPUT._replace(kind="directory"),)},
    "an input's content": {"inputs": (INPUT._replace(content=f"git:100644:{'4' * 40}"),)},
    "an input's mode": {"inputs": (INPUT._replace(content=f"git:100755:{'2' * 40}"),)},
    "an input made by a step": {"inputs": (INPUT._replace(content=digest_of(b"2")),)},
    "an output's name": {"outputs": (OUTPUT._replace(name="net"),)},
    "an output's place": {"outputs": (OUTPUT._replace(mount="model.bin"),)},
    "an output's kind": {"outputs": (OUTPUT._replace(kind="metrics"),)},
    "an output's option": {"outputs": (OUTPUT._replace(options=(("optional", True),)),)},
    "an output more": {"outputs": (OUTPUT, ActionOutput("log", ".gitml/out/log", "file"))},
    "a variable's value": {"env": (("OMP_NUM_THREADS", "2"), ("TOKEN", None))},
    "a variable emptied": {"env": (("OMP_NUM_THREADS", ""), ("TOKEN", None))},
    "a variable passed through": {"env": (("OMP_NUM_THREADS", None), ("TOKEN", None))},
    "a variable no longer passed through": {"env": (("OMP_NUM_THREADS", "1"), ("TOKEN", ""))},
    "a variable called None": {"env": (("OMP_NUM_THREADS", "1"), ("TOKEN", "None"))},
    "a variable less": {"env": (("TOKEN", None),)},
    "another environment": {"environment": digest_of(b"another environment")},
    "a module": {"module": "sha256:" + "5" * 64},
    "an empty module": {"module": ""},
    "more nodes": {"settings": (("gang", (2, 1)),)},
    "more processes": {"settings": (("gang", (1, 2)),)},
    "a secret parameter": {"secrets": (("token", "secret:hmac-sha256:" + "5" * 64),)},
    "a repository of its commit": {"repository": StepCommit("6" * 40)},
    "a repository of another commit": {"repository": StepCommit("7" * 40)},
    "a tag": {"repository": StepCommit("6" * 40, (("v1", "6" * 40),))},
    "a tag of another name": {"repository": StepCommit("6" * 40, (("v2", "6" * 40),))},
    "an annotated tag": {"repository": StepCommit("6" * 40, (("v1", "7" * 40),))},
    "a change since the commit": {"repository": StepCommit("6" * 40, (), (CODE,))},
    "a sandbox laid out like the repository": {"project": "ml"},
    "a project elsewhere in it": {"project": "other/ml"},
    "what an older gitml made": {"format": 1},
}


def test_the_variants_cover_every_field() -> None:
    assert {name for change in VARIANTS.values() for name in change} == set(Action._fields)


@pytest.mark.parametrize("what", VARIANTS)
def test_a_change_of_any_field_changes_the_key(what: str) -> None:
    assert BASE._replace(**VARIANTS[what]).key() != BASE.key()


def test_all_variants_have_different_keys() -> None:
    keys = {BASE._replace(**change).key() for change in VARIANTS.values()}
    assert len(keys) == len(VARIANTS)


def typed(value: Any) -> Any:
    """The value with its types, since Python holds 1, 1.0 and True for equal."""
    if isinstance(value, tuple):
        return tuple(map(typed, value))
    return type(value).__name__, repr(value)


def plain(action: Action) -> Any:
    return tuple(typed(tuple(map(tuple, v)) if n in ("code", "inputs", "outputs") else v) for n, v in fields(action))


def fields(action: Action) -> list[tuple[str, Any]]:
    return [(f, getattr(action, f)) for f in Action._fields]


@given(actions, actions)
def test_two_actions_have_one_key_just_when_they_are_the_same(one: Action, other: Action) -> None:
    assert (one.key() == other.key()) == (plain(one) == plain(other))


@given(actions, st.data())
def test_taking_one_field_from_another_action_changes_the_key_just_when_it_differs(
    action: Action, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(list(Action._fields)))
    mixed = action._replace(**{name: getattr(data.draw(actions), name)})
    assert (mixed.key() == action.key()) == (plain(mixed) == plain(action))


@given(actions)
def test_an_action_is_read_back_from_its_preimage_with_the_same_key(action: Action) -> None:
    back = decode_action(action.preimage())
    assert plain(back) == plain(action)
    assert back.key() == action.key() == digest_of(action.preimage())


@given(actions, st.data())
def test_a_mutated_preimage_is_another_action_or_none(action: Action, data: st.DataObject) -> None:
    preimage = bytearray(action.preimage())
    place = data.draw(st.integers(0, len(preimage) - 1))
    byte = data.draw(st.integers(0, 255))
    assume(preimage[place] != byte)
    preimage[place] = byte
    try:
        back = decode_action(bytes(preimage))
    except ValueError:
        return
    assert back.key() != action.key()
    assert back.preimage() == bytes(preimage)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"7",
        b'"x"',
        b'{"format":1}',
        b'{"format":2}',
        b'{"format":3}',
        BASE.preimage().replace(b'"format":2', b'"format":3'),
        BASE.preimage().replace(b'"format":2', b'"format":true'),
        BASE.preimage()[:-1],
        b"\xff",
        b"[" * 9999,
    ],
)
def test_what_is_no_preimage_is_refused_with_a_value_error(wrong: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode_action(wrong)


@pytest.mark.parametrize("change", [{"argv": "ab"}, {"params": [["a", None]]}, {"params": [["a", [1]]]}, {"module": 1},
    {"code": [["a", 1, "b"]]}, {"inputs": [["a", "b", "file", 7]]}, {"env": [["a", 1]]}, {"environment": None},
    {"shell": []}, {"more": 1}])  # fmt: skip
def test_a_preimage_with_a_part_of_another_type_is_refused(change: dict[str, Any]) -> None:
    raw = {**json.loads(BASE.preimage()), **change}
    with pytest.raises(ValueError, match="not an action"):
        decode_action(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())


# -- what is not in a key

PIPELINE = """\
params: {n: 3, rate: 0.5}
inputs: {raw: data/a.csv}
env: {A: one, B: two}
steps:
  make:
    run: python3 src/make.py ${{ inputs.raw }} --n ${{ params.n }} ${{ outputs.made }} ${{ outputs.report }}
    outputs: {made: directory, report: metrics}
  use:
    run: cat ${{ steps.make.outputs.made }} ${{ params.rate }} ${{ outputs.o }}
    outputs: {o: file}
"""
PROJECT: Mapping[str, Content] = {
    "src/make.py": "import helper\n",
    "src/helper.py": "x = 1\n",
    "data/a.csv": "1,2\n",
    "README.md": "read me\n",
}


def keys(text: str, files: Mapping[str, Content] = PROJECT, **given_params: str) -> list[str]:
    """The keys of a pipeline's steps in order, with inputs from steps standing for themselves."""
    source = MemorySource(files)
    pipeline = parse_pipeline(text.encode(), "pipelines/p.yaml")
    graph = build_graph(pipeline, bind_params(pipeline.params, list(given_params.items())))
    finder = CodeFinder(source, MemoryFacts())
    found = []
    for step in graph.steps.values():
        inputs = []
        for binding in step.inputs:
            entry = source.lookup(binding.path) if binding.path else None
            content = f"git:{entry.mode}:{entry.oid}" if entry else digest_of(binding.port.encode())
            inputs.append(ActionInput(binding.name, binding.mount, "file", content))
        found.append(action_of(step, ActionParts(inputs, finder.find(step), BASE.environment)).key())
    return found


SAME = {
    "comments": PIPELINE.replace("steps:", "# why not\nsteps:  # these") + "# the end\n",
    "another order of keys": """\
steps:
  make:
    outputs: {made: directory, report: metrics}
    run: python3 src/make.py ${{ inputs.raw }} --n ${{ params.n }} ${{ outputs.made }} ${{ outputs.report }}
  use:
    outputs: {o: file}
    run: cat ${{ steps.make.outputs.made }} ${{ params.rate }} ${{ outputs.o }}
env: {B: two, A: one}
inputs: {raw: data/a.csv}
params: {rate: 0.5, n: 3}
""",
    "names of steps": PIPELINE.replace("make:", "prepare:").replace("use:", "consume:").replace("s.make", "s.prepare"),
    "resources": PIPELINE.replace("    outputs: {o:", "    resources: {cpus: 2, memory: 1GiB}\n    outputs: {o:"),
    "retries": PIPELINE.replace("    outputs: {o:", "    retries: 3\n    outputs: {o:"),
    "a timeout": PIPELINE.replace("    outputs: {o:", "    timeout: 2h\n    outputs: {o:"),
    "help": "help: what it is for\n" + PIPELINE.replace("    outputs: {o:", "    help: this\n    outputs: {o:"),
    "an order without data": PIPELINE.replace("    outputs: {o:", "    after: [make]\n    outputs: {o:"),
    "reuse: false": PIPELINE.replace("    outputs: {o:", "    reuse: false\n    outputs: {o:"),
    "a strict sandbox": "sandbox: strict\n" + PIPELINE,
    "an experiment": "experiment: other\n" + PIPELINE,
    "spaces of the command": PIPELINE.replace("cat ${{", "cat    ${{   ").replace("--n", " --n "),
    "quotes of the command": PIPELINE.replace("--n", "'--n'"),
    "a parameter, an input and a step that nothing uses": PIPELINE.replace("n: 3", "n: 3, m: 4").replace(
        "raw: data/a.csv", "raw: data/a.csv, more: README.md"
    ),
    "bounds and help of a parameter": PIPELINE.replace("n: 3", "n: {type: int, default: 3, min: 0, help: how many}"),
    "an input's own name in the file system": PIPELINE.replace("raw: data/a.csv", "raw: ./data//a.csv"),
}


@pytest.mark.parametrize("what", SAME)
def test_what_is_not_in_a_key_does_not_change_it(what: str) -> None:
    assert SAME[what] != PIPELINE
    assert keys(SAME[what]) == keys(PIPELINE)


def test_a_pipelines_name_and_its_other_files_are_not_in_a_key() -> None:
    more: dict[str, Content] = {**PROJECT, "README.md": "other", "docs/x.md": "new", "src/unused.py": "y"}
    assert keys("name: p\n" + PIPELINE, more) == keys(PIPELINE)


def test_the_code_the_input_and_a_used_parameter_are_in_a_key() -> None:
    first, second = keys(PIPELINE)
    for other in (
        keys(PIPELINE, {**PROJECT, "src/helper.py": "x = 2\n"}),
        keys(PIPELINE, {**PROJECT, "data/a.csv": "3\n"}),
        keys(PIPELINE, n="4"),
    ):
        assert other[0] != first
        assert other[1] == second
    assert keys(PIPELINE, rate="0.25") == [first, keys(PIPELINE, rate="0.25")[1]]
    assert keys(PIPELINE, rate="0.25")[1] != second


def test_a_float_parameter_given_as_an_int_has_the_floats_key() -> None:
    assert keys(PIPELINE, rate="1") == keys(PIPELINE, rate="1.0") == keys(PIPELINE, rate="1e0")


def test_a_commit_of_the_readme_alone_runs_nothing(tmp_path: Any) -> None:
    project = Project(
        tmp_path / "r",
        {
            "README.md": "one",
            "in.txt": "x",
            "pipelines/p.yaml": "inputs: {i: in.txt}\nsteps:\n  a:\n    run: cp ${{ inputs.i }} ${{ outputs.o }}\n"
            "    outputs: {o: file}\n",
        },
    )
    first = project.run()
    project.repo.commit("words", {"README.md": "two"})
    again = project.run(rev="HEAD")
    assert again.commit != first.commit
    assert [(s.outcome, s.key) for s in again.steps] == [("reused", s.key) for s in first.steps]
