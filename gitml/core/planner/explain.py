"""Why a step runs again: the differences between two Actions, by name and value."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.action import CONFIG, Action, ActionInput, ActionOutput, StepCommit
from gitml.core.model.environment import kind_in_words
from gitml.core.model.step_settings import KEYED
from gitml.core.planner.step_words import without_variables
from gitml.core.secrets.seals import seals_shown


class Change(NamedTuple):
    """One difference. `kind` is command, param, code, moved, config, input, output, order, env, environment, package, program,
    module, commit, tag or format.

    Of code that ``moved`` `before` and `after` are its paths.
    `before` and `after` are shown to people; None where the thing was not there.
    """

    kind: str
    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.kind == "format":
            age = "an older" if int(self.before or 0) < int(self.after or 0) else "a newer"
            return f"the result was recorded by {age} gitml (Action format {self.before})"
        if self.kind == "moved":
            return f"code {self.before} moved to {self.after}"
        label = f"{self.kind} {self.name}".strip()
        if self.before == "" and self.kind == "package":  # one of the same name and version
            return f"{label}: {self.after}"
        if self.before is None:
            return (
                f"{label} added: {self.after}"
                if self.kind in ("param", "env", "package", "command")
                else f"{label} added"
            )
        if self.after is None:
            return f"{label} removed: {self.before}" if self.kind == "command" else f"{label} removed"
        if self.kind in ("code", "input"):
            return f"{label} changed"
        if self.kind == "config":
            return f"{label}: other comments or another form beside what the step reads"
        return f"{label}: {self.before} -> {self.after}"


_MOST_LINES = 1000

Descriptions = Mapping[str, Mapping[str, Any]]


def changes_between(
    before: Action,
    after: Action,
    descriptions: Descriptions | None = None,
    made_by: Mapping[str, str] | None = None,
) -> list[Change]:
    """Every difference, the most relevant first.

    With `descriptions`, by what Actions call them, environments are compared part by part and modules are named by ``name`` and
    ``version``. With `made_by`, the steps that make inputs of `after` by their places, gathered ones are named by these.
    """
    changes = []
    if before.format != after.format:
        changes.append(Change("format", "", str(before.format), str(after.format)))
    changes += _named("param", before.params, after.params)
    if before.module != after.module:
        changes.append(_module(before.module, after.module, descriptions or {}))
    if (before.module is None) == (after.module is None):
        changes += _code(before, after)
    moves = {change.before: change.after for change in changes if change.kind == "moved"}
    changes += _config(before, after, changes)
    changes += _inputs(before, after, made_by or {})
    changes += _command(before, after, moves)
    old, new = dict(before.settings), dict(after.settings)
    for part in KEYED:
        one, two = old.get(part.name, part.usual), new.get(part.name, part.usual)
        if one != two:
            changes.append(Change("command", part.name, part.shown(one), part.shown(two)))
    if before.project != after.project:
        laid_out = [
            f"like the repository, with {one}/ in it" if one else "like the project"
            for one in (before.project, after.project)
        ]
        changes.append(Change("command", "sandbox", *laid_out))
    changes += _repository(before.repository, after.repository)
    changes += _named("env", before.env, after.env)
    changes += _outputs(before.outputs, after.outputs)
    if before.environment != after.environment:
        found = _environments(before.environment, after.environment, descriptions or {})
        # two descriptions of one machine, written in two formats, have two digests
        changes += found if before.format == after.format else [change for change in found if change.name]
    return changes


def _outputs(before: Sequence[ActionOutput], after: Sequence[ActionOutput]) -> list[Change]:
    """Outputs that came and went, the kind and place of those that stayed, what else their declarations say, and their order."""
    old, new = ({output.name: output for output in outputs} for outputs in (before, after))
    changes = _pairs("output", {n: _place_of(o) for n, o in old.items()}, {n: _place_of(o) for n, o in new.items()})
    for name in [name for name in new if name in old]:
        one, two = (dict(output.options) for output in (old[name], new[name]))
        for key in sorted({*one, *two} - {"pattern"}):  # which is the place
            values = one.get(key), two.get(key)
            if values[0] != values[1]:
                usual = "false" if any(isinstance(value, bool) for value in values) else "none"
                changes.append(Change("output", f"{name} {key}", *(_option(value, usual) for value in values)))
    return changes or _order("output", list(old), list(new))


def _option(value: Any, usual: str) -> str:
    return usual if value is None else str(value).lower() if isinstance(value, bool) else str(value)[:200]


def _order(kind: str, before: Sequence[str], after: Sequence[str]) -> list[Change]:
    """Where things stand in another order: from the first that stands elsewhere."""
    first = next((number for number, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    if first is None:
        return []
    shown = (
        ", ".join(names[first : first + 3]) + (" …" if len(names) > first + 3 else "") for names in (before, after)
    )
    return [Change("order", f"of {kind}s", *shown)]


def _place_of(output: ActionOutput) -> str:
    """The kind of an output, and its place or what it matches."""
    return f"{output.kind} {' '.join(output.option('pattern') or [output.mount])}"


def _repository(before: StepCommit | None, after: StepCommit | None) -> list[Change]:
    """The commit of the repository in the sandbox, and the tags that point at it."""
    if before is None or after is None:
        old, new = ("none" if one is None else f"of commit {one.commit[:12]}" for one in (before, after))
        return [] if before is after else [Change("command", "repository", old, new)]
    if before.commit != after.commit:
        return [Change("commit", "", before.commit[:12], after.commit[:12])]
    old_tags, new_tags = ({name: oid[:12] for name, oid in one.tags} for one in (before, after))
    return _pairs("tag", old_tags, new_tags)


class CodeChange(NamedTuple):
    """A file of the code that has another content: its path and the Git ids of both."""

    path: str
    before: str
    after: str


def changed_code(before: Action, after: Action) -> list[CodeChange]:
    """The files that both have, with other contents."""
    old = {file.path: file.oid for file in before.code}
    return [CodeChange(f.path, old[f.path], f.oid) for f in after.code if old.get(f.path, f.oid) != f.oid]


def _code(before: Action, after: Action) -> list[Change]:
    """Files of code. One that is gone, and is there with the same content under another path, has moved."""
    old = {file.path: _git_id(file.mode, file.oid) for file in before.code}
    new = {file.path: _git_id(file.mode, file.oid) for file in after.code}
    came: dict[str, list[str]] = {}
    for path, content in new.items():
        if path not in old:
            came.setdefault(content, []).append(path)
    moves = {}
    for path, content in old.items():
        places = came.get(content, [])
        if path not in new and places:
            alike = [place for place in places if posixpath.basename(place) == posixpath.basename(path)]
            moves[path] = (alike or places)[0]
            places.remove(moves[path])
    moved = [Change("moved", path, path, place) for path, place in moves.items()]
    kept_old = {path: content for path, content in old.items() if path not in moves}
    arrived = set(moves.values())
    return moved + _pairs("code", kept_old, {path: content for path, content in new.items() if path not in arrived})


def summary_of(changes: Sequence[Change]) -> str:
    """One line for a list of changes."""
    first = str(changes[0])
    more = len(changes) - 1
    return first if not more else f"{first}, and {more} more change{'s' if more > 1 else ''}"


def _module(before: str | None, after: str | None, descriptions: Descriptions) -> Change:
    """Another version of the module, or another module, or none."""
    if before is None or after is None:
        return Change("module", "", _shown_module(before, descriptions), _shown_module(after, descriptions))
    old, new = descriptions.get(before, {}), descriptions.get(after, {})
    name = old.get("name")
    if name is not None and name == new.get("name") and old["version"] != new["version"]:
        return Change("module", name, old["version"], new["version"])
    shown = _shown_module(before, descriptions), _shown_module(after, descriptions)
    if shown[0] == shown[1]:  # one version of two registries
        shown = _shown_module(before, {}), _shown_module(after, {})
    return Change("module", "", *shown)


def _shown_module(module: str | None, descriptions: Descriptions) -> str | None:
    if module is None:
        return None
    known = descriptions.get(module)
    return f"{known['name']}@{known['version']}" if known else module.removeprefix("git:")[:12]


def _git_id(mode: str, oid: str) -> str:
    return f"{oid[:12]}" if mode == "100644" else f"{oid[:12]} (mode {mode})"


def _config(before: Action, after: Action, known: Sequence[Change]) -> list[Change]:
    """Config files whose text differs beyond what changes of parameters explain."""
    old, new = ({i.mount: i.content for i in action.inputs if i.kind == CONFIG} for action in (before, after))
    explained = any(change.kind == "param" for change in known)
    return [change for change in _pairs("config", old, new) if None in (change.before, change.after) or not explained]


def _inputs(before: Action, after: Action, made_by: Mapping[str, str]) -> list[Change]:
    """Inputs are identified by name, gathered ones, which share a name, also by the step that made each."""
    one, two = ([item for item in action.inputs if item.kind != CONFIG] for action in (before, after))
    several = {
        name for items in (one, two) for name, number in Counter(item.name for item in items).items() if number > 1
    }
    steps = {(item.name, _folder(item)): made_by[item.mount] for item in two if item.mount in made_by}
    old, new = (_input_names(items, several, made_by, steps) for items in (one, two))
    changes = _pairs("input", {n: i.content for n, i in old.items()}, {n: i.content for n, i in new.items()})
    moved = [(n, i, new[n]) for n, i in old.items() if n in new and i.content == new[n].content and i != new[n]]
    changes += [Change("input", name, f"{a.kind} {a.mount}", f"{b.kind} {b.mount}") for name, a, b in moved]
    return changes or _order("input", list(old), list(new))


def _input_names(
    items: Sequence[ActionInput],
    several: Container[str],
    made_by: Mapping[str, str],
    steps: Mapping[tuple[str, str], str],
) -> dict[str, ActionInput]:
    """Inputs by what people call them. One whose step is not known has its folder beside its name, else its place."""
    folders = Counter((item.name, _folder(item)) for item in items)
    found: dict[str, ActionInput] = {}
    for item in items:
        place = item.name, _folder(item)
        step = made_by.get(item.mount) or (steps.get(place) if folders[place] == 1 else None)
        if item.name not in several:
            name = item.name
        elif step is not None:
            name = f"{item.name} of {step}"
        else:
            name = f"{item.name} ({place[1] if folders[place] == 1 else item.mount})"
        found[name if name not in found else f"{item.name} ({item.mount})"] = item
    return found


def _folder(item: ActionInput) -> str:
    return posixpath.basename(posixpath.dirname(item.mount))


def _command(before: Action, after: Action, moves: Mapping[str | None, str | None]) -> list[Change]:
    """Words that differ beyond the effect of parameters and moves of code, which are changes too; of a script the lines."""
    if before.argv == after.argv and before.shell == after.shell:
        return []
    if before.shell != after.shell:
        return [Change("command", "shell", before.shell or "none", after.shell or "none")]
    old, new = dict(before.params), dict(after.params)
    values = {str(old.get(name)): str(new.get(name)) for name in {*old, *new} if old.get(name) != new.get(name)}
    values |= {str(path): str(place) for path, place in moves.items()}
    # an input that was added or removed is a change of its own, and its place in the command with it
    moved = {item.mount for item in before.inputs} ^ {item.mount for item in after.inputs}
    one, two = ([word for word in argv if word not in moved] for argv in (before.argv, after.argv))
    if before.shell is not None and len(before.argv) == len(
        after.argv
    ):  # one that is absent is an empty variable there
        both = list(enumerate(zip(before.argv[1:], after.argv[1:], strict=True)))
        gone = [number for number, words in both if not moved.isdisjoint(words)]
        one, two = (
            [without_variables(argv[0], gone), *(argv[number + 1] for number, _ in both if number not in gone)]
            for argv in (before.argv, after.argv)
        )
    if before.shell is not None and one and two and "\n" in (one[0] + two[0]).strip():
        return _lines(one[0], two[0]) + _words_apart(one[1:], two[1:], values)
    return _words_apart(one, two, values)


def _words_apart(one: list[str], two: list[str], values: Mapping[str, str]) -> list[Change]:
    if one == two:
        return []
    if len(one) != len(two):
        return [_words(one, two)]
    changed = [(a, b) for a, b in zip(one, two, strict=True) if a != b]
    explained = [(a, b) for a, b in changed if any(x in a and a.replace(x, y) == b for x, y in values.items())]
    return [Change("command", "word", a, b) for a, b in changed if (a, b) not in explained]


def _lines(before: str, after: str) -> list[Change]:
    """The lines of a script that differ, by their numbers in the second; of many only how many they are."""
    one, two = before.splitlines(), after.splitlines()
    if len(one) + len(two) > _MOST_LINES:
        return [] if one == two else [Change("command", "script", f"{len(one)} lines", f"{len(two)} others")]
    import difflib

    changes = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if kind != "equal":
            name = f"line {c + 1}" if d - c <= 1 else f"lines {c + 1}-{d}"
            changes.append(Change("command", name, _shown_lines(one[a:b]), _shown_lines(two[c:d])))
    return changes


def _shown_lines(lines: Sequence[str]) -> str | None:
    """Lines in one, the first of them; None for none."""
    if not lines:
        return None
    more = f" (and {len(lines) - 2} more)" if len(lines) > 2 else ""
    return "; ".join([line.strip()[:120] or '""' for line in lines[:2]]) + more


def _words(before: list[str], after: list[str]) -> Change:
    """The words between those that two commands begin and end with alike."""
    most = min(len(before), len(after))
    head = next((n for n in range(most) if before[n] != after[n]), most)
    tail = next((n for n in range(most - head) if before[-1 - n] != after[-1 - n]), most - head)
    old, new = (" ".join(words[head : len(words) - tail]) for words in (before, after))
    return Change("command", "words", old or None, new or None)


def _environments(before: str, after: str, descriptions: Descriptions) -> list[Change]:
    old, new = descriptions.get(before), descriptions.get(after)
    if old is None or new is None:
        return [Change("environment", "", before[7:19], after[7:19])]
    return environment_changes(old, new)


def environment_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What differs between two descriptions of environments, another kind first; packages by name and version."""
    changes = []
    packages = []
    if "distributions" in old and "distributions" in new:  # a record names the requirements by their digest alone
        packages = _pairs("package", _packages(old["distributions"]), _packages(new["distributions"]))
    for name in sorted({*old, *new}, key=lambda part: (part != "kind", part)):  # another kind matters most
        one, two = old.get(name), new.get(name)
        if one == two or name == "format":
            continue
        if name == "contents":
            changes += _contents(one or {}, two or {}, known=packages) if one is not None and two is not None else []
            continue
        if name == "kind":
            changes.append(Change("environment", name, kind_in_words(old), kind_in_words(new)))
            continue
        if name == "project":
            changes += _project(one or {}, two or {})
            continue
        if name == "repository":
            changes += [Change("environment", "imports from this repository", _imports(one), _imports(two))]
            continue
        if name == "distributions":
            changes += packages
        elif name == "requirements":
            if not packages and one is not None and two is not None:
                changes.append(Change("environment", name, one[7:19], two[7:19]))
        elif name == "programs":
            changes += _programs(one or {}, two or {})
        else:
            changes.append(Change("environment", name, _shown(one), _shown(two)))
    return changes


