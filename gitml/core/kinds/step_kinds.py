"""STEP_KINDS: the kinds of steps, each declared once: by its own keys, and how they are read.

A step is of the kind whose key it has. The reader of pipeline files asks the kind, and knows none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gitml import layout
from gitml.core.kinds.notebook_kind import ENDING, NOWHERE, PAGE, PROGRAM, is_variable, pages_among
from gitml.core.kinds.port_kinds import PORT_KINDS
from gitml.core.language import foreign_syntax
from gitml.core.language.command import words_of
from gitml.core.language.diagnostics import nearest
from gitml.core.language.expression import Ref, Template
from gitml.core.language.fields import Fields
from gitml.core.language.keys import (
    CACHE,
    COMMAND_KEYS,
    PORT_KEYS,
    SCALAR,
    SHELLS,
    STEP_KEYS,
    TEXT,
    WORD,
    Key,
    Pairs,
    by_name,
    keys_of,
)
from gitml.core.language.params import type_name
from gitml.core.language.sources.step_inputs import step_inputs
from gitml.core.language.spec import NotebookUse, Port, Use
from gitml.core.language.yaml_document import Node
from gitml.core.model import paths
from gitml.core.model.action import Scalar
from gitml.core.parameters.step_values import EVERYTHING
from gitml.core.parameters.value_path import Path, parse_path, text_of_value


class StepReader(Fields):
    """What a kind reads the keys of its steps with: Fields, and what several kinds have in common."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self.code: tuple[Template, ...] = ()  # that of all steps
        self.env: tuple[tuple[str, Template | None], ...] = ()  # that of all steps
        self.runs: dict[str, Node] = {}  # where the command of each step is
        self.ports: dict[tuple[str, str], Node] = {}  # where the path of a step's output is
        self.sources: dict[tuple[str, str], Node] = {}  # where an input of a step is
        self.broken: set[str] = set()  # steps whose command could not be read whole

    def code_of(self, node: Node) -> tuple[Template, ...]:
        """The paths of `code`."""
        found = []
        for item in self.items(node, "code"):
            text = self.text_of(item, "code")
            if text is not None:
                found.append(self.path_template(item, text, "code", ("params", "matrix"), named=True))
        return tuple(found)

    def env_in(self, pairs: Pairs) -> tuple[tuple[str, Template | None], ...]:
        """The environment variables of a step: the pipeline's, and its own over them."""
        env = {**dict(self.env), **dict(self.env_of(pairs["env"][1]) if "env" in pairs else ())}
        return tuple(sorted(env.items(), key=lambda item: item[0]))

    def reads_of(self, node: Node) -> tuple[Path, ...]:
        """The parameters that a program reads by itself, as paths; ``("*",)`` is all that config files hold."""
        found: list[Path] = []
        if node.is_mapping:
            self.report(node, "params is a list of the names that the program reads: [train, data.seed]")
            return ()
        for item in self.items(node, "params"):
            text = self.text_of(item, "params")
            path = EVERYTHING if text == "*" else parse_path(text or "")
            if text is not None and path is None:
                fix = "write train, data.seed, or *"
                if "${{" in text:
                    fix = "names are written out; what one value of a matrix alone uses stands under its `when`"
                self.report(item, f"{text[:60]!r} is no name of a parameter: {fix}")
            elif path is not None:
                found.append(path)
        return tuple(found)

    def outputs_in(self, step: str, pairs: Pairs) -> tuple[Port, ...]:
        """The output ports of a step."""
        outputs = []
        if "outputs" in pairs:
            for name, (_, node) in self.named(pairs["outputs"][1], "outputs").items():
                outputs.append(self.port(name, node))
                if node.is_mapping and "path" in node.value:
                    self.ports[step, name] = node.value["path"][1]
        return tuple(outputs)

    def given_params(self, pairs: Pairs) -> tuple[tuple[str, Scalar | Template], ...]:
        """The values under `params` that a module or notebook is given, by name."""
        params: list[tuple[str, Scalar | Template]] = []
        for param, (_, node) in self.named(pairs["params"][1], "params").items() if "params" in pairs else ():
            if isinstance(node.value, str) and "${{" in node.value:
                params.append((param, self.template(node, node.value)))
            elif not type_name(node.value):
                self.report(node, f"parameter {param!r} must be text, a number, true or false")
            else:
                params.append((param, node.value))
        return tuple(params)

    def env_of(self, node: Node) -> tuple[tuple[str, Template | None], ...]:
        """The environment variables in a mapping."""
        found: list[tuple[str, Template | None]] = []
        for name, (key, value) in self.mapping(node, "env").items():
            if not name.isidentifier() or name.startswith((layout.VARIABLE_PREFIX, "_gitml_")):
                self.report(key, f"{name[:60]!r} can't be the name of an environment variable here")
            elif value.value is None:
                found.append((name, None))
            elif isinstance(value.value, bool):
                found.append((name, ("true" if value.value else "false",)))
            else:
                text = self.text_of(value, f"env {name!r}")
                found.append((name, self.plain_template(value, text or "")))
        return tuple(found)

    def port_kind(self, node: Node, what: str, keys: Iterable[str], whose: str = "") -> tuple[str, Pairs]:
        """The kind of a port that is written as its kind, or as a mapping with these keys, which are returned too."""
        if not node.is_mapping:
            return self.one_of(node, what, PORT_KINDS) or "file", {}
        pairs = self.mapping(node, what, keys, whose)
        if "type" in pairs:
            return self.one_of(pairs["type"][1], f"type of {what}", PORT_KINDS) or "file", pairs
        self.report(node, f"{what} needs a type: {', '.join(PORT_KINDS)}")
        return "file", pairs

    def port(self, name: str, node: Node) -> Port:
        """An output port."""
        kind, pairs = self.port_kind(node, f"output {name!r}", PORT_KEYS, "output")
        path: Template = ()
        if "path" in pairs:
            text = self.text_of(pairs["path"][1], "path")
            if text is not None:
                path = self.path_template(pairs["path"][1], text, f"output {name!r}", ("params", "matrix")) or (text,)
                if paths.overlaps(paths.clean(text), ".gitml"):
                    self.report(pairs["path"][1], f"output {name!r} can't lie in .gitml")
        pattern = self.pattern_of(f"output {name!r}", pairs)
        options = self.options_of(f"output {name!r}", kind, pairs)
        keyed = {key: options.pop(key) for key in ("format",) if key in options}
        if "optional" in pairs and self.truth(pairs["optional"][1], f"optional of output {name!r}"):
            keyed["optional"] = True
        return Port(name, kind, path, tuple(sorted(keyed.items())), tuple(options.items()), pattern)

    def pattern_of(self, what: str, pairs: Pairs) -> tuple[Template, ...]:
        """The patterns of an output."""
        if "pattern" not in pairs:
            return ()
        key, node = pairs["pattern"]
        if "path" in pairs:
            self.report(key, f"{what} has a path and a pattern: keep one of them")
        found = []
        for item in self.items(node, f"pattern of {what}"):
            text = self.text_of(item, f"pattern of {what}")
            if text is not None:
                found.append(self.path_template(item, text, f"pattern of {what}", ("params", "matrix")))
                if paths.overlaps(paths.clean(text), ".gitml"):
                    self.report(item, f"pattern of {what}: nothing in .gitml is an output")
        if not found and not self.diagnostics:
            self.report(node, f"pattern of {what} is empty")
        return tuple(found)

    def options_of(self, what: str, kind: str, pairs: Pairs) -> dict[str, Any]:
        """The options that only some kinds of outputs have."""
        known = PORT_KINDS[kind]
        every = dict.fromkeys(option for other in PORT_KINDS.values() for option in other.options)
        found: dict[str, Any] = {}
        for option in every:
            if option not in pairs:
                continue
            key, value = pairs[option]
            if option not in known.options:
                having = " and ".join(f"`{name}`" for name, other in PORT_KINDS.items() if option in other.options)
                self.report(key, f"{what} is of type {kind}, and only {having} has `{option}`")
            elif option == "pattern":
                continue  # it holds expressions, and is read by itself
            elif option == "format":
                found[option] = self.one_of(value, f"format of {what}", known.formats)
            elif option == "template":
                found[option] = self.one_of(value, f"template of {what}", known.templates)
            elif option == "y":
                found[option] = tuple(self.shown_text(item, f"y of {what}") for item in self.items(value, "y"))
            else:
                found[option] = self.shown_text(value, f"{option} of {what}")
        return found

    def shown_text(self, node: Node, what: str) -> str:
        """A line of text that stands in a plot."""
        text = self.text_of(node, what) or ""
        if not text.strip() or len(text) > 200 or any(char in text.strip() for char in "\0\n\r"):
            self.report(node, f"{what} must be a line of 1 to 200 characters")
        return text.strip()


