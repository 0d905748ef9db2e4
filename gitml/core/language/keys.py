"""The keys of pipeline files, modules and `gitml.yaml`, each declared once: name, value, sentence of documentation.

The parsers take from here which keys there are, and how those of a step's settings are read; `schema` makes the JSON Schema of
them, and a test holds the tables of docs/pipelines.md to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gitml.core.kinds.environment_kinds import ENVIRONMENT_KINDS
from gitml.core.kinds.port_kinds import PORT_KINDS
from gitml.core.language import fields as values
from gitml.core.language.environment_field import read_environment
from gitml.core.language.expression import NAME
from gitml.core.language.fields import Fields
from gitml.core.language.params import TYPES
from gitml.core.language.sources.cache_field import cache_schema, read_caches
from gitml.core.language.sources.errors_field import errors_schema, read_errors
from gitml.core.language.yaml_document import Node
from gitml.core.model import paths
from gitml.core.model.guarantees import NETWORKS
from gitml.core.model.resources import Resources
from gitml.core.model.step_settings import USUAL, StepSettings
from gitml.core.text.plot_options import TEMPLATES

Schema = Mapping[str, Any]
Pairs = Mapping[str, tuple[Node, Node]]
"""A mapping as `Fields.mapping` gives it: the nodes of key and value, by name."""
MAX_GANG = 100_000
SHELLS = ("bash", "sh")


class Key(NamedTuple):
    """A key of a mapping. `schema` is the JSON Schema of its value, `help` what the documentation says of it.

    `default` is the column of that name there. `read` gives the value in a node, None for a mistake, which it notes: `values_in`
    reads such keys, into the field `setting` where that has another name. All others are read by the parser of the mapping.
    """

    name: str
    help: str
    schema: Schema | Callable[[], Schema]
    default: str = ""
    read: Callable[[Fields, Node, str], Any] | None = None
    setting: str = ""


def keys_of(*keys: Key) -> Mapping[str, Key]:
    """Keys by name, as `Fields.mapping` takes them."""
    return {key.name: key for key in keys}


def values_in(fields: Fields, pairs: Pairs, keys: Iterable[Key]) -> dict[str, Any]:
    """What a mapping has of those `keys` that have `read`, by field; mistakes are noted in `fields`."""
    return {
        key.setting or key.name: key.read(fields, pairs[key.name][1], key.name)
        for key in keys
        if key.read is not None and key.name in pairs
    }


def settings_in(fields: Fields, pairs: Pairs, keys: Iterable[Key], usual: StepSettings = USUAL) -> StepSettings:
    """The settings that a mapping has, the `usual` ones for those that it has not."""
    found = values_in(fields, pairs, keys).items()
    return usual._replace(**{name: getattr(USUAL, name) if value is None else value for name, value in found})


def _whole(pattern: re.Pattern[str]) -> str:
    r"""A pattern that ends in ``\Z`` as JSON Schema writes one: searched for, so both ends are marked."""
    return f"^{pattern.pattern.removesuffix(chr(92) + 'Z')}$"


# Schemas of values
TEXT: Schema = {"type": ["string", "number"]}
WORD: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
DURATION: Schema = {"type": ["string", "number"], "pattern": _whole(values.DURATION), "exclusiveMinimum": 0}
SIZE: Schema = {"type": ["string", "number"], "pattern": _whole(values.SIZE), "minimum": 0}


def number(*, least: float | None = None, most: float | None = None, whole: bool = False) -> Schema:
    """A number within bounds."""
    bounds = {name: bound for name, bound in (("minimum", least), ("maximum", most)) if bound is not None}
    return {"type": "integer" if whole else "number", **bounds}


def one_of(values: Iterable[str]) -> Schema:
    """One of these words."""
    return {"enum": list(values)}


def listed(item: Schema) -> Schema:
    """A list, or a single item in its place."""
    return {"anyOf": [{"type": "array", "items": item}, item]}


def by_name(value: Schema) -> Schema:
    """A mapping from names of the user's choice."""
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": _whole(NAME), "maxLength": 100},
        "additionalProperties": value,
    }


def by_text(value: Schema) -> Schema:
    """A mapping from texts of any kind."""
    return {"type": ["object", "null"], "additionalProperties": value}


def mapping(keys: Mapping[str, Key], *required: str) -> Schema:
    """The schema of a mapping with these keys and no others."""
    shown: dict[str, Any] = {"type": "object" if required else ["object", "null"], "additionalProperties": False}
    shown["properties"] = {
        key.name: {**(key.schema() if callable(key.schema) else key.schema), "description": key.help}
        for key in keys.values()
    }
    return {**shown, "required": list(required)} if required else shown


