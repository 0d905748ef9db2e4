"""What history asks of a workspace."""

from __future__ import annotations

from typing import Protocol

from gitml.repo.git import Location
from gitml.repo.objects import Objects
from gitml.repo.recordlog import GitRecordLog
from gitml.store.index import Index
from gitml.store.locks import Locks
from gitml.store.objects import LocalStore


class Services(Protocol):
    """A repository with its records, index and store; `live` is the folder of runs in progress."""

    @property
    def location(self) -> Location:
        """Where the repository is."""

    @property
    def live(self) -> str:
        """The folder of the runs in progress."""

    @property
    def objects(self) -> Objects:
        """Git's objects."""

    @property
    def records(self) -> GitRecordLog:
        """The log of runs."""

    @property
    def index(self) -> Index:
        """The index, level with the log."""

    @property
    def store(self) -> LocalStore:
        """Blobs and Trees."""

    @property
    def locks(self) -> Locks:
        """The kernel's locks."""