class StepKind(NamedTuple):
    """A kind of step. `key` is the one that only steps of this kind have, `keys` are those of its own, with `key`.

    `read` gives what these keys say as fields of a Step: its command in `words`, or the `use` of a module; mistakes are noted in
    the reader. `refusal` has the words for a key of another kind, given the step's name and the key.
    """

    key: str
    keys: Mapping[str, Key]
    read: Callable[[StepReader, str, Pairs], Mapping[str, Any]]
    refusal: Callable[[str, str], str] | None = None


def _read_command(reader: StepReader, name: str, pairs: Pairs) -> dict[str, Any]:
    """A command, or with `shell` a script."""
    shell = reader.one_of(pairs["shell"][1], "shell", SHELLS) if "shell" in pairs else None
    words: tuple[Template, ...] = ()
    if "run" in pairs:
        reader.runs[name] = pairs["run"][1]
        before = len(reader.diagnostics)
        words = words_of(reader, f"step {name!r}", pairs["run"][1], shell)
        if len(reader.diagnostics) > before:
            reader.broken.add(name)
    else:
        reader.broken.add(name)
    return {
        "words": words,
        "shell": shell,
        "inputs": step_inputs(reader, name, pairs, reader.sources),
        "outputs": reader.outputs_in(name, pairs),
        "code": reader.code + (reader.code_of(pairs["code"][1]) if "code" in pairs else ()),
        "env": reader.env_in(pairs),
        "reads": reader.reads_of(pairs["params"][1]) if "params" in pairs else (),
    }


