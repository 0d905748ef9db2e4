"""Graphs and parameter declarations as JSON data, so that a pipeline file that was read once need not be parsed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.language.params import Param
from gitml.core.model.action import ALONE, ActionOutput
from gitml.core.model.graph import Binding, Graph, GraphStep
from gitml.core.model.guarantees import FULL, network_of
from gitml.core.model.resources import ONE_CPU, Resources

if TYPE_CHECKING:
    from gitml.core.language.spec import Pipeline

FORMAT = 6  # raised whenever reading a pipeline file, or these shapes, changes
_USUAL = ("", ALONE, FULL)  # the placing of most steps


class Head(NamedTuple):
    """What must be known of a pipeline before its parameters are bound; `modules` are those it uses, as written."""

    name: str
    help: str
    params: Mapping[str, Param]
    modules: tuple[str, ...] = ()


def head_of(pipeline: Pipeline) -> Head:
    """The Head of a Pipeline."""
    uses = dict.fromkeys(step.use.module for step in pipeline.steps.values() if step.use is not None)
    return Head(pipeline.name, pipeline.help, pipeline.params, tuple(uses))


def head_as_json(head: Head) -> Any:
    """JSON data of a Head."""
    return [head.name, head.help, list(head.params.values()), head.modules]


def head_from_json(raw: Any) -> Head:
    """The inverse of `head_as_json`."""
    name, text, params, modules = raw
    declared = [Param(*param)._replace(choices=tuple(param[5])) for param in params]
    return Head(name, text, {param.name: param for param in declared}, tuple(modules))


def graph_as_json(graph: Graph) -> Any:
    """JSON data of a Graph; what most steps leave at its default takes no room."""
    steps = [
        [
            [step.name, step.base, step.label, step.argv, step.shell, step.params],
            step.inputs,
            step.outputs,
            [step.env, step.code, step.parents, step.environment, step.reuse, step.strict, step.retries, step.timeout],
            None if step.resources == ONE_CPU else _resources_as_json(step.resources),
            step.module,
            [step.target, *step.gang, step.network] if (step.target, step.gang, step.network) != _USUAL else None,
            step.secrets or None,
        ]
        for step in graph.steps.values()
    ]
    return [graph.pipeline, graph.path, graph.experiment, dict(graph.params), steps]


def graph_from_json(raw: Any) -> Graph:
    """The inverse of `graph_as_json`."""
    pipeline, path, experiment, params, rows = raw
    steps = {}
    for (name, base, label, argv, shell, used), inputs, outputs, rest, resources, module, placing, secrets in rows:
        target, nodes, processes, network = placing or ("", *ALONE, FULL)
        env, code, parents, environment, reuse, strict, retries, timeout = rest
        steps[name] = GraphStep(
            name,
            base,
            label,
            tuple(argv),
            shell,
            tuple([(key, value) for key, value in used]),
            tuple([Binding(*item) for item in inputs]),
            tuple([ActionOutput(*item) for item in outputs]),
            tuple([(key, value) for key, value in env]),
            tuple(code),
            tuple(parents),
            environment,
            reuse,
            strict,
            retries,
            timeout,
            ONE_CPU if resources is None else Resources(*resources),
            module,
            target,
            (nodes, processes),
            network_of(network),
            tuple([(key, value) for key, value in secrets or ()]),
        )
    return Graph(pipeline, path, experiment, params, steps)


def _resources_as_json(resources: Resources) -> Any:
    return [resources.cpus, resources.gpus, resources.memory, dict(resources.labels), dict(resources.custom)]
