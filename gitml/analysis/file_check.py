"""What is wrong with pipelines, module.yaml and gitml.yaml as they lie in a Source: all of it at once, and nothing is planned."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gitml.core.config.parse import parse_config
from gitml.core.config.project import PATH as CONFIG
from gitml.core.config.project import Config
from gitml.core.kinds.environment_kinds import environment_files, script_of
from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.language.params import Param, bind_params
from gitml.core.language.spec import Pipeline
from gitml.core.model import paths
from gitml.core.model.graph import Graph, GraphStep, header_of
from gitml.core.model.paths import project_of_file
from gitml.core.model.protocols import Source
from gitml.core.parameters.value_path import Value
from gitml.core.planner.code import CodeFinder
from gitml.core.planner.repository_layout import in_repository, reaches_beside
from gitml.engine.planning.load import SUFFIXES, config_at, every_pipeline, graph_of, open_source, parse_at
from gitml.engine.planning.module_resolution import resolve_uses
from gitml.engine.planning.notebooks import Notebooks
from gitml.engine.planning.projects import marked_projects
from gitml.errors import GitmlError, InputError, RemoteError
from gitml.git.objects.source import CommitSource, FolderSource, ListableSource, settings_in
from gitml.git.worktree.snapshot import WorkTree, WorkTreeFolder
from gitml.modules.folder import parse_in_folder
from gitml.modules.spec import FILE as MODULE
from gitml.workspace import Workspace


class FileCheck(NamedTuple):
    """`files` are the paths that were checked; the rest as of a CommitCheck."""

    files: tuple[str, ...]
    mistakes: tuple[Diagnostic, ...]
    warnings: tuple[str, ...]


def check_files(ws: Workspace, names: Sequence[str] = ()) -> FileCheck:
    """Everything that is wrong with files as they lie in the work tree, or in a bare repository at HEAD.

    `names` count from the folder where gitml was called; without any: each gitml.yaml and pipeline of the repository. A file that
    is not there, or is none that gitml reads, is a mistake as well.
    """
    source = open_source(ws, "HEAD" if ws.location.worktree is None else None)
    files = [path_of(ws, name) for name in names] if names else _all_files(source)
    configs = ConfigCheck(ws, source)
    mistakes: list[Diagnostic] = []
    warnings: list[str] = []
    for path in dict.fromkeys(files):
        try:
            found = _check_file(ws, source, path, configs)
        except SpecError as error:
            mistakes += error.diagnostics
        except InputError as error:
            mistakes.append(Diagnostic(path, 1, 1, error_text(error)))
        else:
            mistakes += found.mistakes
            warnings += found.warnings
    mistakes += configs.mistakes
    return FileCheck(tuple(dict.fromkeys(files)), tuple(sorted(set(mistakes))), tuple(dict.fromkeys(warnings)))


def path_of(ws: Workspace, name: str) -> str:
    """The path of the repository that `name` is where gitml was called, or `name` outside of it. It may be a link itself."""
    if ws.location.worktree is None:
        return posixpath.normpath(name)
    folder, file = os.path.split(os.path.abspath(name))
    path = os.path.relpath(os.path.join(os.path.realpath(folder), file), os.path.realpath(ws.location.worktree))
    return name if _is_outside(path) else path


def _is_outside(path: str) -> bool:
    return path.startswith("/") or path.split("/")[0] == ".."


def _all_files(source: CommitSource | WorkTree) -> list[str]:
    settings = [f"{project}/{CONFIG}".lstrip("/") for project in marked_projects(source)]
    return sorted([path for path in settings if source.lookup(path) is not None] + [*every_pipeline(source).values()])


class ConfigCheck:
    """The settings of projects, each read once: the built-in ones, and `mistakes`, where a gitml.yaml is wrong."""

    def __init__(self, ws: Workspace, source: Source) -> None:
        self._ws = ws
        self._source = source
        self._known: dict[str, Config] = {}
        self.mistakes: list[Diagnostic] = []

    def of(self, project: str) -> Config:
        """Those of a project, the top for an empty name."""
        if project not in self._known:
            self._known[project] = Config()
            try:
                self._known[project] = config_at(self._ws, self._source, project)
            except SpecError as error:
                self.mistakes += error.diagnostics
                if project:
                    self._known[project] = self.of("")
        return self._known[project]


def _check_file(ws: Workspace, source: CommitSource | WorkTree, path: str, configs: ConfigCheck) -> PipelineCheck:
    name = posixpath.basename(path)
    if _is_outside(path):
        raise InputError("it lies outside of this repository")
    entry = source.lookup(path)
    if entry is None:
        raise InputError(_why_not_there(source, path) or "no such file")
    data = settings_in(source, entry, path)
    folder = posixpath.dirname(path)
    if name == CONFIG:
        parse_config(data, path)
    elif name == MODULE:

        def is_there(file: str) -> bool:
            found = source.lookup(f"{folder}/{file}".lstrip("/"))
            return found is not None and not found.is_tree

        parse_in_folder(data, path, is_there)
    elif posixpath.splitext(name)[1] in SUFFIXES:
        return check_pipeline(ws, source, path, configs.of(project_of_file(path)))
    else:
        raise InputError(f"neither a pipeline ({', '.join(SUFFIXES)}) nor {CONFIG} or {MODULE}")
    return PipelineCheck()


def _why_not_there(source: Source, path: str) -> str | None:
    """Why a work tree lacks a path, and the fix, where Git knows."""
    if not isinstance(source, (WorkTree, WorkTreeFolder)):
        return None
    return "Git ignores it: fix .gitignore" if source.ignored(path) else source.how_to_restore(path)


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
        pipeline = parse_at(source, entry, path, config)
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
            wrong.append(_in_pipeline(pipeline, text, use, error_text(error)))
        else:
            contents.update(meant.contents)
            warnings += meant.warnings
    if wrong:
        return PipelineCheck(tuple(wrong))
    try:
        graph = graph_of(ws, pipeline, _values(pipeline), contents, {})
    except SpecError as error:
        return PipelineCheck(error.diagnostics)
    except InputError as error:
        return PipelineCheck((Diagnostic(path, 1, 1, error.message),))
    project = project_of_file(path)
    files: Source = source
    if project:
        files = WorkTreeFolder(source, project) if isinstance(source, WorkTree) else FolderSource(source, project)
    if all(param.default is not None or param.secret or param.source for param in pipeline.params.values()):
        missing = tuple(_missing(ws, source, files, graph, pipeline, text))
    else:
        missing = ()  # paths may depend on a value that only a run is given
    return PipelineCheck((), missing, (*warnings, *_left_out(ws, files, graph, pipeline)))


def _values(pipeline: Pipeline) -> dict[str, Value]:
    return bind_params({name: param for name, param in pipeline.params.items() if param.secret}, ()) | {
        name: _stand_in(param) if param.default is None and not param.source else param.default
        for name, param in pipeline.params.items()
        if not param.secret
    }


def _stand_in(param: Param) -> Value:
    """Some value that the parameter can have, for a pipeline is checked without parameters."""
    if param.type in ("list", "mapping"):
        return list(param.choices[:1]) if param.type == "list" else {}
    if param.choices:
        return param.choices[0]
    if param.type in ("int", "float"):
        bound = param.min if param.min is not None else param.max if param.max is not None else 0
        return float(bound) if param.type == "float" else int(bound)
    return False if param.type == "bool" else "x"


def _missing(
    ws: Workspace, repository: Source, files: Source, graph: Graph, pipeline: Pipeline, text: str
) -> Iterator[tuple[str, Diagnostic]]:
    """Paths that steps read and the commit would not hold: of the project's `files`, and of the repository."""
    told: set[str] = set()
    project = project_of_file(pipeline.path)
    finders = {
        one: (CodeFinder(one, ws.index), Notebooks(ws.location, ws.objects, one, ws.index))
        for one in (files, repository)
    }
    for step in graph.steps.values():
        wanted = {binding.path: f"input {binding.name!r}" for binding in step.inputs if binding.path is not None}
        if step.module is None:
            described = environment_files(script_of(step.settings.environment, step.argv))
            wanted.update({path: "environment" for path, required in described if required})
        for path, what in wanted.items():
            whole = _whole(pipeline, path)
            if path not in told and not _is_there(repository, whole):
                told.add(path)
                shown = paths.FROM_TOP + whole if paths.is_beside(path) else path
                mistake = f"{what} {shown!r} {_lack(ws, repository, whole)}"
                yield whole, _in_pipeline(pipeline, text, shown, mistake, step)
        placed = in_repository(step, project) if project and reaches_beside(step) else step
        code, notebooks = finders[repository if placed.project else files]
        try:
            found = code.find(placed)
            if placed.notebook:
                notebooks.code(placed, found)
        except InputError as error:
            if error.message not in told:
                told.add(error.message)
                pattern = error.message.split("'")[1] if "'" in error.message else ""
                whole = pattern if placed.project else _whole(pipeline, pattern)
                yield whole, _in_pipeline(pipeline, text, pattern, error_text(error), step)


