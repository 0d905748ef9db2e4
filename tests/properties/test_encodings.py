"""What is written is read back the same, and what was changed on the way is refused or read as what it now says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gitml.core.kinds.cache_kinds import StepCache
from gitml.core.language.params import TYPES, Param
from gitml.core.model.action import ActionOutput
from gitml.core.model.digest import digest_of, from_hex, hex_of, parse_digest
from gitml.core.model.environment import EnvironmentSpec, encode_description, environment_of
from gitml.core.model.graph import (
    Binding,
    GatheringWord,
    Graph,
    GraphStep,
    PipelineHeader,
    graph_as_json,
    graph_from_json,
    header_as_json,
    header_from_json,
)
from gitml.core.model.guarantees import NETWORKS
from gitml.core.model.resources import ONE_CPU, Resources
from gitml.core.model.result import (
    ActionResult,
    OutputRef,
    decode_result,
    encode_result,
    outputs_as_json,
    outputs_from_json,
)
from gitml.core.model.step_settings import StepSettings
from gitml.core.model.tree import TreeEntry, decode_tree, encode_tree, tree_size
from gitml.core.parameters.error_budget import ACTIONS, ErrorBudget
from gitml.core.parameters.made_list import ListSource
from gitml.core.records.record import Run, decode_run, encode_run, step_as_json, step_from_json
from gitml.core.records.step_rows import joined, split, tables_from_json
from tests.kit.execution import ON_HOST
from tests.kit.strategies import (
    digests,
    finite,
    hostile,
    names,
    output_options,
    outputs,
    results,
    runs,
    scalars,
    step_runs,
    tree_entries,
)


@given(tree_entries, st.randoms())
def test_a_tree_has_one_encoding_whatever_the_order_and_is_read_back(entries: list[TreeEntry], random: Any) -> None:
    encoded = encode_tree(entries)
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert encode_tree(shuffled) == encoded
    back = decode_tree(encoded)
    assert back == sorted(entries, key=lambda entry: entry.name)
    assert tree_size(back) == sum(entry.size for entry in entries)
    assert encode_tree(back) == encoded


@given(tree_entries, st.data())
def test_bytes_that_are_read_as_a_tree_are_exactly_its_encoding(entries: list[TreeEntry], data: st.DataObject) -> None:
    encoded = bytearray(encode_tree(entries))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(encoded) - 1))
        change = data.draw(st.sampled_from(["flip", "drop", "add", "cut"]))
        if change == "flip":
            encoded[place] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "drop" and len(encoded) > 1:
            del encoded[place]
        elif change == "add":
            encoded.insert(place, data.draw(st.sampled_from(list(b"\0 /.0f+_\n-"))))
        elif change == "cut":
            del encoded[max(1, place) :]
    try:
        back = decode_tree(bytes(encoded))
    except ValueError:
        return
    assert encode_tree(back) == bytes(encoded)


@given(results)
def test_a_result_is_read_back(result: ActionResult) -> None:
    assert decode_result(encode_result(result)) == result
    assert decode_result(encode_result(result)).same_content(result)


@given(outputs)
def test_outputs_are_read_back_in_their_order(made: tuple[OutputRef, ...]) -> None:
    raw = json.loads(json.dumps(outputs_as_json(made)))
    assert outputs_from_json(raw) == made


@given(step_runs)
def test_a_step_is_read_back(step: Any) -> None:
    assert step_from_json(json.loads(json.dumps(step_as_json(step)))) == step


def typed(run: Run) -> Any:
    """The run and the types of its parameters. In which order a step's outputs are is not kept."""
    steps = tuple(step._replace(outputs=tuple(sorted(step.outputs))) for step in run.steps)
    return run._replace(steps=steps), {name: type(value) for name, value in run.params.items()}


@given(runs)
def test_a_run_is_read_back_with_hostile_text_and_huge_numbers(run: Run) -> None:
    encoded = encode_run(run)
    encoded.decode("ascii")
    assert typed(decode_run(encoded)) == typed(run)
    assert encode_run(decode_run(encoded)) == encoded
    # A step a line, so that Git can store the next like it as a difference.
    assert len(encoded.splitlines()) == len(run.steps) + 2 + (not run.steps)


