"""What the steps of a graph take of the values of parameters: texts of config files, and what is recorded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence

from gitml.core.model.action import CONFIG, Scalar
from gitml.core.model.digest import digest_of
from gitml.core.model.graph import Binding, GraphStep
from gitml.core.parameters.config_file import ConfigFile
from gitml.core.parameters.projection import KeySelection, projected
from gitml.core.parameters.value_path import (
    Path,
    Value,
    as_scalar,
    changed_parts,
    leaves,
    parse_path,
    part_at,
    path_text,
)

EVERYTHING = ("*",)
"""Among what a step reads: all that config files hold."""


def recorded_parts(values: Mapping[str, Value], path: Path, *, leafwise: bool) -> dict[str, Scalar]:
    """A part of the values as Actions have it: by its path, or `leafwise` all that is no mapping below it."""
    value = part_at(values, path)
    if not leafwise:
        return {path_text(path): as_scalar(value)}
    return {path_text(at): as_scalar(leaf) for at, leaf in leaves(value, path)}


class ConfigTexts:
    """The config files of a graph with the values of a run. The texts that steps find are made once each: `texts`, by Digest."""

    def __init__(self, files: Sequence[ConfigFile], values: Mapping[str, Value]) -> None:
        self.files = files
        self.texts: dict[str, str] = {}
        self._owners = {key: file for file in files for key in file.values}
        self._changes = {
            file.path: list(changed_parts(file.values, {key: values[key] for key in file.values})) for file in files
        }
        self._bindings: dict[tuple[Path, ...], tuple[Binding, ...]] = {}

    def changed_files(self) -> dict[str, str]:
        """The files by path, each with the path of a value that the run has otherwise, else empty."""
        return {path: path_text(changes[0][0]) if changes else "" for path, changes in self._changes.items()}

    def is_of_file(self, name: object) -> bool:
        """Whether a parameter is a top-level key of a config file."""
        return name in self._owners

    def selected(self, paths: Sequence[Path]) -> list[Path]:
        """The paths that a step declares, all top-level keys of the files in the place of ``*``."""
        every: list[Path] = [(key,) for key in self._owners]
        return [path for declared in paths for path in (every if declared == EVERYTHING else [declared])]

    def recorded(self, values: Mapping[str, Value], steps: Iterable[GraphStep]) -> dict[str, Scalar]:
        """All values as a run records them: of a config file those that steps use, and those that are not the file's."""
        found = {name: as_scalar(value) for name, value in values.items() if name not in self._owners}
        if not self.files:
            return found
        used = {name: value for step in steps for name, value in step.params if name not in found}
        for name in sorted(used):
            path = parse_path(name)
            if path is not None and path[0] in self._owners:
                found[name] = used[name]
        for file in self.files:
            for path, value in self._changes[file.path]:
                # in the place of null only its JSON tells text from what looks like a number
                was_null = part_at(file.values, path) is None
                found[path_text(path)] = json.dumps(value, ensure_ascii=False) if was_null else as_scalar(value)
        return found

    def bindings(self, paths: tuple[Path, ...]) -> tuple[Binding, ...]:
        """What a step that declares these paths finds: each file of which it declares something, at its own place."""
        if paths not in self._bindings:
            self._bindings[paths] = tuple(self._made(paths))
        return self._bindings[paths]

    def _made(self, paths: Sequence[Path]) -> Iterable[Binding]:
        everything = EVERYTHING in paths
        selection = KeySelection(everything, frozenset(path for path in paths if self.is_of_file(path[0])))
        names = (f"config_{number}" if number > 1 else "config" for number in itertools.count(1))
        for file in self.files:
            if everything or any(path[0] in file.values for path in selection.paths):
                text = projected(file, selection, self._changes[file.path])
                digest = digest_of(text.encode("utf-8", "surrogateescape"))
                self.texts[digest] = text
                yield Binding(next(names), file.path, None, kind=CONFIG, content=digest)
