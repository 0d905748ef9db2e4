"""Tries every model on the validation digits: accuracy with its uncertainty, and which digits are taken for which."""

import argparse
import math

import matplotlib.pyplot as plt
import numpy as np

import models
import pictures
import splits
from results import write_json


def interval(right: int, all_: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share: where the accuracy on endless digits of this kind probably lies."""
    z = 1.96
    share = right / all_
    middle = (share + z * z / (2 * all_)) / (1 + z * z / all_)
    half = z / (1 + z * z / all_) * math.sqrt(share * (1 - share) / all_ + z * z / (4 * all_ * all_))
    return middle - half, middle + half


def compare(path: str, scores: dict[str, dict[str, float]], count: int) -> None:
    """Draws the accuracies, best on top."""
    ranked = sorted(scores.items(), key=lambda item: item[1]["accuracy"])
    figure, axes = plt.subplots(figsize=(7, 0.62 * len(ranked) + 1.1), layout="constrained")
    for row, (_, score) in enumerate(ranked):
        colour = pictures.GOOD if row == len(ranked) - 1 else pictures.FAINT
        axes.plot(
            [score["low"], score["high"]], [row, row], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round"
        )
        axes.plot(score["accuracy"], row, "o", color=colour, markersize=9)
        label = f"{score['accuracy']:.1%}  ({score['errors']} wrong)"
        axes.annotate(
            label, (score["accuracy"], row), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    axes.set_ylim(-0.5, len(ranked) - 0.35)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title(f"Accuracy on {count} validation digits, with 95 % intervals", pad=10)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e7eb")
    axes.set_axisbelow(True)
    pictures.save(path, figure)


def confuse(path: str, tables: dict[str, np.ndarray]) -> None:
    """Draws one confusion matrix a model: blue where it is right, red where it is wrong."""
    columns = 2
    rows = math.ceil(len(tables) / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(8, 4.15 * rows), squeeze=False, layout="constrained")
    for axes in grid.flat[len(tables) :]:
        axes.axis("off")
    for axes, (name, table) in zip(grid.flat, tables.items(), strict=False):
        wrong = table.sum() - np.trace(table)
        shade = np.ones((10, 10, 3))
        for truth in range(10):
            for read in range(10):
                if count := table[truth, read]:
                    good = truth == read
                    colour = rgb(pictures.GOOD if good else pictures.BAD)
                    weight = 0.75 * count / table.sum(axis=1).max() if good else min(0.85, 0.25 + 0.15 * count)
                    shade[truth, read] = 1 - weight * (1 - colour)
                    ink = "white" if weight > 0.55 else pictures.INK
                    axes.text(read, truth, str(count), ha="center", va="center", fontsize=8, color=ink)
        axes.imshow(shade)
        axes.set_xticks(range(10))
        axes.set_yticks(range(10))
        axes.set_xticks(np.arange(-0.5, 10), minor=True)
        axes.set_yticks(np.arange(-0.5, 10), minor=True)
        axes.grid(which="minor", color="#eef1f4", linewidth=1)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(f"{name}: {wrong} wrong", pad=8)
        axes.set_xlabel("read as")
        axes.set_ylabel("is")
    pictures.save(path, figure)


def rgb(colour: str) -> np.ndarray:
    """Red, green and blue from 0 to 1."""
    return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("splits")
parser.add_argument("models", nargs="+")
parser.add_argument("--metrics", required=True)
parser.add_argument("--comparison", required=True)
parser.add_argument("--confusion", required=True)
args = parser.parse_args()

validation = splits.load(args.splits, "validation")
scores: dict[str, dict[str, float]] = {}
tables: dict[str, np.ndarray] = {}
for path in args.models:
    name, classifier = models.load(path)
    read = classifier.predict(validation.pixels)
    table = np.zeros((10, 10), dtype=int)
    np.add.at(table, (validation.digits, read), 1)
    right, count = int(np.trace(table)), len(read)
    low, high = interval(right, count)
    scores[name] = {"accuracy": right / count, "errors": count - right, "low": low, "high": high}
    tables[name] = table
    print(f"{name}: {right / count:.1%}, {count - right} of {count} wrong")

write_json(args.metrics, scores)
compare(args.comparison, scores, len(validation.digits))
confuse(args.confusion, tables)
