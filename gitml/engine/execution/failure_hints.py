"""How to fix a failed step, where its log shows that it looked for something that is here but not in its sandbox."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from gitml.core.model import paths
from gitml.core.model.graph import GraphStep
from gitml.core.model.protocols import Source
from gitml.core.parameters.value_path import Value, mappings_with, path_text
from gitml.core.planner.project_package import ProjectPackage, how_to_install, own_package
from gitml.engine.execution.failed_attempt import Failed
from gitml.engine.execution.package_hints import package_hint
from gitml.engine.execution.script_names import ScriptNames, names_in_scripts
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import is_python
from gitml.execute.log_text import KEY, MODULE, REPOSITORY, VARIABLE
from gitml.git.objects.source import FolderSource
from gitml.git.worktree.snapshot import WorkTree, WorkTreeFolder

_MOST_NAMED = 4  # of what else a script names
MOST_LOOKED_AT = 20_000  # names of the commit that a search for a module looks at
_GENERIC = ("src", "lib", "python", "code", "app", "scripts")
_DVC = ".dvc/config"
_ENDINGS = ("", ".py", ".sh", ".R", ".r", ".js", ".pl")
_CD = re.compile(r"(?:^|[;&|({\n]|\bthen\b|\bdo\b)\s*(?:cd|pushd)\s+(?:--\s+)?[\"']?([^\s;&|\"')}]{1,300})")


def hint_for(source: Source, failed: Failed) -> str | None:
    """What to declare, in words; None when nothing that it missed is here."""
    for name in failed.missing:
        hint = _hint(source, failed, name)
        if hint is not None:
            return hint + _named_too(source, failed, name)
    return None


def _named_too(source: Source, failed: Failed, told: str) -> str:
    """What else the step's script names that is here and not in its sandbox, behind the hint for what it missed first."""
    if told.startswith((MODULE, KEY, VARIABLE, REPOSITORY)) or failed.step.module is not None:
        return ""
    seen = {_lacks(source, failed, path) for path in _as_paths(told, failed.step)[:1]}
    more = []
    for path in _names(source, failed).paths:
        for candidate in _as_paths(path, failed.step)[:1]:
            lacks = _lacks(source, failed, candidate)
            if lacks is not None and lacks not in seen:
                seen.add(lacks)
                more.append(f"{_named(failed, candidate)} ({lacks[1]})")
    if len(more) > _MOST_NAMED:
        more = [*more[:_MOST_NAMED], "more"]
    return f"; it names {', '.join(more)}, too" if more else ""


def _lacks(source: Source, failed: Failed, path: str) -> tuple[str, str] | None:
    """What a path is that lies here and not in the sandbox: by what it is declared, and in words."""
    if paths.problem_with(path) is not None or failed.has_code(path) or failed.has_input(path):
        return None
    if any(paths.overlaps(path, output.mount) for output in failed.step.outputs):
        return None
    made = failed.maker_of(path)
    if made is not None:
        return ".".join(made), f"of step {made[0]}"
    if path in failed.config:
        return path, "params"
    entry = source.lookup(path)
    return None if entry is None or entry.is_tree else (path, "in the commit")


def _names(source: Source, failed: Failed) -> ScriptNames:
    return names_in_scripts(source, failed.step, {file.path: file.oid for file in failed.action.code})


def _hint(source: Source, failed: Failed, name: str) -> str | None:
    step = failed.step
    if name.startswith(MODULE):
        module = name.removeprefix(MODULE)
        hint = _module_hint(source, failed, module) or _ignored_hint(source, _module_files(module, step))
        # many a module that is missed is done without
        return hint or (package_hint(source, step, module) if f"No module named '{module}'" in failed.error else None)
    if name.startswith(KEY):
        return _key_hint(source, failed, name.removeprefix(KEY))
    if name.startswith(VARIABLE):
        return _variable_hint(failed, name.removeprefix(VARIABLE))
    if name.startswith(REPOSITORY):
        return _repository_hint(source, failed, name.removeprefix(REPOSITORY))
    meant = _as_paths(name, step)
    wanted = [one for one in meant if paths.problem_with(one) is None]
    config = next((one for one in wanted if one in failed.config), None)
    if config is not None and not failed.has_input(config):
        keys = ", ".join(_keys_of(source, failed, config, ())) or "KEY, …"
        return f'{config} holds parameters of the pipeline: say which of them step {step.base} reads, params: [{keys}] or ["*"]'
    hint = next(filter(None, (_of_its_own(source, failed, candidate) for candidate in wanted)), None)
    if hint is not None:
        return hint
    for candidate in wanted:
        if (hint := _made_by_another(failed, candidate)) is not None:
            return hint  # also where the commit has an older one
        entry = source.lookup(candidate)
        if entry is not None and not failed.has_code(candidate):
            named = _named(failed, candidate) + ("/" if entry.is_tree else "")
            written = (
                ", or declare it as an output if the step writes it"
                if candidate.endswith(".log") and not entry.is_tree
                else ""
            )
            return (
                f"{named} is in the commit but not declared: add it to code: of step {step.base},"
                f" or use it as an input{written}"
            )
    for candidate in wanted:
        folder = posixpath.dirname(candidate)
        entry = source.lookup(folder) if folder else None
        if entry is not None and entry.is_tree and not failed.has_code(folder):
            named = _named(failed, folder)
            return (
                f"the folder {named}/ of the commit is not in the sandbox: add {named}/ to code: of step {step.base},"
                f" declare {_named(failed, candidate)} as an output if the step writes it, or let the program make the folder"
            )
    if (hint := _beside_hint(source, failed, meant)) is not None:
        return hint
    return command_hint(source, failed, name) or _ignored_hint(source, wanted)


