"""Scripts of shells, as files or as words of a command: the words in them, which may name files, modules and commands."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Sequence

_COMMENT = r"(?m)^[ \t]*#.*$"
_START = r"(?P<before>(?:^|[;&|(){}`\n]|\b(?:then|do|else|if|while|until)\b|!)[ \t]*)"
_MAKES = rf"(?m){_START}(?P<command>mkdir|rmdir|rm|touch)\b(?P<words>(?:[ \t]+[^\s;&|()<>`#]+)*)"
_ASKS = rf"(?m){_START}(?:cd|pushd|(?:test|\[\[?)[ \t]+(?:![ \t]+)?-[deLhwxrs])[ \t]+(?P<word>[^\s;&|()<>`]+)"
_BETWEEN = re.compile(r"[\s;&|()<>'\"`]+")
_SHELL = re.compile(r"(?:.*/)?(?:sh|bash|dash|zsh|ksh)")
_TAKES_SCRIPT = re.compile(r"-[A-Za-z]*c[A-Za-z]*")  # an option after which a shell takes its script as a word
_ENDINGS = (".sh", ".bash", ".zsh", ".ksh")
_MARK = re.compile(rb"#![^\n]*\b(?:sh|bash|dash|zsh|ksh)\b")
_PROGRAM = re.compile(r"""\s-[A-Za-z]*c\s+(?:'([^']*)'|"((?:\\.|[^"\\])*)")""", re.DOTALL)
_ESCAPED = re.compile(r"""\\(["$`\\])|\\\n""")
_TAKES_PROGRAM = re.compile(r"-[A-Za-z]*c")
_LARGEST = 64 << 10  # bytes of a script of a shell whose words count


def script_word(argv: Sequence[str]) -> str | None:
    """The script that a command hands to a shell as a word, as ``bash -ec 'python a.py'`` does; None where it has none."""
    shell = next((number for number, word in enumerate(argv) if _SHELL.fullmatch(word)), None)
    if shell is None:
        return None
    for number in range(shell + 1, len(argv) - 1):
        if _TAKES_SCRIPT.fullmatch(argv[number]):
            return argv[number + 1]
        if not argv[number].startswith(("-", "+")) and argv[number - 1] not in ("-o", "+o", "-O", "+O"):
            return None  # the path of a script
    return None


def words_of_script(script: str, *arguments: str) -> list[str]:
    """The words of a script of a shell and of its arguments. Rather one too many: only those that name something count."""
    import shlex

    # What a script makes or removes itself is nothing that it needs of the commit.
    script = _without_own(re.sub(_COMMENT, "", script))
    in_script = [*_BETWEEN.split(script), *arguments]
    try:
        return in_script + shlex.split(script)
    except ValueError:  # a shell may make sense of it
        return in_script


def may_be_script(path: str, *, executable: bool) -> bool:
    """Whether a file may be a script of a shell, as far as its name and mode show."""
    return path.endswith(_ENDINGS) or (executable and "." not in posixpath.basename(path))


def text_of_script(path: str, content: bytes) -> str:
    """The text of a file that is a script of a shell by its name or its first line; none of any other, or a large one."""
    if len(content) > _LARGEST or not (path.endswith(_ENDINGS) or _MARK.match(content)):
        return ""
    return content.decode("utf-8", "replace")


def programs_of(words: Sequence[str]) -> tuple[str, ...]:
    """The texts that words hand to a program as its program, as ``python -c TEXT`` does."""
    return tuple(
        [text for flag, text in itertools.pairwise(words) if flag[:1] == "-" and _TAKES_PROGRAM.fullmatch(flag)]
    )


def programs_of_script(script: str) -> tuple[str, ...]:
    """The texts that a script hands to programs so, as far as they are written out in it."""
    found = _PROGRAM.findall(re.sub(_COMMENT, "", script))
    return tuple(dict.fromkeys([single or _ESCAPED.sub(r"\1", double) for single, double in found]))


def _without_own(script: str) -> str:
    """`script` without the words of ``mkdir``, ``rmdir``, ``rm`` and ``touch``, and without what is only asked of, or gone to, of
    the folders that it makes: ``test -d out || mkdir out; cd out``."""
    made: set[str] = set()

    def dropped(match: re.Match[str]) -> str:
        words = [word.strip("'\"").rstrip("/") for word in match["words"].split()]
        if match["command"] == "mkdir":
            made.update(word.removeprefix("./") for word in words if not word.startswith("-"))
        return match["before"] + match["command"]

    script = re.sub(_MAKES, dropped, script)
    if not made:
        return script

    def left(match: re.Match[str]) -> str:
        word = match["word"].strip("'\"").rstrip("/").removeprefix("./")
        return match["before"] if word in made else match[0]

    return re.sub(_ASKS, left, script)
