"""From a checked Pipeline and parameter values to a Graph.

Commands are rendered here, once: where an input will lie in the sandbox follows from the pipeline alone. A commit's files
keep their path; what steps made lies at ``.gitml/in/<i>/…`` under the name it was given where it was made, so the
names of steps never reach a command, and so never a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gitml.core.kinds.notebook_kind import FIXED_WORDS, words_from
from gitml.core.language.diagnostics import SpecError, nearest
from gitml.core.language.expression import Ref, Template, refs_in
from gitml.core.language.module_expansion import words_without
from gitml.core.language.params import Param, normalised, problem_with_value
from gitml.core.language.sources.optional_words import RenderedWords, command_words, json_parts, script_words
from gitml.core.language.sources.placement import collision, misplaced_cache, output_in_input, shared_output
from gitml.core.language.sources.scope import (
    Absent,
    BoundPipeline,
    ModuleScope,
    StepScope,
    mistake_at,
    text_with,
    written_text,
)
from gitml.core.language.spec import (
    ModuleSpec,
    NotebookUse,
    Pipeline,
    Port,
    ResolvedModule,
    Step,
)
from gitml.core.language.validate import listed_by, parents_of, used_by
from gitml.core.model import paths
from gitml.core.model.action import ActionOutput
from gitml.core.model.graph import OUT, Binding, GatheringWord, Graph, GraphStep
from gitml.core.model.step_settings import StepSettings
from gitml.core.parameters.made_list import MadeLists
from gitml.core.parameters.matrix import ALL, NO_LISTS, Combination, absent_params, combinations_of
from gitml.core.parameters.references import value_of
from gitml.core.parameters.value_path import Value
from gitml.core.text.plot_options import PlotOptions
from gitml.errors import InputError


def build_graph(
    pipeline: Pipeline,
    params: Mapping[str, Value],
    modules: Mapping[str, ResolvedModule] | None = None,
    lists: MadeLists = NO_LISTS,
) -> Graph:
    """The Graph of a checked Pipeline with every parameter bound; `modules` by their uses, for `with_modules` was done.

    `lists` are those that steps made for matrices. What depends on others is pending.
    """
    names: dict[str, dict[str, Combination]] = {}
    unlisted: dict[str, str] = {}
    order = _in_order(pipeline)
    for name in order:
        names[name], wrong = _combinations(pipeline, pipeline.steps[name], params, lists, names)
        if wrong is not None:
            unlisted[name] = wrong
    inputs: dict[str, str] = {}
    for name, item in pipeline.inputs.items():
        source = text_with(item.source, params, {})
        inputs[name], problem = paths.from_project(source, paths.project_of_file(pipeline.path))
        if problem:
            raise InputError(f"input {name!r} is {problem}", where=pipeline.path)
    made: dict[str, GraphStep] = {}
    renderer = Renderer(pipeline, params, inputs, names, made, modules or {}, unlisted)
    for name in order:
        step = pipeline.steps[name]
        pending = bool(unlisted) and not unlisted.keys().isdisjoint((name, *parents_of(step)))
        for combination in names[name].values():
            full_name = name + combination.suffix
            made[full_name] = renderer.command(step, combination, full_name, pending=pending)
    clash = shared_output(made) or output_in_input(made, inputs)
    if clash is not None:
        renderer.fail(pipeline.steps[clash[0]], clash[1])
    checkout = tuple((named.step, named.port) for named in pipeline.checkout)
    config = renderer.config
    recorded = config.recorded(params, made.values())
    experiment = pipeline.experiment or pipeline.name
    changed = config.changed_files()
    plots = {
        f"{name}.{port.name}": PlotOptions(**dict(port.shown))
        for name, step in pipeline.steps.items()
        for port in step.outputs
        if port.shown
    }
    dynamic = {
        name: step.matrix.made_by for name, step in pipeline.steps.items() if step.matrix and step.matrix.made_by
    }
    return Graph(
        *(pipeline.name, pipeline.path, experiment, recorded, made, checkout, config.texts, changed, plots, dynamic)
    )


def _combinations(
    pipeline: Pipeline,
    step: Step,
    params: Mapping[str, Value],
    lists: MadeLists,
    names: Mapping[str, Mapping[str, Combination]],
) -> tuple[dict[str, Combination], str | None]:
    """The combinations of a step by label. Where lists decide them that are not made, or can't be used, one that stands for all
    of them, and the problem (empty: there is none yet)."""
    made_by = () if step.matrix is None else step.matrix.made_by
    for source, ref in zip(made_by, dict.fromkeys(listed_by(step)), strict=True):
        if any(one is ALL for one in names[ref.name].values()):
            return {ALL.label: ALL}, ""
        if ref.selector is not None and ref.selector not in names[ref.name]:
            near = nearest(ref.selector, names[ref.name])
            return {ALL.label: ALL}, f"step {ref.name!r} has no combination [{ref.selector}] in this run{near}"
        if source not in lists:
            return {ALL.label: ALL}, ""
    try:
        return {one.label: one for one in combinations_of(step.matrix, params, lists)}, None
    except InputError as error:
        if made_by:
            return {ALL.label: ALL}, error.message
        raise mistake_at(pipeline, step, error.message) from None


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


class Renderer(BoundPipeline):
    """Makes the steps of a Graph from those of a Pipeline: expressions get their values, inputs their places."""

    def command(self, step: Step, combination: Combination, name: str, *, pending: bool) -> GraphStep:
        """One combination of a step, which runs its own command or that of the module it uses; what stands for one that is
        `pending`."""
        try:
            return self.pending(step, combination, name) if pending else self._command(step, combination, name)
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
        outputs = self.outputs_of(step, params, inner)
        mounts = {output.name: output.mount for output in outputs}
        scope = (StepScope if module is None else ModuleScope)(self, step, matrix, params, mounts, absent)
        notebook = ""
        try:
            scope.bind_declared()
            if step.shell:
                rendered = script_words(words[0], scope)
            elif step.notebook is not None:
                rendered = self.notebook_words(step, step.notebook, scope)
                notebook, argv = self.notebook_path(step, rendered.argv, outputs)
                rendered = rendered._replace(argv=words_from(step.settings.workdir, argv, notebook))
            else:
                rendered = command_words(words, scope)
        except ValueError as error:
            self.fail(step, str(error))
        argv, conditional, gathered = rendered
        if any(word == 0 for word, _ in conditional):
            self.fail(step, "the program can't be an optional input")
        if not argv or not argv[0]:
            self.fail(step, "the command is empty once its values are filled in")
        if any("\0" in word for word in argv):
            self.fail(step, "a word of the command holds a NUL character")
        env = tuple(
            (key, None if template is None else text_with(template, params, inner))
            for key, template in step.env
            if template is None or not any(absent.has(ref) for ref in refs_in((template,)))
        )
        reads = tuple(absent.left(self.config.selected(step.reads), self.params)) if absent.paths else step.reads
        scope.read(reads)
        secrets = _secrets_in((*words, *(template or () for _, template in step.env)), declared, params)
        data_parents = [binding.step for binding in scope.bindings if binding.step]
        lists = [source.step for source in step.matrix.made_by] if step.matrix is not None else []
        order_parents = [parent + one.suffix for parent in step.after for one in self.names[parent].values()]
        self.check_overlap(step, outputs, scope.bindings)
        placed = step.inputs or any(item.path for item in self.pipeline.inputs.values())
        if placed and (problem := collision(scope.bindings)):
            self.fail(step, problem)
        made = GraphStep(
            name=name,
            base=step.name,
            label=combination.label,
            argv=argv,
            shell=step.shell,
            params=tuple(sorted(scope.used.items())),
            inputs=(*scope.bindings, *(self.config.bindings(reads) if reads else ())),
            outputs=outputs,
            env=env,
            code=tuple(self.code_path(step, text_with(pattern, self.params, matrix)) for pattern in step.code),
            parents=tuple(dict.fromkeys([*lists, *data_parents, *order_parents])),
            settings=self.settings_of(step),
            module=module.content if module else None,
            secrets=secrets,
            conditional=conditional,
            notebook=notebook,
            gathered=gathered,
        )
        if step.settings.caches and (problem := misplaced_cache(made)):
            self.fail(step, problem)
        return made

    def pending(self, step: Step, combination: Combination, name: str) -> GraphStep:
        """What stands for a step that depends on a list which is not made."""
        module = None if step.use is None else self.modules[step.use.module]
        whole = step.name not in self.unlisted
        templates = (*step.words, *used_by(step), *(template or () for _, template in step.env))
        named = [ref.full_path for ref in refs_in(templates) if ref.space == "params"]
        used = self.recorded([*named, *self.config.selected(step.reads)], self.params)
        outputs: tuple[ActionOutput, ...] = ()
        if whole:  # what takes these in is known
            inner = combination.values if module is None else {}
            params = self.params
            if module is not None:
                absent = Absent(absent_params(step.matrix, combination.values))
                params = self.module_params(step, module.spec, combination.values, absent.left_of(params), absent)
            outputs = self.outputs_of(step, params, inner)
        bases = parents_of(step)
        parents = [base + one.suffix for base in bases for one in self.names[base].values()]
        lists = " and ".join(map(str, step.matrix.made_by)) if step.matrix is not None else ""
        first = next((base for base in bases if base in self.unlisted), "")
        return GraphStep(
            name=name,
            base=step.name,
            label=combination.label,
            argv=tuple([written_text(word) for word in step.words]),
            shell=step.shell,
            params=tuple(sorted(used.items())),
            inputs=tuple(self.committed(step, templates)),
            outputs=outputs,
            env=(),
            code=tuple(
                [
                    self.code_path(step, text_with(pattern, self.params, {}))
                    for pattern in step.code
                    if not any(ref.space == "matrix" for ref in refs_in((pattern,)))
                ]
            ),
            parents=tuple(parents),
            settings=self.settings_of(step),
            module=module.content if module else None,
            secrets=_secrets_in(templates, self.pipeline.params, self.params),
            pending=f"waits for {first}{ALL.suffix}" if whole else f"as many as {lists} lists",
            problem="" if whole else self.unlisted[step.name],
        )

    def committed(self, step: Step, templates: tuple[Template, ...]) -> Iterator[Binding]:
        """The files of the commit that a step takes in, as far as its matrix does not say which."""
        for name in dict.fromkeys(ref.name for ref in refs_in(templates) if ref.space == "inputs"):
            if name in self.inputs and all(name != item.name for item in step.inputs):
                yield Binding(
                    name, self.place_of(name), self.inputs[name], optional=self.pipeline.inputs[name].optional
                )
        for item in step.inputs:
            if not any(ref.space in ("steps", "matrix") for ref in refs_in((item.source, item.path))):
                path = self.declared_path(step, item, {})
                yield Binding(item.name, self.declared_place(step, item, {}) or path, path)

    def outputs_of(
        self, step: Step, params: Mapping[str, Value], matrix: Mapping[str, Value]
    ) -> tuple[ActionOutput, ...]:
        """The outputs of a step with these values."""
        return tuple(
            ActionOutput(
                *(port.name, self.output_path(step, port.name, port.path, params, matrix), port.kind),
                self.output_options(step, port, params, matrix),
            )
            for port in step.outputs
        )

    def notebook_words(self, step: Step, use: NotebookUse, scope: StepScope) -> RenderedWords:
        """The command of a step that executes a notebook, each parameter as a word of JSON; ValueError for several in one."""
        argv = [text for word in step.words[:FIXED_WORDS] for text in scope.word(word)]
        rows = []
        gathered = []
        for name, written in sorted(use.params, key=lambda param: param[0]):
            used = refs_in((written,)) if isinstance(written, tuple) else []
            if any(scope.absent.has(ref) for ref in used):
                continue
            given = json.dumps({name: scope.value(written)}, ensure_ascii=False)
            if isinstance(written, tuple) and any(map(scope.members, used)):
                gathered.append(GatheringWord(len(argv), json_parts(name, written, scope)))
            for ref in used:
                needed = scope.optional(ref)
                if len(needed) > 1:
                    raise ValueError(f"{ref} is optional and may be several, which no parameter of a notebook can be")
                if needed:
                    rows.append((len(argv), needed))
            argv.append(given)
        return RenderedWords(tuple(argv), tuple(rows), tuple(gathered))

    def notebook_path(
        self, step: Step, argv: tuple[str, ...], outputs: tuple[ActionOutput, ...]
    ) -> tuple[str, tuple[str, ...]]:
        """The path of the notebook that a step executes, and the command, which names it so where it counts from the top."""
        written = argv[FIXED_WORDS - 2]
        path, problem = paths.from_project(written, self.project)
        if problem:
            self.fail(step, f"notebook is {problem}")
        if written.startswith(paths.FROM_TOP):
            argv = (*argv[: FIXED_WORDS - 2], path, *argv[FIXED_WORDS - 1 :])
        for output in outputs:
            if paths.overlaps(output.mount, path):
                self.fail(step, f"output {output.name!r} lies where the notebook is: give it another path")
        return path, argv

    def code_path(self, step: Step, written: str) -> str:
        """A path or pattern of `code`, counted from the project."""
        if not written.startswith(paths.FROM_TOP) and not paths.is_beside(paths.clean(written)):
            return paths.clean(written)
        path, problem = paths.from_project(written, self.project)
        if problem:
            self.fail(step, f"code {written!r} is {problem}")
        return path

    def settings_of(self, step: Step) -> StepSettings:
        """The settings of a step, with the files of its environment counted from the project."""
        spec = step.settings.environment
        named = [spec.name, *(value for _, value in spec.options if isinstance(value, str))]
        if not any(name.startswith(paths.FROM_TOP) for name in named):
            return step.settings
        if step.use is not None:
            self.fail(step, "the environment of a module lies in the module, not at the top of a repository ('//')")

        def counted(name: Any) -> Any:
            if not isinstance(name, str) or not name.startswith(paths.FROM_TOP):
                return name
            path, problem = paths.from_project(name, self.project)
            if problem and path != paths.project_of_file(self.pipeline.path):
                self.fail(step, f"environment is {problem}")
            return "." if problem else path

        options = tuple([(key, counted(value)) for key, value in spec.options])
        return step.settings._replace(environment=spec._replace(name=counted(spec.name), options=options))

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
                value = text_with(given, params, matrix)
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
        path = paths.clean(text_with(template, params, matrix))
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
        patterns = sorted({paths.clean(text_with(pattern, params, matrix)) for pattern in port.pattern})
        for pattern in patterns:
            if problem := paths.problem_with_output(pattern):
                self.fail(step, f"pattern of output {port.name!r} is {problem}")
        return tuple(sorted([*port.options, ("pattern", tuple(patterns))]))

    def check_overlap(self, step: Step, outputs: tuple[ActionOutput, ...], bindings: list[Binding]) -> None:
        for output in outputs:
            for binding in bindings:
                if paths.overlaps(output.mount, binding.mount):
                    self.fail(step, f"output {output.name!r} ({output.mount}) overlaps input {binding.mount!r}")