def _beside_hint(source: Source, failed: Failed, meant: Sequence[str]) -> str | None:
    """The hint for what lies beside the project, where the sandbox has the project alone."""
    if not isinstance(source, FolderSource):
        return None
    for path in filter(paths.is_beside, meant):
        whole = paths.from_top(path, source.folder)
        if paths.problem_with(whole) is None and source.inner.lookup(whole) is not None:
            return (
                f"//{whole} of the commit lies beside the project {source.folder}/: add //{whole} to code: of step"
                f" {failed.step.base}, and its sandbox is laid out like the repository"
            )
    return None


def _named(failed: Failed, path: str) -> str:
    """A path as the pipeline file names it."""
    return paths.as_named(path, failed.action.project)


def _variable_hint(failed: Failed, name: str) -> str | None:
    """The hint for a variable of the environment that the step does not declare."""
    if failed.step.module is not None or any(name == declared for declared, _ in failed.step.env):
        return None
    return f"a step has only the variables that it declares: env: {{{name}: }} passes the machine's on, or give it a value there"


def _repository_hint(source: Source, failed: Failed, kind: str) -> str | None:
    """The hint for a program that looks for the repository in which it runs, of Git or of DVC, which lies in one of Git."""
    step = failed.step
    if step.module is not None:
        return None
    ways = [] if step.settings.repository else ["repository: true gives the step a repository of its commit"]
    if kind == "dvc" and source.lookup(_DVC) is not None and not failed.has_code(_DVC):
        ways.append(f"{_DVC} is in the commit but not declared: add it to code: of step {step.base}")
    return "; ".join(ways) or None


def _key_hint(source: Source, failed: Failed, key: str) -> str | None:
    """The hint for a key that a config file of the commit has, and the step did not declare."""
    known = {name for name, _ in failed.action.params}
    for path in failed.config:
        values = _values_of(source, path) if failed.has_input(path) else None
        for at in mappings_with(values, key) if values is not None else ():
            name = path_text(at)
            if not _declares(known, name):
                named = _keys_of(source, failed, path, known)
                inner = [one for one in named if one.startswith((f"{name}.", f"{name}["))]
                if inner and name not in named:  # all that the script takes of it
                    name = inner[0]
                more = [one for one in named if one not in (name, str(at[0]))]
                too = f"; it names {', '.join(more)}, too" if more else ""
                return f"{path} has {name}, which step {failed.step.base} does not declare: add it to its params{too}"
    return None


def _declares(known: Collection[str], name: str) -> bool:
    """Whether one of the parameters of a step is `name`, or lies in it."""
    return any(one == name or one.startswith((f"{name}.", f"{name}[")) for one in known)


def _values_of(source: Source, path: str) -> Mapping[str, Value] | None:
    """What stands in a config file of the commit; None where it can't be read."""
    from gitml.core.parameters.config_file import read_config_file

    entry = source.lookup(path)
    try:
        return None if entry is None else read_config_file(source.read(entry.oid), path).values
    except InputError:
        return None


def _keys_of(source: Source, failed: Failed, path: str, known: Collection[str]) -> list[str]:
    """The keys of a config file that the step's script names, as deep as it does, but for those that it declares."""
    values = _values_of(source, path) or {}
    found: dict[str, None] = {}
    for keys in _names(source, failed).keys:
        at: list[str] = []
        inner: Value = values
        for key in keys:
            if not isinstance(inner, dict) or key not in inner:
                break
            at.append(key)
            inner = inner[key]
        if at:
            found[path_text(tuple(at))] = None
    return [
        key
        for key in found
        if not _declares(known, key) and not any(key.startswith((f"{outer}.", f"{outer}[")) for outer in found)
    ][:_MOST_NAMED]


