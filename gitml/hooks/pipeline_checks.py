"""A pipeline as a commit would hold it: does it parse, do its modules fit, and is what it names in the commit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitml.core.config.project import Config
from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.language.environment_kinds import environment_file
from gitml.core.language.params import Param, bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.language.spec import Pipeline
from gitml.core.model import paths
from gitml.core.model.action import Scalar
from gitml.core.model.graph import Graph, GraphStep, header_of
from gitml.core.model.protocols import Source
from gitml.core.planner.code import CodeFinder
from gitml.engine.planning.load import graph_of
from gitml.engine.planning.module_resolution import resolve_uses
from gitml.engine.planning.projects import project_of_file
from gitml.errors import InputError, RemoteError
from gitml.git.objects.source import FolderSource, ListableSource
from gitml.workspace import Workspace


class PipelineCheck(NamedTuple):
    """Mistakes, those of `missing` paths by path, and warnings."""

    others: tuple[Diagnostic, ...] = ()
    missing: tuple[tuple[str, Diagnostic], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def mistakes(self) -> tuple[Diagnostic, ...]:
        """All of them."""
        return (*self.others, *(diagnostic for _, diagnostic in self.missing))

    def of(self, removed: Iterable[str]) -> PipelineCheck:
        """Only what is missing because these files were removed: who removes one answers for no other mistake."""
        gone = tuple(removed)
        below = tuple(
            (path, diagnostic)
            for path, diagnostic in self.missing
            if any(one == path or one.startswith(path + "/") for one in gone)
        )
        return PipelineCheck((), below)


def check_pipeline(ws: Workspace, source: ListableSource, path: str, config: Config) -> PipelineCheck:
    """Everything that is wrong with the pipeline at `path` of `source`."""
    entry = source.lookup(path)
    if entry is None or entry.is_tree or entry.is_submodule or entry.is_link:
        return PipelineCheck()
    data = source.read(entry.oid)
    try:
        pipeline = parse_pipeline(data, path, config.defaults)
    except SpecError as error:
        return PipelineCheck(error.diagnostics)
    text = data.decode("utf-8", "replace")
    contents: dict[str, str] = {}
    wrong: list[Diagnostic] = []
    warnings: list[str] = []
    for use in header_of(pipeline).modules:
        try:
            meant = resolve_uses(ws, source, [use])
        except RemoteError as error:
            return PipelineCheck((), (), (f"{path} was not checked: {error.message}",))
        except InputError as error:
            wrong.append(_at(pipeline, text, use, error.message + (f": {error.hint}" if error.hint else "")))
        else:
            contents.update(meant.contents)
            warnings += meant.warnings
    if wrong:
        return PipelineCheck(tuple(wrong))
    try:
        graph = graph_of(ws, pipeline, _values(pipeline), contents)
    except SpecError as error:
        return PipelineCheck(error.diagnostics)
    except InputError as error:
        return PipelineCheck((Diagnostic(path, 1, 1, error.message),))
    project = project_of_file(path)
    files = FolderSource(source, project) if project else source
    if all(param.default is not None or param.secret for param in pipeline.params.values()):
        missing = tuple(_missing(ws, files, graph, pipeline, text))
    else:
        missing = ()  # paths may depend on a value that only a run is given
    return PipelineCheck((), missing, (*warnings, *_left_out(ws, files, graph, pipeline)))


def _values(pipeline: Pipeline) -> dict[str, Scalar]:
    return bind_params({name: param for name, param in pipeline.params.items() if param.secret}, ()) | {
        name: _stand_in(param) if param.default is None else param.default
        for name, param in pipeline.params.items()
        if not param.secret
    }


def _stand_in(param: Param) -> Scalar:
    """Some value that the parameter can have, for a pipeline is checked without parameters."""
    if param.choices:
        return param.choices[0]
    if param.type in ("int", "float"):
        bound = param.min if param.min is not None else param.max if param.max is not None else 0
        return float(bound) if param.type == "float" else int(bound)
    return False if param.type == "bool" else "x"


def _missing(
    ws: Workspace, source: Source, graph: Graph, pipeline: Pipeline, text: str
) -> Iterator[tuple[str, Diagnostic]]:
    """Paths that steps read and the commit would not hold."""
    told: set[str] = set()
    code = CodeFinder(source, ws.index)
    for step in graph.steps.values():
        wanted = {binding.path: f"input {binding.name!r}" for binding in step.inputs if binding.path is not None}
        file = environment_file(step.settings.environment)
        if file is not None and step.module is None:
            wanted[file] = "environment"
        for path, what in wanted.items():
            if path not in told and not _is_there(source, path):
                told.add(path)
                whole = _whole(pipeline, path)
                mistake = f"{what} {path!r} is not in the commit: {_how_to_add(ws, whole)}"
                yield whole, _at(pipeline, text, path, mistake, step)
        try:
            code.find(step)
        except InputError as error:
            if error.message not in told:
                told.add(error.message)
                pattern = error.message.split("'")[1] if "'" in error.message else ""
                hint = f": {error.hint}" if error.hint else ""
                yield _whole(pipeline, pattern), _at(pipeline, text, pattern, error.message + hint, step)


def _whole(pipeline: Pipeline, path: str) -> str:
    """A path that the pipeline names, from the top of the repository."""
    project = project_of_file(pipeline.path)
    return f"{project}/{path}" if project and path else path


def _is_there(source: Source, path: str) -> bool:
    try:
        return source.lookup(path) is not None
    except InputError:
        return True  # in a submodule: there, if not for steps; a plan says so


def _how_to_add(ws: Workspace, path: str) -> str:
    here = ws.location.worktree is not None and os.path.lexists(os.path.join(ws.location.worktree, path))
    return "git add it" if here else "mend the path, or add the file"


def _left_out(ws: Workspace, source: Source, graph: Graph, pipeline: Pipeline) -> Iterator[str]:
    """Files that commands name, that are here, and that the commit would not hold: perhaps forgotten, perhaps old outputs."""
    told: set[str] = set()
    for step in graph.steps.values():
        given = {binding.mount for binding in step.inputs} | {output.mount for output in step.outputs}
        for word in () if step.shell or step.module else step.argv:
            if word in told or word in given or paths.problem_with(word) is not None:
                continue
            path = paths.clean(word)
            full = os.path.join(ws.location.folder, _whole(pipeline, path))
            if os.path.isfile(full) and not _is_there(source, path):
                told.add(word)
                place = pipeline.steps[step.base].place
                what = f"step {step.base!r} names {path}, which is here but not in the commit"
                yield f"{pipeline.path}:{place.line}:{place.column}: {what}"


def _at(pipeline: Pipeline, text: str, words: str, message: str, step: GraphStep | None = None) -> Diagnostic:
    """A mistake where `words` stand in the file, else where the step does."""
    offset = text.find(words) if words else -1
    if offset >= 0:
        return Diagnostic(pipeline.path, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset), message)
    place = pipeline.steps[step.base].place if step else None
    return Diagnostic(pipeline.path, place.line if place else 1, place.column if place else 1, message)
