"""From a checked Pipeline and parameter values to a Graph.

Commands are rendered here, once: where an input will lie in the sandbox follows from the pipeline alone. A commit's files
keep their path; what steps made lies at ``.gitml/in/<i>/…`` under the name it was given where it was made, so the
names of steps never reach a command, and so never a key.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from gitml.core.kinds.notebook_kind import FIXED_WORDS, words_from
from gitml.core.kinds.port_kinds import is_directory
from gitml.core.language.diagnostics import Diagnostic, SpecError, nearest
from gitml.core.language.expression import Ref, Template, refs_in
from gitml.core.language.module_expansion import words_without
from gitml.core.language.params import Param, normalised, problem_with_value
from gitml.core.language.sources.optional_words import Conditional, command_words, script_words
from gitml.core.language.sources.placement import collision, output_in_input, own_places, parts_of, shared_output
from gitml.core.language.sources.step_inputs import problem_with_part, problem_with_place
from gitml.core.language.spec import (
    ModuleSpec,
    NotebookUse,
    Pipeline,
    Port,
    ResolvedModule,
    Step,
    StepInput,
)
from gitml.core.language.validate import parents_of
from gitml.core.model import paths
from gitml.core.model.action import ActionOutput, Scalar
from gitml.core.model.graph import IN, OUT, Binding, Graph, GraphStep
from gitml.core.model.step_settings import TOP
from gitml.core.parameters.matrix import Combination, absent_params, combinations_of, label_of
from gitml.core.parameters.references import value_of, words_for
from gitml.core.parameters.step_values import ConfigTexts, recorded_parts, recorded_values
from gitml.core.parameters.value_path import Path, Value, paths_beside, without_part
from gitml.core.text.plot_options import PlotOptions
from gitml.errors import InputError


def build_graph(
    pipeline: Pipeline, params: Mapping[str, Value], modules: Mapping[str, ResolvedModule] | None = None
) -> Graph:
    """The Graph of a checked Pipeline with every parameter bound; `modules` by their uses, for `with_modules` was done."""
    names = {name: _combinations(pipeline, step, params) for name, step in pipeline.steps.items()}
    inputs = {name: paths.clean(_text(item.source, params, {})) for name, item in pipeline.inputs.items()}
    for name, path in inputs.items():
        problem = paths.problem_with(path)
        if problem:
            raise InputError(f"input {name!r} is {problem}", where=pipeline.path)
    made: dict[str, GraphStep] = {}
    renderer = Renderer(pipeline, params, inputs, names, made, modules or {})
    for name in _in_order(pipeline):
        step = pipeline.steps[name]
        for combination in names[name].values():
            full_name = name + combination.suffix
            made[full_name] = renderer.command(step, combination, full_name)
    clash = shared_output(made) or output_in_input(made, inputs)
    if clash is not None:
        renderer.fail(pipeline.steps[clash[0]], clash[1])
    checkout = tuple((named.step, named.port) for named in pipeline.checkout)
    recorded = recorded_values(pipeline.config, params, made.values())
    experiment = pipeline.experiment or pipeline.name
    config = renderer.config
    changed = config.changed_files()
    plots = {
        f"{name}.{port.name}": PlotOptions(**dict(port.shown))
        for name, step in pipeline.steps.items()
        for port in step.outputs
        if port.shown
    }
    return Graph(pipeline.name, pipeline.path, experiment, recorded, made, checkout, config.texts, changed, plots)


def _combinations(pipeline: Pipeline, step: Step, params: Mapping[str, Value]) -> dict[str, Combination]:
    """The combinations of a step by label."""
    try:
        return {one.label: one for one in combinations_of(step.matrix, params)}
    except InputError as error:
        raise _at_step(pipeline, step, error.message) from None


def _at_step(pipeline: Pipeline, step: Step, message: str) -> SpecError:
    """A mistake at the place of a step."""
    where = Diagnostic(
        step.place.file or pipeline.path, step.place.line, step.place.column, f"step {step.name!r}: {message}"
    )
    return SpecError([where])


def _in_order(pipeline: Pipeline) -> list[str]:
    """Steps as written, except that one waits for its parents (written later)."""
    done: dict[str, None] = {}
    for start in pipeline.steps:
        stack = [start]
        while stack:
            name = stack[-1]
            waiting = [parent for parent in parents_of(pipeline.steps[name]) if parent not in done]
            if waiting and name not in done:
                stack.extend(reversed(waiting))
            else:
                done.setdefault(stack.pop())
    return list(done)


def _secrets_in(
    templates: tuple[Template, ...], declared: Mapping[str, Param], params: Mapping[str, Value]
) -> tuple[tuple[str, str], ...]:
    """The secret parameters that templates use, with their seals."""
    used = {ref.name for ref in refs_in(templates) if ref.space == "params" and declared[ref.name].secret}
    return tuple((name, str(params[name])) for name in sorted(used))


def _text(template: Template, params: Mapping[str, Value], matrix: Mapping[str, Value]) -> str:
    return "".join(
        part if isinstance(part, str) else " ".join(words_for(part, params if part.space == "params" else matrix))
        for part in template
    )


class Absent(NamedTuple):
    """Parameters that do not count in a combination, with all below them."""

    paths: tuple[Path, ...] = ()

    def has(self, ref: Ref) -> bool:
        """Whether an expression stands for one of them."""
        return bool(self.paths) and ref.space == "params" and self.covers(ref.full_path)

    def covers(self, path: Path) -> bool:
        """Whether a path leads to one of them, or to a part of one."""
        return any(path[: len(one)] == one for one in self.paths)

    def left_of(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """The values without those that are keys of mappings. Whole parameters stay: no expression gets at them."""
        for path in self.paths:
            if len(path) > 1:
                values = without_part(values, path)
        return values

    def left(self, paths: Sequence[Path], values: Mapping[str, Value]) -> list[Path]:
        """What counts of what lies at some paths, as paths."""
        return [one for path in paths for one in paths_beside(values, path, self.paths)] if self.paths else list(paths)


@dataclass
class Renderer:
    """Makes the steps of a Graph from those of a Pipeline: expressions get their values, inputs their places."""

    pipeline: Pipeline
    params: Mapping[str, Value]
    inputs: Mapping[str, str]
    names: Mapping[str, Mapping[str, Combination]]
    made: Mapping[str, GraphStep]
    modules: Mapping[str, ResolvedModule]

    def __post_init__(self) -> None:
        self.config = ConfigTexts(self.pipeline.config, self.params)

    def command(self, step: Step, combination: Combination, name: str) -> GraphStep:
        """One combination of a step, which runs its own command or that of the module it uses."""
        try:
            return self._command(step, combination, name)
        except SpecError:
            raise
        except InputError as error:  # of a value that an expression stands for
            self.fail(step, error.message)

    def _command(self, step: Step, combination: Combination, name: str) -> GraphStep:
        module = None if step.use is None else self.modules[step.use.module]
        matrix = combination.values
        absent = Absent(absent_params(step.matrix, matrix))
        params = absent.left_of(self.params)
        if module is not None:
            params = self.module_params(step, module.spec, matrix, params, absent)
        inner = matrix if module is None else {}  # a module knows nothing of the matrix it is used in
        words = step.words if module is None else self.module_words(step, module.spec)
        if absent.paths and not step.shell:
            words = words_without(words, absent.has)
        declared = self.pipeline.params if module is None else module.spec.params
        outputs = tuple(
            ActionOutput(
                *(port.name, self.output_path(step, port.name, port.path, params, inner), port.kind),
                self.output_options(step, port, params, inner),
            )
            for port in step.outputs
        )
        mounts = {output.name: output.mount for output in outputs}
        scope = (_Scope if module is None else _ModuleScope)(self, step, matrix, params, mounts, absent)
        notebook = ""
        try:
            scope.bind_declared()
            if step.shell:
                argv, conditional = script_words(words[0], scope.values, scope.optional)
            elif step.notebook is not None:
                argv, conditional = self.notebook_words(step, step.notebook, scope)
                notebook = self.notebook_path(step, argv, outputs)
                argv = words_from(step.settings.workdir, argv, notebook)
            else:
                argv, conditional = command_words(words, scope.word, scope.optional)
        except ValueError as error:
            self.fail(step, str(error))
        if any(word == 0 for word, _ in conditional):
            self.fail(step, "the program can't be an optional input")
        if not argv or not argv[0]:
            self.fail(step, "the command is empty once its values are filled in")
        if any("\0" in word for word in argv):
            self.fail(step, "a word of the command holds a NUL character")
        env = tuple(
            (key, None if template is None else _text(template, params, inner))
            for key, template in step.env
            if template is None or not any(absent.has(ref) for ref in refs_in((template,)))
        )
        reads = tuple(absent.left(self.config.selected(step.reads), self.params)) if absent.paths else step.reads
        scope.read(reads)
        secrets = _secrets_in((*words, *(template or () for _, template in step.env)), declared, params)
        data_parents = [binding.step for binding in scope.bindings if binding.step]
        order_parents = [parent + one.suffix for parent in step.after for one in self.names[parent].values()]
        self.check_overlap(step, outputs, scope.bindings)
        placed = step.inputs or any(item.path for item in self.pipeline.inputs.values())
        if placed and (problem := collision(scope.bindings)):
            self.fail(step, problem)
        return GraphStep(
            name=name,
            base=step.name,
            label=combination.label,
            argv=argv,
            shell=step.shell,
            params=tuple(sorted(scope.used.items())),
            inputs=(*scope.bindings, *(self.config.bindings(reads) if reads else ())),
            outputs=outputs,
            env=env,
            code=tuple(paths.clean(_text(pattern, self.params, matrix)) for pattern in step.code),
            parents=tuple(dict.fromkeys(data_parents + order_parents)),
            settings=step.settings,
            module=module.content if module else None,
            secrets=secrets,
            conditional=conditional,
            notebook=notebook,
        )

    def notebook_words(self, step: Step, use: NotebookUse, scope: _Scope) -> tuple[tuple[str, ...], Conditional]:
        """The command of a step that executes a notebook, each parameter as a word of JSON; ValueError for several in one."""
        argv = [text for word in step.words[:FIXED_WORDS] for text in scope.word(word)]
        rows = []
        for name, written in sorted(use.params, key=lambda param: param[0]):
            used = refs_in((written,)) if isinstance(written, tuple) else []
            if any(scope.absent.has(ref) for ref in used):
                continue
            given = json.dumps({name: scope.value(written)}, ensure_ascii=False)
            for ref in used:
                needed = scope.optional(ref)
                if len(needed) > 1:
                    raise ValueError(f"{ref} is optional and may be several, which no parameter of a notebook can be")
                if needed:
                    rows.append((len(argv), needed))
            argv.append(given)
        return tuple(argv), tuple(rows)

    def notebook_path(self, step: Step, argv: tuple[str, ...], outputs: tuple[ActionOutput, ...]) -> str:
        """The path of the notebook that a step executes."""
        path = paths.clean(argv[FIXED_WORDS - 2])
        if problem := paths.problem_with(path):
            self.fail(step, f"notebook is {problem}")
        for output in outputs:
            if paths.overlaps(output.mount, path):
                self.fail(step, f"output {output.name!r} lies where the notebook is: give it another path")
        return path

    def module_params(
        self,
        step: Step,
        module: ModuleSpec,
        matrix: Mapping[str, Value],
        params: Mapping[str, Value],
        absent: Absent,
    ) -> dict[str, Value]:
        """The values of a module's parameters in this use, which is given them from `params`, those of the pipeline."""
        assert step.use is not None
        values: dict[str, Value] = {
            name: param.default for name, param in module.params.items() if param.default is not None
        }
        for name, given in step.use.params:
            value: Value
            if not isinstance(given, tuple):
                value = given
            elif any(absent.has(ref) for ref in refs_in((given,))):
                continue
            elif len(given) == 1 and isinstance(given[0], Ref) and not given[0].selector:
                value = value_of(given[0], params if given[0].space == "params" else matrix)
            else:
                value = _text(given, params, matrix)
            problem = problem_with_value(module.params[name], value)
            if problem:
                self.fail(step, f"module {step.use.module}: {problem}")
            values[name] = normalised(module.params[name], value)
        return values

    def module_words(self, step: Step, module: ModuleSpec) -> tuple[Template, ...]:
        """A module's command without the options whose input is not bound."""
        assert step.use is not None
        bound = {port for port, _ in step.use.inputs}
        unbound = frozenset(module.inputs) - bound
        if module.shell:
            return module.words
        return words_without(module.words, lambda ref: ref.space == "inputs" and ref.name in unbound)

    def output_path(
        self, step: Step, name: str, template: Template, params: Mapping[str, Value], matrix: Mapping[str, Value]
    ) -> str:
        if not template:
            return f"{OUT}/{name}"
        path = paths.clean(_text(template, params, matrix))
        problem = paths.problem_with_output(path)
        if problem:
            self.fail(step, f"output {name!r} is {problem}")
        if paths.overlaps(path, ".gitml"):
            self.fail(step, f"output {name!r} can't lie in .gitml")
        return path

    def output_options(
        self, step: Step, port: Port, params: Mapping[str, Value], matrix: Mapping[str, Value]
    ) -> tuple[tuple[str, Any], ...]:
        """The options of an output, with its patterns as they are with these values."""
        if not port.pattern:
            return port.options
        patterns = sorted({paths.clean(_text(pattern, params, matrix)) for pattern in port.pattern})
        for pattern in patterns:
            if problem := paths.problem_with_output(pattern):
                self.fail(step, f"pattern of output {port.name!r} is {problem}")
        return tuple(sorted([*port.options, ("pattern", tuple(patterns))]))

    def check_overlap(self, step: Step, outputs: tuple[ActionOutput, ...], bindings: list[Binding]) -> None:
        for output in outputs:
            for binding in bindings:
                if paths.overlaps(output.mount, binding.mount):
                    self.fail(step, f"output {output.name!r} ({output.mount}) overlaps input {binding.mount!r}")

    def place_of(self, name: str) -> str:
        """Where an input of the pipeline lies."""
        item = self.pipeline.inputs[name]
        if not item.path:
            return self.inputs[name]
        place = paths.clean(_text(item.path, self.params, {}))
        if problem := paths.problem_with(place) or problem_with_place(place):
            raise InputError(f"path of input {name!r}: {problem}", where=self.pipeline.path)
        return place

    def declared_part(self, step: Step, item: StepInput, matrix: Mapping[str, Value]) -> str:
        """The path or the pattern that is meant within the directory that a step's own input comes from; empty: all of it."""
        if len(item.source) == 1:
            return ""
        part = _text(item.source[1:], self.params, matrix).lstrip("/")
        if problem := problem_with_part(part):
            self.fail(step, f"input {item.name!r}: behind {item.source[0]} {problem}")
        return paths.clean(part)

    def declared_path(self, step: Step, item: StepInput, matrix: Mapping[str, Value]) -> str:
        """Where the file of the commit lies that a step's own input is."""
        first = item.source[0]
        if isinstance(first, Ref) and first.space == "inputs":
            return self.inputs[first.name]
        path = paths.clean(_text(item.source, self.params, matrix))
        if problem := paths.problem_with(path):
            self.fail(step, f"input {item.name!r} is {problem}")
        return path

    def declared_place(self, step: Step, item: StepInput, matrix: Mapping[str, Value]) -> str:
        """The place that a step's own input is given, empty where none is."""
        if not item.path:
            return ""
        place = paths.clean(_text(item.path, self.params, matrix))
        if problem := paths.problem_with(place):
            self.fail(step, f"path of input {item.name!r} is {problem}")
        if problem := problem_with_place(place):
            self.fail(step, f"path of input {item.name!r} {problem}")
        return place

    def fail(self, step: Step, message: str) -> NoReturn:
        raise _at_step(self.pipeline, step, message)

    def output(self, step: str, port: str) -> ActionOutput:
        """What a step of the Graph makes for a port."""
        return next(output for output in self.made[step].outputs if output.name == port)

    def sources(self, ref: Ref, matrix: Mapping[str, Value]) -> list[tuple[str, str]]:
        """(label, full name) of the steps a Ref means; the label is empty unless several are gathered."""
        found = self.names[ref.name]
        if ref.selector is None:
            return [("", ref.name)]
        if ref.selector == "*":
            return [(label, ref.name + one.suffix) for label, one in found.items()]
        other = self.pipeline.steps[ref.name].matrix
        assert other is not None
        label = label_of(matrix, other.names) if ref.selector == "matrix" else ref.selector
        if label not in found:
            raise InputError(f"step {ref.name!r} has no combination [{label}] in this run{nearest(label, found)}")
        return [("", ref.name + found[label].suffix)]


