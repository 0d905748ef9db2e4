"""From a name and a revision to a Graph: finds the pipeline file at the commit, reads it once, binds parameters."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gitml.core.config import project as configuration
from gitml.core.config.project import Config
from gitml.core.language.diagnostics import nearest
from gitml.core.language.params import Param, bind_params, bind_recorded, owners_of
from gitml.core.model.graph import (
    FORMAT,
    Graph,
    PipelineHeader,
    header_as_json,
    header_from_json,
    header_of,
)
from gitml.core.model.paths import from_top, project_of_file
from gitml.core.model.protocols import Entry, Source
from gitml.core.parameters.made_list import MadeLists
from gitml.core.parameters.value_path import Value
from gitml.core.records.record import Run
from gitml.engine.planning.graph_builder import GraphBuilder
from gitml.engine.planning.projects import (
    FOLDER,
    config_of,
    full_name,
    marked_projects,
    project_here,
    project_of_name,
    projects_below,
)
from gitml.errors import InputError, IntegrityError
from gitml.git.objects.source import CommitSource, FolderSource, ListableSource, settings_in
from gitml.git.revisions import resolve_commit, two_meanings
from gitml.git.worktree.snapshot import WorkTree, WorkTreeFolder
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.core.language.spec import Pipeline

SUFFIXES = (".yaml", ".yml")
_NONE: Mapping[str, str] = {}


class UnknownPipelineError(InputError):
    """No pipeline is called so, or none is meant when no name is given."""


class SecretPrompt(NamedTuple):
    """The secret parameters that a person is to be asked for, and how; `ask` gives None where there is nobody."""

    names: Sequence[str] = ()
    ask: Callable[[str], str | None] = lambda name: None


NO_PROMPT = SecretPrompt()


class Loaded(NamedTuple):
    """A pipeline ready to be planned. `source` is the commit, or the work tree with its snapshot still open.

    `modules` says what each use of a module means, as a run's record has it; `warnings` what a person should know of them.
    `builder` makes the graph again once lists of its matrices are known.
    """

    graph: Graph
    head: PipelineHeader
    config: Config
    source: CommitSource | WorkTree
    modules: Mapping[str, Mapping[str, str]] = {}
    warnings: tuple[str, ...] = ()
    project: str = ""
    builder: GraphBuilder | None = None

    @property
    def files(self) -> Source:
        """The files of the project."""
        if not self.project:
            return self.source
        folder = WorkTreeFolder if isinstance(self.source, WorkTree) else FolderSource
        return folder(self.source, self.project)


def open_source(ws: Workspace, rev: str | None) -> CommitSource | WorkTree:
    """The commit `rev`, or the work tree when None; InputError in a bare repository without a revision."""
    if rev is not None:
        return CommitSource(ws.objects, resolve_commit(ws.objects, ws.location, rev))
    if ws.location.worktree is None:
        raise InputError("a bare repository has no work tree", hint="name a commit: --at REV")
    tree = ws.worktree()
    tree.start()
    return tree


def load(
    ws: Workspace,
    pipeline: str | None,
    rev: str | None,
    given: Sequence[tuple[str, str]] = (),
    source: CommitSource | WorkTree | None = None,
    *,
    allow_disabled: bool = False,
    sealed: Mapping[str, str] = _NONE,
    prompt: SecretPrompt = NO_PROMPT,
) -> Loaded:
    """The pipeline of that name (the default one when None) at `rev` (the work tree when None), parameters bound.

    Secret parameters have the seals of the values that are given here, else those in `sealed`, with which they can be planned.
    Those that `prompt` names are asked for.
    """
    ws.objects.start()
    source = source or open_source(ws, rev)
    here = project_here(ws, source)
    path, entry = _find(source, pipeline, config_at(ws, source, here), here)
    project = project_of_file(path)
    config = config_at(ws, source, project)
    head, parsed, memo = _head(ws, source, config, path, entry)
    params = bind_params(head.params, given, _seals(ws, head.params, sealed, prompt))
    contents: Mapping[str, str] = {}
    recorded: Mapping[str, Mapping[str, str]] = {}
    warnings: tuple[str, ...] = ()
    if head.modules:
        from gitml.engine.planning.module_resolution import resolve_uses

        try:
            contents, recorded, warnings = resolve_uses(ws, source, head.modules, allow_disabled=allow_disabled)
        except InputError as error:
            error.where = error.where or path
            raise
    if rev is not None and (ambiguous := two_meanings(ws.objects, rev)):
        warnings = (*warnings, ambiguous)
    values = json.dumps([params, contents], sort_keys=True)

    def make(lists: MadeLists) -> Graph:
        nonlocal parsed
        parsed = parsed or parse_at(source, entry, path, config)
        graph = graph_of(ws, parsed, params, contents, lists)
        if config.experiment and graph.experiment == graph.pipeline:
            graph = graph._replace(experiment=config.experiment)
        return graph

    builder = GraphBuilder(ws.index, make, f"{memo} {values}")
    return Loaded(builder.graph(known=parsed is None), head, config, source, recorded, warnings, project, builder)


def _seals(
    ws: Workspace, params: Mapping[str, Param], known: Mapping[str, str], prompt: SecretPrompt
) -> Mapping[str, str]:
    """The seals of secret parameters, as far as there are any."""
    if not prompt.names and not any(param.secret for param in params.values()):
        return _NONE
    from gitml.engine.planning.secret_values import ask_for, seals_of  # which few pipelines need

    ask_for(ws, params, *prompt)
    return {**known, **seals_of(ws, params)}


def _memo(entry: Entry, path: str, config: Config) -> str:
    """Under what a pipeline file that was read is remembered: all that its meaning depends on."""
    defaults = config.defaults
    confined = f"{defaults.strict} {defaults.network}"
    return f"{entry.oid} {path} {defaults.environment} {confined} {config.experiment}"


def _head(
    ws: Workspace, source: Source, config: Config, path: str, entry: Entry
) -> tuple[PipelineHeader, Pipeline | None, str]:
    """The Head of a pipeline file, the Pipeline where the file had to be read for it, and under what both are remembered.

    Of a pipeline file that names others, which of them it read is remembered under the file alone, and what they mean together
    under the contents of all.
    """
    kind, memo = f"pipeline-{FORMAT}", _memo(entry, path, config)
    files, kept = ws.index.fact(kind, memo) or ((), None)
    if files:
        memo = _memo_with(source, path, memo, files)
        _, kept = ws.index.fact(kind, memo) or ((), None)
    if kept is not None:
        return header_from_json(kept), None, memo
    reader = NamedFiles(source, project_of_file(path))
    parsed = _parse(source, entry, path, config, reader)
    head = header_of(parsed)
    if reader.names:
        ws.index.remember(kind, _memo(entry, path, config), (reader.names, None))
        memo = _memo_with(source, path, _memo(entry, path, config), reader.names)
    ws.index.remember(kind, memo, ((), header_as_json(head)))
    return head, parsed, memo


def _memo_with(source: Source, path: str, memo: str, files: Sequence[str]) -> str:
    """Under what the meaning of a pipeline file is remembered together with that of the files that it names."""
    project = project_of_file(path)
    found = [source.lookup(from_top(name, project)) for name in files]
    return f"{memo} {json.dumps([files, [entry and tuple(entry) for entry in found]])}"


def files_named_by(ws: Workspace, source: Source, config: Config, path: str, entry: Entry) -> list[str]:
    """The files that a pipeline file names and is read together with, from the top."""
    memo = _memo(entry, path, config)
    kept = ws.index.fact(f"pipeline-{FORMAT}", memo)
    if kept is None:
        files = NamedFiles(source, project_of_file(path))
        with suppress(InputError):  # as far as it can be read
            _parse(source, entry, path, config, files)
        kept = (files.names,)
    project = project_of_file(path)
    return [from_top(name, project) for name in kept[0]]


class NamedFiles:
    """Reads files that a pipeline file names, by their paths from the project; `names` are those that were asked for."""

    def __init__(self, source: Source, project: str) -> None:
        self._source = source
        self._project = project
        self.names: list[str] = []

    def __call__(self, name: str) -> bytes:
        path = from_top(name, self._project)
        if name not in self.names:
            self.names.append(name)
        entry = self._source.lookup(path)
        if entry is None:
            hint = _why_unseen(self._source, [path]) or "commit it, or fix the path"
            raise InputError(f"{path} is not in the commit", hint=hint)
        return settings_in(self._source, entry, path)


def read_head(ws: Workspace, source: Source, config: Config, path: str, entry: Entry) -> PipelineHeader:
    """What the pipeline file at `path` declares; SpecError with every mistake in it."""
    return _head(ws, source, config, path, entry)[0]


class PipelineSummary(NamedTuple):
    """A pipeline that can be run. `problem` says why its file can't be read, and then its head has only the name."""

    name: str
    head: PipelineHeader
    default: bool
    problem: str | None = None


