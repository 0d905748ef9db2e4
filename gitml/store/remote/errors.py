"""What the libraries for remote stores raise, as errors of gitml: by whom it can be mended, and nothing secret in them."""

from __future__ import annotations

import re

from gitml.core.config.remote_kinds import REMOTE_KINDS
from gitml.errors import GitmlError, RemoteError, TrustError

_QUERY = re.compile(r"\?[^\s'\"<>]*")
_USER = re.compile(r"//[^/\s@]+@")
_TRACE = re.compile(
    r"\s*\bRequestId:.*", re.DOTALL
)  # of Azure: what only its own log understands, then all again as XML
_LONG = 300
_NOT_TRUSTED = re.compile(
    r"credential|accessdenied|access denied|forbidden|unauthori[sz]ed|permission|signaturedoesnotmatch|invalidaccesskey|"
    r"expiredtoken|authenticat|host key|hostkey|connection string|base64-encoded|config profile|\b40[13]\b",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(
    r"connect|resolve|timed? ?out|timeout|name or service|network|unreachable|refused", re.IGNORECASE
)


def is_missing(error: BaseException) -> bool:
    """Whether a library says that there is no such thing."""
    if isinstance(error, FileNotFoundError):
        return True
    return type(error).__name__ in ("NoSuchKey", "SFTPNoSuchFile", "ResourceNotFoundError", "SFTPNoSuchPath")


def is_past_end(error: BaseException) -> bool:
    """Whether a library says that a range begins behind the end of an object.

    Numbers in its text mean nothing: an address or a digest may have the digits of the status in it.
    """
    if is_missing(error):
        return False
    if any(str(getattr(error, name, None)) == "416" for name in ("code", "status", "status_code")):
        return True
    text = f"{type(error).__name__} {error}"
    return "InvalidRange" in text or "not satisfiable" in text


def remote_error(error: BaseException, place: str, scheme: str) -> GitmlError:
    """The GitmlError for what a library raised."""
    if isinstance(error, GitmlError):
        return error
    kind = type(error).__name__
    text = without_secrets(str(error)) or kind
    if isinstance(error, PermissionError) or _NOT_TRUSTED.search(kind) or _NOT_TRUSTED.search(text):
        return TrustError(f"the remote does not let us in: {text}", where=place, hint=REMOTE_KINDS[scheme].login)
    if "NoSuchBucket" in text or "NoSuchBucket" in kind or "ContainerNotFound" in text:
        return RemoteError("no such bucket or container", where=place, hint="make it, or mend the URL in gitml.yaml")
    if isinstance(error, (ConnectionError, TimeoutError)) or _UNREACHABLE.search(kind) or _UNREACHABLE.search(text):
        return RemoteError(
            f"the remote can't be reached: {text}", where=place, hint="see the network and the URL, try again"
        )
    return RemoteError(f"the remote refused: {text}", where=place, hint="try again: what has arrived is kept")


def without_secrets(text: str) -> str:
    """A message in one line, without what may be secret: queries and users of URLs."""
    line = " ".join(_TRACE.sub("", text).split())
    return _USER.sub("//…@", _QUERY.sub("?…", line))[:_LONG]
