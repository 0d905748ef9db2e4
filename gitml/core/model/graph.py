"""Graph: a Pipeline with its parameters bound and matrices spread out; everything of a step's Action but the content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.language.diagnostics import nearest
from gitml.core.language.params import Param, param_from_json
from gitml.core.model.action import ActionOutput, Scalar, output_from_json
from gitml.core.model.step_settings import USUAL, StepSettings, settings_from_json
from gitml.core.parameters.made_list import ListSource
from gitml.core.text.plot_options import PlotOptions, plot_options
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.core.language.spec import Pipeline

IN, OUT = ".gitml/in", ".gitml/out"
"""Where a sandbox has what other steps made, and outputs without a path of their own."""
FORMAT = 20  # raised whenever reading a pipeline file, or these shapes, changes


class Binding(NamedTuple):
    """What fills one input: a path of the commit, or the output `port` of the step `step` (its name in the Graph).

    `kind` is file or directory where a module asks for one of them, CONFIG for a config file, else empty. One that is `optional`
    is absent where its step left out what it could. Of a config file `content` is the Digest of its text, which the Graph has.
    Of an output that is a directory `part` is the path in it, or the pattern, that is meant; empty: all of it. A `member` is one
    of several that are gathered, and is absent where its step failed and that is borne.
    """

    name: str
    mount: str
    path: str | None
    step: str | None = None
    port: str = ""
    kind: str = ""
    optional: bool = False
    content: str = ""
    part: str = ""
    member: bool = False


class GatheringWord(NamedTuple):
    """A word in which the places of inputs stand beside other text.

    A part is text, or what lies between the places of some inputs, and those places, each with the number of its input.
    """

    number: int
    parts: tuple[str | tuple[str, tuple[tuple[str, int], ...]], ...]


class GraphStep(NamedTuple):
    """One step to be decided and perhaps performed. `name` is unique (``train`` or ``train[svm]``), `base` as in the file.

    `module` is the Git id of the tree of the module that it uses; its code and environment are there. `secrets` are the secret
    parameters that it uses, with their seals. `conditional` are the words of `argv` that go where none of some optional inputs is
    there: the number of the word, and those of the inputs. `gathered` are words in which members stand beside other text.
    `notebook` is the path of the one that it executes, empty for none.

    Its paths count from the project, with ``..`` where they lie beside it. Of a step as its sandbox has it (`in_repository`) they
    count from the top of the repository, and `project` is the folder of the project there.

    One that is `pending` stands for what a list decides that is not made yet: all combinations of a matrix (``train[*]``), or a
    step that takes them in. `pending` says what is awaited; `argv` is as written, `inputs` are files of the commit alone.
    `problem` is why the list that was made gives no combinations.
    """

    name: str
    base: str
    label: str
    argv: tuple[str, ...]
    shell: str | None
    params: tuple[tuple[str, Scalar], ...]
    inputs: tuple[Binding, ...]
    outputs: tuple[ActionOutput, ...]
    env: tuple[tuple[str, str | None], ...]
    code: tuple[str, ...]
    parents: tuple[str, ...]
    settings: StepSettings = USUAL
    module: str | None = None
    secrets: tuple[tuple[str, str], ...] = ()
    conditional: tuple[tuple[int, tuple[int, ...]], ...] = ()
    notebook: str = ""
    gathered: tuple[GatheringWord, ...] = ()
    pending: str = ""
    problem: str = ""
    project: str = ""

    def made_by(self) -> dict[str, str]:
        """By its place, the step that makes an input."""
        return {binding.mount: binding.step for binding in self.inputs if binding.step is not None}


class Graph(NamedTuple):
    """Steps by name, each after all it waits for.

    `params` are the values as a run records them, `texts` what stands in config files that steps are given, by Digest. `config`
    are the config files by path, each with the path of a value that the run has otherwise than the file, else empty. `checkout`
    has (step's base, port) as of a Pipeline. `plots` says how outputs are shown, by ``base.port``. `dynamic` are the outputs that
    matrices take values from, by the step's base.
    """

    pipeline: str
    path: str
    experiment: str
    params: Mapping[str, Scalar]
    steps: Mapping[str, GraphStep]
    checkout: tuple[tuple[str, str], ...] = ()
    texts: Mapping[str, str] = {}
    config: Mapping[str, str] = {}
    plots: Mapping[str, PlotOptions] = {}
    dynamic: Mapping[str, tuple[ListSource, ...]] = {}

    def select(self, wanted: Iterable[str]) -> list[str]:
        """The named steps (``train`` means all its combinations) and all they need, in order; InputError for unknown."""
        names: set[str] = set()
        stack: list[str] = []
        for name in wanted:
            found = [step.name for step in self.steps.values() if name in (step.name, step.base)]
            if not found:
                base = name.partition("[")[0]
                found = [step.name for step in self.steps.values() if step.base == base and step.pending]
                if name in self.dynamic:  # its list is empty
                    continue
            if not found:
                known = dict.fromkeys([*(step.base for step in self.steps.values()), *self.steps])
                raise InputError(f"no step {name!r} in pipeline {self.pipeline!r}{nearest(name, known)}")
            stack.extend(found)
        while stack:
            name = stack.pop()
            if name not in names:
                names.add(name)
                stack.extend(self.steps[name].parents)
        return [name for name in self.steps if name in names]


class PipelineHeader(NamedTuple):
    """What must be known of a pipeline before its parameters are bound; `modules` are those it uses, as written."""

    name: str
    help: str
    params: Mapping[str, Param]
    modules: tuple[str, ...] = ()


def header_of(pipeline: Pipeline) -> PipelineHeader:
    """The Head of a Pipeline."""
    uses = dict.fromkeys(step.use.module for step in pipeline.steps.values() if step.use is not None)
    return PipelineHeader(pipeline.name, pipeline.help, pipeline.params, tuple(uses))


def header_as_json(head: PipelineHeader) -> Any:
    """JSON data of a Head."""
    return [head.name, head.help, list(head.params.values()), head.modules]


def header_from_json(raw: Any) -> PipelineHeader:
    """The inverse of `header_as_json`."""
    name, text, params, modules = raw
    declared = list(map(param_from_json, params))
    return PipelineHeader(name, text, {param.name: param for param in declared}, tuple(modules))


def graph_as_json(graph: Graph) -> Any:
    """JSON data of a Graph; what most steps leave at its default takes no room."""
    steps = []
    for step in graph.steps.values():
        (
            *head,
            inputs,
            outputs,
            env,
            code,
            parents,
            settings,
            module,
            secrets,
            conditional,
            notebook,
            gathered,
            pending,
            problem,
            _,
        ) = step
        steps.append(
            [
                head,
                inputs,
                [output.as_json() for output in outputs],
                [env, code, parents],
                settings.as_json(),
                module,
                secrets or None,
                conditional or None,
                notebook,
                gathered or None,
                [pending, problem] if pending or problem else None,
            ]
        )
    return [
        graph.pipeline,
        graph.path,
        graph.experiment,
        dict(graph.params),
        steps,
        graph.checkout,
        dict(graph.texts),
        dict(graph.config),
        {name: options.as_json() for name, options in graph.plots.items()},
        graph.dynamic,
    ]


def _gathering_word(number: int, parts: Iterable[Any]) -> GatheringWord:
    return GatheringWord(
        number,
        tuple(
            [part if isinstance(part, str) else (part[0], tuple([(text, n) for text, n in part[1]])) for part in parts]
        ),
    )


def graph_from_json(raw: Any) -> Graph:
    """The inverse of `graph_as_json`."""
    pipeline, path, experiment, params, rows, checkout, texts, config, plots, dynamic = raw
    steps = {}
    for head, inputs, outputs, (env, code, parents), settings, module, secrets, conditional, notebook, *more in rows:
        gathered, pending = more
        name, base, label, argv, shell, used = head
        steps[name] = GraphStep(
            name,
            base,
            label,
            tuple(argv),
            shell,
            tuple([(key, value) for key, value in used]),
            tuple([Binding(*item) for item in inputs]),
            tuple(map(output_from_json, outputs)),
            tuple([(key, value) for key, value in env]),
            tuple(code),
            tuple(parents),
            settings_from_json(settings),
            module,
            tuple([(key, value) for key, value in secrets or ()]),
            tuple([(word, tuple(inputs)) for word, inputs in conditional or ()]),
            notebook,
            tuple([_gathering_word(*word) for word in gathered or ()]),
            *(pending or ()),
        )
    shown = {name: plot_options(options) for name, options in plots.items()}
    pairs = tuple([(step, port) for step, port in checkout])
    lists = {base: tuple([ListSource(*source) for source in sources]) for base, sources in dynamic.items()}
    return Graph(pipeline, path, experiment, params, steps, pairs, texts, config, shown, lists)
