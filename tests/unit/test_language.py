"""The words of help, errors and docstrings: the field's, not paraphrases of them. CONTRIBUTING.md has the rule."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Not said of events, returns, downloads, requests or callers: print, report, show, return; fetch, download; request; caller, user.
PARAPHRASES = (
    r"tell|tells|told|telling|bring|brings|brought|bringing|wish|wishes|wished|whoever|heed\w*|afar|haul\w*|muster\w*"
)
# A graph has cycles; what is broken is repaired or fixed; an index is rebuilt. "home" is the folder of a user.
REPLACED = r"circle|circles|mend|mends|mended|mending|anew|home(?! folder| End)|errand|berth|depot|porter"
FORBIDDEN = re.compile(rf"\b(?!HOME\b)(?i:{PARAPHRASES}|{REPLACED})\b")


def texts(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every string of several words: docstrings, errors, hints, help, notices."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value


def offences(source: str) -> list[str]:
    """`line: word: text` of each forbidden word that is no name in a code span."""
    return [
        f"{line}: {found.group()}: {text[:80]!r}"
        for line, text in texts(source)
        for found in FORBIDDEN.finditer(re.sub(r"``.*?``|`.*?`", "", text, flags=re.DOTALL))
    ]


def test_help_errors_and_docstrings_use_the_words_of_the_field() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{offence}"
        for package in ("gitml", "registry")
        for path in sorted((ROOT / package).rglob("*.py"))
        if "demo_project" not in path.parts
        for offence in offences(path.read_text())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "source",
    [
        '"""Tells the run."""',
        'def f() -> None:\n    """Brings it home."""',
        'raise InputError("a circle of steps", hint="mend it")',
        'click.option("--at", help="Whoever asks.")',
    ],
)
def test_a_paraphrase_is_found(source: str) -> None:
    assert offences(source)


def test_the_home_folder_may_be_named() -> None:
    assert offences('"""The home folder of the user."""') == []


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_the_pages_use_them_too(page: str) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)
    lines = [
        f"{number}: {line.strip()[:100]}" for number, line in enumerate(text.splitlines(), 1) if FORBIDDEN.search(line)
    ]
    assert lines == []
