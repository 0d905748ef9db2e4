"""docs/pipelines.md: its examples are pipelines, and its mistakes are told as it shows them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.parse import parse_pipeline

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MISTAKES = [
    (text, answer)
    for (kind, text), (next_kind, answer) in itertools.pairwise(BLOCKS)
    if (kind, next_kind) == ("yaml", "text")
]
WRONG = {text for text, _ in MISTAKES}
PIPELINES = [
    text for kind, text in BLOCKS if kind == "yaml" and re.search(r"^steps:", text, re.MULTILINE) and text not in WRONG
]


def file_shown(path: str) -> bytes:
    """A file that the page shows, its path in a comment on the first line."""
    return next(text for _, text in BLOCKS if text.startswith(f"# {path}\n")).encode()


def test_the_page_has_examples_and_mistakes() -> None:
    assert len(PIPELINES) > 10
    assert len(MISTAKES) > 3


@pytest.mark.parametrize("text", PIPELINES)
def test_an_example_is_a_pipeline(text: str) -> None:
    assert parse_pipeline(text.encode(), "pipelines/example.yaml", read_file=file_shown).steps


@pytest.mark.parametrize(("text", "answer"), MISTAKES)
def test_a_mistake_is_told_as_the_page_shows_it(text: str, answer: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_pipeline(text.encode(), "pipelines/example.yaml")
    assert [str(diagnostic) for diagnostic in caught.value.diagnostics] == answer.splitlines()
