"""A command that no shell reads: cut into words as a POSIX shell cuts it, with all that only a shell would act on found.

Quoted text means itself, in double quotes all but ``$`` and backticks. Outside quotes are found: operators and redirections,
``$``, backticks, a second line, comments, variables set in front, ``~/``, patterns for names of files and ``{a,b}``, the words
that only shells know, and paths with backslashes, which a shell would take away. A shell looks for files by a whole word, so
that a pattern behind ``=`` or in a URL names none: it is text there and here. Other tools' expressions are found as well: a
shell leaves some of them alone, but no program wants them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gitml.core.language import foreign_syntax
from gitml.core.language.expression import CLOSE, OPEN, Ref, Template, parse_template, refs_in
from gitml.core.language.fields import Fields
from gitml.core.language.shell import is_literal_at
from gitml.core.language.yaml_document import Node

_BLANKS = " \t\r\n"
_DOLLAR = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]|\{[^}\s]*\}?|\([^)]*\)?)")
_QUOTED_DOLLAR = re.compile(r"\$['\"]")
_BACKTICKS = re.compile(r"`[^`]*`?")
_OPERATOR = re.compile(r"[|&;<>]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_HOME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*=)?~(?:[A-Za-z0-9._-]*/|\Z)")
_PATTERN = re.compile(r"[*?]|\[[^\]]+\]")
_BRACES = re.compile(r"\{[^{}]*,[^{}]*\}|\{[A-Za-z0-9-]+\.\.[A-Za-z0-9-]+(?:\.\.[0-9-]+)?\}")
_ONLY_OF_SHELLS = frozenset(
    """
    cd pushd popd source . export set unset readonly local declare alias eval exec let umask ulimit trap
    if for while until case select function { [[ ! ((
    """.split()
)
_BACKSLASHES = re.compile(r"(?:[A-Za-z]:\\)?(?:[\w.-]+\\)+[\w-]+(?:\.\w{1,8})+")  # a path as Windows writes it
_QUOTE = "quote it to mean itself"
_SINGLE = "write it in single quotes to mean itself"
_LINES = (
    "a second line is a command of its own only in a shell: add `shell: bash`; one command goes over several lines with "
    "`run: >-`"
)


class CommandMistake(NamedTuple):
    """What a shell, or another tool, would act on: the text that stands at `start`, and what to say about it."""

    text: str
    start: int
    message: str


class Command(NamedTuple):
    """The words of a command. `foreign` are other tools' expressions, `found` the first thing that only a shell acts on."""

    words: tuple[Template, ...]
    foreign: tuple[CommandMistake, ...]
    found: CommandMistake | None


def read_command(text: str, template: Template | None = None, *, folded: bool = False) -> Command:
    """`text`, whose expressions are those of `template`, as a Command. ValueError for an open quotation.

    `folded`: the text was written with ``>``, where lines that are indented more keep their ends and mean no new command.
    """
    return _Reader(text, parse_template(text) if template is None else template, folded).read()


class _Reader:
    def __init__(self, text: str, template: Template, folded: bool) -> None:
        self.text = text
        self.refs = iter(refs_in((template,)))
        self.folded = folded
        self.words: list[Template] = []
        self.foreign: list[CommandMistake] = []
        self.found: CommandMistake | None = None
        self.index = 0
        self.begun: int | None = None  # where the word begins that is being read
        self.parts: list[str | Ref] = []
        self.shape = ""  # the word's characters, with NUL for each that is quoted or from an expression
        self.line_end = False  # a line ended since the last word
        self.known_until = 0  # what is before was reported

    def read(self) -> Command:
        text = self.text
        quote = ""
        while self.index < len(text):
            char = text[self.index]
            if not quote and char in _BLANKS:
                self.end_word()
                self.line_end = self.line_end or (char == "\n" and bool(self.words))
                self.index += 1
                continue
            if char == "\\" and quote != "'":
                self.escape(quote)
                continue
            self.begin_word()
            if text.startswith("$" + OPEN, self.index):
                self.add(OPEN, quoted=True)
                self.index += 1 + len(OPEN)
            elif text.startswith(OPEN, self.index):
                self.parts.append(next(self.refs))
                self.shape += "\0"
                self.index = text.index(CLOSE, self.index) + len(CLOSE)
            elif char == quote:
                quote = ""
                self.index += 1
            elif not quote and char in "'\"":
                self.look(quote)
                quote = char
                self.index += 1
            else:
                if quote != "'":
                    self.look(quote)
                self.add(char, quoted=bool(quote))
                self.index += 1
        if quote:
            raise ValueError("No closing quotation")
        self.end_word()
        return Command(tuple(self.words), tuple(self.foreign), self.found)

    def begin_word(self) -> None:
        if self.begun is not None:
            return
        self.begun = self.index
        if self.line_end and not (self.folded and self.is_indented()):
            end = self.text.find("\n", self.index)
            self.note(self.text[self.index : end if end > 0 else None], self.index, _LINES)
        self.line_end = False

    def is_indented(self) -> bool:
        """Whether this line, or the last one with words, is indented: folding keeps the ends of such lines."""
        lines = [line for line in self.text[: self.index + 1].split("\n") if line.strip()]
        return any(line[0] in " \t" for line in lines[-2:])

    def escape(self, quote: str) -> None:
        following = self.text[self.index + 1 : self.index + 2]
        if not following:
            raise ValueError("No escaped character")
        if following == "\n":
            self.index += 2  # a continued line
            return
        self.begin_word()
        if not quote and self.text.startswith(OPEN, self.index + 1):
            self.index += 1
            return
        if quote and following not in '$`"\\':
            self.add("\\", quoted=True)
            self.index += 1
            return
        self.add(following, quoted=True)
        self.index += 2

    def add(self, text: str, *, quoted: bool) -> None:
        if self.parts and isinstance(self.parts[-1], str):
            self.parts[-1] += text
        else:
            self.parts.append(text)
        self.shape += "\0" * len(text) if quoted else text

    def look(self, quote: str) -> None:
        """Finds what begins at this place, outside single quotes."""
        at = self.index
        if at < self.known_until or self.text[at] not in "${%@`":
            return
        other = foreign_syntax.expression_at(self.text, at, quoted=bool(quote))
        if other is not None:
            shown, meant = other
            self.foreign.append(CommandMistake(shown, at, foreign_syntax.no_expression(shown, meant)))
            self.known_until = at + len(shown)
            return
        match = _DOLLAR.match(self.text, at) or _BACKTICKS.match(self.text, at)
        if match is None and not quote:
            match = _QUOTED_DOLLAR.match(self.text, at)
        if match is None or self.text.startswith("$$" + OPEN, at):
            return
        self.known_until = match.end()
        name = re.sub(r"\W", "", match[0]).lower() if match[0].startswith("$") else ""
        meant = f" (did you mean ${{{{ params.{name} }}}}?)" if name and match[0][1:2] not in "(" else ""
        self.note(match[0], at, f"{_clipped(match[0])} needs `shell: bash`{meant}; without a shell, {_SINGLE}")

    def note(self, text: str, start: int, message: str) -> None:
        if self.found is None or start < self.found.start:
            self.found = CommandMistake(text, start, message)

    def end_word(self) -> None:
        if self.begun is None:
            return
        start, shape = self.begun, self.shape
        if start >= self.known_until or self.index > self.known_until:
            self.look_at_word(self.text[start : self.index], start, shape)
        self.words.append(tuple(self.parts))
        self.begun, self.parts, self.shape = None, [], ""

    def look_at_word(self, written: str, start: int, shape: str) -> None:
        shown = _clipped(written)
        first = not self.words
        if first and _ASSIGNMENT.match(shape):
            what = f"{shown} in front sets a variable only in a shell: set variables under `env:` of the step"
        elif first and shape in _ONLY_OF_SHELLS:
            variables = "; variables go under `env:` of the step" if shape in ("export", "set") else ""
            what = f"{shown} is a command of shells: add `shell: bash`{variables}"
        elif _BACKSLASHES.fullmatch(written):
            path = written.replace("\\", "/")
            what = f"{shown} loses its backslashes, as in a shell: write {_clipped(path)} for a path, or {_QUOTE}"
        elif (first and shape.startswith("(")) or _OPERATOR.search(shape):
            what = f"{shown} needs `shell: bash`; without a shell, {_QUOTE}"
        elif shape.startswith("#"):
            what = f"{shown} begins a comment only in a shell: leave it out, or {_QUOTE}"
        elif _HOME.match(shape):
            what = f"only a shell knows what {shown} is: add `shell: bash`; without a shell, {_QUOTE}"
        elif _is_pattern(shape) or _BRACES.search(shape):
            what = f"only a shell finds what {shown} stands for: add `shell: bash`; without a shell, {_QUOTE}"
        else:
            return
        self.note(written, start, what)


def _is_pattern(shape: str) -> bool:
    match = _PATTERN.search(shape)
    return match is not None and not re.search(r"=|://", shape[: match.start()])


def _clipped(text: str) -> str:
    return " ".join(text[:60].split())[:40]


def foreign_in(script: str) -> list[CommandMistake]:
    """What can only be another tool's expression in a script, where the shell reads it."""
    found = []
    for match in foreign_syntax.expressions_in(script):
        if not is_literal_at(script, match.start()):
            meant = foreign_syntax.translation(match[0])
            found.append(CommandMistake(match[0], match.start(), foreign_syntax.no_expression(match[0], meant)))
    return found


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
