"""What the expressions of a step stand for: values, the places of outputs, and inputs, which are bound as they are met."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from gitml.core.kinds.port_kinds import is_directory
from gitml.core.language.diagnostics import Diagnostic, SpecError, nearest
from gitml.core.language.expression import Ref, Template
from gitml.core.language.sources.placement import own_places, parts_of
from gitml.core.language.sources.step_inputs import problem_with_part, problem_with_place
from gitml.core.language.spec import Pipeline, ResolvedModule, Step, StepInput
from gitml.core.model import paths
from gitml.core.model.action import ActionOutput, Scalar
from gitml.core.model.graph import IN, Binding, GraphStep
from gitml.core.model.step_settings import TOP
from gitml.core.parameters.error_budget import NO_ERRORS, SKIP
from gitml.core.parameters.matrix import Combination, label_of
from gitml.core.parameters.references import value_of, words_for
from gitml.core.parameters.step_values import ConfigTexts, recorded_parts
from gitml.core.parameters.value_path import Path, Value, paths_beside, without_part
from gitml.errors import InputError


def mistake_at(pipeline: Pipeline, step: Step, message: str) -> SpecError:
    """A mistake at the place of a step."""
    where = Diagnostic(
        step.place.file or pipeline.path, step.place.line, step.place.column, f"step {step.name!r}: {message}"
    )
    return SpecError([where])


def text_with(template: Template, params: Mapping[str, Value], matrix: Mapping[str, Value]) -> str:
    """The text of a Template, its expressions with the values that they stand for."""
    return "".join(
        part if isinstance(part, str) else " ".join(words_for(part, params if part.space == "params" else matrix))
        for part in template
    )


def written_text(template: Template) -> str:
    """A Template as it is written."""
    return "".join(part if isinstance(part, str) else f"${{{{ {part} }}}}" for part in template)


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
class BoundPipeline:
    """A Pipeline with its parameters bound: paths of `inputs`, combinations of steps by `names`, and the steps `made` so far.

    `unlisted` are the steps whose combinations a list decides that is not made, each with what is wrong with it, or empty.
    """

    pipeline: Pipeline
    params: Mapping[str, Value]
    inputs: Mapping[str, str]
    names: Mapping[str, Mapping[str, Combination]]
    made: Mapping[str, GraphStep]
    modules: Mapping[str, ResolvedModule]
    unlisted: Mapping[str, str]

    def __post_init__(self) -> None:
        self.config = ConfigTexts(self.pipeline.config, self.params)
        self.project = paths.project_of_file(self.pipeline.path)

    def recorded(self, paths: Iterable[Path], params: Mapping[str, Value]) -> dict[str, Scalar]:
        """What lies at some paths of the values of parameters, as Actions have it."""
        found: dict[str, Scalar] = {}
        for path in paths:
            found |= recorded_parts(params, path, leafwise=self.config.is_of_file(path[0]))
        return found

    def place_of(self, name: str) -> str:
        """Where an input of the pipeline lies."""
        item = self.pipeline.inputs[name]
        if not item.path:
            return self.inputs[name]
        place = paths.clean(text_with(item.path, self.params, {}))
        if problem := paths.problem_with(place) or problem_with_place(place):
            raise InputError(f"path of input {name!r}: {problem}", where=self.pipeline.path)
        return place

    def declared_part(self, step: Step, item: StepInput, matrix: Mapping[str, Value]) -> str:
        """The path or the pattern that is meant within the directory that a step's own input comes from; empty: all of it."""
        if len(item.source) == 1:
            return ""
        part = text_with(item.source[1:], self.params, matrix).lstrip("/")
        if problem := problem_with_part(part):
            self.fail(step, f"input {item.name!r}: behind {item.source[0]} {problem}")
        return paths.clean(part)

    def declared_path(self, step: Step, item: StepInput, matrix: Mapping[str, Value]) -> str:
        """Where the file of the commit lies that a step's own input is."""
        first = item.source[0]
        if isinstance(first, Ref) and first.space == "inputs":
            return self.inputs[first.name]
        path, problem = paths.from_project(text_with(item.source, self.params, matrix), self.project)
        if problem:
            self.fail(step, f"input {item.name!r} is {problem}")
        return path

    def declared_place(self, step: Step, item: StepInput, matrix: Mapping[str, Value]) -> str:
        """The place that a step's own input is given, empty where none is."""
        if not item.path:
            return ""
        place = paths.clean(text_with(item.path, self.params, matrix))
        if problem := paths.problem_with(place):
            self.fail(step, f"path of input {item.name!r} is {problem}")
        if problem := problem_with_place(place):
            self.fail(step, f"path of input {item.name!r} {problem}")
        return place

    def fail(self, step: Step, message: str) -> NoReturn:
        """SpecError at the place of a step."""
        raise mistake_at(self.pipeline, step, message)

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
class StepScope:
    """One step's expressions and what they have bound so far."""

    renderer: BoundPipeline
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
            self.used |= self.renderer.recorded((ref.full_path,), self.params)
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

    def members(self, ref: Ref) -> tuple[int, ...]:
        """The numbers of the inputs that an expression stands for and that are absent where their step fails, which is borne."""
        if ref.space not in ("inputs", "steps") or not any(binding.member for binding in self.bindings):
            return ()
        found = set(self.places(ref))
        return tuple([n for n, binding in enumerate(self.bindings) if binding.member and binding.mount in found])

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
        self.used |= self.renderer.recorded(self.renderer.config.selected(paths), self.params)

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
        budget = self.renderer.pipeline.steps[ref.name].settings.errors
        member = ref.selector == "*" and budget != NO_ERRORS and budget.action == SKIP
        for (_, source), mount in zip(sources, mounts, strict=True):
            self.bindings.append(Binding(name, mount, None, source, ref.port, kind, optional, part=part, member=member))
        return mounts

    def free_name(self, name: str) -> str:
        taken = {binding.name for binding in self.bindings}
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name}_{number}", number + 1
        return candidate


class ModuleScope(StepScope):
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


_LONGEST_NAME = 255  # of a file, on every common file system
_READABLE = 200


def _safe(label: str) -> str:
    """A label as one file name; labels that differ only in odd characters, or late, stay apart by a number of their own."""
    cleaned = re.sub(r"[^A-Za-z0-9._,=+-]", "_", label)
    if cleaned == label and cleaned not in (".", "..") and len(cleaned) <= _LONGEST_NAME:
        return cleaned
    import zlib

    return f"{cleaned.lstrip('.')[:_READABLE]}~{zlib.crc32(label.encode('utf-8', 'surrogateescape')):08x}"
