"""The code of a step: files of the commit named in its command, what those import, and what `code:` adds.

A step's sandbox holds exactly these, so a file that was missed makes the step fail, never silently stale.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.kinds.notebook_kind import FIXED_WORDS, PROGRAM
from gitml.core.model import links, paths
from gitml.core.model.action import CodeFile
from gitml.core.model.graph import GraphStep
from gitml.core.model.protocols import Entry, Facts, Source
from gitml.core.model.step_settings import TOP
from gitml.core.planner.notebook_cells import ENDING, imports_of_notebook
from gitml.core.planner.python_imports import FORMAT, Import, imports_of
from gitml.core.planner.shell_scripts import (
    may_be_script,
    programs_of,
    programs_of_script,
    script_word,
    text_of_script,
    words_of_script,
)
from gitml.errors import InputError

# a new number whenever the same content would give another answer
_SCRIPT_FACT = "script-2"
_SOURCE_FACT = f"imports-{FORMAT}"
_NOTEBOOK_FACT = f"notebook-imports-{FORMAT}.1"


class Imports(NamedTuple):
    """What an environment would import from the repository: `roots` are folders of ``sys.path``, after all others; `whole` are
    folders that are modules of another name; `commands` are programs that call a module."""

    roots: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    commands: Mapping[str, str] = {}

    def joined(self, other: Imports) -> Imports:
        """These, and behind them the `other`."""
        roots, whole = (*self.roots, *other.roots), (*self.whole, *other.whole)
        return Imports(tuple(dict.fromkeys(roots)), tuple(dict.fromkeys(whole)), {**other.commands, **self.commands})


NO_IMPORTS = Imports()


def imports_from(repository: Mapping[str, Any]) -> Imports:
    """The Imports of an environment's description of this ``repository``."""
    roots, whole = [], []
    for module, path in repository["imports"]:
        place = module.replace(".", "/")
        if not module:
            roots.append(path)
        elif path.removesuffix(".py") == place:
            roots.append(".")
        elif path.removesuffix(".py").endswith("/" + place):
            roots.append(path.removesuffix(".py").removesuffix("/" + place))
        else:
            whole.append(path)
    clean = ["" if root == "." else root for root in roots]
    return Imports(tuple(dict.fromkeys(clean)), tuple(whole), repository["commands"])


class CodeQuery(NamedTuple):
    """What of a step decides its code: equal queries have equal answers at one commit.

    `modules` are those of ``python -m`` and of commands, `programs` the texts of ``python -c``, `late` are roots of installed
    packages, `commands` the programs that call a module, with it: those that a script of a shell starts. `workdir` is the
    folder in which the command runs, empty for the top.
    """

    words: tuple[str, ...]
    modules: tuple[str, ...]
    patterns: tuple[str, ...]
    roots: tuple[str, ...]
    programs: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    workdir: str = ""


def query_of(step: GraphStep, may_exist: Callable[[str], bool], imports: Imports = NO_IMPORTS) -> CodeQuery:
    """The CodeQuery of a step, without words that can't name anything of the commit."""
    every = _words(step)
    from_top = step.settings.from_top
    values = [word.partition("=")[2] for word in every if "=" in word]
    plain = [word for word in every if not word.startswith("-")]
    if step.settings.workdir != TOP:
        plain, values = ([from_top(word) for word in found if word not in (".", "./")] for found in (plain, values))
    words = [word for word in (*plain, *values) if may_exist(word)]
    if words:
        given = {binding.mount for binding in step.inputs} | {output.mount for output in step.outputs}
        words = [word for word in words if word not in given and word not in (".", "./")]
    modules = _modules_started(every, imports.commands)
    script = step.argv[0] if step.shell else script_word(step.argv)
    programs = programs_of(every) + (() if script is None else programs_of_script(script))
    roots = tuple(root for name, value in step.env if name == "PYTHONPATH" and value for root in value.split(":"))
    roots = tuple(from_top(root) for root in roots)
    clean = tuple(paths.clean(root) for root in roots if root and paths.problem_with(root) is None)
    named = tuple(dict.fromkeys([*words, *imports.whole]))
    late = (*imports.roots, step.project) if step.project else imports.roots
    commands = tuple(sorted(imports.commands.items()))
    place = "" if step.settings.workdir == TOP else step.settings.workdir
    return CodeQuery(named, modules, step.code, clean, programs, late, commands, place)


