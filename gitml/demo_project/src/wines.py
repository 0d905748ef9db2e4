"""Wines and how they are kept in files: what the steps share."""

import argparse
import csv
import json
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

PARTS = ("train", "validation", "test")


class Wine(NamedTuple):
    """`row` is its line in the data, `grower` its label, `values` its measurements."""

    row: int
    grower: str
    values: tuple[float, ...]


def read_wines(path: str) -> tuple[list[str], list[Wine]]:
    """The names of the measurements, and the wines."""
    header, *lines = read_rows(path)
    return header[1:], [Wine(row, line[0], tuple(map(float, line[1:]))) for row, line in enumerate(lines, 2)]


def read_part(folder: str, part: str) -> list[Wine]:
    """The wines of one part, as `prepare` left them."""
    rows = read_rows(os.path.join(folder, f"{part}.csv"))
    return [Wine(int(row), grower, tuple(map(float, values))) for row, grower, *values in rows]


def write_part(folder: str, part: str, wines: list[Wine]) -> None:
    """Writes one part, numbers to six decimals."""
    rows = [[wine.row, wine.grower, *(f"{value:.6f}" for value in wine.values)] for wine in wines]
    write_rows(os.path.join(folder, f"{part}.csv"), rows)


def read_rows(path: str) -> list[list[str]]:
    """The rows of a CSV file without a header."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def write_rows(path: str, rows: Iterable[Iterable[object]]) -> None:
    """Writes a CSV file without a header."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def read_json(path: str) -> Any:
    """What a JSON file holds."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file that reads the same every time."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")


def train(name: str, fit: Callable[[list[Wine]], Any]) -> None:
    """The command line of a classifier: fits it to the training wines and writes the model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    wines = read_part(args.parts, "train")
    write_json(args.out, {"name": name, "model": fit(wines)})
    print(f"{name}: learned from {len(wines)} wines")
