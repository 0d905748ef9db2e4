"""Before a commit: its pipelines and modules are valid, `gitml.lock` is true, and no large file slipped in."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from typing import NamedTuple

from gitml.analysis.lock import resolve_lock
from gitml.core.config.project import PATH as CONFIG
from gitml.core.config.project import Config, Hooks, matches
from gitml.core.kinds.environment_kinds import environment_files, script_of
from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.language.params import Param, bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.language.spec import Pipeline
from gitml.core.model import paths
from gitml.core.model.action import Scalar
from gitml.core.model.graph import Graph, GraphStep, header_of
from gitml.core.model.protocols import Entry, Source
from gitml.core.planner.code import CodeFinder
from gitml.engine.planning.load import config_at, every_pipeline, graph_of, read_config
from gitml.engine.planning.module_resolution import read_image_pins, read_lock, resolve_uses
from gitml.engine.planning.projects import FOLDER, project_of_file
from gitml.errors import GitmlError, InputError, RemoteError
from gitml.git.command import git
from gitml.git.objects.source import FolderSource, ListableSource, TreeSource
from gitml.git.worktree.temporary_index import TemporaryIndex
from gitml.modules.lockfile import PATH as LOCK
from gitml.modules.spec import FILE as MODULE
from gitml.modules.spec import parse_module
from gitml.workspace import Workspace

_MODULE_LIKE = re.compile(rb"^(run|outputs|inputs)\s*:", re.MULTILINE)


class CommitCheck(NamedTuple):
    """Every mistake, in order of place, and what is worth a word but keeps no commit from being made."""

    mistakes: tuple[Diagnostic, ...] = ()
    warnings: tuple[str, ...] = ()


def check_commit(ws: Workspace, index: str | None = None) -> CommitCheck:
    """What is wrong with the commit that the index (or the file `index`) makes; of all files when nothing is staged."""
    made = staged(ws, index)
    everything = not made.changed and not made.removed
    source = made.source
    mistakes: list[Diagnostic] = []
    warnings: list[str] = []
    try:
        config = read_config(ws, source)
    except SpecError as error:
        config = Config()
        mistakes += error.diagnostics
    if "pre-commit" in config.hooks.skip:
        return CommitCheck()
    mistakes += _large(ws, made, config.hooks)
    pipelines = sorted(every_pipeline(source).values())
    for project, pipeline_paths in groupby(pipelines, project_of_file):
        own = {CONFIG, f"{project}/{CONFIG}"}
        try:
            config_here = config_at(ws, source, project) if project else config
        except SpecError as error:
            mistakes += error.diagnostics
            config_here = config
        for path in pipeline_paths:
            if everything or made.changed.keys() & {*own, path}:
                found = check_pipeline(ws, source, path, config_here)
            elif made.removed:
                found = check_pipeline(ws, source, path, config_here).of(made.removed)
            else:
                continue
            mistakes += found.mistakes
            warnings += found.warnings
    for path in sorted(_modules(source, made, everything=everything)):
        entry = source.lookup(path)
        assert entry is not None
        data = source.read(entry.oid)
        if _MODULE_LIKE.search(data):  # other tools have files of this name too
            try:
                parse_module(data, path)
            except SpecError as error:
                mistakes += error.diagnostics
    touched = any(path in made.changed or path in made.removed for path in (LOCK, CONFIG, *pipelines))
    if (everything or touched or any(_is_pipeline(path) for path in made.removed)) and not mistakes:
        wrong, untold = _of_lock(ws, source)
        mistakes += wrong
        warnings += untold
    return CommitCheck(tuple(sorted(set(mistakes))), tuple(dict.fromkeys(warnings)))


def _is_pipeline(path: str) -> bool:
    return posixpath.basename(posixpath.dirname(path)) == FOLDER


def _modules(source: Source, made: Staged, *, everything: bool) -> Iterator[str]:
    for path in made.changed:
        if posixpath.basename(path) == MODULE:
            yield path
    if everything:
        folders = [("", "")]
        while folders:
            prefix, path = folders.pop()
            entry = source.lookup(path)
            for name, found in source.children(entry.oid).items() if entry else ():
                if found.is_tree:
                    folders.append((f"{prefix}{name}/", prefix + name))
                elif name == MODULE and not found.is_link:
                    yield prefix + name


def _of_lock(ws: Workspace, source: ListableSource) -> tuple[list[Diagnostic], list[str]]:
    """How `gitml.lock`, if there is one, differs from what the pipelines use: (mistakes, what could not be checked)."""
    entry = source.lookup(LOCK)
    if entry is None:
        return [], []
    text = source.read(entry.oid).decode("utf-8", "replace")
    try:
        locked = resolve_lock(ws, (), source, ask=False)
    except RemoteError as error:
        return [], [f"{LOCK} was not checked: {error.message}"]
    except SpecError as error:
        return list(error.diagnostics), []
    except InputError as error:
        use = error.where or ""
        return [_at(LOCK, text, f'"{use}"', _error_text(error))], []
    had = {*read_lock(source), *read_image_pins(source)}
    found = []
    for change in locked.changes:
        use = next((key for key in {*had, *locked.entries, *locked.images} if change.startswith(f"{key}: ")), "")
        mistake = f"{change}: gitml lock, then git add {LOCK}"
        if use in had:
            found.append(_at(LOCK, text, f'"{use}"', mistake))
        else:
            found.append(_where_used(source, use, mistake) or Diagnostic(LOCK, 1, 1, mistake))
    return found, list(locked.warnings)


def _where_used(source: ListableSource, use: str, mistake: str) -> Diagnostic | None:
    for path in sorted(every_pipeline(source).values()):
        entry = source.lookup(path)
        text = source.read(entry.oid).decode("utf-8", "replace") if entry else ""
        if re.search(rf"module:\s*[\"']?{re.escape(use)}", text):
            return _at(path, text, use, mistake)
    return None


def _at(path: str, text: str, words: str, message: str) -> Diagnostic:
    """A mistake where `words` first stand in the file, else at its beginning."""
    offset = max(text.find(words), 0) if words.strip('"') else 0
    return Diagnostic(path, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset), message)


def _error_text(error: GitmlError) -> str:
    return error.message + (f": {error.hint}" if error.hint else "")


def _large(ws: Workspace, made: Staged, hooks: Hooks) -> list[Diagnostic]:
    files = {path: entry for path, entry in made.changed.items() if not entry.is_submodule and not entry.is_link}
    headers = ws.objects.headers([entry.oid for entry in files.values()])
    large = {path: header.size for path, header in zip(files, headers, strict=True) if header.size >= hooks.large_file}
    large = {path: size for path, size in large.items() if not matches(path, hooks.large_files)}
    in_lfs = _meant_for_lfs(ws, list(large)) if large else set()
    found = []
    for path, size in large.items():
        mend = "Let a step make it and keep it as an output, or track it with Git LFS (git lfs track)"
        if path in in_lfs:
            mend = "It is meant for Git LFS, which didn't take it: git lfs install, then git add --renormalize it"
        shown = f"{size / (1 << 20):.1f} MiB, and from {hooks.large_file / (1 << 20):g} MiB on one is refused"
        found.append(
            Diagnostic(path, 1, 1, f"a large file: {shown}. {mend}; or allow it: hooks.large_files in {CONFIG}")
        )
    return found


def _meant_for_lfs(ws: Workspace, paths: list[str]) -> set[str]:
    given = "".join(path + "\0" for path in paths).encode("utf-8", "surrogateescape")
    answer = git(ws.location, "check-attr", "-z", "--cached", "--stdin", "filter", input=given, check=False)
    fields = answer.decode("utf-8", "surrogateescape").split("\0")
    return {path for path, value in zip(fields[::3], fields[2::3], strict=False) if value == "lfs"}


_DIFF = ("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-relative")


class Staged(NamedTuple):
    """`source` has all files as staged; `changed` those that are new or differ from HEAD; `removed` paths are gone."""

    source: TreeSource
    changed: dict[str, Entry]
    removed: tuple[str, ...]


def staged(ws: Workspace, index: str | None) -> Staged:
    """What the index, or the file `index` that Git made for this one commit, holds."""
    env = {"GIT_INDEX_FILE": index} if index else {}
    answer = git(ws.location, *_DIFF, "--ignore-submodules=all", env=env)
    changed: dict[str, Entry] = {}
    removed = []
    fields = os.fsdecode(answer).split("\0")
    for about, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, oid, kind = about.split(" ")
        if kind == "D":
            removed.append(path)
        else:
            changed[path] = Entry(mode, oid)
    with closing(TemporaryIndex(ws.location, index)) as scratch:
        tree = scratch.write_tree()
    return Staged(TreeSource(ws.objects, tree), changed, tuple(removed))


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
            wrong.append(_in_pipeline(pipeline, text, use, _error_text(error)))
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
        if step.module is None:
            files = environment_files(script_of(step.settings.environment, step.argv))
            wanted.update({path: "environment" for path, required in files if required})
        for path, what in wanted.items():
            if path not in told and not _is_there(source, path):
                told.add(path)
                whole = _whole(pipeline, path)
                is_here = ws.location.worktree is not None and os.path.lexists(
                    os.path.join(ws.location.worktree, whole)
                )
                mend = "git add it" if is_here else "fix the path, or add the file"
                mistake = f"{what} {path!r} is not in the commit: {mend}"
                yield whole, _in_pipeline(pipeline, text, path, mistake, step)
        try:
            code.find(step)
        except InputError as error:
            if error.message not in told:
                told.add(error.message)
                pattern = error.message.split("'")[1] if "'" in error.message else ""
                yield _whole(pipeline, pattern), _in_pipeline(pipeline, text, pattern, _error_text(error), step)


def _whole(pipeline: Pipeline, path: str) -> str:
    """A path that the pipeline names, from the top of the repository."""
    project = project_of_file(pipeline.path)
    return f"{project}/{path}" if project and path else path


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


def _in_pipeline(pipeline: Pipeline, text: str, words: str, message: str, step: GraphStep | None = None) -> Diagnostic:
    """A mistake where `words` stand in the file, else where the step does."""
    if words and words in text:
        return _at(pipeline.path, text, words, message)
    place = pipeline.steps[step.base].place if step else None
    return Diagnostic(pipeline.path, place.line if place else 1, place.column if place else 1, message)