def _lack(ws: Workspace, source: Source, whole: str) -> str:
    """That what a path of the repository names is not there, with the fix."""
    if isinstance(source, WorkTree):
        return f"is not there: {_why_not_there(source, whole) or 'fix the path, or add the file'}"
    is_here = ws.location.worktree is not None and os.path.lexists(os.path.join(ws.location.worktree, whole))
    return f"is not in the commit: {'git add it' if is_here else 'fix the path, or add the file'}"


def _whole(pipeline: Pipeline, path: str) -> str:
    """A path that the pipeline names, from the top of the repository."""
    return paths.from_top(path, project_of_file(pipeline.path)) if path else path


def _is_there(source: Source, path: str) -> bool:
    try:
        return source.lookup(path) is not None
    except InputError:
        return True  # in a submodule: there, if not for steps; a plan says so


def _left_out(ws: Workspace, source: Source, graph: Graph, pipeline: Pipeline) -> Iterator[str]:
    """Files that commands name, that are here, and that the commit would not hold: perhaps forgotten, perhaps old outputs."""
    told: set[str] = set()
    for step in graph.steps.values():
        given = {binding.mount for binding in step.inputs} | {output.mount for output in step.outputs}
        words = () if step.shell or step.module else map(step.settings.from_top, step.argv)
        for word in words:
            if word in told or word in given or paths.problem_with(word) is not None:
                continue
            path = paths.clean(word)
            full = os.path.join(ws.location.folder, _whole(pipeline, path))
            if os.path.isfile(full) and not _is_there(source, path):
                told.add(word)
                place = pipeline.steps[step.base].place
                ignored = isinstance(source, (WorkTree, WorkTreeFolder))
                lack = "which Git ignores" if ignored else "which is here but not in the commit"
                what = f"step {step.base!r} names {path}, {lack}"
                yield f"{pipeline.path}:{place.line}:{place.column}: {what}"


def _in_pipeline(pipeline: Pipeline, text: str, words: str, message: str, step: GraphStep | None = None) -> Diagnostic:
    """A mistake where `words` stand in the file, else where the step does."""
    if words and words in text:
        return diagnostic_at(pipeline.path, text, words, message)
    place = pipeline.steps[step.base].place if step else None
    return Diagnostic(pipeline.path, place.line if place else 1, place.column if place else 1, message)


def diagnostic_at(path: str, text: str, words: str, message: str) -> Diagnostic:
    """A mistake where `words` first stand in the file, else at its beginning."""
    offset = max(text.find(words), 0) if words.strip('"') else 0
    return Diagnostic(path, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset), message)


def error_text(error: GitmlError) -> str:
    """An error in one line, with the fix."""
    return error.message + (f": {error.hint}" if error.hint else "")
