"""Whether the bytes of a known result can be had without running: here in the Store, inline in a record, or in a remote store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitml.core.digest import Digest, digest_of
from gitml.core.result import OutputRef
from gitml.core.tree import decode_tree
from gitml.errors import IntegrityError
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.flow.remotes import Remotes


class Availability:
    """Answers for one plan or run; what was found once is not looked at again.

    Remote stores are asked only about what is neither here nor in a record. `warnings` tell of those that could not be asked.
    """

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.store = ws.store
        self.index = ws.index
        self.records = ws.records
        self.warnings: list[str] = []
        self._remotes: Remotes | None = None
        self._answers: dict[Digest, bool] = {}
        self._questions: list[OutputRef] | None = None

    @property
    def remotes(self) -> Remotes:
        """The remote stores; what they need is loaded only when something is neither here nor in a record."""
        if self._remotes is None:
            from gitml.flow.remotes import Remotes

            self._remotes = Remotes(self.ws)
        return self._remotes

    def has(self, output: OutputRef) -> bool:
        """Whether all of an output can be had."""
        return self.is_here(output) or self._is_remote(output)

    def is_here(self, output: OutputRef) -> bool:
        """Whether all of an output is in the Store or in records."""
        if self.store.has(output.digest, output.size, tree=output.is_tree):
            return True
        return self.is_inline(output.digest, tree=output.is_tree)

    # Remote stores

    @contextmanager
    def gathering(self) -> Iterator[list[OutputRef]]:
        """Within it, what only a remote store could tell is taken to be there, and noted in the list that is given."""
        questions: list[OutputRef] = []
        self._questions = questions
        try:
            yield questions
        finally:
            self._questions = None

    def ask(self, outputs: Sequence[OutputRef]) -> None:
        """Asks the remote stores about outputs, in few requests; unreachable ones are told in `warnings` and have nothing."""
        remotes = self.remotes
        before = len(remotes.troubles)
        found = remotes.ask(outputs)
        self._answers |= {output.digest: output.digest in found for output in outputs}
        for trouble in remotes.troubles[before:]:
            where = f" ({trouble.error.where})" if trouble.error.where else ""
            self.warnings.append(
                f"remote {trouble.remote} can't be asked, so what only it has counts as gone: {trouble.error.message}{where}"
            )

    def on_machines(self, output: OutputRef) -> bool:
        """Whether machines of a cluster may bring an output by themselves: from a remote store that is known to have it."""
        return self._answers.get(output.digest) is not False and self.remotes.opened_says(output)

    def lost(self, output: OutputRef) -> None:
        """Says that an output could not be brought after all."""
        self._answers[output.digest] = False

    def _is_remote(self, output: OutputRef) -> bool:
        answer = self._answers.get(output.digest)
        if answer is None:
            if not self.remotes.specs:
                answer = False
            elif self.remotes.says(output):
                answer = True
            elif self._questions is not None:
                self._questions.append(output)
                return True
            else:
                self.ask([output])
                return self._answers[output.digest]
            self._answers[output.digest] = answer
        return answer

    # Records

    def is_inline(self, digest: Digest, *, tree: bool) -> bool:
        """Whether all of some content is in records, or what is not is here."""
        # Content that went bad here is made again by running, which also shows whether it can be; see docs/architecture.md.
        oid = self.index.inline(digest)
        if oid is None or self.store.is_quarantined(digest):
            return False
        if not tree:
            return True
        listing = self._content(digest, oid)
        return all(
            self.store.has(entry.digest, entry.size, tree=entry.kind == "d")
            or self.is_inline(entry.digest, tree=entry.kind == "d")
            for entry in decode_tree(listing)
        )

    def bring_inline(self, outputs: Sequence[OutputRef]) -> list[OutputRef]:
        """Puts outputs that are in records into the Store; gives those still not there. IntegrityError when a record lies."""
        for output in outputs:
            self.fetch_digest(output.digest, tree=output.is_tree)
        return [o for o in outputs if not self.store.has(o.digest, o.size, tree=o.is_tree)]

    def fetch_digest(self, digest: Digest, *, tree: bool) -> None:
        """Puts one Blob, or a Tree with all below it, into the Store if it is only inline."""
        oid = self.index.inline(digest)
        if oid is None:
            return
        content = self._content(digest, oid)
        if tree:
            for entry in decode_tree(content):
                self.fetch_digest(entry.digest, tree=entry.kind == "d")
        if not self.store.has(digest, len(content), tree=False):
            self.store.put(content)

    def _content(self, digest: Digest, oid: str) -> bytes:
        content = self.records.read(oid)
        if digest_of(content) != digest:
            raise IntegrityError(f"a record holds other bytes than it says for {digest[:19]}", where=oid)
        return content