@given(runs)
def test_steps_are_read_back_from_rows_whatever_they_say(run: Run) -> None:
    steps = list({step.name: step for step in run.steps}.values())
    shown = [step_as_json(step) for step in steps]
    tables, files = split(shown, run.id)
    listed = tables_from_json(json.loads(tables.as_json()))
    back = list(joined(listed, files.__getitem__, run.id))
    assert [json.dumps(step, sort_keys=True) for step in back] == [json.dumps(step, sort_keys=True) for step in shown]


@given(runs, st.data())
def test_a_mutated_run_is_refused_with_a_value_error_or_read_as_another(run: Run, data: st.DataObject) -> None:
    encoded = bytearray(encode_run(run))
    place = data.draw(st.integers(0, len(encoded) - 1))
    if data.draw(st.booleans()):
        del encoded[place:]
    else:
        encoded[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != encoded[place]))
    try:
        decode_run(bytes(encoded))
    except ValueError:
        return


@given(runs, st.data())
def test_a_run_with_a_value_of_another_type_is_refused_with_a_value_error_or_read(
    run: Run, data: st.DataObject
) -> None:
    raw = json.loads(encode_run(run))
    place: Any = raw
    while True:  # to a random value anywhere in the record
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(
        st.sampled_from([None, 7, "x", [], {}, [[]], {"a": 1}, 1.5, True, 10**400, -1, float("nan")])
    )
    try:
        back = decode_run(json.dumps(raw).encode())
    except ValueError:
        return
    texts = [back.id, back.pipeline, back.path, back.experiment, back.commit, back.by, back.host, back.version]
    assert all(isinstance(text, str) for text in [*texts, back.message, *back.tags, *back.selected])
    assert all(text is None or isinstance(text, str) for text in (back.base, back.branch, back.error))
    assert all(isinstance(value, (str, int, float)) for value in back.params.values())
    assert abs(back.seconds) < float("inf")
    for step in back.steps:
        assert isinstance(step.name, str)
        assert all(abs(value) < float("inf") for value in step.metrics.values())
        assert all(0 <= output.size < 2**63 for output in step.outputs)
        assert all(cost.wall + cost.cpu is not None for cost in (step.cost, *(a.cost for a in step.attempts)))


@pytest.mark.parametrize("key", ["format", "run", "status", "steps", "commit", "params", "error", "started"])
def test_a_run_without_a_promised_key_is_refused(key: str) -> None:
    raw = json.loads(encode_run(Run("a" * 16, "p", "p.yaml", "p", "succeeded", "c", 1.0, 2.0, "me", "here", "0")))
    del raw[key]
    with pytest.raises(ValueError, match=key):
        decode_run(json.dumps(raw).encode())


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"7", b"[" * 99_999, b'{"format": 1, "status": ' + b"[" * 9999]
)
def test_what_is_no_run_is_refused_with_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode_run(content)
    with pytest.raises(ValueError):  # noqa: PT011
        decode_result(content)


def test_a_run_of_a_later_format_is_refused_naming_both() -> None:
    raw = json.loads(encode_run(Run("a" * 16, "p", "p.yaml", "p", "succeeded", "c", 1.0, 2.0, "me", "here", "0")))
    raw["format"] = 3
    with pytest.raises(ValueError, match="format 3; this gitml reads up to 2; a newer gitml wrote it"):
        decode_run(json.dumps(raw).encode())