def document(title: str, schema: Schema) -> dict[str, Any]:
    """A JSON Schema with its head."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}


def at_least(least: float) -> Callable[[Fields, Node, str], float | None]:
    """Reads a number that is no less."""
    return lambda fields, node, what: fields.number(node, what, least=least)


def _labels(fields: Fields, node: Node, what: str) -> dict[str, str]:
    found = fields.mapping(node, what).items()
    return {key: fields.text_of(label, f"label {key!r}") or "" for key, (_, label) in found}


def _custom(fields: Fields, node: Node, what: str) -> dict[str, float]:
    found = fields.mapping(node, what).items()
    return {key: fields.number(count, f"custom resource {key!r}", least=0) or 0.0 for key, (_, count) in found}


_AMOUNT = number(least=0)
MACHINE_KEYS = keys_of(
    Key("cpus", "how many processors, fractions allowed; 1 by default", _AMOUNT, read=at_least(0)),
    Key("gpus", "how many GPUs; the step sees only those it was given", _AMOUNT, read=at_least(0)),
    Key("memory", "how much memory: `512MiB`, `8GiB`, `8GB`", SIZE, read=Fields.bytes),
    Key("labels", "what the machine must be, by name and value", by_text(TEXT), read=_labels),
    Key("custom", "counts of anything else that is limited: licences, connections", by_text(_AMOUNT), read=_custom),
)


def _resources(fields: Fields, node: Node, what: str) -> Resources:
    given = values_in(fields, fields.mapping(node, what, MACHINE_KEYS), MACHINE_KEYS.values())
    cpus, gpus = (float(given.get(name, usual) or 0) for name, usual in (("cpus", 1), ("gpus", 0)))
    return Resources(cpus, gpus, given.get("memory") or 0, given.get("labels", {}), given.get("custom", {}))


PARAM_KEYS = keys_of(
    Key("default", "the value when none is given; without it one must be given", {}),
    Key(
        "type",
        "`str`, `int`, `float`, `bool`, `list` or `mapping`; else the type of the default, else `str`",
        one_of(TYPES),
    ),
    Key("min", "bounds of a number, inclusive", number()),
    Key("max", "bounds of a number, inclusive", number()),
    Key("choices", "the only values allowed", listed(SCALAR)),
    Key("help", "a sentence for people", TEXT),
    Key("secret", "`true`: text that is never recorded, see below", TRUTH),
)


def _kind() -> Schema:
    return one_of(PORT_KINDS)


def _format() -> Schema:
    return one_of(dict.fromkeys(name for kind in PORT_KINDS.values() for name in kind.formats))


PORT_KEYS = keys_of(
    Key("type", "the kind of the output", _kind),
    Key("path", "where the output belongs in the repository's layout", TEXT),
    Key("pattern", "in place of `path` of a `file` or `directory`: what matches, or a list", listed(TEXT)),
    Key("optional", "`true`: the step may leave it out", TRUTH),
    Key("x", "the column of a `plot` along which it is drawn; else chosen by the names", TEXT),
    Key("y", "the columns of a `plot` that are drawn, one or a list; else all numbers", listed(TEXT)),
    Key("title", "what stands above a `plot`, or a `directory` of pictures", TEXT),
    Key(
        "template",
        "how a `plot` is drawn; else chosen by the table; `images` of a `directory`: its pictures are a plot",
        one_of(TEMPLATES),
    ),
    Key("format", "what the file of a `metrics` output is written in; else its ending says so", _format),
)
INPUT_KEYS = keys_of(
    Key(
        "from",
        "the source: a path of the commit, an input of the pipeline, or what another step made, also a part of a directory",
        TEXT,
    ),
    Key("path", "where it lies in the sandbox; else where the source has it", TEXT),
    Key(
        "optional",
        "`true`: it may be missing: an optional output, or an input of the pipeline that is not in the commit",
        TRUTH,
    ),
)
INPUT_PORT_KEYS = keys_of(
    Key("type", "the kind of the input", _kind),
    Key("optional", "whether it may be left out", TRUTH),
    Key("help", "a sentence for people", TEXT),
)


def ports(keys: Mapping[str, Key]) -> Schema:
    """Ports by name, each as its kind alone or with these keys."""
    return by_name({"anyOf": [_kind(), mapping(keys, "type")]})


def _workdir(fields: Fields, node: Node, what: str) -> str | None:
    text = fields.text_of(node, what)
    if text is None:
        return None
    place = paths.clean(text) if text else text
    problem = paths.problem_with(text)
    if problem is None and paths.overlaps(place, ".gitml"):
        problem = "gitml's own folder"
    if problem:
        fields.report(node, f"{what} is {problem}")
        return None
    return place


def _count(fields: Fields, node: Node, what: str) -> int | None:
    return fields.whole(node, what, least=1, most=MAX_GANG)


def _environment() -> Schema:
    """Text, or a mapping of one kind with the options of that kind; `install` also stands alone."""
    lists = ("groups", "extras", "host")
    kinds: list[Schema] = [WORD]
    for kind, of in ENVIRONMENT_KINDS.items():
        properties = {name: listed(WORD) if name in lists else WORD for name in sorted({kind, "install", *of.options})}
        kinds.append({"type": "object", "additionalProperties": False, "required": [kind], "properties": properties})
    alone = {"install": WORD}
    return {
        "anyOf": [*kinds, {"type": "object", "additionalProperties": False, "required": [*alone], "properties": alone}]
    }


_PARAM: Schema = {"anyOf": [SCALAR, {"type": "array"}, mapping(PARAM_KEYS)]}
PARAMS: Schema = {
    "type": ["object", "null"],
    "properties": {"from": {"anyOf": [listed(WORD), _PARAM], "description": "config files whose keys are parameters"}},
    "additionalProperties": _PARAM,
}
ENV: Schema = by_text({"type": ["string", "number", "boolean", "null"]})
_COUNT = number(least=1, most=MAX_GANG, whole=True)
_GANG = "how many machines, and processes on each, run the command together"
_INHERITED = "that of the pipeline"

# Keys that more than one file has
INPUTS = Key(
    "inputs",
    "files that it gets besides those in its command, by name",
    by_name({"anyOf": [TEXT, mapping(INPUT_KEYS, "from")]}),
    "none",
)
HELP = Key("help", "a sentence for people", TEXT)
OUTPUTS = Key("outputs", "what the step makes, by name", lambda: ports(PORT_KEYS), "nothing")
ENVIRONMENT = Key("environment", "what its programs are", _environment, _INHERITED, read_environment)
SANDBOX = Key(
    "sandbox", "`strict` or `normal`", one_of(("strict", "normal")), _INHERITED, Fields.sandbox, setting="strict"
)
NETWORK = Key("network", "`full`, `loopback` or `none`", one_of(NETWORKS), _INHERITED, Fields.network)
WORKDIR = Key("workdir", "the folder in which its command runs", TEXT, _INHERITED, _workdir)
REPOSITORY = Key(
    "repository", "`true`: a Git repository of the commit lies in the sandbox", TRUTH, "`false`", Fields.truth
)
CACHE = Key("cache", "folders that it may use between runs", cache_schema, _INHERITED, read_caches, setting="caches")
TARGET = Key("target", "where it runs", TEXT, _INHERITED, Fields.target)
RESOURCES = Key("resources", "what the step needs of the machine", mapping(MACHINE_KEYS), "one CPU", _resources)
COMMAND_KEYS = keys_of(
    Key("run", "the command", {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}, "required"),
    INPUTS,
    OUTPUTS,
    Key("shell", "`bash` or `sh`: `run` is a script", one_of(SHELLS), "no shell"),
    Key("env", "environment variables", ENV, "those of the pipeline"),
    ENVIRONMENT,
    WORKDIR,
    CACHE,
    Key("code", "files the step may use besides those in its command", listed(TEXT), "none"),
    REPOSITORY,
    Key("params", "parameters that the program reads by itself", listed(WORD), "those in the command"),
)
STEP_KEYS = keys_of(
    Key("matrix", "run once for each combination of values", by_name({}), "once"),
    Key("errors", "how many members of a matrix may fail", errors_schema, "0", read_errors),
    Key("after", "steps to wait for without using their outputs", listed(TEXT), "none"),
    Key("timeout", "the longest an attempt may take", DURATION, "no limit", Fields.duration),
    Key("retries", "how often to try again", number(least=0, whole=True), "0", Fields.whole),
    Key("reuse", "`false`: run every time", TRUTH, "`true`", Fields.truth),
    RESOURCES,
    TARGET,
    Key("nodes", _GANG, _COUNT, "1", _count),
    Key("processes", _GANG, _COUNT, "1", _count),
    SANDBOX,
    NETWORK,
    HELP,
)
"""What a step of every kind may have; `core.kinds.step_kinds` has the keys of each kind."""
PIPELINE_KEYS = keys_of(
    Key("steps", "the steps, by name; at least one", {}),
    Key("extends", "base files whose content this one goes over: a path, or a list", listed(WORD)),
    Key("params", "parameters, by name, and config files (`from`)", PARAMS),
    INPUTS._replace(help="files and directories of the commit, by name", default=""),
    ENVIRONMENT._replace(help="what steps run in, unless a step says otherwise"),
    Key("env", "environment variables of every step", ENV),
    WORKDIR._replace(help="the folder in which commands run, unless a step says otherwise; else the top"),
    Key("code", "files that every step may use", listed(TEXT)),
    SANDBOX._replace(help="`strict` or `normal`, for every step"),
    NETWORK._replace(help="`full`, `loopback` or `none`, for every step"),
    CACHE._replace(help="folders that steps may use between runs"),
    TARGET._replace(help="where the steps run, unless one says otherwise"),
    Key("checkout", "outputs, as `STEP.PORT`, that `run --checkout` puts into the work tree", listed(TEXT)),
    Key("experiment", "the name under which runs are compared", TEXT),
    Key("name", "may be left out; if it is there, it must be the name of the file", TEXT),
    HELP,
)
