"""Reading ``cache:``: tools and variables in a list, or caches by name, each with its variable and its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitml.core.kinds.cache_kinds import CACHE_KINDS, MOST, StepCache, is_taken, variables_named
from gitml.core.language.diagnostics import nearest
from gitml.core.language.expression import NAME
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node
from gitml.core.model import paths

_KEYS = ("env", "path", "readonly")
_TOOL_OR_VARIABLE = "a tool ({}) or a variable in upper case"


def cache_schema() -> Mapping[str, Any]:
    """The JSON Schema of the value."""
    word = {"type": "string"}
    named = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "env": {**word, "description": "the variable that is set to the folder"},
            "path": {**word, "description": "where it lies in the sandbox"},
            "readonly": {"type": "boolean", "description": "whether the step can't write to it"},
        },
    }
    # as `by_name` has it, which is declared where this is used
    names = {"pattern": f"^{NAME.pattern.removesuffix(chr(92) + 'Z')}$", "maxLength": 100}
    caches = {"type": "object", "propertyNames": names, "additionalProperties": named}
    return {"anyOf": [word, {"type": "array", "items": word}, caches]}


def read_caches(fields: Fields, node: Node, what: str) -> tuple[StepCache, ...]:
    """The caches that a node names, in its order; mistakes are noted in `fields`."""
    if node.is_mapping:
        pairs = fields.named(node, what)
        found = [_of_mapping(fields, name, key, value) for name, (key, value) in pairs.items()]
        places = [key for key, _ in pairs.values()]
    else:
        places = fields.items(node, what)
        found = [_of_text(fields, item, what) for item in places]
    if len(found) > MOST:
        fields.report(node, f"{len(found):,} caches; a step has {MOST} at most")
        return ()
    caches: list[StepCache] = []
    for place, cache in zip(places, found, strict=True):
        if cache is not None and (problem := _clash(cache, caches)) is not None:
            fields.report(place, problem)
        elif cache is not None:
            caches.append(cache)
    return tuple(caches)


def _of_text(fields: Fields, node: Node, what: str) -> StepCache | None:
    text = fields.text_of(node, f"an entry of {what}")
    if text is None:
        return None
    variables = variables_named(text)
    if not variables:
        known = _TOOL_OR_VARIABLE.format(", ".join(CACHE_KINDS))
        fields.report(node, f"{text[:60]!r} is no cache: name {known}{nearest(text, CACHE_KINDS)}")
        return None
    return StepCache(text, variables) if _are_free(fields, node, text, variables) else None


def _of_mapping(fields: Fields, name: str, key: Node, node: Node) -> StepCache | None:
    pairs = fields.mapping(node, f"cache {name!r}", _KEYS)
    if not node.is_mapping and node.value is not None:
        return None
    variables = variables_named(name)
    place = key
    if "env" in pairs:
        place = pairs["env"][1]
        variable = fields.text_of(place, f"env of cache {name!r}") or ""
        if not variable.isascii() or not variable.isidentifier() or len(variable) > 100:
            fields.report(place, f"{variable[:60]!r} can't be the name of an environment variable")
            return None
        variables = (variable,)
    path = _path_of(fields, pairs["path"][1], name) if "path" in pairs else ""
    readonly = "readonly" in pairs and fields.truth(pairs["readonly"][1], f"readonly of cache {name!r}") is True
    if path is None or not _are_free(fields, place, name, variables):
        return None
    if not variables and not path:
        known = _TOOL_OR_VARIABLE.format(", ".join(CACHE_KINDS))
        fields.report(key, f"cache {name!r} needs env or path, as its name is not that of {known}")
        return None
    return StepCache(name, variables, path, readonly)


def _path_of(fields: Fields, node: Node, name: str) -> str | None:
    text = fields.text_of(node, f"path of cache {name!r}")
    if text is None:
        return None
    problem = paths.problem_with_output(text)
    place = paths.clean(text)
    if problem is None and paths.overlaps(place, ".gitml"):
        problem = "gitml's own folder"
    if problem is None and "${{" in text:
        problem = "an expression, and caches have fixed places"
    if problem is not None:
        fields.report(node, f"path of cache {name!r} is {problem}")
        return None
    return place


def _are_free(fields: Fields, node: Node, name: str, variables: Iterable[str]) -> bool:
    """Whether these variables may lead to a cache; a mistake is noted where not."""
    taken = next(filter(is_taken, variables), None)
    if taken is not None:
        fields.report(
            node, f"cache {name!r} can't be in {taken}, which programs read otherwise: give it another variable"
        )
    return taken is None


def _clash(cache: StepCache, others: Iterable[StepCache]) -> str | None:
    """What to say of a cache that is one of the others, or shares a variable or a place with one; else None."""
    for other in others:
        if other.name == cache.name:
            return f"cache {cache.name!r} is there twice"
        shared = next((variable for variable in cache.variables if variable in other.variables), None)
        if shared is not None:
            return f"caches {other.name!r} and {cache.name!r} are both in {shared}: give one another variable"
        if cache.path and other.path and paths.overlaps(cache.path, other.path):
            return (
                f"caches {other.name!r} ({other.path}) and {cache.name!r} ({cache.path}) overlap: give one another path"
            )
    return None


def misuse(caches: Iterable[StepCache], env: Iterable[str], *, strict: bool) -> str | None:
    """Why a step with these variables of its own can't have these caches; None when it can."""
    own = frozenset(env)
    for cache in caches:
        if strict and not cache.readonly:
            mend = f"cache: {{{cache.name}: {{readonly: true}}}}, or cache: [] for none"
            return f"sandbox: strict goes with read-only caches alone, and {cache.name} can be written to: {mend}"
        shared = next((variable for variable in cache.variables if variable in own), None)
        if shared is not None:
            return f"{shared} is set by env and by the cache {cache.name!r}: leave one of them out"
    return None
