"""Small results: JSON files that read the same however they were made."""

import json
import os
from typing import Any


def folder_of(path: str) -> str:
    """Makes the folder that `path` lies in, and gives `path` back."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    return path


def write_json(path: str, value: Any) -> None:
    """Writes `value` with sorted names, numbers to six decimals."""
    with open(folder_of(path), "w", encoding="utf-8") as file:
        json.dump(_rounded(value), file, indent=2, sort_keys=True)
        file.write("\n")


def read_json(path: str) -> Any:
    """Reads a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
