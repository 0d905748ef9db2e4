"""Errors as a screen shows them."""

from __future__ import annotations

from typing import NamedTuple

from gitml.core.text.format import safe
from gitml.errors import GitmlError
from gitml.redaction import redacted


class ErrorMessage(NamedTuple):
    """An error as a person reads it; safe for a terminal."""

    title: str
    message: str
    hint: str

    @property
    def text(self) -> str:
        """Message and hint as lines."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


_TITLES = {
    "input": "That does not work",
    "integrity": "Stored data is damaged",
    "busy": "Another process holds the lock",
    "machine": "The system refused",
    "remote": "A remote did not answer",
    "trust": "Not allowed",
}


def error_message(error: Exception) -> ErrorMessage:
    """The text of an error, without secrets: gitml's own errors with place and hint, others with their type."""
    hint = ""
    if isinstance(error, GitmlError):
        where = f" ({safe(error.where)})" if error.where else ""
        title, message, hint = _TITLES.get(error.code, "Error"), f"{safe(error.message)}{where}", safe(error.hint or "")
    elif isinstance(error, OSError):
        name = f" ({safe(str(error.filename))})" if error.filename else ""
        title, message = _TITLES["machine"], f"{error.strerror or error}{name}"
    else:
        message = safe(f"{type(error).__name__}: {error}")[:400]
        title, hint = "A bug in gitml", "please report it"
    return ErrorMessage(title, redacted(message), redacted(hint))
