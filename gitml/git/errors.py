"""What git says when a remote did not do its part, as the kind of error it is, with the fix."""

from __future__ import annotations

import os
import re

from gitml import layout
from gitml.core.language.diagnostics import nearest
from gitml.errors import BusyError, GitmlError, InputError, IntegrityError, MachineError, RemoteError, TrustError
from gitml.git.command import Location
from gitml.git.log.remote_refs import configured, without_secrets

_SAME = "the same command goes on where it stopped"
_ASK = "see whether git {what} {remote} works"
# Ordered: the first that matches all that git said decides. `{answer}` is git's own first complaint.
_MEANINGS: tuple[tuple[str, type[GitmlError], str, str], ...] = (
    (
        r"already exists and is not an empty directory",
        InputError,
        "{answer}",
        "name another folder: gitml clone URL DIR",
    ),
    (r"Remote branch .* not found", InputError, "{answer}", "git ls-remote --heads shows the branches"),
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION",
        TrustError,
        "ssh does not know the host's key",
        "connect once with ssh, or put the key into ~/.ssh/known_hosts",
    ),
    (
        r"detected dubious ownership",
        TrustError,
        "git does not trust a folder of another user: {answer}",
        "where it is yours or your team's: git config --global --add safe.directory FOLDER",
    ),
    (
        r"insufficient permission for adding",
        TrustError,
        "files of the repository belong to another user: {answer}",
        "one that several users write to needs git config core.sharedRepository group, and files that their group may write",
    ),
    (
        r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied \("
        r"|requested URL returned error: 40[13]|Invalid username or|Permission to \S+ denied|not authorized|Access denied"
        r"|unable to read askpass",
        TrustError,
        "the remote does not let you in: {answer}",
        "https needs a credential helper (git help credentials), ssh a key the host knows; " + _ASK,
    ),
    (
        r"SSL certificate|certificate verif|CAfile|server certificate",
        TrustError,
        "the host's certificate is not trusted: {answer}",
        "git config http.sslCAInfo names a certificate to trust",
    ),
    (
        r"transport '.*' not allowed|protocol .* not allowed",
        TrustError,
        "{answer}",
        "gitml speaks file, git, http, https and ssh with a place that a file names, and what you allow by its name:"
        " git config --global protocol.NAME.allow always (ext and fd never)",
    ),
    (
        r"Could not resolve|Name or service not known|Temporary failure in name resolution|Connection refused|timed out|No route"
        r"|Network is unreachable|Failed to connect|Couldn't connect",
        RemoteError,
        "the remote can't be reached: {answer}",
        f"see whether the network is there; {_SAME}",
    ),
    (
        r"does not appear to be a git repository|[Rr]epository .*not (found|exist)|does not exist|404",
        RemoteError,
        "no Git repository is there, or none that you may see",
        "see whether the URL is right: git ls-remote {remote}",
    ),
    (
        r"remote: .*(No space left|quota)|unpacker error|unpack.*failed|remote unpack",
        RemoteError,
        "the remote could not take it: {answer}",
        f"see whether its disk is full; {_SAME}",
    ),
    (
        r"Unable to create '.*\.lock'",
        BusyError,
        "{answer}",
        "another git is at work; when none is, one that was killed left that file: remove it",
    ),
    (r"No space left|Disk quota", MachineError, "{answer}", f"free some space; {_SAME}"),
    (
        r"mismatched algorithms|object format",
        RemoteError,
        "{answer}",
        "both sides must use the same kind of object ids",
    ),
    (
        r"fsck error|did not send all necessary objects|bad object|missing (blob|tree|commit)|inflate|corrupt",
        IntegrityError,
        "what was transferred is not whole: {answer}",
        "git fsck, here and there, names what is broken",
    ),
    (
        r"early EOF|hung up|RPC failed|Connection (reset|closed)|Broken pipe|unexpected disconnect|Could not read from remote"
        r"|unable to access|remote error",
        RemoteError,
        "the connection broke: {answer}",
        _SAME,
    ),
)


_DISK = re.compile(r"No space left|Disk quota|Input/output error|Read-only file system")
_THERE = re.compile(r"^remote: |remote unpack|unpacker error|^!")  # lines that tell of the other side


def explain(location: Location, what: str, remote: str, text: str) -> GitmlError:
    """The error for ``git WHAT`` with `remote`, which wrote `text` to its stderr. No password of a URL is in it."""
    text = without_secrets(text)
    where = without_secrets(remote)
    if (
        what != "clone"
        and re.search(r"does not appear to be a git repository|not found|does not exist", text)
        and _is_name(remote)
    ):
        known = configured(location)
        if remote not in known:
            return InputError(
                f"no remote {where!r}{nearest(where, known)}", where=location.folder, hint=f"git remote add {where} URL"
            )
    answer = _message(text)
    here = "\n".join(line for line in text.splitlines() if not _THERE.search(line))
    if _DISK.search(here):  # whatever else git makes of it: fetching, it unpacks here
        return MachineError(
            f"git {what}: {_message(here)}", where=location.folder, hint=f"free or repair this disk; {_SAME}"
        )
    for pattern, kind, message, hint in _MEANINGS:
        if re.search(pattern, text):
            return kind(message.format(answer=answer), where=where, hint=hint.format(what=what, remote=where))
    return RemoteError(f"git {what}: {answer}", where=where, hint=_ASK.format(what=what, remote=where))


def refusal_of_ref(remote: str, ref: str, why: str) -> RemoteError:
    """The error for a remote that answers but does not take `ref`."""
    return RemoteError(
        f"the remote refuses {ref}: {without_secrets(why)}",
        where=without_secrets(remote),
        hint=f"its host must allow {layout.REFS}/*; where it never does, push records to another repository: gitml push URL",
    )


def _message(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for start in ("fatal: ", "error: ", "remote: ", "ssh: ", "! "):
        for line in lines:
            if line.startswith(start) and "Could not read from remote repository" not in line:
                return line.removeprefix(start).removeprefix("fatal: ").removeprefix("error: ")[:300].rstrip(".")
    return lines[0][:300] if lines else "it ended without a word"


def _is_name(remote: str) -> bool:
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)*", remote) is not None and not os.path.exists(remote)
