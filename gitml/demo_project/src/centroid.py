"""Nearest centroid: a wine belongs to the grower whose average wine it is closest to."""

import math
from typing import Any

from wines import Wine, train


def fit(wines: list[Wine]) -> dict[str, list[float]]:
    """The average wine of each grower."""
    growers = sorted({wine.grower for wine in wines})
    return {grower: average([wine.values for wine in wines if wine.grower == grower]) for grower in growers}


def guess(model: dict[str, Any], values: tuple[float, ...]) -> str:
    """The grower with the closest average."""
    return min(model, key=lambda grower: (math.dist(model[grower], values), grower))


def average(rows: list[tuple[float, ...]]) -> list[float]:
    """The mean of each column, to six decimals."""
    return [round(math.fsum(column) / len(rows), 6) for column in zip(*rows, strict=True)]


if __name__ == "__main__":
    train("centroid", fit)