def _ignored_hint(source: Source, candidates: Sequence[str]) -> str | None:
    if isinstance(source, (WorkTree, WorkTreeFolder)):
        for candidate in candidates:
            restore = source.how_to_restore(candidate)
            if restore:
                return f"{candidate}: {restore}"
            if paths.problem_with(candidate) is None and source.ignored(candidate):
                return f"{candidate} is there, but Git ignores it, so no step gets it: fix .gitignore or git add -f it"
    return None


def _of_its_own(source: Source, failed: Failed, candidate: str) -> str | None:
    """Of what the sandbox has, or is to have: the program looked for it from another folder, or too early."""
    for output in failed.step.outputs:
        if not paths.overlaps(candidate, output.mount):
            continue
        moved = _moved(failed, candidate)
        if moved is not None:
            return moved
        if candidate == output.mount and source.lookup(candidate) is not None:
            return f"{candidate} is where the step makes an output, so what the commit has there is hidden from it"
        return None
    if failed.has_input(candidate) or failed.has_code(candidate):
        return _moved(failed, candidate)
    return None


def _moved(failed: Failed, candidate: str) -> str | None:
    """The hint for a step whose shell went to another folder."""
    folders = _folders_gone_to(failed.step)
    if not folders:
        return None
    return (
        f"the step went to the folder {folders[0]}, and {candidate} counts from the top of the sandbox:"
        f' write "$OLDPWD/{candidate}" there, or stay at the top'
    )


def _folders_gone_to(step: GraphStep) -> list[str]:
    return [] if step.shell is None else [match.group(1) for word in step.argv for match in _CD.finditer(word)]


def _made_by_another(failed: Failed, candidate: str) -> str | None:
    """The hint for what lies at the place of an output of another step."""
    made = failed.maker_of(candidate)
    if made is None:
        return None
    step, port = made
    used = f"${{{{ steps.{step}.outputs.{port} }}}}"
    if failed.step.module is not None:
        return f"step {step} makes {candidate}: use {used}"
    return f'step {step} makes {candidate}: add {port}: "{used}" to inputs: of step {failed.step.base}'


def _as_paths(name: str, step: GraphStep) -> list[str]:
    """The paths that a missing name may mean, counted from the top: also from a folder that the step went to."""
    if name.startswith("/") or not name:
        return []
    folders = [step.settings.workdir, *(folder for folder in _folders_gone_to(step) if not folder.startswith("/"))]
    plain = [posixpath.normpath(f"{folder}/{name}") for folder in folders]
    found = [f"{one}{ending}" for one in plain for ending in _ENDINGS]
    return [one for one in dict.fromkeys(found) if one != "."]


# -- modules of Python


def _module_hint(source: Source, failed: Failed, name: str) -> str | None:
    """The hint for a module that is in the commit, in the sandbox or not, where Python does not look."""
    step = failed.step
    for path, entry_is_tree, root in _places_of_module(source, name, step):
        shown = _named(failed, path) + ("/" if entry_is_tree else "")
        where = root or "."
        package = own_package(source)
        looks = _looks_in(step, root, package)
        if failed.has_code(path) or any(file.path.startswith(path + "/") for file in failed.action.code):
            if looks:
                return None  # it is there: the module is missing for another reason
            return f"{shown} is in the sandbox, but Python does not look there: {_ways(step, where, package)}"
        declare = f"{shown} is in the commit but not declared: add it to code: of step {step.base}"
        return declare if looks else f"{declare}, or set {_python_path(step, where)}"
    return None


def _looks_in(step: GraphStep, root: str, package: ProjectPackage | None) -> bool:
    """Whether the Python of a step looks for modules in a folder of the commit."""
    from_top = step.settings.from_top
    if any(posixpath.dirname(from_top(word)) == root for word in step.argv[:2] if word.endswith(".py")):
        return True
    where = root or "."
    said = next((value for name, value in step.env if name == "PYTHONPATH"), None) or ""
    installed = step.settings.environment.option("install") == "." and package is not None
    return where in [paths.clean(from_top(folder)) for folder in said.split(":") if folder] or (
        installed and package is not None and ("", where) in package.imports
    )


def _ways(step: GraphStep, where: str, package: ProjectPackage | None) -> str:
    """How a step's Python would find the modules in a folder of the commit, in words."""
    ways = [f"set {_python_path(step, where)}"]
    module = _as_module(step.argv) if where == paths.clean(step.settings.workdir) and step.shell is None else None
    if module is not None:
        ways.append(f"start it by {step.argv[0]} -m {module}")
    if package is not None and ("", where) in package.imports and step.settings.environment.option("install") is None:
        ways.append(how_to_install(step.settings.environment))
    return ", or ".join(ways)