def _modules_started(words: Sequence[str], commands: Mapping[str, str]) -> tuple[str, ...]:
    """The modules that words start: by ``-m``, and by a command that calls one."""
    modules = tuple(name for flag, name in itertools.pairwise(words) if flag == "-m") if "-m" in words else ()
    return modules + tuple(commands[word] for word in words if word in commands)


def why_code(step: GraphStep, code: Iterable[CodeFile]) -> list[tuple[str, str]]:
    """(path, why it is code of the step) of each file, in words."""
    query = query_of(step, lambda word: True)
    named = {paths.clean(word): word for word in reversed(query.words) if word}
    modules = {name.replace(".", "/") for name in query.modules}
    found = []
    for file in code:
        stem = file.path.removesuffix(".py").removesuffix("/__init__").removesuffix("/__main__")
        if step.notebook and file.path in (PROGRAM, step.notebook):
            why = "executes the notebook" if file.path == PROGRAM else "the notebook, without what it saved"
        elif file.path in named:
            why = f"named in the command as {named[file.path]}"
        elif any(
            file.path == at or file.path.startswith(f"{at}/") or fnmatch.fnmatchcase(file.path, at) for at in step.code
        ):
            why = "under code:"
        elif stem in modules:
            why = "run by -m"
        elif file.mode == "120000":
            why = "a link on the way"
        else:
            why = "imported, or behind a link"
        found.append((file.path, why))
    return found


def _words(step: GraphStep) -> Sequence[str]:
    if step.shell:
        return words_of_script(step.argv[0], *step.argv[1:])
    if step.notebook:  # what its parameters name is code, as what stands in a command is
        given = [value for word in step.argv[FIXED_WORDS:] for value in json.loads(word).values()]
        notebook = posixpath.relpath(step.notebook, step.settings.workdir)
        return [notebook, *(text for text in given if isinstance(text, str))]
    script = script_word(step.argv)
    return step.argv if script is None else [*step.argv, *words_of_script(script)]


def _in_submodule(path: str) -> InputError:
    return InputError(f"{path!r} is a submodule whose commit is not here", hint=links.init_command(path))


def _is_source(path: str, entry: Entry) -> bool:
    return path.endswith((".py", ENDING)) and not entry.is_tree


