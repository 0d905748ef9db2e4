"""The models on trial, and how one is kept in a file together with its name."""

from typing import Any, NamedTuple

import joblib

from results import folder_of


class Settings(NamedTuple):
    """What can be set from the pipeline; each model uses its own part of it."""

    seed: int
    gamma: float
    neighbors: int
    trees: int


class Trained(NamedTuple):
    """A fitted scikit-learn classifier and what the report calls it."""

    name: str
    classifier: Any


def untrained(name: str, settings: Settings) -> Any:
    """A classifier by its name in the pipeline."""
    # Each import costs a second, so only the one that is asked for is loaded.
    if name == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=1.0, max_iter=1000)
    if name == "knn":
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(n_neighbors=settings.neighbors, algorithm="brute")
    if name == "svm":
        from sklearn.svm import SVC

        return SVC(C=10.0, gamma=settings.gamma)
    if name == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=settings.trees, random_state=settings.seed, n_jobs=1)
    raise SystemExit(f"there is no model {name!r}: use logistic, knn, svm or forest")


def save(path: str, trained: Trained) -> None:
    """Writes a model to a file."""
    folder_of(path)
    joblib.dump(tuple(trained), path, compress=3)


def load(path: str) -> Trained:
    """Reads it back."""
    return Trained(*joblib.load(path))
