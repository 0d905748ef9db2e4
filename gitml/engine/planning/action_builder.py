"""The content of each step's Action at a commit: inputs, code and environment, or why one of them can't be had."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from gitml.core.kinds.environment_kinds import (
    VENV,
    environment_files,
    meant_instead,
    script_of,
    told_by_content,
)
from gitml.core.model import paths
from gitml.core.model.action import ActionInput, CodeFile, StepCommit
from gitml.core.model.environment import Environment, EnvironmentSource, EnvironmentSpec
from gitml.core.model.graph import Binding, GraphStep
from gitml.core.model.links import LinkError, init_command, resolve_path
from gitml.core.model.protocols import Entry, Source
from gitml.core.model.result import NOT_MADE, ActionResult
from gitml.core.planner.code import NO_IMPORTS, CodeFinder, Imports, imports_from
from gitml.core.planner.plan import AbsentInput, ActionParts, FoundInput, PartProblem, PendingInput, Unconfirmed
from gitml.core.planner.repository_layout import (
    config_in_repository,
    in_repository,
    is_described_beside,
    reaches_beside,
)
from gitml.core.planner.shell_scripts import script_word
from gitml.engine.execution.executor_kinds import RunTargets
from gitml.engine.planning.load import Loaded
from gitml.errors import InputError
from gitml.execute.environments.software import EnvironmentQuery, NotInspectedError
from gitml.git.objects.source import TreeSource
from gitml.git.worktree.snapshot import WorkTree, WorkTreeFolder
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.core.planner.project_package import ProjectPackage
    from gitml.engine.planning.directory_parts import DirectoryParts
    from gitml.engine.planning.notebooks import Notebooks
    from gitml.engine.planning.preflight import Preflight
    from gitml.engine.planning.step_commits import Inputs, StepCommits
    from gitml.transfer.availability import Availability

T = TypeVar("T")
FoundEnvironment = Environment | PartProblem | Unconfirmed
FoundCode = tuple[CodeFile, ...] | PartProblem


class ActionBuilder:
    """Finds Parts for the steps of one Loaded pipeline; each answer that steps share is found once."""

    def __init__(
        self,
        ws: Workspace,
        loaded: Loaded,
        targets: RunTargets | None = None,
        availability: Availability | None = None,
        of_project: ActionBuilder | None = None,
    ) -> None:
        self.ws = ws
        self._availability = availability
        self._of_project = of_project
        self.source = loaded.files
        self._loaded = loaded
        self.project = loaded.project
        self.code = CodeFinder(loaded.files, ws.index)
        self.changed_files = {path: name for path, name in loaded.graph.config.items() if name}
        self.targets = targets or RunTargets(ws, loaded.config)
        self.modules = {module["content"]: module for module in loaded.modules.values()}
        self.environments: dict[Any, FoundEnvironment] = {}
        self.paths: dict[str, tuple[str, str, str, tuple[CodeFile, ...]] | PartProblem] = {}
        self.absent: dict[str, bool] = {}
        self.by_digest: dict[str, Environment] = {}
        self.imports: dict[str, Imports | PartProblem] = {}
        self.projects: dict[tuple[str | None, str], ProjectPackage | PartProblem] = {}

    def parts(self, step: GraphStep, results: Mapping[str, ActionResult | None]) -> ActionParts:
        """The Parts of `step`; `results` has the result of each step that is done, None for those still to come.

        NOT_MADE in it stands for a member that did not succeed, which is borne.
        """
        placed = self.placed(step)
        if placed.project and self.project:
            return self.repository.parts(placed, results)
        inputs: list[FoundInput] = []
        for binding in step.inputs:
            if binding.path is not None:
                absent = binding.optional and self._is_absent(binding.path)
                found = AbsentInput("", binding.name) if absent else self._from_commit(binding, binding.path)
                inputs.append(found)
                continue
            if binding.content:
                inputs.append(ActionInput(binding.name, binding.mount, binding.kind, binding.content))
                continue
            assert binding.step is not None
            result = results.get(binding.step)
            output = result.output(binding.port) if result else None
            if result is NOT_MADE and binding.member:
                inputs.append(AbsentInput(binding.step, binding.port, failed=True))
            elif result is None:
                inputs.append(PendingInput(binding.step, binding.port))
            elif output is None:
                inputs.append(AbsentInput(binding.step, binding.port) if binding.optional else _left_out(step, binding))
            elif binding.part:
                inputs.append(self.directories.find(binding, output))
            else:
                kind = "directory" if output.is_tree else "executable" if output.executable else "file"
                inputs.append(ActionInput(binding.name, binding.mount, kind, output.digest))
        environment = self.environment(step)
        code = self._with_links(step, self._with_notebook(step, self._code(step, environment)))
        if self.changed_files:
            code = self._unless_read_whole(step, code)
        repository = self._repository(step, code, inputs) if step.settings.repository else None
        if isinstance(environment, (PartProblem, Unconfirmed)):
            return ActionParts(inputs, code, environment, repository=repository)
        described: dict[str, Mapping[str, Any]] = {environment.digest: environment.described()}
        if step.module is not None:
            content = f"git:{step.module}"
            if content in self.modules:
                described[content] = self.modules[content]
        return ActionParts(inputs, code, environment.digest, described, repository)

    def placed(self, step: GraphStep) -> GraphStep:
        """The step as it is in its sandbox: with paths from the top of the repository where it has files beside its project."""
        return in_repository(step, self.project) if self.project and reaches_beside(step) else step

    @cached_property
    def repository(self) -> ActionBuilder:
        """The same for what lies beside the project: its paths count from the top of the repository."""
        graph = config_in_repository(self._loaded.graph, self.project)
        loaded = self._loaded._replace(graph=graph, project="")
        whole = ActionBuilder(self.ws, loaded, self.targets, self._availability, self)
        whole.by_digest = self.by_digest
        return whole

    def forget_environments(self) -> None:
        """Finds out again what environments are."""
        self.environments.clear()
        if "repository" in self.__dict__:
            self.repository.forget_environments()

    def write_notebook(self, step: GraphStep) -> None:
        """Writes what a step that executes a notebook has beyond the commit into the repository."""
        placed = self.placed(step)
        (self.repository if placed.project and self.project else self).notebooks.write(placed)

    def _repository(self, step: GraphStep, code: FoundCode, inputs: Inputs) -> StepCommit | PartProblem | None:
        if isinstance(code, PartProblem):
            return None
        return self._problem_or(lambda: self.commits.of(step, code, inputs))

    @cached_property
    def commits(self) -> StepCommits:
        """What repositories in sandboxes are of; loaded when a step has one."""
        from gitml.engine.planning.step_commits import StepCommits

        return StepCommits(self.ws, self._loaded)

    def _unless_read_whole(self, step: GraphStep, code: FoundCode) -> FoundCode:
        """A Problem for a step that has a config file from the commit, where the run has other values than that."""
        if isinstance(code, PartProblem):
            return code
        given = [binding.mount for binding in step.inputs if binding.content]
        read = [file.path for file in code] + [binding.path for binding in step.inputs if binding.path is not None]
        for path, name in self.changed_files.items():
            if path not in given and any(path == one or path.startswith(f"{one}/") for one in read):
                return PartProblem(
                    f"{path} is code or input of the step as the commit has it, so that -S {name}=… would not reach it",
                    f'say what the step reads of it: params: [{name}], or ["*"] for all',
                )
        return code

    def obstacle(self, step: GraphStep) -> PartProblem | None:
        """What would keep a step, all of whose parts are known, from starting on this machine."""
        placed = self.placed(step)
        if placed.project and self.project:
            return self.repository.obstacle(placed)
        environment = self.environment(step)
        if isinstance(environment, Unconfirmed):
            return None
        if isinstance(environment, PartProblem):
            return environment
        problem = self.preflight.check(step, environment, self._files(step.module))
        return None if problem is None else self._of_own_package(step, problem)

    @cached_property
    def directories(self) -> DirectoryParts:
        """Parts of directories that steps made; loaded when an input is one."""
        from gitml.engine.planning.directory_parts import DirectoryParts

        if self._of_project is not None:
            return self._of_project.directories
        return DirectoryParts(self.ws, self._availability)

    @property
    def looked_into(self) -> DirectoryParts | None:
        """The same; None where no input was a part of a directory."""
        return self.__dict__.get("directories")

    @cached_property
    def preflight(self) -> Preflight:
        """What keeps steps from starting; loaded when one is to run."""
        from gitml.engine.planning.preflight import Preflight

        return Preflight(self.ws, self.source, self._why_missing)

    def _files(self, module: str | None) -> Source:
        return self.source if module is None else TreeSource(self.ws.objects, module)

    def environment_on(self, step: GraphStep, platform: str) -> FoundEnvironment:
        """The Environment that the packages of a step come from on another platform, such as ``linux-aarch64``."""
        if self._is_described_above(step):
            return self.repository.environment_on(in_repository(step, self.project), platform)
        spec = script_of(step.settings.environment, step.argv)
        project = self._project(step)
        if isinstance(project, PartProblem):
            return project

        def identify() -> Environment:
            from gitml.execute.environments.locks.target import check_platform

            check_platform(platform)
            installed = "" if project is None else project.encoded()
            source = self._environment_query(step.module, spec, (), "", installed).source
            return self.ws.environments.identify(source, platform=platform)

        return self._problem_or(identify)

    def environment(self, step: GraphStep) -> FoundEnvironment:
        """The Environment a step's programs come from.

        A program that a file of the repository names by a whole path is neither read nor started before its steps may run.
        """
        if self._is_described_above(step):
            return self.repository.environment(in_repository(step, self.project))
        program = step.shell or step.argv[0]
        programs: tuple[str, ...] = ()
        project = self._project(step)
        if isinstance(project, PartProblem):
            return project
        if not _is_among(self._files(step.module), step.settings.from_top(program)):
            programs = (program,)
        target, session = self.targets.of(step)
        request = session.request(target, step)
        # what a passed-on PYTHONPATH leads to is imported, so it counts by content, not by the name alone
        path = self.ws.environ.get("PYTHONPATH", "") if ("PYTHONPATH", None) in step.env else ""
        installed = "" if project is None else project.encoded()
        question = (step.module, script_of(step.settings.environment, step.argv), programs, path, installed)
        known = (question, session.environment_scope(target, request))
        if known not in self.environments:
            answer: FoundEnvironment
            try:
                if program.startswith("/") and not self.ws.consent.may_run():  # a cluster may well be this machine
                    raise NotInspectedError(
                        f"{program} is not looked at before this repository's steps may run",
                        hint="gitml trust allow run",
                    )
                answer = self._problem_or(
                    lambda: session.environment(target, request, self._environment_query(*question))
                )
            except NotInspectedError as error:
                answer = Unconfirmed(error.message, error.hint)
            if isinstance(answer, PartProblem):
                answer = self._of_own_package(step, answer)
            self.environments[known] = answer
            if isinstance(answer, Environment):
                self.by_digest[answer.digest] = answer
        return self.environments[known]

    def _is_described_above(self, step: GraphStep) -> bool:
        """Whether what describes the environment of a step counts from the top of the repository."""
        return bool(self.project) and (bool(step.project) or reaches_beside(step) or is_described_beside(step))

    def _environment_query(
        self, module: str | None, spec: EnvironmentSpec, programs: tuple[str, ...], python_path: str, project: str
    ) -> EnvironmentQuery:
        """InputError for an environment file that is not in the commit."""
        files = []
        for path, required in environment_files(spec):
            entry = self._files(module).lookup(path)
            if entry is not None and not entry.is_tree and not entry.is_submodule:
                files.append((path, self.source.read(entry.oid)))
            elif required:
                is_folder = entry is not None and entry.is_tree
                raise self._no_environment_file(self._files(module), path, is_folder=is_folder)
        if files:
            spec = told_by_content(spec, files[0][1])
        if spec.kind == VENV and self.project:
            spec = spec._replace(name=posixpath.join(self.project, spec.name))
        return EnvironmentQuery(EnvironmentSource(spec, tuple(files), project), programs, python_path)

    def _no_environment_file(self, files: Source, path: str, *, is_folder: bool) -> InputError:
        if is_folder:
            hint = f"name a file in it, or, if it is a virtual environment, {{venv: {path}}}"
            return InputError(f"environment {path!r} is a folder of the commit", hint=hint)
        meant = meant_instead(path)
        beside = _spelt_like(files, path) if meant is None else None
        hint = self._why_missing(path) if meant is None else f"write environment: {meant}"
        hint = hint if beside is None else f"did you mean {beside}?"
        return InputError(f"environment file {path!r} is not in the commit", hint=hint)

    def _project(self, step: GraphStep) -> ProjectPackage | PartProblem | None:
        """The project's own package that the step's environment installs; None where it says nothing of one."""
        folder = step.settings.environment.option("install")
        if folder is None:
            return None
        if (step.module, folder) not in self.projects:
            from gitml.core.planner.project_package import project_package

            files = self._files(step.module)
            found = self._problem_or(lambda: project_package(files, folder, self.ws.index))
            self.projects[step.module, folder] = found
        return self.projects[step.module, folder]

    def _of_own_package(self, step: GraphStep, problem: PartProblem) -> PartProblem:
        """The problem; of a command that is not found, with another hint where the project's own package has it."""
        program = step.shell or step.argv[0]
        if problem.message != f"command not found: {program}":
            return problem
        from gitml.core.planner.project_package import how_to_install, own_package

        package = own_package(self._files(step.module))
        if package is None or program not in package.commands() or step.settings.environment.option("install"):
            return problem
        hint = f"it is a command of the project's own package: {how_to_install(step.settings.environment)}"
        return PartProblem(problem.message, hint)

    def _code(self, step: GraphStep, environment: FoundEnvironment) -> FoundCode:
        repository = environment.description.get("repository") if isinstance(environment, Environment) else None
        project = self._project(step)
        if isinstance(project, PartProblem):
            return project
        if repository is None and project is None:
            return self._problem_or(lambda: self.code.find(step))
        from gitml.execute.environments.import_redirect import isolated

        start = isolated(step.argv if step.shell is None else step.argv[0])
        script = script_word(step.argv) if step.shell is None else None
        if start is None and script is not None:
            start = isolated(script)
        if start is not None and project is not None:
            return PartProblem(
                f"`{start}` would not find the project's own package, which `install` puts on Python's path",
                f"leave {start.rpartition(' ')[2]} out",
            )
        if step.module is not None:
            return self._problem_or(lambda: self.code.find(step))
        if start is not None:
            return PartProblem(
                f"`{start}` would import this repository's code from the work tree, where it is installed from",
                f"leave {start.rpartition(' ')[2]} out, or install the project without -e",
            )
        imports = project.code() if project is not None else NO_IMPORTS
        if repository is not None:
            led = self._imports_of(repository)
            if isinstance(led, PartProblem):
                return led
            imports = imports.joined(led)
        return self._problem_or(lambda: self.code.find(step, imports))

    def _imports_of(self, repository: Mapping[str, Any]) -> Imports | PartProblem:
        """What an environment imports from the repository; a Problem for what no commit can hold."""
        key = repr(repository)
        if key not in self.imports:
            absent = [path for _, path in repository["imports"] if path != "." and self.source.lookup(path) is None]
            ignored = next(filter(self._is_ignored, absent), None)
            self.imports[key] = (
                imports_from(repository)
                if ignored is None
                else PartProblem(
                    f"a package is installed editable from {ignored}, which Git ignores: no commit holds its code",
                    "install it without -e, or fix .gitignore",
                )
            )
        return self.imports[key]

    def _from_commit(self, binding: Binding, path: str) -> ActionInput | PartProblem:
        if paths.is_beside(path):
            return self.repository._from_commit(binding, paths.from_top(path, self.project))
        known = self.paths.get(path)
        if known is None:
            known = self.paths[path] = self._problem_or(lambda: self._content_at(path))
        if isinstance(known, PartProblem):
            return known
        kind, content, mount, _ = known
        if binding.kind and binding.kind != kind:
            return PartProblem(f"input {binding.name!r} must be a {binding.kind}; {path} is a {kind}")
        return ActionInput(binding.name, mount if binding.mount == path else binding.mount, kind, content)

    @cached_property
    def notebooks(self) -> Notebooks:
        """Those of steps; loaded when there is one."""
        from gitml.engine.planning.notebooks import Notebooks

        return Notebooks(self.ws.location, self.ws.objects, self.source, self.ws.index)

    def _with_notebook(self, step: GraphStep, code: FoundCode) -> FoundCode:
        """The code of a step, with the notebook that it executes."""
        if not step.notebook or isinstance(code, PartProblem):
            return code
        return self._problem_or(lambda: self.notebooks.code(step, code))

    def _with_links(self, step: GraphStep, code: FoundCode) -> FoundCode:
        """The code of a step, and the links to folders through which its inputs are named."""
        crossed: dict[str, CodeFile] = {}
        for binding in step.inputs:
            known = self.paths.get(binding.path or "")
            if known is not None and not isinstance(known, PartProblem) and binding.mount == binding.path:
                crossed.update({link.path: link for link in known[3]})
        if isinstance(code, PartProblem) or not crossed:
            return code
        for file in code:
            crossed = {path: link for path, link in crossed.items() if not f"{path}/".startswith(f"{file.path}/")}
        return tuple(sorted([*code, *crossed.values()]))

    def _content_at(self, path: str) -> tuple[str, str, str, tuple[CodeFile, ...]]:
        entry = self._followed(path)
        above = resolve_path(self.source, path, last=False)
        links = tuple(CodeFile(link, at.mode, at.oid) for link, at in above.links.items())
        if entry.is_tree:
            from gitml.git.objects.tree_checks import check_tree

            facts = check_tree(self.ws.objects, entry.oid, self.ws.index)
            if facts.submodules:
                raise InputError(
                    f"input {path!r} holds the submodule {facts.submodules[0]!r}, whose commit is not here",
                    hint=init_command(f"{above.path}/{facts.submodules[0]}"),
                )
            if facts.escaping_links:
                raise InputError(
                    f"input {path!r} holds the link {facts.escaping_links[0][0]!r}, which leads out of it",
                    hint="replace the link by the file",
                )
            return "directory", f"git:40000:{entry.oid}", above.path, links
        # An LFS pointer keeps its Git name, which its content follows from; the sandbox gets the content.
        return "file", f"git:{entry.mode}:{entry.oid}", above.path, links

    def _followed(self, path: str) -> Entry:
        """The file or directory at `path`, links within the tree followed."""
        try:
            place = resolve_path(self.source, path)
        except LinkError as error:
            raise InputError(f"input {path!r}: {error.message}", where=error.where, hint=error.hint) from error
        if place.entry is None:
            raise InputError(f"input {path!r} is not in the commit", hint=self._why_missing(place.path))
        if place.entry.is_submodule:
            raise InputError(f"input {path!r} is a submodule whose commit is not here", hint=init_command(place.path))
        return place.entry

    def _is_absent(self, path: str) -> bool:
        """Whether the commit has nothing at a path, and nothing there is only left out of it."""
        if paths.is_beside(path):
            return self.repository._is_absent(paths.from_top(path, self.project))
        if path not in self.absent:
            try:
                self.absent[path] = resolve_path(self.source, path).entry is None and not self._is_ignored(path)
            except LinkError:
                self.absent[path] = False
        return self.absent[path]

    def _why_missing(self, path: str) -> str:
        if self._is_ignored(path):
            return "it is there but Git ignores it, so no commit can hold it: fix .gitignore or git add -f it"
        restore = self.source.how_to_restore(path) if isinstance(self.source, (WorkTree, WorkTreeFolder)) else None
        if restore:
            return restore
        return "commit it, or fix the path"

    def _is_ignored(self, path: str) -> bool:
        return isinstance(self.source, (WorkTree, WorkTreeFolder)) and self.source.ignored(path)

    def _problem_or(self, resolve_path: Callable[[], T]) -> T | PartProblem:
        try:
            return resolve_path()
        except NotInspectedError:
            raise
        except InputError as error:
            where = f" ({error.where})" if error.where else ""
            return PartProblem(error.message + where, error.hint)


