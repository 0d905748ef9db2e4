"""What went wrong, in the words in which a screen tells it."""

from __future__ import annotations

from typing import NamedTuple

from gitml.core.text.format import safe
from gitml.errors import GitmlError
from gitml.redaction import redacted


class ErrorMessage(NamedTuple):
    """An error as a person reads it; safe for a terminal. `bug` says that it is gitml's own mistake."""

    title: str
    message: str
    hint: str
    bug: bool = False

    @property
    def text(self) -> str:
        """Message and hint as lines."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


_TITLES = {
    "input": "That does not work",
    "integrity": "Something stored is damaged",
    "busy": "Another process is at it",
    "machine": "The machine refused",
    "remote": "A remote did not answer",
    "trust": "Not allowed",
}


def error_message(error: Exception) -> ErrorMessage:
    """The words for an error, without secrets: of gitml's own with where and how to mend it, of others as what they are."""
    found = _error_message(error)
    return found._replace(message=redacted(found.message), hint=redacted(found.hint))


def _error_message(error: Exception) -> ErrorMessage:
    if isinstance(error, GitmlError):
        where = f" ({safe(error.where)})" if error.where else ""
        return ErrorMessage(_TITLES.get(error.code, "Error"), f"{safe(error.message)}{where}", safe(error.hint or ""))
    if isinstance(error, OSError):
        name = f" ({safe(str(error.filename))})" if error.filename else ""
        return ErrorMessage(_TITLES["machine"], f"{error.strerror or error}{name}", "")
    return ErrorMessage(
        "A mistake of gitml", safe(f"{type(error).__name__}: {error}")[:400], "please report it", bug=True
    )
