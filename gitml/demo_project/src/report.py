"""The results as a page to read and a plot of the test wines, the wrong guesses ringed."""

import argparse
import math
import os

import svg
from wines import Wine, read_json, read_rows, read_wines

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("wines")
parser.add_argument("scores")
parser.add_argument("guesses")
parser.add_argument("--x", required=True)
parser.add_argument("--y", required=True)
parser.add_argument("--plot", required=True)
parser.add_argument("--page", required=True)
args = parser.parse_args()

names, wines = read_wines(args.wines)
for name in (args.x, args.y):
    if name not in names:
        parser.error(f"there is no measurement {name!r}: use one of {', '.join(names)}")
scores = read_json(args.scores)
guessed = {int(row): guess for row, _, guess, _ in read_rows(args.guesses)}
best = read_rows(args.guesses)[0][3]
wrong = [wine for wine in wines if wine.row in guessed and guessed[wine.row] != wine.grower]


def place(wine: Wine) -> tuple[float, float]:
    """Where a wine stands in the plot."""
    return wine.values[names.index(args.x)], wine.values[names.index(args.y)]


plot = svg.Plot([place(wine) for wine in wines], args.x.replace("_", " "), args.y.replace("_", " "))
for wine in wines:
    plot.dot(place(wine), wine.grower, faint=wine.row not in guessed)
for wine in wrong:
    plot.ring(place(wine), f"{wine.grower}, taken for {guessed[wine.row]}")
title = f"{len(guessed)} test wines by grower; {best} names {len(guessed) - len(wrong)} right"
os.makedirs(os.path.dirname(args.plot) or ".", exist_ok=True)
with open(args.plot, "w", encoding="utf-8") as file:
    file.write(plot.drawn(title))

lines = ["# Who made this wine?", "", "| classifier | validation wines named right | wrong |", "|---|---:|---:|"]
for name, score in sorted(scores.items(), key=lambda item: -item[1]["accuracy"]):
    mark = "**" if name == best else ""
    lines.append(f"| {mark}{name}{mark} | {score['accuracy']:.1%} | {score['wrong']} |")
share = 1 - len(wrong) / len(guessed)
error = 1.96 * math.sqrt(max(share * (1 - share), 0.25 / len(guessed)) / len(guessed))
lines += [
    "",
    f"On {len(guessed)} wines that nothing had seen, **{best}** names {share:.1%} right (give or take {error:.0%}).",
]
lines += ["", f"![The test wines, the wrong guesses ringed]({args.plot})", ""]
with open(args.page, "w", encoding="utf-8") as file:
    file.write("\n".join(lines))
print(f"{best}: {share:.1%} of {len(guessed)} test wines, plotted by {args.x} and {args.y}")
