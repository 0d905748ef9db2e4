"""Reading ``errors:``: a count of members, a percentage of them, or a mapping that also says what becomes of the step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node
from gitml.core.parameters.error_budget import ACTIONS, NO_ERRORS, SKIP, ErrorBudget

_PERCENT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?%\Z")
_MOST = 1_000_000_000
_KEYS = ("items", "percent", "action")
_WRITTEN = "a number of members, or a percentage such as 10%"


def errors_schema() -> Mapping[str, Any]:
    """The JSON Schema of the value."""
    share = {"type": "string", "pattern": f"^{_PERCENT.pattern.removesuffix(chr(92) + 'Z')}$"}
    count = {"type": "integer", "minimum": 0}
    named = {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "items": {**count, "description": "how many members may fail"},
            "percent": {
                "anyOf": [share, {"type": "number", "minimum": 0, "maximum": 100}],
                "description": "which percentage of them",
            },
            "action": {"enum": list(ACTIONS), "description": "whether steps that gather go on with the others"},
        },
    }
    return {"anyOf": [count, share, named]}


def read_errors(fields: Fields, node: Node, what: str) -> ErrorBudget:
    """The budget in a node, NO_ERRORS for one that bears nothing; mistakes are noted in `fields`."""
    budget = _of_mapping(fields, node, what) if node.is_mapping else _of_text(fields, node, what)
    return NO_ERRORS if budget is None or budget.is_none else budget


def _of_text(fields: Fields, node: Node, what: str) -> ErrorBudget | None:
    if isinstance(node.value, str):
        share = _share(fields, node, what)
        return None if share is None else ErrorBudget(share=share)
    items = _count(fields, node, what)
    return None if items is None else ErrorBudget(items)


def _of_mapping(fields: Fields, node: Node, what: str) -> ErrorBudget | None:
    pairs = fields.mapping(node, what)
    for name, (key, _) in pairs.items():
        if name == "batches":
            fields.report(key, f"{what}: a matrix has no batches: say items or percent")
        elif name not in _KEYS:
            fields.report(key, f"{what} has items, percent and action, not {name[:60]!r}")
    if any(name not in _KEYS for name in pairs):
        return None
    if "items" not in pairs and "percent" not in pairs:
        fields.report(node, f"{what} says how many members may fail: items: 3, or percent: 10%")
        return None
    items = _count(fields, pairs["items"][1], f"items of {what}") if "items" in pairs else None
    share = None
    if "percent" in pairs:
        share = _share(fields, pairs["percent"][1], f"percent of {what}", plain=True)
    action = fields.one_of(pairs["action"][1], f"action of {what}", ACTIONS) if "action" in pairs else SKIP
    if (items is None and "items" in pairs) or (share is None and "percent" in pairs) or action is None:
        return None
    return ErrorBudget(items, share, action)


def _count(fields: Fields, node: Node, what: str) -> int | None:
    value = node.value
    if isinstance(value, float) and 0 < value < 1:
        percent = Decimal(str(value)) * 100
        fields.report(node, f"{what} is {_WRITTEN}: write {percent.normalize():f}%, not {value}")
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        fields.report(node, f"{what} is {_WRITTEN}")
        return None
    return fields.whole(node, what, most=_MOST)


def _share(fields: Fields, node: Node, what: str, *, plain: bool = False) -> int | None:
    """Thousandths of a percent; `plain`: a number without the sign is one too."""
    text = str(node.value)
    if plain and not isinstance(node.value, (bool, str)) and isinstance(node.value, (int, float)):
        text = f"{fields.text_at(node)}%"
    found = _PERCENT.match(text)
    if found is None:
        written = "a percentage such as 10%, with three decimal places at most" if plain or "%" in text else _WRITTEN
        fields.report(node, f"{what} is {written}")
        return None
    share = int(Decimal(found[1]) * 1000)
    if share > 100_000:
        fields.report(node, f"{what} is at most 100%: all members")
        return None
    return share
