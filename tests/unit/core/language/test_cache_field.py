"""`cache`: which folders a step may use between runs, what is a mistake in it, and that it is in no key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitml.core.kinds.cache_kinds import CACHE_KINDS, MOST, StepCache, cache_from_json, in_words, names_in
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.graph import Graph, graph_as_json, graph_from_json
from gitml.core.model.guarantees import guarantees, shortfall
from gitml.core.model.step_settings import StepSettings
from gitml.modules.spec import parse_module

PAGE = Path(__file__).parents[4] / "docs/pipelines.md"
STEP = "steps:\n  a: {{run: 'true', {}}}\n"


def build(text: str) -> Graph:
    graph = build_graph(parse_pipeline(text.encode(), "pipelines/p.yaml"), {})
    assert graph_from_json(json.loads(json.dumps(graph_as_json(graph)))) == graph
    return graph


def caches(text: str, step: str = "a") -> tuple[StepCache, ...]:
    return build(text).steps[step].settings.caches


def mistake(text: str, settings: StepSettings | None = None) -> str:
    with pytest.raises(SpecError) as caught:
        build_graph(parse_pipeline(text.encode(), "pipelines/p.yaml", *([] if settings is None else [settings])), {})
    (found,) = caught.value.diagnostics
    return str(found).removeprefix("pipelines/p.yaml:")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[pip, HF_HOME]", [("pip", ("PIP_CACHE_DIR",), "", False), ("HF_HOME", ("HF_HOME",), "", False)]),
        ("torch", [("torch", ("TORCH_HOME",), "", False)]),
        ("{d: {env: my_dir}}", [("d", ("my_dir",), "", False)]),
        ("{d: {path: ./data//c/}}", [("d", (), "data/c", False)]),
        ("{npm: , HF_HOME: {readonly: true}}", [("npm", ("npm_config_cache",), "", False), ("HF_HOME", ("HF_HOME",), "", True)]),
        ("{pip: {env: OTHER, path: x, readonly: false}}", [("pip", ("OTHER",), "x", False)]),
        ("[]", []),
        ("{}", []),
    ],
)  # fmt: skip
def test_a_cache_is_a_tool_or_a_variable_or_has_a_variable_or_a_place(written: str, found: list[object]) -> None:
    assert list(caches(STEP.format(f"cache: {written}"))) == found


def test_a_step_has_those_of_the_pipeline_unless_it_names_its_own() -> None:
    text = "cache: [pip]\nsteps:\n  a: {run: 'true'}\n  b: {run: 'true', cache: [uv]}\n  c: {run: 'true', cache: []}\n"
    assert [in_words(step.settings.caches) for step in build(text).steps.values()] == ["pip", "uv", ""]
    pipeline = parse_pipeline(b"cache: [pip]\nsteps:\n  m: {module: x}\n", "pipelines/p.yaml")
    assert pipeline.steps["m"].settings.caches == (), "nobody said that the module may use it"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[§pipp]", "'pipp' is no cache: name a tool"),
        ("[§Hf_home]", "'Hf_home' is no cache: name a tool"),
        ("[pip, §pip]", "cache 'pip' is there twice"),
        ("[huggingface, §HF_HOME]", "caches 'huggingface' and 'HF_HOME' are both in HF_HOME"),
        ("[§{pip: {}}]", "an entry of cache must be text"),
        ("[§PATH]", "cache 'PATH' can't be in PATH, which programs read otherwise"),
        ("[§LD_PRELOAD]", "cache 'LD_PRELOAD' can't be in LD_PRELOAD"),
        ("[§GITML_X]", "cache 'GITML_X' can't be in GITML_X"),
        ("§null", "cache must be a list"),
        ("{§d: {}}", "cache 'd' needs env or path, as its name is not that of a tool"),
        ("{§../d: {env: X}}", "'../d' is not a name"),
        ("{§a/b: {env: X}}", "'a/b' is not a name"),
        ("{d: {env: §'a b'}}", "'a b' can't be the name of an environment variable"),
        ("{d: {env: §HOME}}", "cache 'd' can't be in HOME"),
        ("{d: {path: §../x}}", "path of cache 'd' is a path that leaves the tree"),
        ("{d: {path: §/x}}", "path of cache 'd' is an absolute path"),
        ("{d: {path: §.}}", "path of cache 'd' is the whole tree"),
        ("{d: {path: §.git/x}}", "path of cache 'd' is a path into .git"),
        ("{d: {path: §.gitml/in}}", "path of cache 'd' is gitml's own folder"),
        ('{d: {path: §"${{ params.x }}"}}', "path of cache 'd' is an expression"),
        ("{d: {path: x}, §e: {path: x/y}}", "caches 'd' (x) and 'e' (x/y) overlap"),
        ("{d: {path: x, readonly: §1}}", "readonly of cache 'd' must be true or false"),
        ("{d: {path: x, §size: 1}}", "unknown key 'size' in cache 'd'"),
        ("{d: §1}", "cache 'd' must be a mapping"),
    ],
)
def test_what_can_be_no_cache_is_a_mistake_at_its_place(written: str, message: str) -> None:
    head = "  a: {run: 'true', cache: "
    with pytest.raises(SpecError) as caught:
        build(f"steps:\n{head}{written.replace('§', '')}}}\n")
    first = caught.value.diagnostics[0]
    assert (first.line, first.column) == (2, len(head) + written.index("§") + 1)
    assert first.message.startswith(message)


def test_too_many_are_a_mistake() -> None:
    names = ", ".join(f"V{number}" for number in range(MOST + 1))
    assert f"{MOST + 1} caches; a step has {MOST} at most" in mistake(STEP.format(f"cache: [{names}]"))
    assert len(caches(STEP.format(f"cache: [{names.rpartition(', ')[0]}]"))) == MOST


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("outputs: {o: {type: file, path: data/c/x}}", "output 'o' (data/c/x)"),
        ("outputs: {o: {type: directory, path: data}}", "output 'o' (data)"),
        ("inputs: {i: data/c/in.csv}", "input 'i' (data/c/in.csv)"),
        ("inputs: {i: {from: raw.csv, path: data}}", "input 'i' (data)"),
    ],
)
def test_a_place_that_overlaps_an_input_or_output_is_a_mistake(rest: str, what: str) -> None:
    told = mistake(STEP.format(f"cache: {{d: {{path: data/c}}}}, {rest}"))
    assert told == f"2:3: step 'a': cache 'd' (data/c) overlaps {what}: give it another path"


def test_a_command_does_not_run_in_a_cache() -> None:
    told = mistake(STEP.format("cache: {d: {path: data/c}}, workdir: data/c/in"))
    assert told.endswith("the command runs in data/c/in, which is the cache 'd' or in it: give it another path")
    assert caches(STEP.format("cache: {d: {path: data/c}}, workdir: data"))


def test_a_variable_that_env_sets_too_is_a_mistake_wherever_both_are() -> None:
    told = "step 'a': HF_HOME is set by env and by the cache 'HF_HOME': leave one of them out"
    assert mistake(STEP.format("env: {HF_HOME: x}, cache: [HF_HOME]")) == f"2:39: {told}"
    assert mistake("cache: [HF_HOME]\n" + STEP.format("env: {HF_HOME: x}")) == f"3:3: {told}"
    assert mistake("cache: [HF_HOME]\nenv: {HF_HOME: }\n" + STEP.format("reuse: true")) == f"4:3: {told}"


def test_a_strict_step_has_read_only_ones_alone_wherever_it_is_said() -> None:
    told = "step 'a': sandbox: strict goes with read-only caches alone, and pip can be written to"
    assert mistake(STEP.format("sandbox: strict, cache: [pip]")).startswith(
        f"2:37: {told}: cache: {{pip: {{readonly: true}}}}"
    )
    assert mistake("cache: [pip]\nsandbox: strict\n" + STEP.format("reuse: true")).startswith(f"4:3: {told}")
    assert mistake(STEP.format("cache: [pip]"), StepSettings(strict=True)).startswith(f"2:20: {told}")
    assert caches("sandbox: strict\n" + STEP.format("cache: {pip: {readonly: true}}"))[0].readonly
    assert caches("cache: [pip]\nsandbox: strict\n" + STEP.format("sandbox: normal"))


def test_modules_have_none() -> None:
    assert mistake("steps:\n  a: {module: x, cache: [pip]}\n") == "2:18: step 'a' uses a module, which has no caches"
    with pytest.raises(SpecError, match="unknown key 'cache'"):
        parse_module(b"name: m\nrun: 'true'\ncache: [pip]\n")


def test_they_are_no_setting_that_counts() -> None:
    (cache,) = caches(STEP.format("cache: [pip]"))
    assert StepSettings(caches=(cache,)).keyed() == StepSettings().keyed() == ()


def test_a_strict_step_takes_only_what_could_read_no_other_caches_than_its_own() -> None:
    one, other = StepCache("one", ("ONE",), readonly=True), StepCache("other", ("OTHER",), readonly=True)
    made = guarantees(strict=True, network="full", caches=(other, one))
    assert made == {"sandbox": "strict", "cache": "one, other"}
    assert shortfall(made, strict=True, network="full", caches=(one, other)) is None
    told = "with the cache other, and the step asks for a strict sandbox without it"
    assert shortfall(made, strict=True, network="full", caches=(one,)) == told
    assert shortfall(made, strict=False, network="full") is None
    assert shortfall(guarantees(strict=True, network="full"), strict=True, network="full", caches=(one,)) is None
    assert guarantees(strict=False, network="full", caches=()) == {}
    assert names_in(in_words((one, other))) == {"one", "other"}
    assert names_in("") == frozenset()


@pytest.mark.parametrize(
    "raw",
    [
        ["../x", [], "", False], ["x/y", [], "", False], ["", [], "", False], ["x", [1], "", False], ["x", "", "", 1],
        ["x", [], "/etc", False], ["x", [], "a/../..", False], ["x", [], ""], None, "xyzw",
    ],
)  # fmt: skip
def test_what_is_no_cache_is_refused_when_it_comes_over_a_wire(raw: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        cache_from_json(raw)  # type: ignore[arg-type]


def test_the_page_lists_the_tools_with_their_variables() -> None:
    part = PAGE.read_text().partition("### Caches\n")[2].partition("| key |")[0]
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("| `")
    ]
    assert {tool: tuple(variables.split("`, `")) for tool, variables in rows} == CACHE_KINDS
