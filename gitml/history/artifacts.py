"""Artifacts: all that steps made, as a list, and what is known of one of them."""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.history.files import contents
from gitml.store.index.artifacts import Artifact, ArtifactList, ContentMaker, ContentUse, makers_of, users_of
from gitml.workspace import Workspace


class ArtifactDetails(NamedTuple):
    """What is known of an artifact: who made and used it, newest first; whether all its bytes are on this machine.

    `file_name` is what its file was called when it was made, empty when no record has that.
    """

    artifact: Artifact
    makers: list[ContentMaker]
    users: list[ContentUse]
    whole: bool
    file_name: str


def open_artifacts(ws: Workspace) -> ArtifactList:
    """Every artifact there is now; takes about a second for 100,000."""
    return ArtifactList(ws.index, (digest for digest, _ in ws.store.iterate()))


def artifact_details(ws: Workspace, artifact: Artifact) -> ArtifactDetails:
    """What is known of it."""
    makers = makers_of(ws.index, artifact.digest)
    users = [use for use in users_of(ws.index, artifact.digest) if use.run is not None]
    size = artifact.size or 0
    whole = artifact.size is not None and contents.is_here(ws, artifact.digest, size, tree=artifact.is_tree)
    return ArtifactDetails(artifact, makers, users, whole, _file_name(ws, artifact.digest, makers))


def _file_name(ws: Workspace, digest: Digest, makers: list[ContentMaker]) -> str:
    for maker in makers[:1]:
        action = ws.index.action(maker.key)
        for output in action.outputs if action is not None else ():
            if output.name == maker.port:
                return posixpath.basename(output.mount)
    return ""
