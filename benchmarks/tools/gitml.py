"""gitml, of a work tree and of a commit. What it holds is read from Git and the store, not asked of gitml."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from benchmarks.measure import BenchmarkError, program, quiet
from benchmarks.tools.base import Tool
from benchmarks.workload import TRACE, Link

RECORDS = "refs/gitml/runs"


class Gitml(Tool):
    """Of the work tree; a changed parameter is an edit of the pipeline, so of uncommitted work."""

    name = "gitml, work tree"
    venv = "gitml"
    restores = True

    def define(self) -> None:
        """All is in the pipeline."""

    def write_params(self) -> None:
        self.write("pipelines/w1.yaml", self.pipeline())

    def pipeline(self) -> str:
        """The pipeline with the present values as defaults."""
        parts = ["name: w1\nparams:\n"]
        parts += [f"  {name}: {value}\n" for name, value in self.chains.params.items()]
        parts += ["inputs:\n"] + [f"  c{chain:04d}: in/c{chain:04d}.txt\n" for chain in self.chains.chains()]
        parts += ["steps:\n"]
        for link in self.chains.links():
            before = (
                f"steps.{Link(link.chain, link.place - 1).name}.outputs.o" if link.place else f"inputs.{link.folder}"
            )
            parts.append(
                f"  {link.name}:\n"
                f"    run: sh step.sh ${{{{ {before} }}}} ${{{{ outputs.o }}}} ${{{{ params.{link.name} }}}}\n"
                f"    env: {{{TRACE}: }}\n"
                f"    outputs: {{o: file}}\n"
            )
        return "".join(parts)

    def command(self) -> list[str]:
        return [program("gitml", "gitml"), "run", "w1", "-q"]

    def contents(self) -> dict[str, str]:
        return {
            step["name"]: stored(self.root, step["outputs"]["o"]["digest"]).decode()
            for step in latest_record(self.root)["steps"]
        }


class GitmlCommit(Gitml):
    """Of a commit; a changed parameter is an option."""

    name = "gitml, commit"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.committed = dict(self.chains.params)

    def write_params(self) -> None:
        if not os.path.exists(os.path.join(self.root, "pipelines")):
            super().write_params()

    def command(self) -> list[str]:
        changed = {name: value for name, value in self.chains.params.items() if value != self.committed[name]}
        options = [word for name, value in changed.items() for word in ("-S", f"{name}={value}")]
        return [*super().command(), "--at", "HEAD", *options]


def latest_record(root: str) -> Any:
    """The newest run.json."""
    tip = quiet(["git", "rev-parse", RECORDS], root).strip()
    show = ["git", "diff-tree", "-r", "--name-only", "--diff-filter=A", "--no-commit-id", f"{tip}^1", tip]
    paths = [path for path in quiet(show, root).splitlines() if path.startswith("runs/") and path.endswith("/run.json")]
    if len(paths) != 1:
        raise BenchmarkError(f"{root}: {RECORDS} adds {paths or 'no record'}, not one")
    return json.loads(quiet(["git", "cat-file", "blob", f"{tip}:{paths[0]}"], root))


def stored(root: str, digest: str) -> bytes:
    """An object of the store, which must be what its name says."""
    name = digest.removeprefix("sha256:")
    with open(os.path.join(root, ".git", "gitml", "objects", name[:2], name[2:]), "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != name:
        raise BenchmarkError(f"{root}: object {name} holds something else")
    return content
