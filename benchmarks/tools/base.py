"""What the chains benchmark asks of a tool."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

from benchmarks.measure import commit_all, environment, program, quiet
from benchmarks.workload import STEP, TRACE, Chains, first_line


class Tool(ABC):
    """One tool's way to do the chains, in a Git repository of its own at `root`, with two jobs at once.

    `slow`: a thousand steps take it minutes. `restores`: it promises that setting a parameter back executes nothing.
    """

    name: str
    venv: str | None = None
    ignored: tuple[str, ...] = ("/out/*/*.txt",)
    slow = False
    restores = False

    def __init__(self, root: str, chains: Chains) -> None:
        self.root = root
        self.chains = chains
        self.trace = root + ".trace"

    @abstractmethod
    def define(self) -> None:
        """Writes what says the steps, all but the parameters."""

    @abstractmethod
    def write_params(self) -> None:
        """Writes the present values of the parameters where the tool reads them."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command that brings everything up to date."""

    def prepare(self) -> None:
        """Does what the tool wants done once in a new repository: for most, nothing."""
        return

    def version(self) -> str:
        """The version, of the package in its environment unless said otherwise."""
        if self.venv is None:
            return ""
        code = f"from importlib.metadata import version; print(version({self.venv!r}))"
        return quiet([program(self.venv, "python"), "-c", code], "/").strip()

    def environment(self) -> dict[str, str]:
        """The environment of `command`."""
        return environment(**{TRACE: self.trace})

    def lay_out(self) -> None:
        """Makes the repository: sources, step, definition, parameters, all committed."""
        self.write("step.sh", STEP)
        self.write(".gitignore", "".join(f"{line}\n" for line in (*self.ignored, "__pycache__/")))
        for chain in self.chains.chains():
            self.write(f"in/c{chain:04d}.txt", first_line(chain))
            self.write(f"out/c{chain:04d}/.gitkeep", "")
        commit_all(self.root, "Sources")
        self.prepare()
        self.define()
        self.write_params()
        commit_all(self.root, "Pipeline")

    def write(self, path: str, text: str) -> None:
        """Writes a file of the work tree."""
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as file:
            file.write(text)

    def read(self, path: str) -> str:
        """A file of the work tree, empty when there is none."""
        try:
            with open(os.path.join(self.root, path)) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def contents(self) -> dict[str, str]:
        """Step -> what the tool holds as its output."""
        return {link.name: self.read(link.target) for link in self.chains.links()}

    def executed(self) -> int:
        """How many steps ran since the last call."""
        try:
            count = os.path.getsize(self.trace)
            os.unlink(self.trace)
        except FileNotFoundError:
            return 0
        return count

    def wrong(self) -> int:
        """How many outputs are not what sources and parameters demand."""
        held = self.contents()
        return sum(held.get(step) != text for step, text in self.chains.expected().items())
