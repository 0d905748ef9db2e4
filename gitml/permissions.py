"""Who may write where: whom Git's settings let in, which file or folder denies this user something, and the fix."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from gitml import layout

# a folder called gitml that has one of these is all gitml's
_WITHIN = (layout.LIVE, layout.OBJECTS, layout.ENVIRONMENTS, layout.WORKER, layout.SUBMITTED)


class SharedMode(NamedTuple):
    """Whom ``core.sharedRepository`` lets in, as bits of a file's mode: added to what the umask leaves, or if `exact` instead.

    What makes files and folders in the Git folder is handed one, and does with it what Git does with its own.
    """

    bits: int = 0
    exact: bool = False

    def mode(self, mode: int) -> int:
        """The mode of a file or folder that has `mode`: who may read a folder may enter it, and its group is handed down."""
        if not self.bits:
            return mode
        bits = self.bits if mode & stat.S_IWUSR else self.bits & ~0o222
        if mode & stat.S_IXUSR:
            bits |= (bits & 0o444) >> 2
        found = (mode & ~0o777) | bits if self.exact else mode | bits
        if stat.S_ISDIR(mode):
            found |= (found & 0o444) >> 2
            if found & 0o060:
                found |= stat.S_ISGID
        return found

    def open_up(self, path: str) -> None:
        """Gives the file or folder at `path` its mode; nothing happens to another user's, to a link, and to what is gone."""
        if not self.bits:
            return
        try:
            found = os.lstat(path)
            wanted = self.mode(found.st_mode)
            if not stat.S_ISLNK(found.st_mode) and wanted != found.st_mode and found.st_uid == os.geteuid():
                os.chmod(path, stat.S_IMODE(wanted))
        except FileNotFoundError:
            return

    def make_folder(self, path: str) -> None:
        """The folder at `path` and those above it, as far as they are missing."""
        if not self.bits:
            os.makedirs(path, exist_ok=True)
            return
        missing = []
        place = path
        while place and not os.path.isdir(place):
            missing.append(place)
            place = os.path.dirname(place)
        os.makedirs(path, exist_ok=True)
        for folder in reversed(missing):
            self.open_up(folder)

    def open_all(self, folder: str) -> None:
        """Opens up `folder` and all of this user's below it, but for salts: what was made before Git was set to share.

        A salt keys the digests of secret parameters, and is one user's alone.
        """
        if not self.bits:
            return
        self.open_up(folder)
        for place, folders, files in os.walk(folder):
            for name in (*folders, *files):
                if place != folder or not name.startswith(layout.SALT):
                    self.open_up(os.path.join(place, name))


ALONE = SharedMode()
_GROUP, _ALL = SharedMode(0o660), SharedMode(0o664)
_SHARING = {
    **dict.fromkeys(("umask", "0", "false", "no", "off", ""), ALONE),
    **dict.fromkeys(("group", "1", "true", "yes", "on"), _GROUP),
    **dict.fromkeys(("all", "world", "everybody", "2"), _ALL),
}


def parse_shared_mode(value: str) -> SharedMode:
    """What a value of ``core.sharedRepository`` means; as Git ignores what others might write, so does this."""
    word = value.strip().lower()
    known = _SHARING.get(word)
    if known is not None:
        return known
    try:
        bits = int(word, 8)
    except ValueError:
        return ALONE  # git itself complains of it
    known = _SHARING.get(str(bits))
    return known if known is not None else SharedMode(bits & 0o666 | 0o600, exact=True)


def can_be_written(path: str) -> bool:
    """Whether this user could make files in the folder `path`, which need not be there yet."""
    return _denying(os.path.join(os.path.abspath(path), "new")) is None


def can_be_changed_by_others(path: str) -> bool:
    """Whether a user who is neither this one nor root could put something else at `path`, which need not be there yet."""
    return any(_is_open_to_others(place) for place in {os.path.abspath(path), os.path.realpath(path)})


def _is_open_to_others(place: str) -> bool:
    """Whether another user owns what is there at `place` or above it, or may rename what is in it."""
    while True:
        try:
            found = os.stat(place)
        except OSError:
            found = None
        if found is not None:
            open_to_all = bool(found.st_mode & stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
            if found.st_uid not in (0, os.geteuid()) or open_to_all:
                return True
        if place == os.path.dirname(place):
            return False
        place = os.path.dirname(place)


def permission_hint(path: str) -> str:
    """What to do about `path` that this user may not read or write: whose it is and the command that fixes it, in one line."""
    place = _denying(os.path.abspath(path))
    if place is None:
        return "see who owns it and whether you may write there"
    import shlex

    owner, me = os.stat(place).st_uid, os.geteuid()
    if owner == me:
        return f"chmod u+rw{'x' if os.path.isdir(place) else ''} {shlex.quote(place)}"
    if not _is_within_ones_own(place):
        whole = _whole(place)
        if layout.is_own_folder(whole) and os.stat(os.path.dirname(whole)).st_mode & stat.S_IWGRP:
            folder = shlex.quote(whole)
            return (
                f"it was {_name(owner)}'s before Git shared the repository: any gitml command of theirs opens it,"
                f" or theirs or root's chmod -R g+rwX {folder}"
            )
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
    """Whether what another owns lies in a folder of this user's: only then is it a mistake that sudo made, and theirs to fix."""
    owner = os.stat(place).st_uid
    above = os.path.dirname(place)
    while above != place and os.stat(above).st_uid == owner:
        place, above = above, os.path.dirname(above)
    return above != place and os.stat(above).st_uid == os.geteuid()


def _whole(place: str) -> str:
    """`place`, or the folder above that is gitml's as a whole: where one file is another user's, others are too."""
    found = place
    while (above := os.path.dirname(place)) != place:
        if layout.is_own_folder(place) and any(os.path.isdir(f"{place}/{name}") for name in _WITHIN):
            found = place
        place = above
    return found


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
