"""Takes the classifier that did best on the validation wines and tries it, once, on the test wines."""

import argparse

from classifiers import guesses
from wines import read_json, read_part, write_json, write_rows

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("parts")
parser.add_argument("scores")
parser.add_argument("models", nargs="+")
parser.add_argument("--guesses", required=True)
parser.add_argument("--metrics", required=True)
args = parser.parse_args()

scores = read_json(args.scores)
models = {read_json(path)["name"]: path for path in args.models}
best = max(models, key=lambda name: scores[name]["accuracy"])  # of equals, the first in the pipeline

wines = read_part(args.parts, "test")
_, named = guesses(models[best], wines)
wrong = sum(grower != wine.grower for grower, wine in zip(named, wines, strict=True))

write_rows(args.guesses, [(wine.row, wine.grower, guess, best) for wine, guess in zip(wines, named, strict=True)])
write_json(args.metrics, {"accuracy": round(1 - wrong / len(wines), 4), "wrong": wrong, "wines": len(wines)})
print(f"{best}: {1 - wrong / len(wines):.1%} of {len(wines)} test wines right")
