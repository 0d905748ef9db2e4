"""The project's own registry merged with what was fetched of it, by `gitml fetch` or by a plain `git fetch`.

After a plain fetch it is merged at the next look, as runs are, where all that is here is there too. Where own events would have
to give way, it is left to `gitml fetch`, which reports them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from gitml import layout
from gitml.errors import IntegrityError
from gitml.git.command import Location
from gitml.git.log.remote_refs import REGISTRY, log_ref, tip_of, tracked
from gitml.git.objects.reader import Objects
from gitml.permissions import can_be_written
from registry.log.events import FOLDER
from registry.log.journal import RegistryJournal
from registry.log.share import ShareResult, fast_forward, merge_remote
from registry.log.share import Withdrawn as Withdrawn


def merge_fetched(location: Location, objects: Callable[[], Objects]) -> str | None:
    """Merges what was fetched since the last look; what of it is refused, and why, is returned once.

    A look at some refs when there is nothing new.
    """
    fetched = tracked(location, REGISTRY)
    ours = tip_of(location, log_ref(REGISTRY)) if fetched else None
    if all(theirs == ours for theirs in fetched.values()):
        return None
    path = layout.own_folder(location.common_dir, layout.REGISTRY_FETCHED)
    if not can_be_written(os.path.dirname(path)):
        return None
    if _read(path) == _state(ours, fetched.values()):
        return None
    refused = None
    journal = RegistryJournal(location, objects())
    try:
        for ref, theirs in fetched.items():
            remote = ref.removeprefix(f"{layout.REMOTES_REF}/").removesuffix(f"/{REGISTRY}")
            try:
                fast_forward(journal, theirs, remote)
            except IntegrityError as error:
                refused = f"what was fetched of the registry of {remote} is refused: {error.message}"
    finally:
        journal.close()
    # Losing it costs another look. In place of the file: it may be another user's, in a folder that both may write to.
    fresh = f"{path}.{os.getpid()}.new"
    with open(fresh, "w", encoding="ascii") as file:
        file.write(_state(tip_of(location, log_ref(REGISTRY)), fetched.values()))
    os.replace(fresh, path)
    return refused


def _state(ours: str | None, fetched: Iterable[str]) -> str:
    return " ".join([ours or "none", *sorted(fetched)])


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def merge_registry(location: Location, objects: Objects, remote: str, theirs: str) -> ShareResult:
    """Merges into the registry what `theirs`, fetched from `remote`, has; see `registry.log.share`."""
    journal = RegistryJournal(location, objects)
    try:
        return merge_remote(journal, theirs, remote)
    finally:
        journal.close()


def events_between(objects: Objects, known: str | None, tip: str) -> int:
    """How many events the registry at `tip` has beyond `known`."""
    from gitml.git.log.diff import changes_between

    return len(changes_between(objects, known, tip, FOLDER).added)
