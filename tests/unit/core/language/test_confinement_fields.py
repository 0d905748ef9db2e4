"""`sandbox` and `network` in pipelines, steps, gitml.yaml and modules, and which result is good enough for which step."""

from __future__ import annotations

import pytest

from gitml.core.config.parse import parse_config
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.module_expansion import with_modules
from gitml.core.language.parse import parse_pipeline
from gitml.core.language.spec import Pipeline, ResolvedModule
from gitml.core.model.graph import graph_as_json, graph_from_json
from gitml.core.model.guarantees import NETWORKS, Network, guarantees, shortfall
from gitml.core.model.step_settings import USUAL, StepSettings
from gitml.modules.spec import parse_module

STEP = "run: 'true'"


def parse(text: str, defaults: StepSettings = USUAL) -> Pipeline:
    return parse_pipeline(text.encode(), "pipelines/p.yaml", defaults)


def confined(pipeline: Pipeline) -> dict[str, tuple[bool, str]]:
    graph = build_graph(pipeline, {})
    assert graph_from_json(graph_as_json(graph)) == graph
    return {name: (step.settings.strict, step.settings.network) for name, step in graph.steps.items()}


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(text)
    return [diagnostic.message for diagnostic in caught.value.diagnostics]


def test_a_step_says_its_network_else_its_pipeline_else_the_project() -> None:
    text = f"steps:\n  a: {{{STEP}}}\n  b: {{{STEP}, network: full}}\n  c: {{{STEP}, network: loopback, sandbox: strict}}\n"
    assert confined(parse(text)) == {"a": (False, "full"), "b": (False, "full"), "c": (True, "loopback")}
    assert confined(parse("network: loopback\n" + text))["a"] == (False, "loopback")
    config = parse_config(b"defaults: {network: none, sandbox: strict}\n")
    assert confined(parse(text, config.defaults)) == {"a": (True, "none"), "b": (True, "full"), "c": (True, "loopback")}
    assert confined(parse("network: loopback\n" + text, config.defaults))["a"] == (True, "loopback")


def test_another_word_is_a_mistake_with_the_words_there_are() -> None:
    assert mistakes(f"network: off\nsteps:\n  a: {{{STEP}}}\n") == [
        "network must be full or loopback or none, not 'off'"
    ]
    with pytest.raises(SpecError, match="network must be full or loopback or none, not 'True'"):
        parse_config(b"defaults: {network: true}\n")


def test_processes_that_could_not_reach_each_other_are_a_mistake() -> None:
    text = f"steps:\n  a: {{{STEP}, processes: 2, network: %s}}\n"
    (told,) = mistakes(text % "none")
    assert told == "several processes reach each other by the loopback: network: loopback, or full"
    assert confined(parse(text % "loopback")) == {"a": (False, "loopback")}
    with pytest.raises(SpecError, match="reach each other"):
        parse(f"steps:\n  a: {{{STEP}, nodes: 2}}\n", StepSettings(network="none"))


MODULE = "name: m\nrun: 'true'\n"
USE = "steps:\n  a: {{module: m{0}}}\n"


@pytest.mark.parametrize(
    ("module", "step", "found"),
    [
        ("", "", (False, "full")),
        ("sandbox: strict\nnetwork: none\n", "", (True, "none")),
        ("sandbox: strict\nnetwork: none\n", ", sandbox: normal, network: full", (True, "none")),
        ("network: loopback\n", ", network: none", (False, "none")),
        ("sandbox: normal\nnetwork: full\n", ", sandbox: strict, network: loopback", (True, "loopback")),
    ],
)
def test_of_a_module_and_its_use_the_stricter_counts(module: str, step: str, found: tuple[bool, str]) -> None:
    spec = parse_module((MODULE + module).encode())
    pipeline = with_modules(parse(USE.format(step)), {"m": spec})
    graph = build_graph(pipeline, {}, {"m": ResolvedModule("1" * 40, spec)})
    assert (graph.steps["a"].settings.strict, graph.steps["a"].settings.network) == found


def test_a_module_without_a_network_is_no_gang() -> None:
    spec = parse_module(f"{MODULE}network: none\n".encode())
    with pytest.raises(SpecError, match="module m says network: none, without which several processes"):
        with_modules(parse(USE.format(", processes: 2")), {"m": spec})


@pytest.mark.parametrize("made", NETWORKS)
@pytest.mark.parametrize("asked", NETWORKS)
def test_only_what_was_made_as_strictly_or_more_will_do(made: Network, asked: Network) -> None:
    enough = NETWORKS.index(made) >= NETWORKS.index(asked)
    for strict in (False, True):
        told = shortfall(guarantees(strict=strict, network=made), strict=False, network=asked)
        assert told == (None if enough else f"with network: {made}, and the step asks for network: {asked}")
    assert shortfall(guarantees(strict=False, network=made), strict=True, network="full") is not None


def test_what_every_step_has_is_no_guarantee_and_a_word_of_another_version_is_none() -> None:
    assert guarantees(strict=False, network="full") == {}
    assert shortfall({"network": "airgap", "sandbox": "bubble"}, strict=False, network="full") is None
    assert shortfall({"network": "airgap"}, strict=False, network="loopback") is not None
    assert shortfall({"sandbox": "bubble"}, strict=True, network="full") is not None