@dataclass
class _Scope:
    """One step's expressions and what they have bound so far."""

    renderer: Renderer
    step: Step
    matrix: Mapping[str, Value]
    params: Mapping[str, Value]
    outputs: Mapping[str, str]
    absent: Absent
    used: dict[str, Scalar] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    bound: dict[Ref, list[str]] = field(default_factory=dict)
    declared: dict[str, list[str]] = field(default_factory=dict)
    groups: int = 0

    def word(self, template: Template) -> list[str]:
        """The words one written word becomes: several only where it is nothing but a gathering expression."""
        if len(template) == 1 and isinstance(template[0], Ref):
            return self.values(template[0])
        return ["".join(part if isinstance(part, str) else " ".join(self.values(part)) for part in template)]

    def value(self, written: Scalar | Template) -> Value:
        """What a written value stands for: of the type of the parameter or of the matrix that it names, else text."""
        if not isinstance(written, tuple):
            return written
        if len(written) == 1 and isinstance(written[0], Ref):
            ref = written[0]
            found = self.values(ref)
            if ref.space in ("params", "matrix"):
                return value_of(ref, self.params if ref.space == "params" else self.matrix)
            return found if ref.selector == "*" else found[0]
        return " ".join(self.word(written))

    def values(self, ref: Ref) -> list[str]:
        """What an expression stands for."""
        if self.absent.has(ref):
            return []
        if ref.space == "params":
            self.used |= recorded_parts(self.params, ref.full_path, leafwise=self.renderer.config.is_of_file(ref.name))
            return words_for(ref, self.params)
        if ref.space == "matrix":
            return words_for(ref, self.matrix)
        workdir = self.step.settings.workdir
        places = self.places(ref)
        return places if workdir == TOP else [posixpath.relpath(place, workdir) for place in places]

    def places(self, ref: Ref) -> list[str]:
        """Where the inputs and outputs lie that an expression stands for, from the top of the sandbox."""
        if ref.space == "outputs":
            return [self.outputs[ref.name]]
        if ref.space == "inputs" and ref.name in self.declared:
            return self.declared[ref.name]
        if ref not in self.bound:
            self.bound[ref] = self.bind(ref)
        return self.bound[ref]

    def optional(self, ref: Ref) -> tuple[int, ...]:
        """The numbers of the inputs that an expression stands for and that may be missing."""
        if ref.space not in ("inputs", "steps") or not any(binding.optional for binding in self.bindings):
            return ()
        found = set(self.places(ref))
        return tuple([n for n, binding in enumerate(self.bindings) if binding.optional and binding.mount in found])

    def bind_declared(self) -> None:
        """Binds the step's own inputs. What they are made from means them in the command, so that nothing is placed twice."""
        for item in self.step.inputs:
            first = item.source[0]
            place = self.renderer.declared_place(self.step, item, self.matrix)
            if isinstance(first, Ref) and first.space == "steps":
                part = self.renderer.declared_part(self.step, item, self.matrix)
                found = self.bind_outputs(item.name, first, place=place, optional=item.optional, part=part)
            else:
                path = self.renderer.declared_path(self.step, item, self.matrix)
                given = first.name if isinstance(first, Ref) and first.space == "inputs" else ""
                found = [place or (self.renderer.place_of(given) if given else path)]
                optional = bool(given) and self.renderer.pipeline.inputs[given].optional
                self.bindings.append(Binding(item.name, found[0], path, optional=optional))
            self.declared[item.name] = found
            if isinstance(first, Ref) and len(item.source) == 1:
                self.bound.setdefault(first, found)

    def read(self, paths: Sequence[Path]) -> None:
        """Counts what the program reads by itself as used."""
        config = self.renderer.config
        for path in config.selected(paths):
            self.used |= recorded_parts(self.params, path, leafwise=config.is_of_file(path[0]))

    def bind(self, ref: Ref) -> list[str]:
        name = self.free_name(ref.port or ref.name)
        if ref.space == "inputs":
            path, place = self.renderer.inputs[ref.name], self.renderer.place_of(ref.name)
            optional = self.renderer.pipeline.inputs[ref.name].optional
            self.bindings.append(Binding(name, place, path, optional=optional))
            return [place]
        return self.bind_outputs(name, ref)

    def bind_outputs(
        self, name: str, ref: Ref, kind: str = "", place: str | None = None, *, optional: bool = False, part: str = ""
    ) -> list[str]:
        """Binds what the steps that `ref` means made, at a place of its own each or, with `place`, where a declared input lies:

        there, several below it by label, or where it is empty at the paths that the outputs have.
        """
        sources = self.renderer.sources(ref, self.matrix)
        made = [self.renderer.output(source, ref.port) for _, source in sources]
        if part:
            made = parts_of(made, part)
        mounts = own_places(made) if place == "" else None
        if mounts is None and place and not any(label for label, _ in sources):
            mounts = [place]
        elif mounts is None:
            folder = place or f"{IN}/{self.groups}"
            self.groups += not place
            folders = [f"{folder}/{_safe(label)}" if label else folder for label, _ in sources]
            mounts = [f"{at}/{posixpath.basename(output.mount)}" for at, output in zip(folders, made, strict=True)]
        for (_, source), mount in zip(sources, mounts, strict=True):
            self.bindings.append(Binding(name, mount, None, source, ref.port, kind, optional, part=part))
        return mounts

    def free_name(self, name: str) -> str:
        taken = {binding.name for binding in self.bindings}
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name}_{number}", number + 1
        return candidate


