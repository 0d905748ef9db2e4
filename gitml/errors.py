"""What can go wrong, by whom it can be mended. The library raises these; only `cli` turns them into text and exit codes."""

from __future__ import annotations


class GitmlError(Exception):
    """An expected failure. Shown as ``gitml: message (where): hint`` with the class's exit code, never a traceback."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint


class InputError(GitmlError):
    """The user's files, names or options are wrong."""

    code = "input"
    exit_code = 2


class IntegrityError(GitmlError):
    """Stored bytes, a record or an object are not what their name says."""

    code = "integrity"
    exit_code = 3


class BusyError(GitmlError):
    """Another process holds what is needed."""

    code = "busy"
    exit_code = 4


class MachineError(GitmlError):
    """The disk or the operating system refused."""

    code = "machine"
    exit_code = 5


class RemoteError(GitmlError):
    """A remote, a server or a cluster did not do its part."""

    code = "remote"
    exit_code = 6


class TrustError(GitmlError):
    """Not allowed, or not to be trusted."""

    code = "trust"
    exit_code = 7
