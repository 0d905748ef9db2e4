"""Shell scripts with values in them, without the values ever being read by the shell as code.

Each expression becomes a variable: bare ``${{ x }}`` arrives as ``"${_gitml_0}"``, one word whatever it holds. The quoting
state only decides which spelling keeps the value in one piece; a wrong guess could split a word, never run one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gitml.core.expression import Ref, Template

VARIABLE = "_gitml_"


def script_with_variables(template: Template, values: Callable[[Ref], Sequence[str]]) -> tuple[str, ...]:
    """(script, value 0, value 1, …): the script refers to the values as ``${_gitml_0}`` and so on."""
    script = ""
    found: list[str] = []
    state = ""
    for part in template:
        if isinstance(part, str):
            script += part
            state = _state_after(part, state)
            continue
        names = []
        for value in values(part):
            names.append(f"${{{VARIABLE}{len(found)}}}")
            found.append(value)
        if state == '"':
            script += " ".join(names)
        else:
            bare = " ".join(f'"{name}"' for name in names)
            script += f"'{bare}'" if state == "'" else bare
    return (script, *found)


def _state_after(text: str, state: str) -> str:
    """The open quote (``'``, ``"`` or none) after `text`."""
    index = 0
    while index < len(text):
        char = text[index]
        if state == "'":
            if char == "'":
                state = ""
        elif char == "\\":
            index += 1
        elif char == state:
            state = ""
        elif not state and char in "'\"":
            state = char
        elif not state and char == "#" and (index == 0 or text[index - 1] in " \t\n;"):
            newline = text.find("\n", index)
            index = len(text) if newline < 0 else newline
        index += 1
    return state
