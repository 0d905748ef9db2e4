"""Shell scripts with values in them, without the values ever being read by the shell as code.

Each expression becomes a variable: bare ``${{ x }}`` arrives as ``"${_gitml_0}"``, one word whatever it holds. Where in the
script it stands only decides which spelling keeps the value in one piece; a wrong guess could split a word, never run one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gitml.core.language.expression import Ref, Template

VARIABLE = "_gitml_"

_HEREDOC = re.compile(r"""<<(-?)[ \t]*((?:\\.|'[^'\n]*'|"[^"\n]*"|[^\s;&|<>()'"\\`])+)""")
_NUMBER = re.compile(r"[-+]?[0-9]+\Z")
_BARE = ("", "(", "`")  # where words are separated by blanks


def script_with_variables(template: Template, values: Callable[[Ref], Sequence[str]]) -> tuple[str, ...]:
    """(script, value 0, value 1, …): the script refers to the values as ``${_gitml_0}`` and so on.

    ValueError for a value in a here-document whose quoted word keeps variables out, and for one in ``$((…))`` that is no
    number: there shells read what a variable holds as an expression, which may hold commands. Bash does that in
    ``[[ x -eq y ]]``, ``let`` and ``declare -i`` too, which are not seen here.
    """
    script = ""
    found: list[str] = []
    place = _Place()
    for part in template:
        if isinstance(part, str):
            script += place.read(part)
            continue
        names = []
        for value in values(part):
            if place.open[-1] in ("((", ")") and not _NUMBER.match(value):
                raise ValueError(
                    f"in arithmetic a value must be a whole number, not {value[:60]!r}: bash may run others"
                )
            names.append(f"${{{VARIABLE}{len(found)}}}")
            found.append(value)
        script += place.spelling(names)
    return (script, *found)


def is_literal_at(script: str, index: int) -> bool:
    """Whether a shell leaves the characters at `index` of a script alone: in single quotes, comments, quoted here-documents."""
    place = _Place()
    place.read(script[:index])
    return place.open[-1] in ("'", "$'", "#", "<'")


class _Place:
    """Where in a script the reader is: a stack of what is open.

    ``"``, ``'``, ``$'`` quotations; ``(`` a command in parentheses, a backtick one in backticks; ``((`` arithmetic and
    ``)`` a parenthesis in that; ``#`` a comment; ``<`` a here-document that expands variables, ``<'`` one that doesn't.
    """

    def __init__(self) -> None:
        self.open: list[str] = [""]
        self.waiting: list[tuple[str, str, bool]] = []  # here-documents that begin after this line: kind, end, tabs cut
        self.documents: list[tuple[str, str, bool]] = []  # those that are being read
        self.line = ""  # of a here-document, so far
        self.before = "\n"

    def spelling(self, names: Sequence[str]) -> str:
        """How variables are written here. ValueError where none can be."""
        top = self.open[-1]
        self.before = "x"
        self.line += "\0"  # no line with a value ends a here-document
        if top == "<'":
            raise ValueError("a value can't stand in a here-document whose word is quoted: leave those quotes out")
        if top in _BARE:
            return " ".join(f'"{name}"' for name in names)
        joined = " ".join(names)
        if top in ("'", "$'"):
            return f'\'"{joined}"{top}'
        return joined

    def read(self, text: str) -> str:
        """Goes on over `text`; gives it, with a backslash at its end made one that stands for itself."""
        index = 0
        while index < len(text):
            char = text[index]
            top = self.open[-1]
            if char == "\\" and top not in ("'", "#", "<'"):
                if index + 1 == len(text):
                    self.line += "\\"
                    return text + "\\"
                if text[index + 1] != "\n" or top == "<":
                    self.line += text[index : index + 2]
                    self.before = "x"
                index += 2
                continue
            index += self.step(top, text, index)
        return text

    def step(self, top: str, text: str, index: int) -> int:
        """Takes in what begins at `index`; how many characters that was."""
        char = text[index]
        taken = 1
        if top in ("'", "$'"):
            if char == "'":
                self.open.pop()
        elif top == "#":
            if char == "\n":
                self.open.pop()
                self.end_line()
        elif top in ("<", "<'"):
            if char == "\n":
                self.end_document_line()
            else:
                self.line += char
                if top == "<":
                    taken = self.substitution(text, index)
        elif top == '"':
            if char == '"':
                self.open.pop()
            else:
                taken = self.substitution(text, index)
        elif top in ("((", ")"):
            taken = self.arithmetic(text, index)
        else:
            taken = self.bare(top, text, index)
        self.before = text[index + taken - 1]
        return taken

    def substitution(self, text: str, index: int) -> int:
        """What opens a command or arithmetic even between double quotes."""
        if text.startswith("$((", index):
            self.open.append("((")
            return 3
        if text.startswith("$(", index):
            self.open.append("(")
            self.before = "("
            return 2
        if text[index] == "`":
            if "`" in self.open and self.open[-1] != "<":
                while self.open.pop() != "`":
                    pass
            else:
                self.open.append("`")
        return 1

    def arithmetic(self, text: str, index: int) -> int:
        top = self.open[-1]
        if top == "((" and text.startswith("))", index):
            self.open.pop()
            return 2
        if text[index] == ")" and top == ")":
            self.open.pop()
        elif text[index] == "(":
            self.open.append(")")
        else:
            return self.substitution(text, index)
        return 1

    def bare(self, top: str, text: str, index: int) -> int:
        char = text[index]
        if char == "\n":
            self.end_line()
        elif char == "#" and self.before in " \t\n;&|()`":
            self.open.append("#")
        elif char in "'\"":
            self.open.append(char)
        elif text.startswith("$'", index):
            self.open.append("$'")
            return 2
        elif char == "(":
            double = text.startswith("((", index)
            self.open.append("((" if double else "(")
            return 2 if double else 1
        elif char == ")" and top == "(":
            self.open.pop()
        elif text.startswith("<<<", index):
            return 3
        elif char == "<" and (match := _HEREDOC.match(text, index)):
            quoted = any(mark in match[2] for mark in "'\"\\")
            end = re.sub(r"\\(.)|['\"]", r"\1", match[2])
            self.waiting.append(("<'" if quoted else "<", end, bool(match[1])))
            return match.end() - index
        else:
            return self.substitution(text, index)
        return 1

    def end_line(self) -> None:
        if self.waiting:
            self.documents, self.waiting = self.waiting, []
            self.open.append(self.documents[0][0])
            self.line = ""

    def end_document_line(self) -> None:
        _, end, tabs_cut = self.documents[0]
        line, self.line = self.line, ""
        if (line.lstrip("\t") if tabs_cut else line) == end:
            self.open.pop()
            del self.documents[0]
            if self.documents:
                self.open.append(self.documents[0][0])