def _python_path(step: GraphStep, where: str) -> str:
    """What has Python look in a folder of the sandbox, for a command that runs in the step's workdir."""
    path = posixpath.relpath(f"/{where}", f"/{step.settings.workdir}")
    given = next((value for name, value in step.env if name == "PYTHONPATH"), None)
    return (
        f"env: {{PYTHONPATH: {json.dumps(f'{path}:{given}')}}}" if given else f"env: {{PYTHONPATH: {_yaml_word(path)}}}"
    )


def _yaml_word(text: str) -> str:
    """Text as a value in a mapping of YAML."""
    return text if re.fullmatch(r"[A-Za-z0-9_./-]+", text) else json.dumps(text, ensure_ascii=False)


def _as_module(argv: Sequence[str]) -> str | None:
    """The name by which ``python -m`` would start the script that a command starts by its path."""
    if len(argv) < 2 or not is_python(argv[0]) or not argv[1].endswith(".py") or paths.problem_with(argv[1]):
        return None
    parts = paths.clean(argv[1]).removesuffix(".py").split("/")
    return ".".join(parts) if len(parts) > 1 and all(part.isidentifier() for part in parts) else None


def command_hint(source: Source, failed: Failed, name: str) -> str | None:
    """The hint for a command of the project's own package, which the step's environment does not install."""
    if "/" in name or failed.step.settings.environment.option("install") is not None:
        return None
    package = own_package(source)
    if package is None or name not in package.commands():
        return None
    return f"{name} is a command of the project's own package: {how_to_install(failed.step.settings.environment)}"


def _module_files(name: str, step: GraphStep) -> list[str]:
    """Where a module would lie that a script of the step imports."""
    module = name.replace(".", "/")
    words = [step.settings.from_top(word) for word in step.argv if "\n" not in word]
    roots = dict.fromkeys([posixpath.dirname(word) for word in words if "/" in word] + [""])
    places = [f"{root}/{module}" if root else module for root in roots if not root.startswith("/")]
    return [file for place in places for file in (f"{place}.py", f"{place}/__init__.py")]


def _places_of_module(source: Source, name: str, step: GraphStep) -> Iterator[tuple[str, bool, str]]:
    """(path, whether a folder, the folder that would have to be on Python's path) of a module, the likeliest first.

    A dotted name whose own file is not found is looked for by its package.
    """
    parts = name.split(".")
    words = [step.settings.from_top(word) for word in step.argv if "\n" not in word and len(word) < 1000]
    scripts = [posixpath.dirname(word) for word in words if "/" in word]
    likely = [root for root in dict.fromkeys([*scripts, "", *_GENERIC]) if not root.startswith(("/", ".."))]
    for count in range(len(parts), 0, -1):
        module = "/".join(parts[:count])
        for root in likely:
            found = _at(source, f"{root}/{module}" if root else module)
            if found is not None:
                yield *found, root
        for path in _search(source, parts[count - 1]):
            if f"/{path}".endswith(f"/{module}.py"):
                yield path, False, path[: -len(module) - 4]
            elif f"/{path}".endswith(f"/{module}/__init__.py"):
                yield path[: -len("/__init__.py")], True, path[: -len(module) - 13]


def _at(source: Source, place: str) -> tuple[str, bool] | None:
    """The file or package of a module at a place."""
    if paths.problem_with(place) is not None:
        return None
    if source.lookup(f"{place}.py") is not None:
        return f"{place}.py", False
    entry = source.lookup(place)
    if entry is not None and entry.is_tree and any(name.endswith(".py") for name in source.children(entry.oid)):
        return place, True
    return None


def _search(source: Source, name: str) -> Iterator[str]:
    """Files ``name.py`` and ``name/__init__.py`` anywhere in the commit, within reason, the highest first."""
    waiting: list[tuple[str, str]] = []
    for top in source.top():
        entry = source.lookup(top)
        if entry is not None and entry.is_tree:
            waiting.append((top, entry.oid))
    looked = 0
    while waiting and looked < MOST_LOOKED_AT:
        folder, oid = waiting.pop(0)
        children = source.children(oid)
        looked += len(children)
        if f"{name}.py" in children:
            yield f"{folder}/{name}.py"
        if posixpath.basename(folder) == name and "__init__.py" in children:
            yield f"{folder}/__init__.py"
        waiting += [(f"{folder}/{child}", entry.oid) for child, entry in children.items() if entry.is_tree]
