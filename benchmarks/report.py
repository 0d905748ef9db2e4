"""Figures as Markdown on standard output and as JSON in bench-results/."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import Sample

RESULTS = "bench-results"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left, all others to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def seconds(value: float) -> str:
    """Seconds to three digits: ``0.0042``, ``0.135``, ``11.9``, ``102``."""
    digits = 4 if value < 0.01 else 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def megabytes(value: float) -> str:
    """Bytes as whole MB."""
    return f"{value / 1e6:.0f}"


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def save(name: str, results: Mapping[str, Any]) -> str:
    """Writes the results of one benchmark; gives the file's path."""
    os.makedirs(RESULTS, exist_ok=True)
    path = os.path.join(RESULTS, f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json")
    with open(path, "w") as file:
        json.dump({"benchmark": name, "machine": machine(), **results}, file, indent=1)
        file.write("\n")
    return path


def raw(samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Samples as JSON keeps them."""
    return [sample._asdict() for sample in samples]
