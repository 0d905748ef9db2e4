"""docs/security.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
TESTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}


def test_every_file_of_tests_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)`", PAGE)
    assert len(named) > 20
    missing = [name for name in named if not any(path.endswith(f"/{name}") or path == name for path in TESTS)]
    assert missing == []


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(test_[a-z_]+)…?`", PAGE)
    text = "\n".join(TESTS.values())
    assert [name for name in named if f"def {name}" not in text] == []
    ends = re.findall(r"`…(_[a-z_]+)`", PAGE)
    assert ends
    assert [end for end in ends if not re.search(rf"def test_\w*{end}\b", text)] == []


def test_every_claim_of_what_holds_has_a_test() -> None:
    holds = PAGE.partition("## What holds")[2].partition("## What does not hold")[0]
    rows = [
        line.split(" | ") for line in holds.splitlines() if line.startswith("| ") and not line.startswith("| claim")
    ]
    assert len(rows) > 20
    assert [claim for claim, *shown in rows if "test" not in "".join(shown)] == []
