"""docs/architecture.md names modules, classes and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
GIT_SETTINGS = {"core.sharedRepository"}
PACKAGES = {path.name for path in (ROOT / "gitml").iterdir() if path.is_dir()} | {"registry"}


def names_of_code(page: str) -> list[str]:
    """What stands in backticks as a dotted name that begins with a package: ``store.index.runs.order_runs``."""
    dotted = re.findall(r"`((?:gitml\.)?[a-z_]+(?:\.\w+)+)(?:\(\))?`", page)
    return sorted({name for name in dotted if name.removeprefix("gitml.").split(".")[0] in PACKAGES} - GIT_SETTINGS)


def exists(name: str) -> bool:
    parts = name.removeprefix("gitml.").split(".")
    place = ROOT / "gitml" / parts[0] if parts[0] != "registry" else ROOT / "registry"
    for at, part in enumerate(parts[1:], 1):
        if (place / part).is_dir():
            place /= part
            continue
        files = [place / f"{part}.py"] if (place / f"{part}.py").exists() else sorted(place.glob("*.py"))
        attributes = parts[at + 1 :] if files[0].name == f"{part}.py" else parts[at:]
        text = "\n".join(file.read_text() for file in files)
        return all(re.search(rf"^\s*(?:def |class )?{re.escape(one)}\b", text, re.MULTILINE) for one in attributes)
    return True


def test_there_are_names_and_a_wrong_one_is_found() -> None:
    assert len(names_of_code(PAGE)) > 20
    assert exists("store.index.runs.order_runs")
    assert not exists("store.index.runs.no_such_function")
    assert not exists("store.no_such_module")


@pytest.mark.parametrize("name", names_of_code(PAGE))
def test_a_name_on_the_page_exists(name: str) -> None:
    assert exists(name)
