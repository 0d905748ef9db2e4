"""Gaussian naive Bayes: each measurement of each grower's wines follows a bell curve of its own."""

import math
import statistics
from typing import Any

from wines import Wine, train


def fit(wines: list[Wine]) -> dict[str, Any]:
    """Of each grower: the share of all wines, and each measurement's mean and spread."""
    model = {}
    for grower in sorted({wine.grower for wine in wines}):
        columns = list(zip(*(wine.values for wine in wines if wine.grower == grower), strict=True))
        curves = [[round(statistics.fmean(c), 6), round(statistics.pstdev(c) + 1e-6, 6)] for c in columns]
        model[grower] = {"share": len(columns[0]) / len(wines), "curves": curves}
    return model


def guess(model: dict[str, Any], values: tuple[float, ...]) -> str:
    """The grower under whose curves the wine is likeliest."""
    return max(model, key=lambda grower: (likelihood(model[grower], values), grower))


def likelihood(grower: dict[str, Any], values: tuple[float, ...]) -> float:
    """The logarithm of how likely the values are, but for a constant."""
    terms = [
        ((v - mean) / spread) ** 2 / 2 + math.log(spread)
        for v, (mean, spread) in zip(values, grower["curves"], strict=True)
    ]
    return math.log(grower["share"]) - math.fsum(terms)


if __name__ == "__main__":
    train("bayes", fit)
