"""Takes the pictures of this folder: real runs of the demo, shown by `gitml ui --screenshot`. Run by ``make screenshots``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RUNS = (
    ("-S", "seed=3", "-S", "scale=none", "-m", "another deal"),
    ("--tag", "best", "-m", "back to where it was"),
    ("-S", "seed=11", "-m", "and another"),
)
PICTURES = {
    "runs.svg": ("--size", "120x22", "runs"),
    "run.svg": ("--size", "156x34", "--press", "m", "run", "latest", "evaluate"),
    "compare.svg": ("--size", "110x26", "--theme", "light", "compare"),
    "time.svg": ("--size", "120x22", "time"),
}


def main() -> None:
    """Makes the demo in a folder of its own, runs it some times, takes the pictures."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
    }
    with tempfile.TemporaryDirectory() as folder:

        def gitml(*words: str, cwd: str) -> None:
            subprocess.run(
                [sys.executable, "-m", "gitml", *words], cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL
            )

        gitml("demo", "-q", "wine", cwd=folder)
        root = os.path.join(folder, "wine")
        for words in RUNS:
            gitml("run", "-q", *words, cwd=root)
        for name, words in PICTURES.items():
            gitml("ui", "--screenshot", os.path.join(HERE, name), *words, cwd=root)


if __name__ == "__main__":
    main()
