"""What the end of a log says was not found: names of files and of Python modules, however the program words it.

A log is hostile text: patterns are bounded, and what they give is only ever looked up, never shown by itself.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence

MOST = 8  # names
MODULE = "module "  # before the name of a Python module
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
    re.compile(r"cannot import name '(?P<name>\w{1,200})' from '(?P<package>[\w.]{1,200})' \(unknown location\)"),
)
_NODE_MODULE = re.compile(r"Cannot find module ['\"]([./][^'\"\n]{0,400})['\"]")
_PERL_MODULE = re.compile(r"Can't locate ([\w/]{1,200}\.p[ml]) in @INC")
_MAKEFILE = re.compile(r"No targets specified and no makefile found|No rule to make target")


def missing_names(tail: str, places: Iterable[str]) -> tuple[str, ...]:
    """What was not found, the last first: paths, those below `places`, where the step ran, relative to it; ``module NAME``."""
    found: list[tuple[int, str]] = []
    for pattern in (*_FILES, _NODE_MODULE, _PERL_MODULE):
        found += [(match.end(), _relative(match.group(1), places)) for match in pattern.finditer(tail)]
    for match in _MODULES[0].finditer(tail):
        found.append((match.end(), MODULE + match.group(1).rstrip(".")))
    for match in _MODULES[1].finditer(tail):
        found.append((match.end(), f"{MODULE}{match['package']}.{match['name']}"))
    for match in _MAKEFILE.finditer(tail):
        found += [(match.start(), name) for name in ("GNUmakefile", "makefile", "Makefile")]
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
