"""Matrices: the combinations of a step's axes and the labels that name them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gitml.core.language.params import text_of
from gitml.core.model.action import Scalar

Axes = tuple[tuple[str, tuple[Scalar, ...]], ...]


def combinations(axes: Axes) -> list[tuple[Scalar, ...]]:
    """Every choice of one value an axis, the last axis changing fastest; ``[()]`` without axes."""
    return list(itertools.product(*(values for _, values in axes)))


def label_of(values: Sequence[Scalar]) -> str:
    """The name of a combination within its step: ``svm`` or ``svm,0.1``."""
    return ",".join(text_of(value) for value in values)
