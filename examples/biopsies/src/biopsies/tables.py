"""Tables of lumps: ten measurements and a diagnosis a row."""

import csv
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

MALIGNANT = "malignant"
BENIGN = "benign"


class Lumps(NamedTuple):
    """`cells` is a row of measurements a lump, `malignant` is 1 or 0."""

    columns: list[str]
    cells: np.ndarray
    malignant: np.ndarray

    def part(self, rows: np.ndarray) -> "Lumps":
        """Some of the rows."""
        return Lumps(self.columns, self.cells[rows], self.malignant[rows])


def read_lumps(path: str) -> Lumps:
    """Reads a table as data/cells.csv is one."""
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    cells = np.array([[float(value) for value in row[:-1]] for row in rows])
    return Lumps(header[:-1], cells, np.array([int(row[-1] == MALIGNANT) for row in rows]))


def write_lumps(path: str, lumps: Lumps) -> None:
    """Writes what `read_lumps` reads."""
    rows = zip(lumps.cells, lumps.malignant, strict=True)
    write_table(
        path, [*lumps.columns, "diagnosis"], ([*cells.tolist(), MALIGNANT if bad else BENIGN] for cells, bad in rows)
    )


def write_table(path: str, header: list[str], rows: Iterable[list[Any]]) -> None:
    """Writes CSV, and makes the folder that it lies in."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
