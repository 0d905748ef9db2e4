"""ActionResult: what performing an Action gave, by port, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.kinds.port_kinds import is_directory
from gitml.core.model.digest import Digest, parse_digest
from gitml.core.text.format import NUMBER_WORDS, is_ordinary, number_word

MAX_SIZE = 1 << 63
_new = tuple.__new__


class OutputRef(NamedTuple):
    """One output: `kind` as declared; size in bytes (of all files for a directory); `executable` only for files."""

    name: str
    kind: str
    digest: Digest
    size: int
    executable: bool = False

    @property
    def is_tree(self) -> bool:
        """Whether the Digest names a Tree rather than a Blob."""
        return is_directory(self.kind)


class Cost(NamedTuple):
    """Wall and CPU seconds of the whole process tree; peak resident bytes of its largest process."""

    wall: float = 0.0
    cpu: float = 0.0
    peak_memory: int = 0


class ActionResult(NamedTuple):
    """Outputs in the order declared, metrics by name, the cost, and the run and time (seconds since 1970) that made it.

    `guarantees` says under what it was made beyond what every step is made under. `labels` are texts by name.
    """

    outputs: tuple[OutputRef, ...]
    metrics: Mapping[str, float]
    cost: Cost
    run: str
    at: float
    guarantees: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}

    def output(self, name: str) -> OutputRef | None:
        """The output of that port."""
        return next((ref for ref in self.outputs if ref.name == name), None)

    def same_content(self, other: ActionResult) -> bool:
        """Whether both made the same bytes for the same ports."""
        return sorted(self.outputs) == sorted(other.outputs)


NOT_MADE = ActionResult((), {}, Cost(), "", 0.0)
"""What stands for the result of a member that did not succeed, where that is borne; known by identity."""


def encode_result(result: ActionResult) -> str:
    """`result` as JSON text; numbers that JSON lacks are text, as in records."""
    more = [result.guarantees, result.labels] if result.labels else [result.guarantees] if result.guarantees else []
    rest = (result.cost, result.run, result.at, *more)
    try:
        return json.dumps([result.outputs, result.metrics, *rest], separators=(",", ":"), allow_nan=False)
    except ValueError:
        metrics = {name: value if is_ordinary(value) else number_word(value) for name, value in result.metrics.items()}
        return json.dumps([result.outputs, metrics, *rest], separators=(",", ":"))


def decode_result(text: str | bytes) -> ActionResult:
    """The result that `encode_result` wrote; ValueError when it is not one."""
    try:
        outputs, metrics, cost, run, at, *more = json.loads(text)
        guarantees, labels = (*more, {}, {})[:2]
        if any(type(value) is str for value in metrics.values()):
            metrics = {name: NUMBER_WORDS.get(value, value) for name, value in metrics.items()}
        refs = tuple([OutputRef(*item) for item in outputs])
        return ActionResult(refs, metrics, Cost(*cost), run, at, guarantees, labels)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a result: {error}") from error


def outputs_as_json(outputs: tuple[OutputRef, ...]) -> dict[str, dict[str, Any]]:
    """Outputs as records and ``--json`` show them, in the order declared; keys of the format are sorted."""
    shown: dict[str, dict[str, Any]] = {}
    for ref in outputs:
        mark = {"executable": True} if ref.executable else {}
        shown[ref.name] = {"digest": ref.digest, **mark, "kind": ref.kind, "size": ref.size}
    return shown


def outputs_from_json(raw: Mapping[str, Mapping[str, Any]]) -> tuple[OutputRef, ...]:
    """The inverse of `outputs_as_json`; ValueError for what is not outputs."""
    try:
        return tuple(
            [
                _new(
                    OutputRef,
                    (
                        name,
                        str(item["kind"]),
                        parse_digest(item["digest"]),
                        size_from_json(item["size"]),
                        bool(item.get("executable")),
                    ),
                )
                for name, item in raw.items()
            ]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not outputs: {error}") from error


def size_from_json(raw: Any) -> int:
    """A number of bytes; ValueError for anything else."""
    if type(raw) is not int or not 0 <= raw < MAX_SIZE:
        raise ValueError(f"not a size: {str(raw)[:60]}")
    return raw
