"""Why a machine's environment is not the one that a step is keyed with, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def environment_difference(here: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What is other in the environment `here` than in the one that is `wanted`, in words."""
    parts = [
        f"{name} is {here.get(name)} and not {wanted.get(name)}"
        for name in ("platform", "python")
        if here.get(name) != wanted.get(name)
    ]
    there, asked = set(here.get("distributions", ())), set(wanted.get("distributions", ()))
    if there - asked:
        parts.append(f"it has {_some(there - asked)}")
    if asked - there:
        parts.append(f"it has not {_some(asked - there)}")
    one, two = here.get("contents", {}), wanted.get("contents", {})
    others = {name for name in {*one, *two} if one.get(name) != two.get(name) and name not in there ^ asked}
    if others:
        parts.append(f"it has other files of {_some(others)}")
    if here.get("repository") != wanted.get("repository"):
        parts.append("it has another editable install of this repository")
    if here.get("programs") != wanted.get("programs"):
        parts.append("a program of the step is another")
    return "its environment is not the one the step is keyed with: " + "; ".join(parts)


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
