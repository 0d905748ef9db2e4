"""Whether the bytes of a known result can be had without running: here in the Store, inline in a record, or in a remote store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.result import ActionResult, OutputRef
from gitml.core.model.tree import TreeEntry, decode_tree
from gitml.errors import IntegrityError
from gitml.store.local.object_folder import MAX_DEPTH
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.core.planner.directory_part import DirectoryPart
    from gitml.transfer.remotes import Remotes

_Content = tuple[Digest, int, bool]  # with its size, and whether it is a Tree


class Availability:
    """Answers for one plan or run; what was found once is not looked at again.

    Remote stores are asked only about what is neither here nor in a record. `warnings` name those that could not be asked.
    A command that only looks asks none: what a store is not known to have can't be had, and is in `unasked`.
    """

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.store = ws.store
        self.index = ws.index
        self.records = ws.records
        self.warnings: list[str] = []
        self.unasked: set[Digest] = set()
        self._remotes: Remotes | None = None
        self._answers: dict[Digest, bool] = {}
        self._questions: list[OutputRef] | None = None
        self._in_records: dict[_Content, bool] = {}

    @property
    def remotes(self) -> Remotes:
        """The remote stores; what they need is loaded only when something is neither here nor in a record."""
        if self._remotes is None:
            from gitml.transfer.remotes import Remotes

            self._remotes = Remotes(self.ws)
        return self._remotes

    def has(self, output: OutputRef) -> bool:
        """Whether all of an output can be had."""
        return self.is_here(output) or self._is_remote(output)

    def is_here(self, output: OutputRef) -> bool:
        """Whether all of an output can be had on this machine: from the Store, from records, or some of it from each."""
        return self.holds(output.digest, output.size, tree=output.is_tree)

    def absence(self) -> str:
        """In words, of an output that can't be had."""
        if self.remotes.specs:
            return "is not here and no remote store has it"
        return "is not here: it was not pushed to a remote store"

    def is_damaged(self, result: ActionResult) -> bool:
        """Whether something of a result that can't be had went bad here: set aside, or a directory with parts missing."""
        return any(
            self.store.is_quarantined(output.digest) or (output.is_tree and self.store.is_intact(output.digest))
            for output in result.outputs
            if not self.has(output)
        )

    # Remote stores

    @contextmanager
    def gathering(self) -> Iterator[list[OutputRef]]:
        """Within it, what only a remote store could answer is assumed to be there, and added to the list that is given."""
        questions: list[OutputRef] = []
        self._questions = questions
        try:
            yield questions
        finally:
            self._questions = None

    def ask(self, outputs: Sequence[OutputRef]) -> None:
        """Asks the remote stores about outputs, in few requests; an unreachable one has nothing, and `warnings` name it."""
        remotes = self.remotes
        before = len(remotes.failures)
        found = remotes.ask(outputs)
        self._answers |= {output.digest: output.digest in found for output in outputs}
        for failure in remotes.failures[before:]:
            where = f" ({failure.error.where})" if failure.error.where else ""
            self.warnings.append(
                f"remote {failure.remote} can't be asked, so what only it has counts as gone: {failure.error.message}{where}"
            )

    def fetchable_by_workers(self, output: OutputRef) -> bool:
        """Whether machines of a cluster may fetch an output by themselves: from a remote store that is known to have it."""
        if self._answers.get(output.digest) is False or not self.remotes.says(output, self.remotes.worker_accessible):
            return False
        self.remotes.need_consent()
        return True

    def lost(self, output: OutputRef) -> None:
        """Notes that an output could not be fetched after all."""
        self._answers[output.digest] = False

    def _is_remote(self, output: OutputRef) -> bool:
        answer = self._answers.get(output.digest)
        if answer is None:
            if not self.remotes.specs:
                answer = False
            elif self.ws.consent.offline:
                answer = self.remotes.says(output)
                if not answer:
                    self.unasked.add(output.digest)
            elif self.remotes.says(output):
                self.remotes.need_consent()
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

    def in_records(self, digest: Digest, *, tree: bool) -> bool:
        """Whether records hold all of some content, so that every clone has it. What the Store has counts for nothing."""
        return self._is_whole((digest, 0, tree), self._in_records, here=False)

    def holds(self, digest: Digest, size: int, *, tree: bool) -> bool:
        """Whether all of some content can be had on this machine, from the Store or from records."""
        return self._is_whole((digest, size, tree), {}, here=True)

    def _is_whole(self, content: _Content, known: dict[_Content, bool], deep: int = 0, *, here: bool) -> bool:
        """Whether records have all of some content, or `here` the Store what they lack. A listing may name another many times:
        the answers are `known` then.
        """
        digest, size, tree = content
        if content in known:
            return known[content]
        if here and self.store.has(digest, size, tree=tree):
            return True
        oid = self.index.inline(digest)
        # Content that went bad here is made again by running, which also shows whether it can be; see docs/architecture.md.
        if oid is None or (here and self.store.is_quarantined(digest)):
            entries = None
        else:
            entries = self._listing(digest, oid, deep) if tree else ()
        known[content] = entries is not None and all(
            self._is_whole((entry.digest, entry.size, entry.kind == "d"), known, deep + 1, here=here)
            for entry in entries
        )
        return known[content]

    def inline(self, digest: Digest) -> bytes | None:
        """The content that a record has of one Blob or listing; None where none has it. IntegrityError when a record lies."""
        oid = self.index.inline(digest)
        return None if oid is None else self._content(digest, oid)

    def content_here(self, digest: Digest) -> bytes | None:
        """The content of one Blob or listing, from the Store or a record; None where it is not on this machine, or went bad."""
        try:
            return self.store.read(digest) if self.store.is_intact(digest) else self.inline(digest)
        except (IntegrityError, OSError):
            return None

    def fetch_inline(self, outputs: Sequence[OutputRef]) -> list[OutputRef]:
        """Puts outputs that are in records into the Store; gives those still not there. IntegrityError when a record lies."""
        for output in outputs:
            self.fetch_digest(output.digest, tree=output.is_tree)
        return [o for o in outputs if not self.store.has(o.digest, o.size, tree=o.is_tree)]

    def fetch_digest(self, digest: Digest, *, tree: bool) -> bool:
        """Puts one Blob, or a Tree with all below it, into the Store if it is only inline; whether all of it is there then.

        A listing comes last: of a Tree whose content is not all to be had here it would list files that are missing.
        """
        return self._fetched(digest, tree, {}, 0)

    def fetch_part(self, part: DirectoryPart) -> bool:
        """Puts a part of a directory into the Store as far as records have it; whether all of it is there then."""
        if self.store.has(part.digest, part.size, tree=part.kind == "directory"):
            return True
        seen: dict[tuple[Digest, bool], bool] = {}
        if not part.listings:
            return self._fetched(part.digest, part.kind == "directory", seen, 0)
        whole = True
        for listing in part.listings.values():
            for entry in decode_tree(listing):
                is_tree = entry.kind == "d"
                if entry.digest in part.listings or self.store.has(entry.digest, entry.size, tree=is_tree):
                    continue
                whole = self._fetched(entry.digest, is_tree, seen, 0) and whole
        for listing in part.listings.values() if whole else ():  # a directory after those below it
            self.store.put(listing)
        return whole

    def _fetched(self, digest: Digest, tree: bool, seen: dict[tuple[Digest, bool], bool], deep: int) -> bool:
        if (digest, tree) in seen:
            return seen[digest, tree]
        oid = self.index.inline(digest)
        if oid is None:
            return False
        content = self._content(digest, oid)
        entries = self._listing(digest, oid, deep) if tree else ()
        whole = entries is not None
        for entry in entries or ():
            is_tree = entry.kind == "d"
            if not self._fetched(entry.digest, is_tree, seen, deep + 1):
                whole = self.store.has(entry.digest, entry.size, tree=is_tree) and whole
        if whole and not self.store.has(digest, len(content), tree=False):
            self.store.put(content)
        seen[digest, tree] = whole
        return whole

    def _listing(self, digest: Digest, oid: str, deep: int) -> Sequence[TreeEntry] | None:
        """The entries of a Tree that a record holds; None for what is none, or lies deeper than gitml keeps anything."""
        if deep > MAX_DEPTH:
            return None
        try:
            return decode_tree(self._content(digest, oid))
        except ValueError:
            return None

    def _content(self, digest: Digest, oid: str) -> bytes:
        content = self.records.read(oid)
        if digest_of(content) != digest:
            raise IntegrityError(f"a record holds other bytes than it says for {digest[:19]}", where=oid)
        return content