def _left_out(step: GraphStep, binding: Binding) -> PartProblem:
    """What to say of an optional output that is missing, to a step that needs it."""
    message = f"step {binding.step} left out its optional output {binding.port}, and step {step.name} needs it"
    if step.module is not None:
        return PartProblem(f"{message} as input {binding.name}", "the input of the module is not optional")
    written = f"{binding.name}: {{from: ${{{{ steps.{binding.step}.outputs.{binding.port} }}}}, optional: true}}"
    return PartProblem(message, f"if it can do without, declare it under inputs: of step {step.base}, {written}")


def _spelt_like(files: Source, path: str) -> str | None:
    """The file beside `path` whose name is spelt nearly so; None where there is none."""
    import difflib  # which only mistakes need

    folder, name = posixpath.split(path)
    above = files.lookup(folder) if folder else None
    names = files.top() if not folder else files.children(above.oid) if above is not None and above.is_tree else ()
    close = difflib.get_close_matches(name, [*names], n=1, cutoff=0.8)
    return posixpath.join(folder, close[0]) if close else None


def _is_among(files: Source, program: str) -> bool:
    """Whether a program is the commit's or the module's own (``./tool.sh``): that counts as code, not as environment."""
    return "/" in program and not program.startswith("/") and files.lookup(posixpath.normpath(program)) is not None
