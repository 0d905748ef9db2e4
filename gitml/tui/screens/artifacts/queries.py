"""The queries of the screen Artifacts: the list, the details of one artifact, and fetching from remote stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitml.history.artifacts import ArtifactDetails, artifact_details, open_artifacts
from gitml.history.files.preview import PICTURE, ContentPreview, preview
from gitml.store.index.artifacts import GONE, REMOTE, Artifact, ArtifactList
from gitml.tui.errors import ErrorMessage, error_message
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from PIL.Image import Image

LOOKUP_LIMIT = 2000  # artifacts that are not here, of which it is looked up whether a remote store has them


class ArtifactListing(NamedTuple):
    """The list of artifacts as of the records' `tip`; `totals` are (how many, bytes) by where they are."""

    listing: ArtifactList
    tip: str | None
    totals: Mapping[str, tuple[int, int]]
    now: float


class ArtifactContents(NamedTuple):
    """An artifact looked into. `note` says why there is no picture where there should be one; `error` why no preview."""

    details: ArtifactDetails
    preview: ContentPreview | None
    image: Image | None
    note: str
    error: ErrorMessage | None


def open_list(ws: Workspace) -> ArtifactListing:
    """Every artifact there is; of those used last that are not here, whether a remote store is known to have them."""
    from gitml.transfer.download import known_in_remotes

    listing = open_artifacts(ws)
    if GONE in listing.totals():
        listing.found_in_remotes(known_in_remotes(ws, listing.gone(LOOKUP_LIMIT)))
    return ArtifactListing(listing, ws.records.tip(), listing.totals(), ws.now())


def fetch_artifacts(ws: Workspace, artifacts: Sequence[Artifact]) -> tuple[int, int]:
    """Fetches artifacts from remote stores: the bytes fetched, and how many artifacts no store has.

    RemoteError when a store that may have one can't be reached.
    """
    from gitml.core.model.stop_signal import StopSignal
    from gitml.transfer.download import fetch_artifacts, obtainable

    held = obtainable(ws, artifacts)
    fetched = fetch_artifacts(ws, held, lambda _: None, StopSignal())
    return fetched.bytes, len(artifacts) - len(held) + len(fetched.lost)


def inspect_artifact(ws: Workspace, artifact: Artifact) -> ArtifactContents:
    """What is known of an artifact, and what is in it when it is here."""
    known = artifact_details(ws, artifact)
    if artifact.where in (GONE, REMOTE):
        return ArtifactContents(known, None, None, "", None)
    try:
        found = preview(ws, artifact.digest, artifact.size, tree=artifact.is_tree, name=known.file_name)
    except Exception as error:  # whatever it is, it is shown in place of the preview
        return ArtifactContents(known, None, None, "", error_message(error))
    if found.kind != PICTURE:
        return ArtifactContents(known, found, None, "", None)
    from gitml.tui.widgets.pictures import decoded

    return ArtifactContents(known, found, *decoded(found), None)
