"""Checks that a pipeline's expressions lead somewhere: names exist, selectors fit, nothing waits for itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gitml.core.kinds.port_kinds import is_directory, may_lie_in
from gitml.core.language.diagnostics import nearest
from gitml.core.language.expression import Ref, Template, refs_in
from gitml.core.language.params import Param, defaults_of, part_of
from gitml.core.language.spec import Pipeline, Step
from gitml.core.language.yaml_document import FIRST
from gitml.core.model import paths
from gitml.core.parameters.matrix import Combination, combinations_of, label_text
from gitml.core.parameters.step_values import EVERYTHING
from gitml.core.parameters.value_path import kind_of_value
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.core.kinds.step_kinds import StepReader


def check_wiring(pipeline: Pipeline, reader: StepReader) -> None:
    """Reports every expression that leads nowhere, every cycle by its full path, every path made twice."""
    combinations = _KnownCombinations(pipeline)
    for step in pipeline.steps.values():
        _check_expressions(step, pipeline, reader, combinations)
        _check_inputs(step, pipeline, reader, combinations)
        if step.use is not None:
            _check_use(step, pipeline, reader, combinations)
        for name in step.after:
            if name not in pipeline.steps:
                near = nearest(name, pipeline.steps)
                reader.report(step.place, f"step {step.name!r} is after {name!r}, which is no step{near}")
        _check_matrix(step, pipeline, reader, combinations)
        _check_reads(step, pipeline, reader)
        _check_outputs(step, reader)
        _check_ports(step, reader)
    for name, item in pipeline.inputs.items():
        for ref in refs_in((item.source, item.path)):
            if problem := param_problem(ref, pipeline.params):
                reader.report(FIRST, f"input {name!r}: {problem}")
            elif is_secret(ref, pipeline.params):
                reader.report(FIRST, f"input {name!r}: {NOT_IN_PATHS.format(ref=ref)}")
    _check_cycles(pipeline, reader)
    _check_outputs_in_inputs(pipeline, reader)
    _check_shared_outputs(pipeline, reader)
    for named in pipeline.checkout:
        if named.step not in pipeline.steps:
            near = nearest(named.step, pipeline.steps)
            reader.report(named.place, f"checkout: there is no step {named.step!r}{near}")
        elif pipeline.steps[named.step].use is None and named.step not in reader.broken:
            problem = checkout_problem(pipeline.steps[named.step], named.port)
            if problem:
                reader.report(named.place, problem)


def checkout_problem(step: Step, name: str) -> str | None:
    """Why an output of a step, whose ports are known, has no place in the work tree; None where it has one."""
    port = step.port(name)
    if port is None:
        near = nearest(name, [other.name for other in step.outputs])
        return f"checkout: step {step.name!r} has no output {name!r}{near}"
    return None if port.path else f"checkout: output {step.name}.{name} has no path: give it one"


NOT_IN_WORDS = (
    "{ref} is secret, and everybody on the machine can read the words of a command: "
    "env: {{{name}: ${{{{ {ref} }}}}}}, or a script (shell: bash)"
)
NOT_IN_PATHS = "{ref} is secret, and paths are recorded"


def is_secret(ref: Ref, params: Mapping[str, Param]) -> bool:
    """Whether an expression stands for one of these parameters that is secret."""
    return ref.space == "params" and ref.name in params and params[ref.name].secret


def parents_of(step: Step) -> list[str]:
    """The steps that `step` waits for, each once, in order of mention."""
    names = [ref.name for ref in refs_in(step.words + used_by(step)) if ref.space == "steps"]
    lists = [ref.name for ref in listed_by(step)]
    return list(dict.fromkeys([*lists, *names, *step.after]))


def listed_by(step: Step) -> list[Ref]:
    """The outputs of steps that a step's matrix takes values from."""
    axes = (*step.matrix.axes, *step.matrix.zipped) if step.matrix is not None else ()
    return [axis.source for axis in axes if axis.source is not None and axis.source.space == "steps"]