def _project(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The parts of the project's own package that differ."""

    def shown(project: Mapping[str, Any]) -> dict[str, str]:
        points = project.get("entry_points", {}).items()
        commands = [f"{name} = {target}" for _, named in points for name, target in named.items()]
        parts = {
            "name": project.get("name"),
            "version": project.get("version"),
            "imports": _imports(project) if project else None,
            "modules": ", ".join(project.get("modules", ())),
            "entry points": ", ".join(commands),
        }
        return {f"project {name}": str(value)[:200] for name, value in parts.items() if value}

    return _pairs("environment", shown(before), shown(after))


def _programs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """A program is compared by its Digest; a Python other than the step's own, by what it is and what is installed for it."""

    def shown(programs: Mapping[str, Any]) -> dict[str, str]:
        return {k: v[7:19] if isinstance(v, str) else str(v["python"]) for k, v in programs.items()}

    changes = _pairs("program", shown(before), shown(after))
    for name in sorted({*before, *after}):
        old, new = (
            [] if isinstance(v, str) else v["distributions"] for v in (before.get(name, ""), after.get(name, ""))
        )
        if old and new:
            changes += _pairs(f"{name} package", _packages(old), _packages(new))
    return changes


def _contents(before: Mapping[str, Any], after: Mapping[str, Any], known: Sequence[Change] = ()) -> list[Change]:
    """What is installed under the same names and versions, and differs; `known` are changes of versions."""
    known_names = {change.name for change in known}
    changes = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new or (name.partition(" ")[0] in known_names and not name.endswith("(editable)")):
            continue
        if old is None or new is None:
            shown = [None if item is None else str(_content(item))[7:19] for item in (old, new)]
            changes.append(Change("package", name, *shown))
            continue
        one, two = (item if isinstance(item, Mapping) else {} for item in (old, new))
        commits = [str(item.get("commit", ""))[:7] for item in (one, two)]
        if all(commits) and commits[0] != commits[1]:
            changes.append(Change("package", name.partition(" ")[0], f"commit {commits[0]}", commits[1]))
        elif "files" in one and "files" in two:
            files = {*one["files"], *two["files"]}
            count = sum(one["files"].get(file) != two["files"].get(file) for file in files)
            changes.append(Change("package", name, "", f"{count} file{'' if count == 1 else 's'} changed"))
        else:
            changes.append(Change("package", name, "", "other files under the same name and version"))
    return changes


def _content(item: Any) -> Any:
    return item["content"] if isinstance(item, Mapping) else item


def _imports(repository: Mapping[str, Any] | None) -> str | None:
    if repository is None:
        return None
    return ", ".join(f"{module} from {path}" if module else str(path) for module, path in repository["imports"])


def _packages(listed: Iterable[str]) -> dict[str, str]:
    return {name: rest for name, _, rest in (item.partition(" ") for item in listed)}


def _shown(value: Any) -> str | None:
    return None if value is None else str(value)[:200]


def _named(kind: str, before: Sequence[tuple[str, Any]], after: Sequence[tuple[str, Any]]) -> list[Change]:
    def shown(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
        return {
            name: "(from the machine)" if value is None else repr(value) if value == "" else seals_shown(str(value))
            for name, value in pairs
        }

    old, new, one, two = shown(before), shown(after), dict(before), dict(after)
    for name, value in one.items():
        if name in two and type(value) is not type(two[name]) and old[name] == new[name]:
            old[name], new[name] = repr(value), repr(two[name])  # 1 became "1"
    return _pairs(kind, old, new)


def _pairs(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    names = [*before, *(name for name in after if name not in before)]
    return [
        Change(kind, name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]
