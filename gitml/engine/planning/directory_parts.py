"""Parts of directories that steps made, as inputs of other steps: each keyed by its own content, found by the listings.

A listing lies in the Store, inline in records, or in a remote store alone. Where it is not here, a command that only looks does
not know what the part is; a run asks for the listings, then for what the links in it say, then for the whole directory, and makes
it again where nobody has it. Of a directory that only a remote store has, a step fetches its part alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitml.core.model.action import Action, ActionInput
from gitml.core.model.digest import Digest
from gitml.core.model.graph import Binding
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.model.tree import decode_tree
from gitml.core.planner.directory_part import DirectoryPart, OutputPart, find_part
from gitml.core.planner.plan import PartProblem, UnlistedInput
from gitml.errors import InputError
from gitml.transfer.availability import Availability
from gitml.workspace import Workspace

_PART = "directory-part-2"  # kind of fact: Digest of a directory and part -> what it is
_LISTINGS, _LINKS, _ALL = 1, 2, 3  # what was asked for


class DirectoryParts:
    """Those of one plan or run. `lost` are the directories whose listings can't be had without making them again."""

    def __init__(self, ws: Workspace, availability: Availability | None = None) -> None:
        self.ws = ws
        self.availability = availability or Availability(ws)
        self.lost: set[Digest] = set()
        self._unlisted: dict[Digest, OutputRef] = {}
        self._asked: dict[Digest, int] = {}
        self._listings: dict[Digest, bytes] = {}
        self._origins: dict[str, tuple[Digest, str]] = {}  # by content: the directory, and the part of it

    def find(self, binding: Binding, output: OutputRef) -> ActionInput | UnlistedInput | PartProblem:
        """The input that is a part of an output."""
        assert binding.step is not None
        what = f"{binding.step}.{binding.port}"
        if not output.is_tree:
            return PartProblem(f"{what} is a {output.kind}, and only a directory has parts: /{binding.part}")
        known = self.ws.index.fact(_PART, _memo(binding, output))
        if known is None:
            try:
                found = find_part(output.digest, binding.part, self._read)
            except LookupError:
                self._unlisted[output.digest] = output
                return UnlistedInput(binding.step, binding.port)
            except InputError as error:
                return PartProblem(f"input {binding.name!r} of {what}: {error.message}", error.hint)
            known = [found.kind, found.digest, found.size]
            self.ws.index.remember(_PART, _memo(binding, output), known)
        kind, digest, _ = known
        self._origins[digest] = (output.digest, binding.part)
        return ActionInput(binding.name, binding.mount, kind, digest)

    def ask(self) -> bool:
        """Asks for what was not here when it was looked for; whether more is known now."""
        asked, self._unlisted = self._unlisted, {}
        answers = [self._ask(output) for output in asked.values() if output.digest not in self.lost]
        return any(answers)

    def keep(self, action: Action) -> None:
        """Puts the listings of an Action's inputs that no step made into the Store: what matched a pattern."""
        for item in action.inputs:
            origin = self._origins.get(item.content)
            if origin is None or item.kind != "directory":
                continue
            try:
                found = self._part(*origin)
            except (LookupError, InputError):
                continue  # placing it says what is missing
            for listing in found.listings.values():
                self.ws.store.put(listing)

    def wholes(self, action: Action) -> Mapping[str, str]:
        """By the content of inputs that are parts of directories, the directories."""
        inputs = [item.content for item in action.inputs if item.content in self._origins]
        return {content: self._origins[content][0] for content in sorted(inputs)}

    def lacking(self, binding: Binding, output: OutputRef) -> OutputPart | OutputRef | None:
        """What is to be fetched for an input that is a part of an output: the part, or all where no listing says what that is.

        None where it is here; what records have of it is put into the Store.
        """
        store = self.ws.store
        if store.has(output.digest, output.size, tree=True):
            return None
        known = self.ws.index.fact(_PART, _memo(binding, output))
        if known is not None and store.has(known[1], known[2], tree=known[0] == "directory"):
            return None
        try:
            part = self._part(output.digest, binding.part)
        except LookupError:
            if output.digest in self.lost or not self._ask(output):
                return output
            return self.lacking(binding, output)
        except InputError:
            return output
        return None if self.availability.fetch_part(part) else OutputPart(output, part)

    def _part(self, directory: Digest, part: str) -> DirectoryPart:
        return find_part(directory, part, self._read)

    def _ask(self, output: OutputRef) -> bool:
        here = self.availability
        stage = self._asked[output.digest] = self._asked.get(output.digest, 0) + 1
        if not here.has(output):
            if output.digest in here.unasked:
                return False
        elif self.ws.consent.offline:
            return False
        elif stage == _LISTINGS:
            from gitml.transfer.download import fetch_listings

            self._listings |= fetch_listings(self.ws, output)
            return True
        elif stage == _LINKS:
            from gitml.transfer.download import fetch_links

            return fetch_links(self.ws, output, self._below(output.digest)) or self._ask(output)
        elif stage == _ALL:
            from gitml.transfer.download import fetch_outputs

            if not fetch_outputs(self.ws, [output], lambda _: None, StopSignal()).lost:
                return True
        here.lost(output)
        self.lost.add(output.digest)
        return True

    def _below(self, directory: Digest) -> Mapping[Digest, bytes]:
        """The listings of a directory and of those below it, as far as they are known."""
        found: dict[Digest, bytes] = {}
        waiting = [directory]
        while waiting:
            digest = waiting.pop()
            if digest not in found and digest in self._listings:
                found[digest] = self._listings[digest]
                waiting += [entry.digest for entry in decode_tree(found[digest]) if entry.kind == "d"]
        return found

    def _read(self, digest: Digest) -> bytes:
        """A listing, or what a link leads to; LookupError where it is not here."""
        if digest in self._listings:
            return self._listings[digest]
        content = self.availability.content_here(digest)
        if content is None:
            raise LookupError(digest)
        return content


def _memo(binding: Binding, output: OutputRef) -> str:
    return f"{output.digest} {binding.part}"
