"""Who may write where: which file or folder denies this user something, whose it is, and the command that mends it."""

from __future__ import annotations

import os

_WITHIN = (
    "live",
    "objects",
    "envs",
    "worker",
    "submitted",
)  # a folder called gitml that has one of these is all gitml's


def can_be_written(path: str) -> bool:
    """Whether this user could make files in the folder `path`, which need not be there yet."""
    return _denying(os.path.join(os.path.abspath(path), "new")) is None


def how_to_be_let(path: str) -> str:
    """What to do about `path` that this user may not read or write: whose it is and the command that mends it, in one line."""
    place = _denying(os.path.abspath(path))
    if place is None:
        return "see who owns it and whether you may write there"
    import shlex

    owner, me = os.stat(place).st_uid, os.geteuid()
    if owner == me:
        return f"chmod u+rw{'x' if os.path.isdir(place) else ''} {shlex.quote(place)}"
    if not _is_within_ones_own(place):
        return f"{place} belongs to {_name(owner)}: ask to be let in, or use another place"
    return f"it belongs to {_name(owner)}: sudo chown -R {_name(me)} {shlex.quote(_whole(place))}"


def _denying(path: str) -> str | None:
    """The folder or file that denies, None when all let this user in. Folders first: they decide who makes and removes files."""
    place, wanted = os.path.dirname(path), os.W_OK | os.X_OK
    while True:
        if os.path.exists(place):
            if not _lets(place, wanted):
                return place
            wanted = os.X_OK  # only the folder itself is written to
        above = os.path.dirname(place)
        if above == place:
            break
        place = above
    if not os.path.exists(path) or _lets(path, os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(path) else 0)):
        return None
    return path


def _lets(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _is_within_ones_own(place: str) -> bool:
    """Whether what another owns lies in a folder of this user's: only then is it a mistake that sudo made, and theirs to mend."""
    owner = os.stat(place).st_uid
    above = os.path.dirname(place)
    while above != place and os.stat(above).st_uid == owner:
        place, above = above, os.path.dirname(above)
    return above != place and os.stat(above).st_uid == os.geteuid()


def _whole(place: str) -> str:
    """`place`, or the folder above that is gitml's as a whole: where one file is another user's, others are too."""
    found = place
    while (above := os.path.dirname(place)) != place:
        if os.path.basename(place) == "gitml" and any(os.path.isdir(f"{place}/{name}") for name in _WITHIN):
            found = place
        place = above
    return found


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