def pipeline_summaries(ws: Workspace) -> list[PipelineSummary]:
    """The pipelines in the work tree, with what must be known to start them."""
    ws.objects.start()
    source = open_source(ws, None)
    here = project_here(ws, source)
    config = config_at(ws, source, here)
    found = []
    names = sorted(pipelines_in(source, here))
    for name in names:
        default = name == full_name(here, config.pipeline or "") or len(names) == 1
        try:
            head = read_head(ws, source, config, *_find(source, name, config, here))
            found.append(PipelineSummary(name, head, default))
        except InputError as error:
            found.append(PipelineSummary(name, PipelineHeader(name, "", {}), default, error.message))
    return found


def load_recorded(
    ws: Workspace,
    run: Run,
    given: Sequence[tuple[str, str]] = (),
    *,
    allow_disabled: bool = False,
    prompt: SecretPrompt = NO_PROMPT,
) -> Loaded:
    """What a run ran, again: the pipeline at its commit, with the parameter values and modules that its record has.

    Values that are `given` replace those of the record. InputError for a module that was disabled since, unless that is allowed;
    IntegrityError where the commit is not here.
    """
    if ws.objects.header(run.commit) is None:
        shallow = "this clone is shallow: git fetch --unshallow fetches the rest"
        hint = shallow if ws.location.is_shallow else "fetch it from where it was run: git fetch, or gitml fetch"
        raise IntegrityError(f"commit {run.commit[:12]} of run {run.id[:8]} is not in this repository", hint=hint)
    if run.modules:
        from gitml.engine.planning.module_resolution import check_recorded

        check_recorded(ws, CommitSource(ws.objects, run.commit), run.modules, allow_disabled=allow_disabled)
    return load_run(ws, run, prompt, given)


