"""Steps that have files beside their project: their sandbox is laid out like the repository, with the project at its own place.

Such a step is that of a project at the top whose command runs in the project's folder: its words stay as they are, since they
count from there.
"""

from __future__ import annotations

from gitml.core.kinds.environment_kinds import IMAGE, script_of
from gitml.core.kinds.notebook_kind import words_from
from gitml.core.model import paths
from gitml.core.model.action import ActionOutput
from gitml.core.model.environment import HOST, EnvironmentSpec
from gitml.core.model.graph import Graph, GraphStep


def reaches_beside(step: GraphStep) -> bool:
    """Whether something that the sandbox of a step has lies beside its project. What a module has lies in its own.

    So does the repository that a step asks for, which lies at the top.
    """
    if step.module is not None or step.project:  # the latter is laid out so already
        return False
    if step.settings.repository:
        return True
    places = [*step.code, step.notebook, *(binding.mount for binding in step.inputs)]
    return any(map(paths.is_beside, places)) or paths.is_beside(step.settings.environment.option("install") or "")


def is_described_beside(step: GraphStep) -> bool:
    """Whether the files that describe the environment of a step lie beside its project."""
    return step.module is None and paths.is_beside(step.settings.environment.name)


def in_repository(step: GraphStep, project: str) -> GraphStep:
    """A step of a project in a subfolder, as it is in a sandbox that is laid out like the repository."""

    def whole(path: str) -> str:
        return paths.from_top(path, project)

    how = step.settings
    workdir = whole(how.workdir)
    caches = tuple([cache._replace(path=whole(cache.path)) if cache.path else cache for cache in how.caches])
    environment = _counted_from_top(script_of(how.environment, step.argv), project)
    notebook = whole(step.notebook) if step.notebook else ""
    return step._replace(
        argv=words_from(workdir, step.argv, notebook) if notebook else step.argv,
        inputs=tuple(
            [
                binding._replace(mount=whole(binding.mount), path=None if binding.path is None else whole(binding.path))
                for binding in step.inputs
            ]
        ),
        outputs=tuple([_output_in(output, project) for output in step.outputs]),
        code=tuple(map(whole, step.code)),
        settings=how._replace(workdir=workdir, caches=caches, environment=environment),
        notebook=notebook,
        project=project,
    )


def config_in_repository(graph: Graph, project: str) -> Graph:
    """A Graph whose config files are named by their paths from the top of the repository."""
    return graph._replace(config={paths.from_top(path, project): name for path, name in graph.config.items()})


def _output_in(output: ActionOutput, project: str) -> ActionOutput:
    options = [
        (name, tuple(sorted(paths.from_top(one, project) for one in value)) if name == "pattern" else value)
        for name, value in output.options
    ]
    return output._replace(mount=paths.from_top(output.mount, project), options=tuple(options))


def _counted_from_top(spec: EnvironmentSpec, project: str) -> EnvironmentSpec:
    options = [(name, paths.from_top(value, project) if name == "install" else value) for name, value in spec.options]
    is_path = spec.name and spec.kind not in (HOST, IMAGE)
    name = paths.from_top(spec.name, project) if is_path else spec.name
    return spec._replace(name=name, options=tuple(options))
