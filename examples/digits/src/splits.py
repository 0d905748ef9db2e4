"""The digits in three parts, as a folder of arrays: what `prepare` writes and every later step reads."""

import os
from typing import NamedTuple

import numpy as np

PARTS = ("train", "validation", "test")


class Part(NamedTuple):
    """`pixels`: one digit a row, 64 numbers from 0 to 1; `digits`: what each one is, 0 to 9."""

    pixels: np.ndarray
    digits: np.ndarray


def save(folder: str, name: str, part: Part) -> None:
    """Writes one part into `folder`."""
    os.makedirs(folder, exist_ok=True)
    np.save(os.path.join(folder, f"{name}-pixels.npy"), part.pixels)
    np.save(os.path.join(folder, f"{name}-digits.npy"), part.digits)


def load(folder: str, name: str) -> Part:
    """Reads one part back."""
    return Part(
        np.load(os.path.join(folder, f"{name}-pixels.npy")),
        np.load(os.path.join(folder, f"{name}-digits.npy")),
    )
