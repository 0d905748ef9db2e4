"""Tries every classifier on the validation wines."""

import argparse

from classifiers import guesses
from wines import read_part, write_json

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("parts")
parser.add_argument("models", nargs="+")
parser.add_argument("--metrics", required=True)
args = parser.parse_args()

wines = read_part(args.parts, "validation")
metrics = {}
for path in args.models:
    name, named = guesses(path, wines)
    wrong = sum(grower != wine.grower for grower, wine in zip(named, wines, strict=True))
    metrics[name] = {"accuracy": round(1 - wrong / len(wines), 4), "wrong": wrong}
    print(f"{name:9} {metrics[name]['accuracy']:.1%} right, {wrong} of {len(wines)} wrong")
write_json(args.metrics, metrics)
