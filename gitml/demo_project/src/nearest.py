"""Nearest neighbours: a wine belongs to the grower of most of the wines it is closest to."""

import math
from collections import Counter
from typing import Any

from wines import Wine, train

NEIGHBOURS = 5


def fit(wines: list[Wine]) -> dict[str, Any]:
    """All the wines: this classifier learns by heart."""
    return {"neighbours": NEIGHBOURS, "wines": [[wine.grower, wine.values] for wine in wines]}


def guess(model: dict[str, Any], values: tuple[float, ...]) -> str:
    """The grower that most of the closest wines have."""
    closest = sorted(model["wines"], key=lambda wine: (math.dist(wine[1], values), wine))[: model["neighbours"]]
    votes: Counter[str] = Counter(grower for grower, _ in closest)
    return min(votes, key=lambda grower: (-votes[grower], grower))


if __name__ == "__main__":
    train("nearest", fit)