def _check_expressions(step: Step, pipeline: Pipeline, reader: StepReader, combinations: _KnownCombinations) -> None:
    """Checks those of the command, each reported where it stands, and those of env, code and paths, reported at the step."""
    run = reader.runs.get(step.name) or step.place
    for number, ref in enumerate(refs_in(step.words)):
        problem = _problem(ref, step, pipeline, combinations)
        if not problem and step.shell is None and is_secret(ref, pipeline.params):
            problem = NOT_IN_WORDS.format(ref=ref, name=ref.name.upper())
        if problem:
            reader.report(reader.expression_place(run, number), problem)
    for name, template in step.env:
        for ref in refs_in((template or (),)):
            if ref.space not in ("params", "matrix"):
                reader.report(step.place, f"env {name!r} can use params.x and matrix.x, not {ref}")
            elif problem := _problem(ref, step, pipeline, combinations):
                reader.report(step.place, problem)
    for ref in refs_in(step.code + tuple(path for port in step.outputs for path in (port.path, *port.pattern))):
        if ref.space in ("params", "matrix") and (problem := _problem(ref, step, pipeline, combinations)):
            reader.report(step.place, problem)
        elif is_secret(ref, pipeline.params):
            reader.report(step.place, NOT_IN_PATHS.format(ref=ref))


def _check_inputs(step: Step, pipeline: Pipeline, reader: StepReader, combinations: _KnownCombinations) -> None:
    """What a step's own inputs are made from is there; ``inputs.x`` in them is one of the pipeline."""
    for item in step.inputs:
        node = reader.sources.get((step.name, item.name)) or step.place
        for ref in refs_in((item.source, item.path)):
            problem = _problem(ref, step, pipeline, combinations, own_inputs=False)
            if problem is None and is_secret(ref, pipeline.params):
                problem = NOT_IN_PATHS.format(ref=ref)
            if problem is None and ref is item.source[0] and len(item.source) > 1:
                problem = _part_problem(ref, pipeline)
            if problem:
                reader.report(node, f"input {item.name!r}: {problem}")


def _part_problem(ref: Ref, pipeline: Pipeline) -> str | None:
    """Why an output of a step has no parts; None where it has, and of a module where that is not known yet."""
    port = pipeline.steps[ref.name].port(ref.port) if ref.space == "steps" else None
    if port is None or is_directory(port.kind):
        return None
    return f"{ref} is a {port.kind}, and only a directory has parts"


def _check_reads(step: Step, pipeline: Pipeline, reader: StepReader) -> None:
    """What a program is to read by itself is there, and no secret."""
    for path in step.reads:
        if path == EVERYTHING:
            if not pipeline.config:
                reader.report(
                    step.place, f"step {step.name!r}: params: [*] is all of the config files, and there are none"
                )
            continue
        try:
            param, _ = part_of(pipeline.params, path)
        except InputError as error:
            reader.report(step.place, f"step {step.name!r}: {error.message}")
            continue
        if param.secret:
            reader.report(
                step.place, f"step {step.name!r}: {path[0]} is secret: a program gets it by env or in a script"
            )


def _check_outputs(step: Step, reader: StepReader) -> None:
    """Each output is written somewhere."""
    used = {ref.name for ref in refs_in(step.words) if ref.space == "outputs"}
    for port in step.outputs:
        by_variable = step.notebook is not None  # which every step has for each output
        if port.pattern and port.name in used:
            reader.report(
                reader.runs.get(step.name) or step.place,
                f"outputs.{port.name} is what matches a pattern and has no place to write to: "
                "write the paths that the pattern matches, or give it a path in place of the pattern",
            )
        elif (
            port.name not in used
            and not port.path
            and not port.pattern
            and not by_variable
            and step.name not in reader.broken
        ):
            reader.report(
                step.place,
                f"step {step.name!r} never says where to write output {port.name!r}: "
                f"use ${{{{ outputs.{port.name} }}}} in run, or give it a path",
            )


def _check_use(step: Step, pipeline: Pipeline, reader: StepReader, combinations: _KnownCombinations) -> None:
    assert step.use is not None
    for port, template in step.use.inputs:
        for ref in refs_in((template,)):
            problem = _problem(ref, step, pipeline, combinations)
            if ref.space not in ("steps", "inputs"):
                problem = f"input {port!r} takes an input of the pipeline or an output of a step, not {ref}"
            if problem:
                reader.report(step.place, problem)
    for name, value in step.use.params:
        for ref in refs_in((value,)) if isinstance(value, tuple) else ():
            problem = _problem(ref, step, pipeline, combinations)
            if ref.space not in ("params", "matrix"):
                problem = f"parameter {name!r} can use params.x and matrix.x, not {ref}"
            if problem:
                reader.report(step.place, problem)


def used_by(step: Step) -> tuple[Template, ...]:
    """The expressions that a use of a module is given, or from which a step's own inputs come."""
    if step.use is None:
        return tuple(item.source for item in step.inputs)
    values = tuple(value for _, value in step.use.params if isinstance(value, tuple))
    return tuple(template for _, template in step.use.inputs) + values