class CodeFinder:
    """Finds code at one commit; remembers the imports of each blob for good, and each answer for as long as it lives."""

    def __init__(self, source: Source, facts: Facts) -> None:
        self.source = source
        self.facts = facts
        self.answers: dict[CodeQuery, tuple[CodeFile, ...]] = {}
        self.imports: dict[tuple[str, str], list[Import]] = {}
        self.top: Collection[str] | None = None
        self.crossed: dict[str, Entry] = {}  # links on the way to what was found
        self.places: dict[tuple[str, bool], links.ResolvedPath] = {}

    def find(self, step: GraphStep, imports: Imports = NO_IMPORTS) -> tuple[CodeFile, ...]:
        """The code of `step`, in order of path; InputError for a pattern that matches nothing or a link that leads out.

        `imports` is what its environment would import from the repository.
        """
        if step.module is not None:
            files = sorted(self.source.children(step.module).items())
            return tuple(CodeFile(name, entry.mode, entry.oid) for name, entry in files)
        # Most words name nothing: leaving them out early is quick, and makes the queries of many steps equal.
        query = query_of(step, self._may_exist, imports)
        answer = self.answers.get(query)
        if answer is None:
            answer = self.answers[query] = self._search(query)
        return answer

    def _may_exist(self, word: str) -> bool:
        if self.top is None:
            self.top = self.source.top()
        head = word.partition("/")[0]
        return head in self.top or head == "."

    def _search(self, query: CodeQuery) -> tuple[CodeFile, ...]:
        found: dict[str, Entry] = {}
        self.crossed = {}
        for word in query.words:
            if paths.problem_with(word) is None:
                path = paths.clean(word)
                self._add(path, found)
        for pattern in query.patterns:
            matched = list(self._match(pattern))
            if not matched:
                raise InputError(
                    f"code {pattern!r} matches no file of the commit", hint="commit the file, or fix the pattern"
                )
            for path in matched:
                self._add(path, found)
        # Python looks where the script lies first, and with -m where it was started, whichever file imports. The kernel of a
        # notebook is started in its folder by some programs, and where they were started by others.
        folders = [posixpath.dirname(path) for path, entry in found.items() if _is_source(path, entry)]
        if any(path.endswith(ENDING) for path in found):
            folders.append(query.workdir)
        commands = dict(query.commands)
        scripts = [self._script_at(path, entry) for path, entry in found.items()]
        started = [module for words, _ in scripts if words for module in _modules_started(words, commands)]
        for module in dict.fromkeys([*query.modules, *started]):
            folders.append(query.workdir)
            for root in dict.fromkeys([query.workdir, *query.roots, *query.late]):
                for path in self._module(root, module.split("."), ("__main__",)):
                    self._add_file(path, found)
        for program in dict.fromkeys([*query.programs, *(text for _, texts in scripts for text in texts)]):
            folders.append(query.workdir)
            for item in imports_of(program.encode("utf-8", "surrogateescape")):
                for path in self._resolve(item, "", [query.workdir], (*query.roots, *query.late)):
                    self._add_file(path, found)
        self._follow_imports(found, list(dict.fromkeys(folders)), (*query.roots, *query.late))
        found.update(self.crossed)
        covered = [path for path, entry in found.items() if entry.is_tree]
        return tuple(
            CodeFile(path, item.mode, item.oid)
            for path, item in sorted(found.items())
            if not any(path != tree and path.startswith(tree + "/") for tree in covered)
        )

    def _find(self, path: str, *, last: bool = True) -> links.ResolvedPath:
        """What `path` names. The links on the way count as found."""
        place = self.places.get((path, last))
        if place is None:
            place = self.places[path, last] = links.resolve_path(self.source, path, last=last)
        if place.entry is not None and place.links:
            self.crossed.update(place.links)
        return place

    def _looked_up(self, path: str, *, last: bool) -> links.ResolvedPath:
        """As `_find`, for what an import may mean: a link that leads out is nothing then."""
        try:
            return self._find(path, last=last)
        except links.LinkError:
            return links.ResolvedPath(path, None)

    def _add(self, path: str, found: dict[str, Entry]) -> None:
        place = self._find(path)
        if path in place.links or place.entry is not None:
            found.update(place.links)
        if place.entry is None or place.path in (".", ""):
            return
        if place.entry.is_submodule:
            raise _in_submodule(place.path)
        found[place.path] = place.entry

    def _add_file(self, path: str, found: dict[str, Entry]) -> bool:
        entry = self._find(path, last=False).entry
        if entry is None or entry.is_tree or entry.is_submodule:
            return False
        self._add(path, found)
        return True

    def _follow_imports(self, found: dict[str, Entry], folders: Sequence[str], roots: Sequence[str]) -> None:
        todo = [path for path, entry in found.items() if _is_source(path, entry)]
        for path, entry in list(found.items()):
            if entry.is_tree:
                todo.extend(self._sources_below(path, entry.oid))
        seen: set[str] = set()
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            path, source, _ = self._find(path)
            if source is None or source.is_tree:
                continue
            seen.add(path)
            for item in self._imports(path, source.oid):
                for module in self._resolve(item, path, folders, roots):
                    if module not in seen:
                        before = len(found)
                        if module not in found:
                            self._add_file(module, found)
                        todo.append(module)
                        todo.extend(list(found)[before + 1 :])  # where a link leads

    def _script_at(self, path: str, entry: Entry) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The words of a file that is a script of a shell, and the programs that it has written out; none of another."""
        if entry.is_tree or entry.is_link or not may_be_script(path, executable=entry.mode == "100755"):
            return (), ()
        kept = self.facts.fact(_SCRIPT_FACT, entry.oid)
        if kept is None:
            script = text_of_script(path, self.source.read(entry.oid))
            kept = [words_of_script(script), programs_of_script(script)]
            self.facts.remember(_SCRIPT_FACT, entry.oid, kept)
        words, programs = kept
        return tuple(words), tuple(programs)

    def _sources_below(self, path: str, oid: str) -> Iterable[str]:
        """The Python files of a directory; InputError where it holds a submodule or a link out of the tree."""
        for name, entry in self.source.children(oid).items():
            place = f"{path}/{name}"
            if entry.is_tree:
                yield from self._sources_below(place, entry.oid)
                continue
            if entry.is_submodule:
                raise _in_submodule(place)
            if entry.is_link:
                links.target_of(self.source, place, entry, place)
            if name.endswith(".py"):
                yield place

    def _imports(self, path: str, oid: str) -> list[Import]:
        kind = _NOTEBOOK_FACT if path.endswith(ENDING) else _SOURCE_FACT
        known = self.imports.get((kind, oid))
        if known is None:
            kept = self.facts.fact(kind, oid)
            if kept is None:
                content = self.source.read(oid)
                known = imports_of_notebook(content) if kind == _NOTEBOOK_FACT else imports_of(content)
                self.facts.remember(kind, oid, known)
            else:
                known = [Import(level, module, tuple(names)) for level, module, names in kept]
            self.imports[kind, oid] = known
        return known

    def _resolve(self, item: Import, importer: str, folders: Sequence[str], roots: Sequence[str]) -> list[str]:
        """The files of the commit that an import reads: the ``__init__.py`` of each package on the way, and the module."""
        here = posixpath.dirname(importer)
        if item.level:
            base = here
            for _ in range(item.level - 1):
                base = posixpath.dirname(base)
            return self._module(base, item.module.split(".") if item.module else [], item.names)
        parts = item.module.split(".")
        files = [file for folder in folders for file in self._module(folder, parts, item.names)]
        for root in dict.fromkeys([*roots, here, ""]):
            files = files or self._module(root, parts, item.names)
        return files

    def _module(self, root: str, parts: list[str], names: Sequence[str]) -> list[str]:
        files: list[str] = []
        place = "" if root in ("", ".") else root
        for index, part in enumerate(parts):
            place = f"{place}/{part}" if place else part
            package = self._file(f"{place}/__init__.py")
            module = None if package else self._file(f"{place}.py")
            if package:
                files.append(package)
            elif module:
                files.append(module)
                return files
            elif not self._directory(place):
                return files if index else []
        if not parts and (package := self._file(f"{place}/__init__.py" if place else "__init__.py")):
            files.append(package)
        for name in names:
            inner = f"{place}/{name}" if place else name
            submodule = self._file(f"{inner}.py") or self._file(f"{inner}/__init__.py")
            if submodule:
                files.append(submodule)
        return files

    def _file(self, path: str) -> str | None:
        place = self._looked_up(path, last=False)
        return (
            place.path if place.entry is not None and not place.entry.is_tree and not place.entry.is_submodule else None
        )

    def _directory(self, path: str) -> bool:
        entry = self._looked_up(path, last=True).entry
        return entry is not None and entry.is_tree

    def _match(self, pattern: str) -> Iterable[str]:
        """Paths of the commit that a pattern names: as written, or with ``*``, ``?``, ``[]`` within names and ``**`` across."""
        if not any(char in pattern for char in "*?["):
            if self._find(pattern, last=False).entry is not None:
                yield pattern
            return
        parts = pattern.split("/")
        fixed = 0  # looking up no more than the folder that is meant: a whole work tree would count as used
        while fixed < len(parts) - 1 and not any(char in parts[fixed] for char in "*?["):
            fixed += 1
        folder, entry, _ = self._find("/".join(parts[:fixed]))
        if entry is not None and entry.is_tree:
            yield from self._glob(parts[fixed:], f"{folder}/" if folder else "", entry.oid)

    def _glob(self, parts: list[str], prefix: str, oid: str) -> Iterable[str]:
        head, rest = parts[0], parts[1:]
        for name, entry in sorted(self.source.children(oid).items()):
            path = f"{prefix}{name}"
            if head == "**":
                if entry.is_tree and rest:
                    yield from self._glob(parts, f"{path}/", entry.oid)
                if not rest:
                    yield path
                elif fnmatch.fnmatchcase(name, rest[0]):
                    yield from self._descend(rest[1:], path, entry)
            elif fnmatch.fnmatchcase(name, head):
                yield from self._descend(rest, path, entry)

    def _descend(self, rest: list[str], path: str, entry: Entry) -> Iterable[str]:
        if not rest:
            yield path
        elif entry.is_tree:
            yield from self._glob(rest, f"{path}/", entry.oid)
