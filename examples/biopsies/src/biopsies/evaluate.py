"""Tries every model of models/ on data/prepared/test.csv, and fills eval/."""

import glob
import os

import joblib
import numpy as np
import yaml
from sklearn.metrics import roc_auc_score, roc_curve

from biopsies.params import read_params
from biopsies.tables import BENIGN, MALIGNANT, read_lumps, write_table


def scores_of(malignant: np.ndarray, alarm: np.ndarray, chance: np.ndarray) -> list[float]:
    """Accuracy, recall and area under the ROC curve."""
    recall = alarm[malignant == 1].mean()
    return [round(float(value), 6) for value in ((alarm == malignant).mean(), recall, roc_auc_score(malignant, chance))]


def main() -> None:
    """The command `biopsies-evaluate`."""
    threshold = read_params()["evaluate"]["threshold"]
    lumps = read_lumps("data/prepared/test.csv")
    chances = {}
    for path in sorted(glob.glob("models/*.joblib")):
        name = os.path.basename(path).removesuffix(".joblib")
        chances[name] = joblib.load(path).predict_proba(lumps.cells)[:, 1]

    scores = {
        name: scores_of(lumps.malignant, (chance >= threshold).astype(int), chance) for name, chance in chances.items()
    }
    write_table(
        "eval/models.csv", ["model", "accuracy", "recall", "auc"], ([name, *row] for name, row in scores.items())
    )

    best = max(scores, key=lambda name: scores[name][2])
    chance = chances[best]
    wrong = (chance >= threshold) != lumps.malignant
    missed = int((wrong & (lumps.malignant == 1)).sum())
    with open("eval/best.yaml", "w", encoding="utf-8") as file:
        yaml.safe_dump(
            {"model": best, "missed": missed, "false_alarms": int(wrong.sum()) - missed}, file, sort_keys=False
        )

    false, true, _ = roc_curve(lumps.malignant, chance)
    write_table("eval/roc.csv", ["fpr", "tpr"], np.round(np.stack([false, true], axis=1), 6).tolist())
    words = [BENIGN, MALIGNANT]
    pairs = zip(lumps.malignant, chance >= threshold, chance, strict=True)
    rows = [[words[is_so], words[int(said)], round(float(one), 6)] for is_so, said, one in pairs]
    write_table("eval/answers.csv", ["actual", "predicted", "chance"], rows)
    write_table("eval/confusion.csv", ["actual", "predicted"], (row[:2] for row in rows))
    print(f"best is {best}: {missed} of {int(lumps.malignant.sum())} malignant lumps missed")


if __name__ == "__main__":
    main()