def _problem(
    ref: Ref, step: Step, pipeline: Pipeline, combinations: _KnownCombinations, *, own_inputs: bool = True
) -> str | None:
    if ref.space == "steps":
        return _step_problem(ref, step, pipeline, combinations)
    if ref.space == "params":
        return param_problem(ref, pipeline.params)
    inputs = [*pipeline.inputs, *(item.name for item in step.inputs if own_inputs)]
    ways: dict[str, tuple[str, Collection[str]]] = {
        "inputs": ("unknown input", inputs),
        "outputs": (f"step {step.name!r} has no output", [port.name for port in step.outputs]),
        "matrix": (f"step {step.name!r} has no matrix value", step.matrix.known if step.matrix else ()),
    }
    lacks, known = ways[ref.space]
    return None if ref.name in known else f"{lacks} {ref.name!r}{nearest(ref.name, known)}"


def param_problem(ref: Ref, params: Mapping[str, Param]) -> str | None:
    """Why an expression of a parameter leads nowhere; None when it leads to a value."""
    try:
        param, value = part_of(params, ref.full_path)
    except InputError as error:
        return error.message
    if value is None and param.source:
        return f"{ref} is null in {param.source}: give it a value there"
    if ref.selector and param.type != "list":
        what = kind_of_value(value) if value is not None else param.type
        return f"{ref}: {str(ref).removesuffix('[*]')} is {what}, not a list"
    return None


def _step_problem(ref: Ref, step: Step, pipeline: Pipeline, combinations: _KnownCombinations) -> str | None:
    other = pipeline.steps.get(ref.name)
    if other is None:
        return f"unknown step {ref.name!r}{nearest(ref.name, pipeline.steps)}"
    if other.port(ref.port) is None and (other.use is None or other.outputs):
        ports = [port.name for port in other.outputs]
        return f"step {ref.name!r} has no output {ref.port!r}{nearest(ref.port, ports)}"
    if not other.matrix:
        return (
            None
            if ref.selector is None
            else f"step {ref.name!r} has no matrix to choose from: leave [{ref.selector}] out"
        )
    if ref.selector is None:
        return (
            f"step {ref.name!r} has a matrix: say steps.{ref.name}[*].outputs.{ref.port}, or one label in the brackets"
        )
    if ref.selector == "matrix":
        own, others = combinations.texts(step), combinations.texts(other)
        lacking = [axis for axis, texts in others.items() if axis not in own or (texts and not texts >= own[axis])]
        return f"[matrix] needs step {step.name!r} to have the matrix value {lacking[0]!r} too" if lacking else None
    if ref.selector != "*":
        labels = combinations.labels(other)
        if labels is not None and ref.selector not in labels:
            return f"step {ref.name!r} has no combination [{ref.selector}]{nearest(ref.selector, labels)}"
    return None


class _KnownCombinations:
    """The combinations of steps, as far as they are known without the values of a run; found once for each step."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._found: dict[str, Sequence[Combination] | None] = {}
        self._labels: dict[str, dict[str, None]] = {}
        self._texts: dict[str, dict[str, set[str]]] = {}

    def labels(self, step: Step) -> Collection[str] | None:
        """The labels of all combinations; None where only the values of a run say which there are."""
        every = self._of(step)
        if every is None:
            return None
        if step.name not in self._labels:
            self._labels[step.name] = dict.fromkeys(one.label for one in every)
        return self._labels[step.name]

    def texts(self, step: Step) -> Mapping[str, set[str]]:
        """The values of each axis as labels have them, as far as they are known."""
        if step.matrix is None:
            return {}
        if step.name not in self._texts:
            every = self._of(step) or ()
            self._texts[step.name] = {
                name: {label_text(one.values[name]) for one in every} for name in step.matrix.names
            }
        return self._texts[step.name]

    def _of(self, step: Step) -> Sequence[Combination] | None:
        if step.name not in self._found:
            self._found[step.name] = None
            if step.matrix is None or not step.matrix.made_by:  # else only a run shows them
                with suppress(InputError):
                    self._found[step.name] = combinations_of(step.matrix, defaults_of(self._pipeline.params))
        return self._found[step.name]


def _check_matrix(step: Step, pipeline: Pipeline, reader: StepReader, combinations: _KnownCombinations) -> None:
    """What a matrix takes lists from, and the parameters that count for some of its values, are there."""
    if step.matrix is None:
        return
    for axis in (*step.matrix.axes, *step.matrix.zipped):
        problem = None if axis.source is None else _list_problem(axis.source, step, pipeline, combinations)
        if problem:
            reader.report(step.place, f"matrix {axis.name!r} of step {step.name!r}: {problem}")
    for condition in step.matrix.when:
        try:
            part_of(pipeline.params, condition.param)
        except InputError as error:
            reader.report(step.place, f"when of step {step.name!r}: {error.message}")


def _list_problem(ref: Ref, step: Step, pipeline: Pipeline, combinations: _KnownCombinations) -> str | None:
    """Why what a matrix takes values from can't be a list; None where it can."""
    if ref.space == "steps":
        port = pipeline.steps[ref.name].port(ref.port) if ref.name in pipeline.steps else None
        if port is not None and is_directory(port.kind):
            return f"{ref} is a {port.kind}, and a list is a file of JSON"
        return _step_problem(ref, step, pipeline, combinations)
    if problem := param_problem(ref, pipeline.params):
        return problem
    param = part_of(pipeline.params, ref.full_path)[0]
    return None if param.type in ("list", "mapping") else f"{ref} is {param.type}, not a list"


