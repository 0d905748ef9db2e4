"""Every classifier by its name, to use what `train` has written."""

import bayes
import centroid
import nearest
from wines import Wine, read_json

GUESS = {"bayes": bayes.guess, "centroid": centroid.guess, "nearest": nearest.guess}


def guesses(path: str, wines: list[Wine]) -> tuple[str, list[str]]:
    """The name of the model in a file, and the grower it names for each wine."""
    trained = read_json(path)
    return trained["name"], [GUESS[trained["name"]](trained["model"], wine.values) for wine in wines]