specs = st.builds(
    lambda kind, name, options: EnvironmentSpec(kind, name, tuple(sorted(options.items()))),
    st.sampled_from(["host", "requirements", "uv"]) | hostile,
    st.sampled_from(["", "host"]) | hostile,
    st.dictionaries(hostile, hostile | st.lists(hostile, max_size=2).map(tuple), max_size=2),
)
places = st.tuples(hostile, st.lists(st.tuples(hostile, st.integers(0, 9)), max_size=2).map(tuple))
graph_steps = st.builds(
    GraphStep,
    name=hostile,
    pending=hostile,
    problem=hostile,
    project=st.just(""),  # that of a step as it is in its sandbox, which no graph has
    base=names,
    label=hostile,
    argv=st.lists(hostile, max_size=3).map(tuple),
    shell=st.sampled_from([None, "sh", "bash"]),
    params=st.lists(st.tuples(names, scalars), max_size=2).map(tuple),
    inputs=st.lists(
        st.builds(Binding, names, hostile, st.none() | hostile, st.none() | hostile, hostile, member=st.booleans()),
        max_size=2,
    ).map(tuple),
    outputs=st.lists(st.builds(ActionOutput, names, hostile, st.just("file"), output_options), max_size=2).map(tuple),
    env=st.lists(st.tuples(names, st.none() | hostile), max_size=2).map(tuple),
    code=st.lists(hostile, max_size=2).map(tuple),
    parents=st.lists(hostile, max_size=2).map(tuple),
    gathered=st.lists(
        st.builds(GatheringWord, st.integers(0, 9), st.lists(hostile | places, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
    settings=st.builds(
        StepSettings,
        environment=specs,
        reuse=st.booleans(),
        strict=st.booleans(),
        network=st.sampled_from(NETWORKS),
        target=st.just("") | names,
        retries=st.integers(0, 10**20),
        errors=st.builds(
            ErrorBudget,
            st.none() | st.integers(0, 10**9),
            st.none() | st.integers(0, 100_000),
            st.sampled_from(ACTIONS),
        ),
        timeout=st.none() | finite,
        nodes=st.integers(1, 3),
        processes=st.integers(1, 3),
        caches=st.lists(
            st.builds(StepCache, names, st.lists(names, max_size=2).map(tuple), st.just("") | names), max_size=2
        ).map(tuple),
        resources=st.just(ONE_CPU)
        | st.builds(
            Resources,
            finite,
            finite,
            st.integers(0, 2**70),
            st.dictionaries(hostile, hostile, max_size=2),
            st.dictionaries(hostile, finite, max_size=2),
        ),
    ),
)


@given(
    *(hostile, hostile, hostile, st.dictionaries(names, scalars, max_size=3), st.lists(graph_steps, max_size=3)),
    st.dictionaries(names, st.lists(st.builds(ListSource, hostile, hostile), max_size=2).map(tuple), max_size=2),
)
def test_a_graph_is_read_back_with_the_types_of_its_values(
    pipeline: str,
    path: str,
    experiment: str,
    params: dict[str, Any],
    steps: list[GraphStep],
    dynamic: dict[str, tuple[ListSource, ...]],
) -> None:
    made = {step.name: step for step in steps}
    graph = Graph(pipeline, path, experiment, params, made, dynamic=dynamic)
    back = graph_from_json(json.loads(json.dumps(graph_as_json(graph))))
    assert back == graph
    assert repr(back) == repr(graph)


@given(
    hostile,
    st.lists(
        st.builds(
            Param,
            names,
            st.sampled_from(TYPES),
            st.none() | scalars,
            st.none() | finite,
            st.none() | finite,
            st.lists(scalars, max_size=2).map(tuple),
            hostile,
            st.booleans(),
            hostile,
            st.lists(st.builds(Param, names, st.just("int"), st.none() | scalars, parts=st.just(())), max_size=2).map(
                tuple
            ),
            st.booleans(),
        ),
        max_size=3,
        unique_by=lambda param: param.name,
    ),
)
def test_a_head_is_read_back(text: str, params: list[Param]) -> None:
    head = PipelineHeader("p", text, {param.name: param for param in params})
    assert repr(header_from_json(json.loads(json.dumps(header_as_json(head))))) == repr(head)


@given(digests)
def test_a_digest_is_its_hex_and_back(digest: Any) -> None:
    assert from_hex(hex_of(digest)) == digest == parse_digest(str(digest))


@given(digests, st.integers(0, 70), st.sampled_from("ABCDEFgG :-\n\u0661"))
def test_a_digest_with_any_other_character_is_refused(digest: str, place: int, char: str) -> None:
    assume(digest[place] != char)
    with pytest.raises(ValueError, match="not a"):
        parse_digest(digest[:place] + char + digest[place + 1 :])
    with pytest.raises(ValueError, match="not a"):
        parse_digest(digest + char)


@given(st.dictionaries(hostile, scalars | st.lists(hostile, max_size=2), max_size=4), st.randoms())
def test_an_environment_is_named_by_its_description_whatever_the_order(said: dict[str, Any], random: Any) -> None:
    items = list(said.items())
    random.shuffle(items)
    assert (
        environment_of(dict(items), ON_HOST).digest
        == environment_of(said, ON_HOST).digest
        == digest_of(encode_description(said))
    )
    assert json.loads(encode_description(said)) == said


def test_not_a_number_has_no_encoding() -> None:
    run = Run("a" * 16, "p", "p.yaml", "p", "succeeded", "c", 1.0, 2.0, "me", "here", "0", params={"x": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_run(run)
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_description({"x": float("inf")})
    assert isinstance(run, Run)