def load_run(
    ws: Workspace, run: Run, prompt: SecretPrompt = NO_PROMPT, given: Sequence[tuple[str, str]] = ()
) -> Loaded:
    """What a run runs, its modules as it has them, whatever became of them; secret parameters as given here, else their seals."""
    source = CommitSource(ws.objects, run.commit)
    entry = source.lookup(run.path)
    if entry is None:
        raise InputError(f"no pipeline file {run.path!r} at commit {source.commit[:12]}")
    project = project_of_name(run.pipeline)
    config = config_at(ws, source, project)
    parsed = parse_at(source, entry, run.path, config)
    if not project:  # 0.1.0 counted the paths of every pipeline from the top
        parsed = _renamed(parsed, run.pipeline)
    contents = {use: module["content"].removeprefix("git:") for use, module in run.modules.items()}
    params = {**bind_recorded(parsed.params, run.params), **_seals(ws, parsed.params, _NONE, prompt)}
    if given:
        recorded = {name: param._replace(default=params.get(name)) for name, param in parsed.params.items()}
        values = bind_params(recorded, given)
        params |= {name: values[name] for name in owners_of(name for name, _ in given)}

    def make(lists: MadeLists) -> Graph:
        return graph_of(ws, parsed, params, contents, lists)._replace(experiment=run.experiment)

    builder = GraphBuilder(ws.index, make)
    graph = builder.graph()
    head = PipelineHeader(graph.pipeline, "", {})
    return Loaded(graph, head, config, source, run.modules, project=project, builder=builder)


def graph_of(
    ws: Workspace, parsed: Pipeline, params: Mapping[str, Value], contents: Mapping[str, str], lists: MadeLists
) -> Graph:
    """The Graph of a parsed pipeline; `contents` are the Git trees of the modules it uses, `lists` those that steps made.

    SpecError for what does not fit.
    """
    from gitml.core.language.expand import build_graph

    if not contents:
        return build_graph(parsed, params, lists=lists)
    from gitml.core.language.module_expansion import with_modules
    from gitml.engine.planning.module_resolution import specs_of

    modules = specs_of(ws.objects, contents)
    specs = {use: module.spec for use, module in modules.items()}
    return build_graph(with_modules(parsed, specs), params, modules, lists)


def parse_at(source: Source, entry: Entry, path: str, config: Config) -> Pipeline:
    """The Pipeline in the file `entry` at `path`; SpecError with every mistake in it."""
    return _parse(source, entry, path, config, NamedFiles(source, project_of_file(path)))