def _read_use(reader: StepReader, name: str, pairs: Pairs) -> dict[str, Any]:
    """The use of a module, which has a command and outputs of its own."""
    reader.broken.add(name)
    module = reader.text_of(pairs["module"][1], "module") or ""
    inputs = []
    if "inputs" in pairs:
        for port, (_, node) in reader.named(pairs["inputs"][1], "inputs").items():
            text = reader.text_of(node, f"input {port!r}")
            template = reader.template(node, text or "")
            if text is not None and not (len(template) == 1 and isinstance(template[0], Ref)):
                reader.report(node, f"input {port!r} takes one expression, such as ${{{{ steps.x.outputs.y }}}}")
            inputs.append((port, template))
    return {"use": Use(module, tuple(inputs), reader.given_params(pairs), own_resources="resources" in pairs)}


def _read_notebook(reader: StepReader, name: str, pairs: Pairs) -> dict[str, Any]:
    """A notebook, with what it is given and what it makes."""
    node = pairs["notebook"][1]
    reader.runs[name] = node
    text = reader.text_of(node, "notebook")
    path: Template = ()
    if text is not None:
        path = reader.path_template(node, text, "notebook", ("params", "matrix"), named=True)
        if not text.endswith(ENDING):
            reader.report(node, f"notebook is a path that ends in {ENDING}, not {text[:100]!r}")
    for key in ("nodes", "processes"):
        if key in pairs:
            reader.report(pairs[key][0], f"{key} is not for steps with notebook: one kernel executes it")
    params = reader.given_params(pairs)
    for param, (place, _) in reader.named(pairs["params"][1], "params").items() if "params" in pairs else ():
        if not is_variable(param):
            reader.report(place, f"{param!r} can't be the name of a variable in a notebook")
    outputs = reader.outputs_in(name, pairs)
    pages = pages_among(outputs)
    if len(pages) > 1:
        reader.report(
            pairs["outputs"][0],
            f"several outputs could be the executed notebook ({', '.join(pages)}): call one of them {PAGE}",
        )
    page: Template = (Ref("outputs", pages[0]),) if pages else (NOWHERE,)
    values = [value if isinstance(value, tuple) else (text_of_value(value),) for _, value in params]
    return {
        "words": (("python3",), (PROGRAM,), path, page, *values),
        "notebook": NotebookUse(params),
        "inputs": step_inputs(reader, name, pairs, reader.sources),
        "outputs": outputs,
        "code": reader.code + (reader.code_of(pairs["code"][1]) if "code" in pairs else ()),
        "env": reader.env_in(pairs),
    }


COMMAND = StepKind(
    "run",
    COMMAND_KEYS,
    _read_command,
    lambda step, key: f"{key} is for steps with module; in run use ${{{{ {key}.x }}}}",
)
GIVEN = Key("params", "values of parameters of the module or notebook, by name", by_name(SCALAR))
MODULE = StepKind(
    "module",
    keys_of(
        Key("module", "the module that it uses", WORD),
        Key("inputs", "what fills the inputs of the module, by name", by_name(WORD)),
        GIVEN,
    ),
    _read_use,
    lambda step, key: (
        f"step {step!r} uses a module, which has no caches"
        if key == CACHE.name
        else f"step {step!r} uses a module, which says {key} itself"
    ),
)
NOTEBOOK = StepKind(
    "notebook",
    keys_of(
        Key("notebook", "the notebook that it executes: the path of an `.ipynb`", TEXT),
        GIVEN,
        *[key for name, key in COMMAND_KEYS.items() if name not in ("run", "shell", "params")],
    ),
    _read_notebook,
)
STEP_KINDS: dict[str, StepKind] = {kind.key: kind for kind in (COMMAND, MODULE, NOTEBOOK)}
"""By their keys. A step that has the keys of several is of the one that comes last."""


def kind_of(pairs: Pairs) -> StepKind | None:
    """The kind of a step with these keys, None where none of them is a kind's."""
    return next((kind for kind in reversed(STEP_KINDS.values()) if kind.key in pairs), None)


def step_keys() -> dict[str, Key]:
    """Every key that a step of some kind may have."""
    return {
        name: key for keys in (*(kind.keys for kind in STEP_KINDS.values()), STEP_KEYS) for name, key in keys.items()
    }


def is_misspelt(pairs: Pairs) -> bool:
    """Whether a step without a kind has another key that was meant for one, and that is reported by itself."""
    others = pairs.keys() - step_keys().keys()
    meant = any("run: " in (foreign_syntax.key_hint(other, "step") or "") for other in others)
    return meant or any("did you mean" in nearest(other, STEP_KINDS) for other in others)
