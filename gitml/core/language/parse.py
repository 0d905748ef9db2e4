"""From the bytes of a pipeline file to a Pipeline, or every mistake in it at once."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gitml.core.kinds.step_kinds import COMMAND, STEP_KINDS, StepReader, is_misspelt, kind_of, step_keys
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.keys import (
    CACHE,
    PARAM_KEYS,
    PIPELINE_KEYS,
    STEP_KEYS,
    Pairs,
    Schema,
    by_name,
    document,
    mapping,
    settings_in,
)
from gitml.core.language.params import (
    TYPES,
    Param,
    normalised,
    param_of_file,
    part_of,
    problem_with_value,
    type_name,
    value_type,
)
from gitml.core.language.sources.base_files import with_base_files
from gitml.core.language.sources.cache_field import misuse
from gitml.core.language.sources.step_inputs import pipeline_input
from gitml.core.language.spec import NamedOutput, Pipeline, Step
from gitml.core.language.validate import check_wiring
from gitml.core.language.yaml_document import Node, read_yaml
from gitml.core.model import paths
from gitml.core.model.guarantees import CUT
from gitml.core.model.step_settings import ALONE, TOP, USUAL, WORKDIR, StepSettings
from gitml.core.parameters.config_file import ConfigFile, format_of_path, plain_value, read_config_file
from gitml.core.parameters.matrix_fields import read_matrix
from gitml.core.parameters.value_path import Path, Value, parse_path
from gitml.errors import InputError


def pipeline_schema() -> dict[str, Any]:
    """The JSON Schema of pipeline files, for editors; what leads somewhere is checked here alone."""
    rules: list[Schema] = []
    own_keys = [(name, key) for kind in STEP_KINDS.values() for name, key in kind.keys.items()]
    differing = {
        name for name, key in own_keys if key is not step_keys()[name]
    }  # those that kinds read in their own way
    for at, kind in enumerate(kinds := list(STEP_KINDS.values())):
        others = {name: False for name in step_keys() if name not in kind.keys and name not in STEP_KEYS}
        later = [{"required": [other.key]} for other in kinds[at + 1 :]]
        is_it = {"required": [kind.key], **({"not": {"anyOf": later}} if later else {})}
        own: Any = mapping({name: key for name, key in kind.keys.items() if name in differing})
        rules.append({"if": is_it, "then": {"properties": {**others, **own["properties"]}}})
    step = {
        **mapping({name: key._replace(schema={}) if name in differing else key for name, key in step_keys().items()}),
        "type": "object",
        "anyOf": [{"required": [kind]} for kind in STEP_KINDS],
        "allOf": rules,
    }
    steps = {**by_name(step), "type": "object", "minProperties": 1}
    keys = {**PIPELINE_KEYS, "steps": PIPELINE_KEYS["steps"]._replace(schema=steps)}
    whole: Any = mapping(keys)
    # what goes over base files need not have all that a pipeline has, and takes things out
    removed = {"params", "inputs", "steps"}
    part = {"anyOf": [{**mapping(step_keys()), "properties": {name: {} for name in step_keys()}}, {"type": "null"}]}
    loose = {"params": {"type": ["object", "null"]}, "inputs": {"type": ["object", "null"]}, "steps": by_name(part)}
    rule = {
        "if": {"required": ["extends"]},
        "then": {"properties": loose},
        "else": {"properties": {name: whole["properties"][name] for name in sorted(removed)}, "required": ["steps"]},
    }
    shown = {name: {} if name in removed else schema for name, schema in whole["properties"].items()}
    return document("A pipeline of gitml", {**whole, "type": "object", "properties": shown, "allOf": [rule]})


ReadFile = Callable[[str], bytes]
"""The content of a file that a pipeline file names, by its path from the project; InputError where there is none."""


def no_files(path: str) -> bytes:
    """A ReadFile where there are no files."""
    raise InputError(f"{path} is not in the commit", hint="commit it, or fix the path")


def parse_pipeline(data: bytes, path: str, defaults: StepSettings = USUAL, read_file: ReadFile = no_files) -> Pipeline:
    """The Pipeline in `data`; SpecError with all mistakes. `path` is its place in the repository."""
    root, text = read_yaml(data, path)
    reader = PipelineReader(path, text, defaults, read_file)
    pipeline = reader.pipeline(with_base_files(reader, root, read_file))
    check_wiring(pipeline, reader)
    if reader.diagnostics:
        raise SpecError(reader.diagnostics)
    return pipeline


class PipelineReader(StepReader):
    """Reads a pipeline file, or what shares its keys, into values, noting every mistake."""

    types: tuple[str, ...] = TYPES

    def __init__(self, path: str, text: str, usual: StepSettings = USUAL, read_file: ReadFile = no_files) -> None:
        super().__init__(path, text)
        self.usual = usual
        self.read_file = read_file

    def pipeline(self, root: Node) -> Pipeline:
        top = self.mapping(root, "the pipeline", PIPELINE_KEYS, "pipeline")
        stem = posixpath.splitext(posixpath.basename(self.path))[0]
        if "name" in top:
            given = self.text_of(top["name"][1], "name")
            if given is not None and given != stem:
                self.report(top["name"][1], f"the name is {given!r} but the file is {stem!r}; make them the same")
        config = self.config_files(top)
        params = self.params(top, config)
        inputs = self.each(top, "inputs", lambda name, node: pipeline_input(self, name, node))
        self.usual = settings_in(self, top, PIPELINE_KEYS.values(), self.usual)
        if "env" in top:
            self.env = self.env_of(top["env"][1])
        if "code" in top:
            self.code = self.code_of(top["code"][1])
        steps = {}
        if "steps" not in top:
            self.report(root, "steps is missing: a pipeline has at least one step")
        else:
            for key, (place, node) in self.named(top["steps"][1], "steps").items():
                steps[key] = self.step(key, place, node)
            if not steps and not self.diagnostics:
                self.report(top["steps"][1], "a pipeline has at least one step")
        return Pipeline(
            name=stem,
            path=self.path,
            params=params,
            inputs=inputs,
            steps=steps,
            help=self.help_of(top),
            experiment=self.text_of(top["experiment"][1], "experiment") if "experiment" in top else None,
            checkout=self.checkout(top["checkout"][1]) if "checkout" in top else (),
            config=config,
        )

    def checkout(self, node: Node) -> tuple[NamedOutput, ...]:
        """Outputs as ``STEP.PORT``; whether there are such is checked with the wiring."""
        found = []
        for item in self.items(node, "checkout"):
            text = self.text_of(item, "checkout")
            step, dot, port = (text or "").partition(".")
            if dot and step and port:
                found.append(NamedOutput(step, port, item))
            elif text is not None:
                self.report(item, f"checkout names outputs as STEP.PORT, not {text[:60]!r}")
        return tuple(found)

    def help_of(self, pairs: Pairs) -> str:
        return (self.text_of(pairs["help"][1], "help") or "") if "help" in pairs else ""

    def config_files(self, top: Pairs) -> tuple[ConfigFile, ...]:
        """The config files that ``from`` under `params` names; a parameter may be called ``from``, too."""
        pairs = top["params"][1].value if "params" in top and top["params"][1].is_mapping else {}
        if "from" not in pairs:
            return ()
        node = pairs["from"][1]
        if not _names_config_files(node):
            return ()
        files: dict[str, ConfigFile] = {}
        owners: dict[str, str] = {}
        for item in node.value if node.is_list else [node]:
            path, problem = paths.from_project(item.value, paths.project_of_file(self.path))
            if problem is None and path in files:
                problem = "there twice"
            if problem is not None:
                self.report(item, f"the config file {item.value[:60]!r} is {problem}")
                continue
            file = self.config_file(item, path)
            if file is None:
                continue
            for key in file.values:
                if owners.setdefault(key, path) != path:
                    self.report(item, f"{owners[key]} and {path} both have the key {key!r}: keep it in one of them")
            files[path] = file
        return tuple(files.values())

    def config_file(self, node: Node, path: str) -> ConfigFile | None:
        """A config file; what is wrong in it is reported at its place there."""
        try:
            # mistakes are shown at the file's place in the repository, of which the project may be a folder
            shown = paths.from_top(path, paths.project_of_file(self.path))
            return read_config_file(self.read_file(path), shown)._replace(path=path)
        except SpecError as error:
            self.diagnostics += error.diagnostics
        except InputError as error:
            self.report(node, error.message + (f" ({error.hint})" if error.hint else ""))
        return None

    def params(self, top: Pairs, config: Sequence[ConfigFile]) -> dict[str, Param]:
        """The parameters that the pipeline declares, and those of its config files."""
        found = {key: param_of_file(key, value, file.path) for file in config for key, value in file.values.items()}
        parts: dict[str, list[Param]] = {}
        declared = self.mapping(top["params"][1], "params") if "params" in top else {}
        files = "from" in declared and _names_config_files(declared["from"][1])
        own: dict[str, tuple[Node, Node]] = {}
        for name, (key, node) in declared.items():
            if files and name == "from":
                continue
            path = parse_path(name) if files else None
            if path is not None and (len(path) > 1 or path[0] in found):
                part = self.part_of_file(name, path, key, node, found)
                if part is not None and len(path) > 1:
                    parts.setdefault(str(path[0]), []).append(part)
                elif part is not None:
                    found[name] = part
            else:
                own[name] = (key, node)
        for name, many in parts.items():
            found[name] = found[name]._replace(parts=tuple(many))
        named = Node(own, 1, 1, 0, 0)
        return {**{name: self.param(name, node) for name, (_, node) in self.named(named, "params").items()}, **found}

    def part_of_file(self, name: str, path: Path, key: Node, node: Node, found: Mapping[str, Param]) -> Param | None:
        """What a pipeline says of a key of a config file, at any depth; None for a mistake, which is noted."""
        try:
            before, value = part_of(found, path)
        except InputError as error:
            self.report(key, error.message)
            return None
        if not node.is_mapping:
            self.report(node, f"{name!r} has its value in {before.source}: keep it there alone")
            return None
        pairs = self.mapping(node, f"parameter {name!r}", PARAM_KEYS)
        for word in ("default", "secret"):
            if word in pairs:
                self.report(pairs[word][0], f"{name!r} is a key of {before.source}, so it has no {word} here")
        kind = self.one_of(pairs["type"][1], "type", TYPES) or before.type if "type" in pairs else before.type
        param = before._replace(loose="type" not in pairs, type=kind)
        if value is None:
            return param._replace(help=self.help_of(pairs))
        usual = "float" if kind == "int" and param.loose else kind
        param = self.with_bounds(param._replace(type=usual), pairs)._replace(type=kind)
        problem = problem_with_value(param._replace(type=usual), value)
        if problem:
            self.report(node, f"{problem} ({before.source})")
        return param

    def param(self, name: str, node: Node) -> Param:
        if not node.is_mapping:
            kind = type_name(node.value)
            if not kind and not (node.is_list and "list" in self.types):
                self.report(node, f"parameter {name!r} needs a default (text, number, true or false), or a type")
                return Param(name, "str", None)
            return self.checked(node, Param(name, kind or "list", self.value(node)))
        pairs = self.mapping(node, f"parameter {name!r}", PARAM_KEYS)
        if "secret" in pairs and self.truth(pairs["secret"][1], "secret"):
            return self.secret(name, pairs)
        default = self.value(pairs["default"][1]) if "default" in pairs else None
        kind = value_type(default) or "str"
        if "type" in pairs:
            kind = self.one_of(pairs["type"][1], "type", self.types) or kind
        if kind not in self.types:
            self.report(pairs["default"][1], f"parameter {name!r} must be text, a number, true or false")
            return Param(name, "str", None)
        param = self.with_bounds(Param(name, kind, default), pairs)
        return self.checked(pairs["default"][1] if "default" in pairs else node, param)

    def value(self, node: Node) -> Value:
        """A value as data; what no parameter can hold is noted."""
        if node.is_scalar:
            return node.value
        try:
            return plain_value(node, node.file or self.path)
        except SpecError as error:
            self.diagnostics += error.diagnostics
            return None

    def with_bounds(self, param: Param, pairs: Pairs) -> Param:
        """The parameter with the bounds, choices and help that a mapping says."""
        name, kind = param.name, param.type
        bounds: dict[str, float | None] = {}
        for bound in ("min", "max"):
            if bound in pairs:
                bounds[bound] = self.number(pairs[bound][1], bound)
                if kind not in ("int", "float"):
                    self.report(pairs[bound][0], f"{bound} is for numbers; parameter {name!r} is {kind}")
        bare = param._replace(min=bounds.get("min"), max=bounds.get("max"), help=self.help_of(pairs))
        choices = [item.value for item in self.items(pairs["choices"][1], "choices")] if "choices" in pairs else []
        if kind == "mapping" and choices:
            self.report(pairs["choices"][0], f"choices are for values; parameter {name!r} is a mapping")
            return bare
        for choice in choices:
            scalar = type_name(choice)
            problem = (
                problem_with_value(bare, choice)
                if kind != "list"
                else None
                if scalar
                else "a choice is text, a number, true or false"
            )
            if problem:
                self.report(pairs["choices"][1], f"a choice: {problem}")
                return bare
        return bare._replace(choices=tuple(normalised(bare, choice) for choice in choices))

    def secret(self, name: str, pairs: Pairs) -> Param:
        for key, (place, node) in pairs.items():
            if key == "default":
                self.report(
                    place,
                    f"parameter {name!r} is secret, so it has no default: a file of the repository is read by many",
                )
            elif key == "type" and node.value != "str":
                self.report(node, f"parameter {name!r} is secret, so it is text: type str")
            elif key in ("min", "max", "choices"):
                self.report(place, f"parameter {name!r} is secret: {key} would reveal its value")
        return Param(name, "str", None, help=self.help_of(pairs), secret=True)

    def checked(self, node: Node, param: Param) -> Param:
        if param.default is None:
            return param
        problem = problem_with_value(param, param.default)
        if problem:
            self.report(node, problem)
            return param
        return param._replace(default=normalised(param, param.default))

    def step(self, name: str, key: Node, node: Node) -> Step:
        """A step, read as its kind says."""
        known = step_keys()
        pairs = self.mapping(node, f"step {name!r}", known, "step")
        if not node.is_mapping:
            if node.value is None:
                self.report(key, f"step {name!r} is empty: it needs run")
            self.broken.add(name)
            return Step(name, key, ())
        kind = kind_of(pairs)
        if kind is None:
            if not is_misspelt(pairs):
                self.report(key, f"step {name!r} needs run: the command (or module: the module to use)")
            kind = COMMAND
        for word, (where, _) in pairs.items():
            if word in known and word not in kind.keys and word not in STEP_KEYS:
                refusal = kind.refusal(name, word) if kind.refusal else f"{word} is not for steps with {kind.key}"
                self.report(where, refusal)
        own = (*kind.keys.values(), *STEP_KEYS.values())
        settings = settings_in(self, pairs, own, self.usual)
        if WORKDIR.name not in kind.keys:  # that of the pipeline is for commands
            settings = settings._replace(workdir=TOP)
        if CACHE.name not in kind.keys:
            settings = settings._replace(caches=())
        if settings.network == CUT and settings.gang != ALONE:
            where = next(pairs[word][0] for word in ("network", "processes", "nodes") if word in pairs)
            self.report(where, "several processes reach each other by the loopback: network: loopback, or full")
        if "errors" in pairs and "matrix" not in pairs:
            self.report(
                pairs["errors"][0], f"step {name!r} has no matrix, of whose members errors bears failures: leave it out"
            )
        fields: dict[str, Any] = {"words": (), **kind.read(self, name, pairs)}
        problem = misuse(settings.caches, [variable for variable, _ in fields.get("env", ())], strict=settings.strict)
        if problem is not None:
            self.report(pairs[CACHE.name][0] if CACHE.name in pairs else key, f"step {name!r}: {problem}")
        return Step(
            name=name,
            place=key,
            settings=settings,
            after=self.after(pairs["after"][1]) if "after" in pairs else (),
            matrix=read_matrix(self, pairs["matrix"][1]) if "matrix" in pairs else None,
            help=self.help_of(pairs),
            **fields,
        )

    def after(self, node: Node) -> tuple[str, ...]:
        return tuple(text for item in self.items(node, "after") if (text := self.text_of(item, "after")) is not None)


def _names_config_files(node: Node) -> bool:
    """Whether a value is the path of a config file, or a list of such paths, and no parameter's default."""
    items = node.value if node.is_list else [node]
    return bool(items) and all(
        isinstance(item.value, str) and "${{" not in item.value and format_of_path(item.value) is not None
        for item in items
    )
