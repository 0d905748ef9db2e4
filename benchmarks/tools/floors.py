"""What the machine can do at best: the bare commands one after another, and ninja, which only looks at times."""

from __future__ import annotations

from benchmarks.measure import program
from benchmarks.tools.base import Tool


class Bare(Tool):
    """No tool: one shell that starts every step in order, each time."""

    name = "bare commands"

    def define(self) -> None:
        """Nothing beside the script."""

    def write_params(self) -> None:
        lines = [
            f"sh step.sh {link.source} {link.target} {self.chains.params[link.name]}\n" for link in self.chains.links()
        ]
        self.write("all.sh", "set -e\n" + "".join(lines))

    def command(self) -> list[str]:
        return ["sh", "all.sh"]


class Ninja(Tool):
    """Commands with the values in them; a changed command line runs again. Writing build.ninja is not measured."""

    name = "ninja"
    venv = "ninja"
    ignored = (*Tool.ignored, "/.ninja_*")

    def define(self) -> None:
        """All is in build.ninja."""

    def write_params(self) -> None:
        parts = ["rule step\n  command = sh step.sh $in $out $value\n"]
        parts += [
            f"build {link.target}: step {link.source}\n  value = {self.chains.params[link.name]}\n"
            for link in self.chains.links()
        ]
        self.write("build.ninja", "".join(parts))

    def command(self) -> list[str]:
        return [program("ninja", "ninja"), "-j2", "--quiet"]
