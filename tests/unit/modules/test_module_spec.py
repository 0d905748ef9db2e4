"""module.yaml: what it says, and every mistake in it at its place."""

from __future__ import annotations

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expression import Ref
from gitml.core.language.module_expansion import words_without
from gitml.core.language.params import Param
from gitml.core.language.spec import ModuleInput, Port
from gitml.modules.spec import manifest_of, parse_module

WHOLE = b"""\
name: team/model-card
version: 1.2.0
description: Writes a model card.
category: docs
tags: [card, docs]
inputs:
  model: file
  rules: {type: file, optional: true, help: what to check}
outputs:
  card: {type: file, path: cards/card.md}
  scores: metrics
params:
  title: Card
  depth: {type: int, default: 2, min: 1, max: 9}
  who: {type: str}
run: python3 card.py ${{ inputs.model }} --rules ${{ inputs.rules }} -o ${{ outputs.card }} ${{ outputs.scores }}
code: [templates/]
environment: requirements.txt
resources: {cpus: 2, memory: 1GiB}
env: {LANG: C, TITLE: "${{ params.title }}"}
"""


def mistakes(text):
    with pytest.raises(SpecError) as caught:
        parse_module(text.encode() if isinstance(text, str) else text, "m/module.yaml")
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


def test_everything_a_module_can_say_is_read():
    spec = parse_module(WHOLE)
    assert (spec.name, spec.version, spec.category, spec.tags) == ("team/model-card", "1.2.0", "docs", ("card", "docs"))
    assert spec.inputs == {
        "model": ModuleInput("model", "file"),
        "rules": ModuleInput("rules", "file", True, "what to check"),
    }
    assert spec.outputs == (Port("card", "file", ("cards/card.md",)), Port("scores", "metrics"))
    assert spec.params["depth"] == Param("depth", "int", 2, 1, 9)
    assert spec.params["who"].default is None
    assert str(spec.settings.environment) == "requirements.txt"
    assert (spec.settings.resources.cpus, spec.settings.resources.memory) == (2, 1 << 30)
    manifest = manifest_of(spec)
    assert [p.name for p in manifest.interface.inputs] == ["model", "rules"]
    assert manifest.interface.inputs[1].optional
    assert manifest.interface.params[1].min == 1


def test_every_mistake_is_told_at_its_place():
    found = mistakes(
        "name: Bad Name\n"
        "version: latest\n"
        "inputs: {a: fil, b: {type: file, optionl: true}}\n"
        "outputs: {o: file}\n"
        "params: {n: {type: int, default: x}}\n"
        "run: tool ${{ inputs.c }} ${{ outputs.p }} ${{ params.m }} ${{ matrix.x }} ${{ steps.s.outputs.o }}\n"
        "enviroment: e\n"
    )
    said = "\n".join(found)
    for place, what in (
        ("1:7", "not a module's name"),
        ("2:10", "can't be called 'latest'"),
        ("3:13", "input 'a' must be file or directory or metrics or plot"),
        ("3:34", "unknown key 'optionl' in input 'b' (did you mean 'optional'?)"),
        ("5:34", "must be int"),
        ("6:11", "no input 'c'"),
        ("6:27", "no output 'p'"),
        ("6:44", "no parameter 'm'"),
        ("6:60", "matrix.x can't stand here"),
        ("6:76", "steps.s.outputs.o can't stand here"),
        ("7:1", "unknown key 'enviroment' in module.yaml (did you mean 'environment'?)"),
    ):
        assert any(line.startswith(f"m/module.yaml:{place}: ") and what in line for line in found), (place, what, said)


@pytest.mark.parametrize("text", ["", "~", "{}", "# nothing\n"])
def test_an_empty_file_lacks_a_name_and_a_command(text):
    assert [line.split(": ", 1)[1] for line in mistakes(text)] == [
        "name is missing: what pipelines call it",
        "run is missing: the command",
    ]


def test_a_huge_file_a_bomb_and_what_is_no_mapping_are_refused():
    assert "larger than 256 KiB" in mistakes("name: x\n#" + "x" * 300_000)[0]
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{c}: &{c} [{','.join(['*' + p] * 10)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "aliases counted" in mistakes(bomb)[0]
    assert "nested deeper" in mistakes("[" * 1000)[0]
    assert "must be a mapping" in mistakes("- a\n")[0]
    assert "tags such as" in mistakes("name: !!python/object/apply:os.system [x]\n")[0]
    assert "not UTF-8" in mistakes(b"name: \xff\n")[0]


def test_a_port_that_the_command_never_names_is_told():
    assert "the command never names inputs.a" in mistakes("name: x\ninputs: {a: file}\nrun: tool\n")[0]
    assert parse_module(b"name: x\nshell: sh\ninputs: {a: file}\nrun: cat $GITML_INPUT_A\n").shell == "sh"


@pytest.mark.parametrize(
    ("run", "kept"),
    [
        ("t ${{ inputs.m }} --rules ${{ inputs.r }} --x", "t <m> --x"),
        ("t ${{ inputs.m }} --rules=${{ inputs.r }} --x", "t <m> --x"),
        ("t ${{ inputs.m }} -r ${{ inputs.r }}", "t <m>"),
        ("t ${{ inputs.r }} ${{ inputs.m }}", "t <m>"),
        ("t --verbose=1 ${{ inputs.r }} ${{ inputs.m }}", "t --verbose=1 <m>"),
        ("t -- ${{ inputs.r }} ${{ inputs.m }}", "t -- <m>"),
    ],
)
def test_an_option_whose_only_value_is_an_unbound_port_goes_with_it(run, kept):
    spec = parse_module(f"name: x\ninputs: {{m: file, r: {{type: file, optional: true}}}}\nrun: '{run}'\n".encode())
    words = words_without(spec.words, lambda ref: ref.name == "r")
    shown = ["".join(f"<{p.name}>" if isinstance(p, Ref) else p for p in word) for word in words]
    assert " ".join(shown) == kept
    assert words_without(spec.words, lambda ref: False) == spec.words
