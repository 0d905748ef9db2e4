"""Notebooks of steps: which code a step has that executes one, and the Git objects of that which no commit has."""

from __future__ import annotations

import hashlib
import os

import gitml.execute
from gitml.core.kinds.notebook_kind import PROGRAM
from gitml.core.model.action import CodeFile
from gitml.core.model.graph import GraphStep
from gitml.core.model.links import resolve_path
from gitml.core.model.protocols import Facts, Source
from gitml.core.planner.notebook_cells import CANONICAL_ID, canonical_notebook, notebook_code, with_file
from gitml.errors import InputError, MachineError
from gitml.git.command import Location, git
from gitml.git.objects.reader import Objects

_PROGRAM = os.path.join(os.path.dirname(gitml.execute.__file__), "notebook_program.py")


class Notebooks:
    """Those of one commit. In place of a notebook a step gets the canonical one, which its key names, and what executes it."""

    def __init__(self, location: Location, objects: Objects, source: Source, facts: Facts) -> None:
        self._location = location
        self._objects = objects
        self._source = source
        self._facts = facts
        self._written: set[str] = set()

    def code(self, step: GraphStep, found: tuple[CodeFile, ...]) -> tuple[CodeFile, ...]:
        """The code of a step whose other code is `found`; InputError where its notebook is none, or not in the commit."""
        path, oid = self._place(step.notebook)
        canonical = self._facts.fact(CANONICAL_ID, oid)
        if canonical is None:
            canonical = self._id(self._canonical(path, oid))
            self._facts.remember(CANONICAL_ID, oid, canonical)
        code = with_file(found, path, canonical, self._source.children)
        return with_file(code, PROGRAM, self._id(self._program()), self._source.children)

    def write(self, step: GraphStep) -> None:
        """Writes what `code` names beyond the commit into the repository, where it is not there."""
        for content in (self._program(), self._canonical(*self._place(step.notebook))):
            oid = self._id(content)
            if oid not in self._written and self._objects.header(oid) is None:
                said = git(self._location, "hash-object", "-w", "--stdin", input=content).decode("ascii").strip()
                if said != oid:
                    raise MachineError(f"Git wrote {said} in place of {oid}", hint="git fsck")
            self._written.add(oid)

    def _place(self, notebook: str) -> tuple[str, str]:
        """Where a notebook lies, behind links too, and its Git id."""
        place = resolve_path(self._source, notebook)
        if place.entry is None:
            raise InputError(f"notebook {notebook!r} is not in the commit", hint="commit it, or fix the path")
        if place.entry.is_tree or place.entry.is_submodule:
            raise InputError(f"notebook {notebook!r} is a folder of the commit", hint="name a file in it")
        return place.path, place.entry.oid

    def _canonical(self, path: str, oid: str) -> bytes:
        return canonical_notebook(notebook_code(self._source.read(oid), path), path)

    def _program(self) -> bytes:
        with open(_PROGRAM, "rb") as file:
            return file.read()

    def _id(self, content: bytes) -> str:
        return hashlib.new(self._location.object_format, b"blob %d\0" % len(content) + content).hexdigest()