def _check_ports(step: Step, reader: StepReader) -> None:
    literal = [(port.name, paths.clean(_skeleton(port.path)), port.kind) for port in step.outputs if port.path]
    for index, (name, path, kind) in enumerate(literal):
        for other, other_path, other_kind in literal[:index]:
            (inner, inner_kind), (outer, outer_kind) = sorted(
                [(path, kind), (other_path, other_kind)], key=lambda one: -len(one[0])
            )
            is_part = inner != outer and may_lie_in(inner_kind, outer_kind)
            if paths.overlaps(path, other_path) and not is_part:
                reader.report(
                    step.place, f"outputs {other!r} and {name!r} of step {step.name!r} share the path {path!r}"
                )


def _check_shared_outputs(pipeline: Pipeline, reader: StepReader) -> None:
    made: dict[str, str] = {}  # path -> step
    within: dict[str, str] = {}  # folder -> a step that makes something in it
    for step in pipeline.steps.values():
        for port in step.outputs:
            if not port.path:
                continue
            path = paths.clean(_skeleton(port.path))
            folders = [path[:index] for index, char in enumerate(path) if char == "/"]
            owners = [made.get(path), within.get(path), *map(made.get, folders)]
            owner = next((owner for owner in owners if owner not in (None, step.name)), None)
            if owner is not None:
                reader.report(step.place, f"steps {owner!r} and {step.name!r} both make {path!r}")
            made[path] = step.name
            for folder in folders:
                within[folder] = step.name


def _check_outputs_in_inputs(pipeline: Pipeline, reader: StepReader) -> None:
    """No output lies in an input of the commit, of whatever step: checked out, it would make the input another one."""
    inputs = {name: paths.clean(_skeleton(item.source)) for name, item in pipeline.inputs.items() if item.source}
    for step in pipeline.steps.values():
        for port in step.outputs:
            path = paths.clean(_skeleton(port.path)) if port.path else ""
            for name, place in inputs.items():
                if path and paths.overlaps(path, place):
                    node = reader.ports.get((step.name, port.name)) or step.place
                    reader.report(node, overlap(step.name, port.name, path, name, place))
                    break


def overlap(step: str, port: str, path: str, name: str, place: str) -> str:
    """What to say of an output that lies in an input of the commit, or the other way round."""
    where = f"is the input {name!r}" if path == place else f"and the input {name!r} ({place}) lie in one another"
    mend = "give it another path"
    if f"{place}/".startswith(f"{path}/"):
        mend += f", or take the input from the step: ${{{{ steps.{step}.outputs.{port} }}}}{place[len(path) :]}"
    return f"output {port!r} of step {step!r} ({path}) {where}: {mend}"


def _skeleton(template: Template) -> str:
    return "".join(part if isinstance(part, str) else f"<{part}>" for part in template)


def _check_cycles(pipeline: Pipeline, reader: StepReader) -> None:
    """Depth first with a stack of its own: a chain may be longer than Python's recursion allows."""
    done: set[str] = set()
    for start in pipeline.steps:
        if start in done:
            continue
        trail: list[str] = []
        on_trail: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                trail.pop()
                on_trail.discard(name)
                done.add(name)
                continue
            if name in on_trail:
                cycle = [*trail[trail.index(name) :], name]
                step = pipeline.steps[name]
                reader.report(step.place, f"steps wait for each other: {' -> '.join(reversed(cycle))}")
                done.update(cycle)
                continue
            if name in done or name not in pipeline.steps:
                continue
            trail.append(name)
            on_trail.add(name)
            stack.append((name, True))
            stack.extend((parent, False) for parent in reversed(parents_of(pipeline.steps[name])))
