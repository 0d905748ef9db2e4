"""The reader of `module.yaml`: a ModuleSpec, or every mistake at once, each at its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitml.core.language.command import words_of
from gitml.core.language.diagnostics import Diagnostic, SpecError, nearest
from gitml.core.language.expression import Ref, refs_in
from gitml.core.language.keys import (
    COMMAND_KEYS,
    INPUT_PORT_KEYS,
    NETWORK,
    PARAMS,
    RESOURCES,
    SANDBOX,
    SHELLS,
    TEXT,
    Key,
    document,
    keys_of,
    listed,
    mapping,
    ports,
    settings_in,
)
from gitml.core.language.params import SCALAR_TYPES
from gitml.core.language.parse import PipelineReader
from gitml.core.language.spec import ModuleInput, ModuleSpec
from gitml.core.language.validate import NOT_IN_PATHS, NOT_IN_WORDS, is_secret
from gitml.core.language.yaml_document import Node, read_yaml
from gitml.errors import InputError
from gitml.modules.registry_places import MODULE_FILE
from registry.interface import Interface, ModuleParam, ModulePort
from registry.state import ModuleManifest
from registry.versions import check_name, check_version

FILE = MODULE_FILE
MAX_BYTES = 256 << 10
MAX_TEXT = 4000
MAX_TAGS = 50

_KEYS = keys_of(
    Key("name", "what pipelines call it", TEXT),
    Key("version", "its version", TEXT),
    Key("description", "what it does", TEXT),
    Key("category", "what it is found under", TEXT),
    Key("tags", "words that it is found by", listed(TEXT)),
    Key("inputs", "its input ports, by name", lambda: ports(INPUT_PORT_KEYS)),
    Key("params", "its parameters, by name", PARAMS),
    # of a step: it names the parameters that it reads and what it may use between runs, and the commit is that of the pipeline
    *(key for key in COMMAND_KEYS.values() if key.name not in ("params", "repository", "cache")),
    RESOURCES,
    SANDBOX,
    NETWORK,
)


def module_schema() -> dict[str, Any]:
    """The JSON Schema of `module.yaml`."""
    return document("A module of gitml", mapping(_KEYS, "name", "run"))


def interface_of(spec: ModuleSpec) -> Interface:
    """The ports and parameters of a module in the registry's words."""
    return Interface(
        tuple(ModulePort(port.name, port.kind, port.optional, port.help) for port in spec.inputs.values()),
        tuple(ModulePort(port.name, port.kind) for port in spec.outputs),
        tuple(
            ModuleParam(p.name, p.type, p.default, p.min, p.max, p.choices, p.help, p.secret)
            for p in spec.params.values()
        ),
    )


def manifest_of(spec: ModuleSpec) -> ModuleManifest:
    """What the registry records of a module."""
    return ModuleManifest(spec.name, interface_of(spec), spec.version, spec.description, spec.category, spec.tags)


def parse_module(data: bytes, path: str = FILE) -> ModuleSpec:
    """The ModuleSpec in `data`; SpecError with every mistake."""
    if len(data) > MAX_BYTES:
        raise SpecError([Diagnostic(path, 1, 1, f"larger than {MAX_BYTES >> 10} KiB")])
    root, text = read_yaml(data, path)
    reader = _ModuleReader(path, text)
    spec = reader.module(root)
    if reader.diagnostics:
        raise SpecError(reader.diagnostics)
    return spec


