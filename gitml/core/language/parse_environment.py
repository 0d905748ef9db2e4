"""`environment`: ``host``, or the path of a locked requirements file."""

from __future__ import annotations

from gitml.core.config.project import HOST
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node
from gitml.core.model import paths


def environment_in(fields: Fields, node: Node) -> str:
    """The environment that a node names; mistakes are reported to `fields`."""
    if node.is_mapping:
        kinds = ", ".join(list(node.value)[:3])
        fields.report(node, f"environment is `host` or the path of a locked requirements file, no mapping ({kinds})")
        return HOST
    text = fields.text_of(node, "environment")
    if text is None or text == HOST:
        return HOST
    problem = paths.problem_with(text)
    if problem:
        fields.report(node, f"environment is {problem}")
        return HOST
    path = paths.clean(text)
    from gitml.core.language.environment_files import not_taken

    other = not_taken(path)
    if other is not None:
        what, mend = other
        fields.report(node, f"environment {path!r} is {what}: {mend}")
    return path