def _parse(source: Source, entry: Entry, path: str, config: Config, files: NamedFiles) -> Pipeline:
    # with all that reads YAML: 40 ms that a file read before does without
    from gitml.core.language.parse import parse_pipeline

    parsed = parse_pipeline(settings_in(source, entry, path), path, config.defaults, files)
    return _renamed(parsed, full_name(project_of_file(path), parsed.name))


def _renamed(parsed: Pipeline, name: str) -> Pipeline:
    """The same pipeline under another name."""
    from dataclasses import replace  # with what a run from cache does without

    return replace(parsed, name=name)


def config_at(ws: Workspace, source: Source, project: str) -> Config:
    """What holds for a project: the top's ``gitml.yaml``, with the defaults of its own in place of the top's."""
    config = read_config(ws, source)
    return config_of(config, _config_in(source, f"{project}/{configuration.PATH}")) if project else config


def read_config(ws: Workspace, source: Source) -> Config:
    """The project's `gitml.yaml` at this source; the built-in defaults when there is none."""
    return _config_in(source, configuration.PATH) or Config()


def _config_in(source: Source, path: str) -> Config | None:
    entry = source.lookup(path)
    if entry is None:
        return None
    from gitml.core.config.parse import parse_config

    return parse_config(settings_in(source, entry, path), path)


def list_pipelines(ws: Workspace, rev: str | None = None) -> list[str]:
    """Names of the pipelines at `rev`, or in the work tree."""
    source = open_source(ws, rev)
    return sorted(pipelines_in(source, project_here(ws, source)))


def pipelines_in(source: Source, project: str = "") -> dict[str, str]:
    """Pipeline name -> path, for every file in the folder of pipelines of a project."""
    place = f"{project}/{FOLDER}" if project else FOLDER
    folder = source.lookup(place)
    if folder is None or not folder.is_tree:
        return {}
    found = {}
    for name in source.children(folder.oid):
        stem, suffix = posixpath.splitext(name)
        if suffix in SUFFIXES and stem:
            found[full_name(project, stem)] = f"{place}/{name}"
    return found


def every_pipeline(source: ListableSource) -> dict[str, str]:
    """The same of the top and of every project in a subfolder that has a ``gitml.yaml`` of its own."""
    return {name: path for project in marked_projects(source) for name, path in pipelines_in(source, project).items()}


def _find(source: CommitSource | WorkTree, pipeline: str | None, config: Config, here: str = "") -> tuple[str, Entry]:
    name = config.pipeline if pipeline is None else pipeline
    if name is None:
        known = pipelines_in(source, here)
        if len(known) != 1:
            if not known:
                below = projects_below(source) if not here else []
                raise UnknownPipelineError(
                    "no pipeline here",
                    where=f"{FOLDER}/*.yaml",
                    hint=f"go to {' or '.join(below[:3])}, or name one: {below[0]}:NAME"
                    if below
                    else "write one, or start with gitml init",
                )
            raise UnknownPipelineError(
                f"which pipeline? there is {', '.join(sorted(known))}",
                hint="name it, or set defaults.pipeline in gitml.yaml",
            )
        name = next(iter(known))
    candidates = _candidates(name, here)
    for path in candidates:
        entry = source.lookup(path)
        if entry is not None and not entry.is_tree and not entry.is_submodule:
            return path, entry
    known = pipelines_in(source, name.rpartition(":")[0] if ":" in name else here)
    raise UnknownPipelineError(
        f"no pipeline {name!r}{nearest(name, known)}",
        where=candidates[0],
        hint=_why_unseen(source, candidates),
    )


def _candidates(name: str, here: str) -> list[str]:
    """The paths that a pipeline may have that is called `name` in the project `here`."""
    project, colon, stem = name.rpartition(":")
    if not colon and "/" in name:
        return [f"{here}/{name}", name] if here else [name]
    project = project.strip("/") if colon else here
    return [f"{project}/{FOLDER}/{stem}{suffix}".lstrip("/") for suffix in SUFFIXES]


def _why_unseen(source: Source, candidates: Sequence[str]) -> str | None:
    if not isinstance(source, WorkTree):
        return None
    if any(source.ignored(path) for path in candidates):
        return "the file is there but Git ignores it: fix .gitignore"
    return next(filter(None, map(source.how_to_restore, candidates)), None)
