"""Takes the model that did best on the validation digits and tries it once on the test digits, which nothing has seen."""

import argparse
import math
import shutil

import matplotlib.pyplot as plt

import models
import pictures
import splits
from results import folder_of, read_json, write_json

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("splits")
parser.add_argument("scores")
parser.add_argument("models", nargs="+")
parser.add_argument("--model", required=True)
parser.add_argument("--choice", required=True)
parser.add_argument("--metrics", required=True)
parser.add_argument("--mistakes", required=True)
args = parser.parse_args()

scores = read_json(args.scores)
trained = {model.name: (path, model) for path in args.models for model in [models.load(path)]}
best = max(trained, key=lambda name: scores[name]["accuracy"])  # the first of equals, in the order of the pipeline
path, model = trained[best]

test = splits.load(args.splits, "test")
read = model.classifier.predict(test.pixels)
wrong = [row for row in range(len(read)) if read[row] != test.digits[row]]
accuracy = 1 - len(wrong) / len(read)

shutil.copyfile(path, folder_of(args.model))
write_json(args.choice, {"name": best, "among": list(trained), "test_digits": len(read)})
write_json(
    args.metrics,
    {"validation_accuracy": scores[best]["accuracy"], "test_accuracy": accuracy, "test_errors": len(wrong)},
)
print(f"{best}: {accuracy:.1%} of {len(read)} test digits read right")

columns = 8
shown = wrong[: 3 * columns]
rows = max(1, math.ceil(len(shown) / columns))
figure, grid = plt.subplots(rows, columns, figsize=(8, 1.35 * rows + 0.4), squeeze=False, layout="constrained")
for axes in grid.flat:
    axes.axis("off")
for axes, row in zip(grid.flat, shown, strict=False):
    axes.imshow(test.pixels[row].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(f"{test.digits[row]}, read as {read[row]}", loc="center", fontsize=8, fontweight="normal")
more = f", the first {len(shown)}" if len(shown) < len(wrong) else ""
title = f"Test digits that {best} reads wrong: {len(wrong)} of {len(read)}{more}"
figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
pictures.save(args.mistakes, figure)
