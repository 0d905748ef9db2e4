"""What a step's log says: lines made safe for a terminal, and the names of files it missed or was denied."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?", re.DOTALL)
# C0, DEL and C1 controls, and the marks that reverse the direction of what follows
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_MISSING = (
    re.compile(r"ModuleNotFoundError: No module named '([^'\n]+)'"),
    re.compile(r"No such file or directory: b?'([^'\n]+)'"),
    re.compile(r"can't open file '([^'\n]+)': \[Errno 2\]"),
    re.compile(r"cannot (?:stat|access) '([^'\n]+)': No such file"),
    re.compile(r"(?:cannot open|can't open) '?([^'\n:]+?)'?(?: for reading)?: No such file"),
    re.compile(r"(?:^|: )'?([^\s':][^':\n]*)'?: (?:No such file or directory|not found|cannot open)", re.MULTILINE),
)
# as bash, dash and env say it, the last with typographic quotation marks where the language has them
_NO_COMMAND = re.compile(
    "(?:^|: )['\u2018]?([^\\s'\u2018\u2019:]+)['\u2019]?: (?:command not found|not found|No such file or directory)$",
    re.MULTILINE,
)
_DENIED = (
    re.compile(r"Permission denied: b?'(/[^'\n]*)'"),
    re.compile(r"can't open file '(/[^'\n]*)': \[Errno 13\]"),
    re.compile(r"(?:^|[\s'\"`])(/[^:'\"`\n]*)['\"`]?: [Pp]ermission denied", re.MULTILINE),
    re.compile(r"permission denied, \w+ '(/[^'\n]*)'"),  # node
    re.compile(r"(?:^|\s)(/[^:\n]*?) \(Permission denied\)", re.MULTILINE),  # java
)
_DENIAL = re.compile(r"[Pp]ermission denied|\bEACCES\b|\[Errno 13\]|os error 13")


def neutral(line: str | bytes, limit: int = 500) -> str:
    """`line` without anything a terminal would act on, at most `limit` characters."""
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    text = _ESCAPES.sub("", text.replace("\t", " "))
    text = _CONTROLS.sub("\ufffd", text).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def last_line(tail: bytes, *, complete: bool = False, limit: int = 500) -> str:
    """The last line of `tail` that is not blank (with `complete`, that has ended), neutralised; empty when there is none."""
    if complete:
        tail = tail[: max(tail.rfind(b"\n"), tail.rfind(b"\r")) + 1]
    for line in reversed(tail.replace(b"\r", b"\n").split(b"\n")):
        shown = neutral(line, limit).strip()
        if shown:
            return shown
    return ""


def missing_name(log_tail: str, sandbox: str = "") -> str | None:
    """The file or Python module (dotted) that the end of a log says was not found; None when it says no such thing.

    Paths in `sandbox`, where the step ran, come out relative to it.
    """
    return _last(_MISSING, log_tail, sandbox)


def missing_command(log_tail: str) -> str | None:
    """The command that a shell or ``env`` says was not found, at the end of a log; None when it says no such thing."""
    found = _NO_COMMAND.findall(log_tail)
    return str(found[-1]) if found else None


def denied_name(log_tail: str, sandbox: str = "") -> str | None:
    """The absolute path that the end of a log says could not be opened for lack of permission, None when there is none."""
    name = _last(_DENIED, log_tail, sandbox)
    return name if name and name.startswith("/") else None


def is_denial(text: str) -> bool:
    """Whether a text says, in whatever words, that something could not be opened for lack of permission, and not what."""
    return _DENIAL.search(text) is not None and not any(pattern.search(text) for pattern in _DENIED)


def _last(patterns: tuple[re.Pattern[str], ...], text: str, sandbox: str) -> str | None:
    best = None
    for pattern in patterns:
        for match in pattern.finditer(text):
            if best is None or match.end() > best.end():
                best = match
    if best is None:
        return None
    name = best.group(1)
    return name[len(sandbox) + 1 :] if sandbox and name.startswith(sandbox + "/") else name
