"""Reads `inputs` of a step that runs a command: the source of each, and its place in the sandbox."""

from __future__ import annotations

import re

from gitml.core.language.expression import ExpressionError, Ref, Template, parse_template, refs_in
from gitml.core.language.fields import Fields
from gitml.core.language.keys import INPUT_KEYS, Pairs
from gitml.core.language.spec import StepInput
from gitml.core.language.yaml_document import Node
from gitml.core.model import paths

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WRITTEN = "a path of the commit, or ${{ steps.x.outputs.y }}"


def step_inputs(fields: Fields, step: str, pairs: Pairs, nodes: dict[tuple[str, str], Node]) -> tuple[StepInput, ...]:
    """The inputs of a step, by name: their order in the file says nothing. `nodes` gets the place of each in the file."""
    if "inputs" not in pairs:
        return ()
    found = []
    for name, (_, node) in sorted(fields.named(pairs["inputs"][1], "inputs").items()):
        nodes[step, name] = node
        declared = _input(fields, name, node)
        if declared is not None:
            found.append(declared)
    return tuple(found)


def _input(fields: Fields, name: str, node: Node, *, of_pipeline: bool = False) -> StepInput | None:
    what = f"input {name!r}"
    spaces = ("params",) if of_pipeline else ("params", "matrix")
    keys: Pairs = fields.mapping(node, what, INPUT_KEYS) if node.is_mapping else {"from": (node, node)}
    if "from" not in keys:
        written = "a path of the commit" if of_pipeline else _WRITTEN
        fields.report(node, f"{what} needs from: {written}")
        return None
    source = _path(fields, keys["from"][1], what, spaces) if of_pipeline else _source(fields, keys["from"][1], what)
    place: Template = ()
    if "path" in keys:
        at = keys["path"][1]
        text = fields.text_of(at, f"path of {what}")
        if text is not None:
            place = fields.path_template(at, text, f"path of {what}", spaces)
            if text and (problem := problem_with_place(paths.clean(text))):
                fields.report(at, f"path of {what} {problem}")
    optional = "optional" in keys and bool(fields.truth(keys["optional"][1], f"optional of {what}"))
    if optional and source and not of_pipeline and not (isinstance(source[0], Ref) and source[0].space == "steps"):
        said = "is no output of a step: only those may be optional, and inputs of the pipeline"
        fields.report(keys["optional"][0], f"{what} {said}")
    return StepInput(name, source, place, optional) if source else None


def pipeline_input(fields: Fields, name: str, node: Node) -> StepInput:
    """An input of the pipeline: a path of the commit, and where it lies."""
    return _input(fields, name, node, of_pipeline=True) or StepInput(name, ())


def _path(fields: Fields, node: Node, what: str, spaces: tuple[str, ...]) -> Template:
    text = fields.text_of(node, what)
    if text is None:
        return ()
    problem = not_in_commit(text)
    if problem:
        fields.report(node, f"{what} is {problem}")
        return ()
    return fields.path_template(node, text, what, spaces, named=True)


def _source(fields: Fields, node: Node, what: str) -> Template:
    text = fields.text_of(node, what)
    if text is None:
        return ()
    first = _first_ref(text)
    if first is None or first.space not in ("steps", "inputs"):
        return _path(fields, node, what, ("params", "matrix"))
    template = fields.template(node, text)
    if len(template) > 1:
        problem = _problem_behind(template) if first.space == "steps" else "nothing can stand"
        if problem:
            fields.report(node, f"{what}: behind {first} {problem}")
            return ()
    return template


def _problem_behind(template: Template) -> str | None:
    """What is wrong with what stands behind the expression of an output, as words that go on a sentence."""
    other = next((ref for ref in refs_in((template[1:],)) if ref.space not in ("params", "matrix")), None)
    if other is not None:
        return f"can stand params.x and matrix.x, not {other}"
    literal = "".join(part if isinstance(part, str) else "x" for part in template[1:])
    if not literal.startswith("/"):
        return f"goes a path in the directory (/train.csv, /sub/*.csv), not {literal[:60]!r}"
    return problem_with_part(literal.lstrip("/"))


def problem_with_part(part: str) -> str | None:
    """Why no part of a directory lies at a path, as words that go on a sentence; None when one may."""
    problem = paths.problem_with(part)
    if problem is None and paths.clean(part) == ".":
        problem = "all of it"
    return f"goes a path in the directory (/train.csv, /sub/*.csv), not {problem}" if problem else None


def _first_ref(text: str) -> Ref | None:
    """The expression that a text begins with."""
    try:
        template = parse_template(text)
    except ExpressionError:
        return None
    return template[0] if template and isinstance(template[0], Ref) else None


def problem_with_place(place: str) -> str | None:
    """Why no input can be given a clean path as its place, as words; None when one can."""
    if place == ".":
        return "is the whole tree: name a folder in it"
    return "can't lie in .gitml" if paths.overlaps(place, ".gitml") else None


def not_in_commit(text: str) -> str | None:
    """Why a text is something else than a path of the commit; None when it may be one."""
    if _URL.match(text):
        return "a URL, and inputs are files of the commit: commit the file (with Git LFS if it is large), or fetch it in a step"
    literal = re.sub(r"\$\{\{.*?\}\}", "", text)
    if "*" in literal or "?" in literal:
        return "a pattern, and an input is one file or folder: name the folder, or write the pattern under `code:`"
    return None