class _ModuleScope(_Scope):
    """A module's expressions: its inputs stand for what the use binds them to. Files of the commit lie apart from its own."""

    def bind(self, ref: Ref) -> list[str]:
        assert self.step.use is not None
        outer = dict(self.step.use.inputs).get(ref.name)
        if outer is None:
            return []
        meant = outer[0]
        assert isinstance(meant, Ref)
        declared = self.renderer.modules[self.step.use.module].spec.inputs[ref.name]
        kind = "directory" if is_directory(declared.kind) else "file"
        if meant.space == "steps":
            return self.bind_outputs(ref.name, meant, kind, optional=declared.optional)
        path = self.renderer.inputs[meant.name]
        group, self.groups = self.groups, self.groups + 1
        mount = f"{IN}/{group}/{posixpath.basename(path)}"
        optional = declared.optional and self.renderer.pipeline.inputs[meant.name].optional
        self.bindings.append(Binding(ref.name, mount, path, kind=kind, optional=optional))
        return [mount]


def _safe(label: str) -> str:
    """A label as one file name; labels that differ only in odd characters stay apart by a number of their own."""
    cleaned = re.sub(r"[^A-Za-z0-9._,=+-]", "_", label)
    if cleaned == label and cleaned not in (".", ".."):
        return cleaned
    import zlib

    return f"{cleaned.lstrip('.')}~{zlib.crc32(label.encode('utf-8', 'surrogateescape')):08x}"
