"""What a step's log says: lines made safe for a terminal, the one that says why it failed, and what was denied or not found.

A log is hostile text: patterns are bounded, and names that they give are only ever looked up, never shown by themselves.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?", re.DOTALL)
# C0, DEL and C1 controls, and the marks that reverse the direction of what follows
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# as bash, dash and env say it, the last with typographic quotation marks where the language has them
_NO_COMMAND = re.compile(
    "(?:^|: )['\u2018]?([^\\s'\u2018\u2019:]+)['\u2019]?: (?:command not found|not found|No such file or directory)$",
    re.MULTILINE,
)
_NEAR = 60  # lines from the end
# an exception as Python, and others that name them alike, print it
_EXCEPTION = re.compile(
    r"(?:[A-Za-z_]\w{0,80}\.){0,10}[A-Z]\w{0,80}(?:Error|Exception|Interrupt|Fault|Failure|NotFound)(?:: |:?$)"
)
_CELL = re.compile(r"(?:code cell \d{1,6} \(.{0,120}?\)|the cell with its parameters) of ")  # of a notebook that failed
_NOISE = re.compile(r"make(?:\[\d+\])?: \*\*\* \[|Set the environment variable HYDRA_FULL_ERROR")
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


def error_line(tail: bytes, *, limit: int = 500) -> str:
    """The line at the end of a log with the reason why its program failed, neutralised; empty when there is none.

    It is the last that begins with an exception's name, if one is near the end: what follows it belongs to its message. Else it
    is the last line but for those that only repeat that another program failed.
    """
    lines = [line for line in tail.replace(b"\r", b"\n").split(b"\n")[-_NEAR:] if line.strip()]
    shown = [neutral(line, limit).rstrip() for line in lines]
    while shown and _NOISE.match(shown[-1]):
        shown.pop()
    for at in range(len(shown) - 1, -1, -1):
        if _CELL.match(shown[at]) or _EXCEPTION.match(shown[at]) or (at and _after_traceback(shown, at)):
            return shown[at].strip()
    return shown[-1].strip() if shown else last_line(tail, limit=limit)


def _after_traceback(lines: list[str], at: int) -> bool:
    """Whether this line ends a traceback of Python: the first that is not indented after one that is, below its head."""
    if lines[at][:1].isspace() or not lines[at - 1][:1].isspace():
        return False
    above = at - 1
    while above >= 0 and lines[above][:1].isspace():
        above -= 1
    return above >= 0 and lines[above].startswith("Traceback (most recent call last)")


def missing_command(log_tail: str) -> str | None:
    """The command that a shell or ``env`` says was not found, at the end of a log; None when it says no such thing."""
    found = _NO_COMMAND.findall(log_tail)
    return str(found[-1]) if found else None


def denied_name(log_tail: str, sandbox: str = "") -> str | None:
    """The absolute path that the end of a log says could not be opened for lack of permission, None when there is none."""
    found = [match for pattern in _DENIED for match in pattern.finditer(log_tail)]
    if not found:
        return None
    name = max(found, key=lambda match: match.end())[1]
    return None if sandbox and name.startswith(f"{sandbox}/") else name


def is_denial(text: str) -> bool:
    """Whether a text says, in whatever words, that something could not be opened for lack of permission, and not what."""
    return _DENIAL.search(text) is not None and not any(pattern.search(text) for pattern in _DENIED)


MOST = 8  # names
MODULE = "module "  # before the name of a Python module
KEY = "key "  # before a key that a mapping does not have
VARIABLE = "variable "  # before the name of one of the environment that is not set
REPOSITORY = "repository "  # before the kind of one that a program looked for
_PATH = r"([^\s'\"\n:][^'\"\n:]{0,400}?)"
_QUOTED = r"['\"\u2018\u201c`]([^'\"\u2019\u201d`\n]{1,400})['\"\u2019\u201d`]"
_GONE = r"[Nn]o such file or directory"

_FILES = (
    re.compile(rf"{_GONE}:? (?:@ \w{{1,40}} - |-- )?(?:b|\w{{0,20}}Path\()?{_QUOTED}"),  # Python
    re.compile(rf"ENOENT: {_GONE.lower()}, \w{{1,20}} {_QUOTED}", re.IGNORECASE),  # node
    re.compile(rf"{_GONE} @ \w{{1,40}} - ([^\n(]{{1,400}})"),  # ruby
    re.compile(rf"(?:[Cc]annot|[Cc]an't) (?:open|stat|access|find|read|load)(?: \w{{1,20}}){{0,3}}:? {_QUOTED}"),
    re.compile(
        rf"(?:[Cc]annot|[Cc]an't) open(?: \w{{1,20}}){{0,2}} {_PATH}(?: for reading)?: (?:{_GONE}|No such file)"
    ),
    re.compile(rf"cannot create {_PATH}: Directory nonexistent"),
    re.compile(r"Unable to (?:access jarfile|open|read|find|load) ['\"]?([^\s'\"\n]{1,400})"),
    re.compile(
        r"FileNotFoundError: (?:File |file )?['\"]?([^\s'\"\n\[][^'\"\n]{0,400}?)['\"]? (?:not found|does not exist)"
    ),
    re.compile(rf"FileNotFoundException: {_PATH} \({_GONE}\)"),
    re.compile(
        r"[Cc]onfig(?:uration)? (?:directory|file|dir) ['\"]([^'\"\n]{1,400})['\"] (?:exists|not found|does not exist)"
    ),
    re.compile(r"No rule to make target ['\"\u2018`]([^'\"\u2019`\n]{1,400})['\"\u2019`]"),
    re.compile(rf"(?:^|: )['\u2018]?{_PATH}['\u2019]?: (?:{_GONE}|not found|cannot open)", re.MULTILINE),
    re.compile(rf"(?:^|[ :])(?:open|stat|opening file) ['\"]?{_PATH}['\"]?: {_GONE}", re.MULTILINE),
)
_MODULES = (
    re.compile(r"No module named ['\"]?([A-Za-z_][\w.]{0,200})"),
    re.compile(r"Primary config module '([A-Za-z_][\w.]{0,200})' not found"),  # hydra
    re.compile(r"cannot import name '(?P<name>\w{1,200})' from '(?P<package>[\w.]{1,200})' \(unknown location\)"),
)
_KEYS = (
    re.compile(r"^KeyError: ['\"]([^'\"\n]{1,200})['\"]$", re.MULTILINE),
    re.compile(r"(?:Key|Missing key) '?([\w.-]{1,200})'?(?: is not in struct|$)", re.MULTILINE),  # omegaconf
    re.compile(
        r"^AttributeError: '\w*(?:Dict|Munch|Box|Config|Namespace|Params)\w*' object has no attribute '(\w{1,200})'",
        re.MULTILINE,
    ),
)
_VARIABLES = (
    re.compile(  # os.environ of Python
        r"[/\\<](?:frozen )?os(?:\.py|>)\", line \d{1,6}, in __getitem__\n(?:[ |][^\n]{0,300}\n){0,3}"
        r"KeyError: '([A-Za-z_]\w{0,200})'"
    ),
    re.compile(r"(?:^|: )([A-Za-z_]\w{0,200}): (?:unbound variable|parameter not set)$", re.MULTILINE),  # shells
)
_REPOSITORIES = (
    re.compile(r"(?i:not (?:in )?a git repository)|\bInvalidGitRepositoryError\b"),
    re.compile(r"\bNotDvcRepoError\b|not inside of a DVC repository"),
)
_HYDRA_CONFIG = re.compile(r"(?:Could not find|Cannot find primary config) '([^'\n]{1,300})'")
_HYDRA_FOLDER = re.compile(r"^\s*provider=main, path=file://(/[^\n]{1,400})", re.MULTILINE)
_NODE_MODULE = re.compile(r"Cannot find module ['\"]([./][^'\"\n]{0,400})['\"]")
_PERL_MODULE = re.compile(r"Can't locate ([\w/]{1,200}\.p[ml]) in @INC")
_MAKEFILE = re.compile(r"No targets specified and no makefile found|No rule to make target")


def missing_names(tail: str, places: Iterable[str]) -> tuple[str, ...]:
    """What was not found, the last first: paths, those below `places`, where the step ran, relative to it.

    ``module NAME`` is a module of Python, ``key NAME`` a key of a mapping, ``variable NAME`` one of the environment,
    ``repository git`` or ``repository dvc`` a repository.
    """
    found: list[tuple[int, str]] = []
    for pattern in (*_FILES, _NODE_MODULE, _PERL_MODULE):
        found += [(match.end(), _relative(match.group(1), places)) for match in pattern.finditer(tail)]
    for pattern in _MODULES[:2]:
        found += [(match.end(), MODULE + match.group(1).rstrip(".")) for match in pattern.finditer(tail)]
    for pattern in _KEYS:
        found += [(match.end(), KEY + match.group(1)) for match in pattern.finditer(tail)]
    for pattern in _VARIABLES:
        found += [(match.end(), VARIABLE + match.group(1)) for match in pattern.finditer(tail)]
    for pattern, kind in zip(_REPOSITORIES, ("git", "dvc"), strict=True):
        found += [(match.end(), REPOSITORY + kind) for match in pattern.finditer(tail)]
    for match in _MODULES[2].finditer(tail):
        found.append((match.end(), f"{MODULE}{match['package']}.{match['name']}"))
    for match in _MAKEFILE.finditer(tail):
        found += [(match.start(), name) for name in ("GNUmakefile", "makefile", "Makefile")]
    folders = _HYDRA_FOLDER.findall(tail)
    for match in _HYDRA_CONFIG.finditer(tail) if folders else ():
        ending = "" if match[1].endswith((".yaml", ".yml")) else ".yaml"
        found.append((match.end(), _relative(f"{folders[-1]}/{match[1]}{ending}", places)))
    found.sort(key=lambda item: item[0])
    return tuple(dict.fromkeys([name for _, name in reversed(found) if name]))[:MOST]


def relative_to(places: Iterable[str], text: str) -> str:
    """`text` with paths in `places` as the step would write them."""
    for place in _longest_first(places):
        text = text.replace(f"{place}/", "")
    return text


def _relative(name: str, places: Iterable[str]) -> str:
    name = name.strip()
    if not name.startswith("/"):
        return name
    name = posixpath.normpath(name)
    for place in _longest_first(places):
        if name.startswith(f"{place}/"):
            return name[len(place) + 1 :]
    return name


def _longest_first(places: Iterable[str]) -> Sequence[str]:
    return sorted({place for place in places if len(place) > 1}, key=len, reverse=True)