class _ModuleReader(PipelineReader):
    types = SCALAR_TYPES

    def module(self, root: Node) -> ModuleSpec:
        top = self.mapping(root, FILE, _KEYS, "step")
        for key, what in (("name", "what pipelines call it"), ("run", "the command")):
            if key not in top and (root.is_mapping or root.value is None):
                self.report(root, f"{key} is missing: {what}")
        given: dict[str, Node] = {key: node for key, (_, node) in top.items()}
        name = self.checked_text(given, "name", check_name) or ""
        version = self.checked_text(given, "version", check_version)
        shell = self.one_of(given["shell"], "shell", SHELLS) if "shell" in given else None
        spec = ModuleSpec(
            name=name,
            words=words_of(self, f"step {name or 'module'!r}", given["run"], shell) if "run" in given else (),
            shell=shell,
            inputs=self.each(top, "inputs", self.input_port),
            outputs=tuple(self.each(top, "outputs", self.port).values()),
            params=self.each(top, "params", self.param),
            code=self.code_of(given["code"]) if "code" in given else (),
            env=self.env_of(given["env"]) if "env" in given else (),
            settings=settings_in(self, top, _KEYS.values()),
            version=version,
            description=self.prose(given, "description"),
            category=self.prose(given, "category"),
            tags=self.tags(given["tags"]) if "tags" in given else (),
        )
        self.check_expressions(spec, given)
        return spec

    def checked_text(self, given: dict[str, Node], key: str, check: object) -> str | None:
        if key not in given:
            return None
        text = self.text_of(given[key], key)
        if text is None:
            return None
        try:
            check(text)  # type: ignore[operator]
        except InputError as error:
            self.report(given[key], error.message + (f" ({error.hint})" if error.hint else ""))
        return text

    def prose(self, given: dict[str, Node], key: str) -> str:
        text = self.text_of(given[key], key) if key in given else None
        if text is not None and len(text) > MAX_TEXT:
            self.report(given[key], f"{key} is longer than {MAX_TEXT:,} characters")
        return (text or "").strip()

    def tags(self, node: Node) -> tuple[str, ...]:
        items = self.items(node, "tags")
        if len(items) > MAX_TAGS:
            self.report(node, f"more than {MAX_TAGS} tags")
        found = []
        for item in items[:MAX_TAGS]:
            text = self.text_of(item, "a tag")
            if text is not None and (not text.strip() or len(text) > 100):
                self.report(item, "a tag has 1 to 100 characters")
            elif text is not None:
                found.append(text)
        return tuple(dict.fromkeys(found))

    def input_port(self, name: str, node: Node) -> ModuleInput:
        kind, pairs = self.port_kind(node, f"input {name!r}", INPUT_PORT_KEYS)
        optional = "optional" in pairs and self.truth(pairs["optional"][1], "optional") is True
        return ModuleInput(name, kind, optional, self.help_of(pairs))

    def check_expressions(self, spec: ModuleSpec, given: dict[str, Node]) -> None:
        """Reports every expression that leads nowhere, and ports the command never names."""
        outputs = {port.name: port for port in spec.outputs}
        spaces: dict[str, Mapping[str, object]] = {"inputs": spec.inputs, "outputs": outputs, "params": spec.params}
        used: set[tuple[str, str]] = set()
        for number, ref in enumerate(refs_in(spec.words)):
            used.add((ref.space, ref.name))
            place = self.expression_place(given["run"], number)
            self.check_ref(ref, place, spaces)
            if not spec.shell and is_secret(ref, spec.params):
                self.report(place, NOT_IN_WORDS.format(ref=ref, name=ref.name.upper()))
        only_params: dict[str, Mapping[str, object]] = {"params": spec.params}
        places = [path for port in spec.outputs for path in (port.path, *port.pattern)]
        elsewhere = [(path, "outputs") for path in places] + [(t or (), "env") for _, t in spec.env]
        for template, key in [*elsewhere, *((pattern, "code") for pattern in spec.code)]:
            for ref in refs_in((template,)):
                self.check_ref(ref, given[key], only_params)
                if key != "env" and is_secret(ref, spec.params):
                    self.report(given[key], NOT_IN_PATHS.format(ref=ref))
        if self.diagnostics or spec.shell:
            return  # a script may use the variables GITML_INPUT_… and GITML_OUTPUT_…
        for space, declared in (("inputs", spec.inputs), ("outputs", outputs)):
            for name, port in declared.items():
                if (space, name) not in used and not (getattr(port, "path", ()) or getattr(port, "pattern", ())):
                    self.report(given[space], f"the command never names {space}.{name}, so nothing would use it")

    def check_ref(self, ref: Ref, node: Node, spaces: Mapping[str, Mapping[str, object]]) -> None:
        if ref.space not in spaces:
            self.report(node, f"{ref} can't stand here: there is {' and '.join(f'{space}.x' for space in spaces)}")
        elif ref.name not in spaces[ref.space]:
            what = {"inputs": "input", "outputs": "output", "params": "parameter"}[ref.space]
            self.report(node, f"no {what} {ref.name!r}{nearest(ref.name, spaces[ref.space])}")
        elif ref.path or (ref.selector and ref.space == "params"):
            self.report(node, f"{ref}: a parameter of a module has no parts")
