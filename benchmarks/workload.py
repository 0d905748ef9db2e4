"""The workload of `chains`: N small steps in chains of ten, and what each must give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

LENGTH = 10
TRACE = "W1_TRACE"

# One process and shell built-ins only. Each step that really runs leaves a byte in a file that no tool knows of.
STEP = """\
# step.sh IN OUT PARAM: OUT is IN and a line with PARAM
{ while IFS= read -r line; do printf '%s\\n' "$line"; done < "$1"; printf '%s\\n' "$3"; } > "$2"
printf x >> "${W1_TRACE:-/dev/null}"
"""


class Link(NamedTuple):
    """One step: the chain it belongs to and its place there."""

    chain: int
    place: int

    @property
    def name(self) -> str:
        """The step's name, and that of its parameter."""
        return f"{self.folder}_{self.place}"

    @property
    def folder(self) -> str:
        """The chain's name."""
        return f"c{self.chain:04d}"

    @property
    def source(self) -> str:
        """The file it reads, for tools whose outputs lie in the work tree."""
        return f"out/{self.folder}/{self.place - 1}.txt" if self.place else f"in/{self.folder}.txt"

    @property
    def target(self) -> str:
        """The file it writes, for such tools."""
        return f"out/{self.folder}/{self.place}.txt"


class Chains:
    """`count` steps with their parameters' present values."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.params = {link.name: 1000 + number for number, link in enumerate(self.links())}

    def chains(self) -> range:
        """The chains' numbers."""
        return range(self.count // LENGTH)

    def links(self) -> Iterator[Link]:
        """All steps, chain by chain."""
        return (Link(chain, place) for chain in self.chains() for place in range(LENGTH))

    def expected(self) -> dict[str, str]:
        """Step -> the content of its output."""
        contents: dict[str, str] = {}
        for chain in self.chains():
            text = first_line(chain)
            for place in range(LENGTH):
                link = Link(chain, place)
                text += f"{self.params[link.name]}\n"
                contents[link.name] = text
        return contents


def first_line(chain: int) -> str:
    """The content of a chain's source file."""
    return f"source {chain}\n"
