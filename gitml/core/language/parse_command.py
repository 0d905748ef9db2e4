"""`run` of a step or a module: a script, a text that is cut into words, or a list of words."""

from __future__ import annotations

from gitml.core.language.command import foreign_in, read_command
from gitml.core.language.expression import Template
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node


def words_of(fields: Fields, what: str, node: Node, shell: str | None) -> tuple[Template, ...]:
    """The words of a command, or with `shell` the one script; mistakes are reported to `fields`, with `what` in front."""
    if node.is_list:
        if shell:
            fields.report(node, f"{what}: with shell, run is one text")
        return _listed(fields, what, node)
    text = fields.text_of(node, f"run of {what}")
    if text is None:
        return ()
    template = fields.template(node, text)
    if not text.strip() and not shell:
        fields.report(node, f"{what}: run is empty")
    if not template:  # nothing, or a mistake was found
        return (template,) if shell else ()
    if shell:
        for other in foreign_in(text):
            fields.report(fields.place_of(node, text, other.text, other.start), f"{what}: {other.message}")
        return (template,)
    try:
        words, foreign, found = read_command(text, template, folded=node.style == ">")
    except ValueError as error:
        fields.report(node, f"{what}: {str(error).lower()} in the command")
        return ()
    for mistake in (*foreign, *([found] if found else [])):
        fields.report(fields.place_of(node, text, mistake.text, mistake.start), f"{what}: {mistake.message}")
    return words


def _listed(fields: Fields, what: str, node: Node) -> tuple[Template, ...]:
    """A list is the words of one command, each as it stands there."""
    words = [fields.plain_template(item, fields.text_of(item, "a word of run") or "") for item in node.value]
    if not words:
        fields.report(node, f"{what}: run is empty")
        return ()
    program = node.value[0].value
    if isinstance(program, str) and len(program.split()) > 1 and "/" not in program.split()[0] and "${{" not in program:
        fields.report(
            node.value[0],
            f"{what}: a list is the words of one command, and {program[:40]!r} is no program: write each word by itself, "
            "or several commands as lines of `run: |` with `shell: bash`",
        )
    return tuple(words)
