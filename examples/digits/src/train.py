"""Fits one model to the training digits."""

import argparse

import models
import splits
from results import write_json

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("splits")
parser.add_argument("--model", required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--gamma", type=float, required=True)
parser.add_argument("--neighbors", type=int, required=True)
parser.add_argument("--trees", type=int, required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--metrics", required=True)
args = parser.parse_args()

train = splits.load(args.splits, "train")
settings = models.Settings(args.seed, args.gamma, args.neighbors, args.trees)
classifier = models.untrained(args.model, settings).fit(train.pixels, train.digits)
models.save(args.out, models.Trained(args.model, classifier))

accuracy = float(classifier.score(train.pixels, train.digits))
write_json(args.metrics, {"train_accuracy": accuracy})
print(f"{args.model}: {accuracy:.1%} of {len(train.digits)} training digits read right")
