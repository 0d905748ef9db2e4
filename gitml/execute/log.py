"""The log of one attempt: the first 8 MiB as written, then only the end, so that no step fills the disk with words; and its mask.

Masked is what a step is passed from the machine, secret parameters, and credentials of the machine. A variable that `env` names
without a value is taken for secret, unless its value is short, a plain word or a path that is there.
"""

from __future__ import annotations

import copy
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping

from gitml.core.model.action import Action
from gitml.core.model.protocols import Store
from gitml.core.records.record import LogRef
from gitml.core.secrets.mask import Mask
from gitml.errors import GitmlError
from gitml.execute.log_text import last_line
from gitml.files import write_all
from gitml.redaction import credentials_of, is_secret, registered_secrets, secret_in_file

HEAD = 8 * 2**20
TAIL = 2**20
EVERY = 0.2
LOOK_BACK = 8192
LEAD = 32768  # bytes that are masked together with what comes after them: more than any secret has


class Log:
    """Takes what a step writes, and keeps it without what `mask` masks. The file at `path` comes into being with the first byte.

    `written` counts all bytes, once it is closed. Past the first part only what is kept in the end is masked: a step may write
    far more.
    """

    def __init__(self, path: str, mask: Mask | None = None) -> None:
        self.path = path
        self.mask = mask
        self.written = 0
        self._fd = -1
        self._room = HEAD
        self._over = b""  # masked, and more than there was room for
        self._late: deque[bytes] = deque()  # as written, after that
        self._late_size = 0
        self._dropped = 0
        self._recent = b""
        self._reported = 0.0
        self._looked = 0.0
        self._said = ""

    def write(self, chunk: bytes) -> str | None:
        """Keeps `chunk`; gives the last complete line when it is time to show one, else None."""
        if self._fd < 0:
            self._fd = _create(self.path)
        if self._room > 0:
            self._keep(chunk if self.mask is None else self.mask.feed(chunk))
        else:
            self._keep_late(chunk)
        return self._line_to_show()

    def end(self) -> None:
        """Keeps what the mask held back: the step writes no more."""
        if self.mask is not None and self._fd >= 0 and self._room > 0:
            self._keep(self.mask.end())

    def tail(self) -> bytes:
        """The last few KiB written."""
        if not self._late:
            return self._recent
        late, size = [], 0
        for chunk in reversed(self._late):
            late.append(chunk)
            size += len(chunk)
            if size >= LOOK_BACK + LEAD:
                return _masked(b"".join(reversed(late)), self.mask, size - LOOK_BACK)[0]
        raw = b"".join(self._late)  # all there is after the first part, which the mask goes on from
        on = copy.copy(self.mask)
        return (self._recent + (raw if on is None else on.feed(raw) + on.end()))[-LOOK_BACK:]

    def close(self) -> bool:
        """Completes the file; False when the step wrote nothing and there is no file."""
        if self._fd < 0:
            return False
        self._recent = self.tail()  # before the mask is at its end
        late, left_out = self._end_of_it()
        self.written += left_out + len(late)
        try:
            if left_out > 0:
                write_all(self._fd, b"\n[... %d bytes left out ...]\n" % left_out)
            write_all(self._fd, late)
        finally:
            self._late.clear()
            os.close(self._fd)
            self._fd = -1
        return True

    def keep(self, store: Store) -> LogRef | None:
        """Completes the file and moves it into the Store; None when nothing was written, or it can't be kept.

        A log that is lost (the disk is full) is no reason to lose a result.
        """
        try:
            return ingest_log(store, self.path, self.written) if self.close() else None
        except OSError:
            return None

    def _keep(self, shown: bytes) -> None:
        """Writes to the first part what is masked already."""
        first = shown[: self._room]
        write_all(self._fd, first)
        self.written += len(first)
        self._room -= len(first)
        self._over = shown[len(first) :]
        self._recent = shown[-LOOK_BACK:] if len(shown) >= LOOK_BACK else (self._recent + shown)[-LOOK_BACK:]

    def _keep_late(self, chunk: bytes) -> None:
        """Keeps of what is not masked yet as much as the last part takes, and what must be seen before it."""
        self._late.append(chunk)
        self._late_size += len(chunk)
        while self._late_size - len(self._late[0]) >= TAIL + LEAD:
            size = len(self._late.popleft())
            self._late_size -= size
            self._dropped += size

    def _end_of_it(self) -> tuple[bytes, int]:
        """What is kept after the first part, and how many bytes between them are left out."""
        raw = b"".join(self._late)
        if self._dropped:
            late, start = _masked(raw, self.mask, len(raw) - TAIL)
            waiting = self.mask.waiting if self.mask is not None else 0
            last = late[-TAIL:]
            return last, len(self._over) + waiting + self._dropped + start + len(late) - len(last)
        rest = self._over + (
            raw if self.mask is None else self.mask.feed(raw) + self.mask.end() if self._room <= 0 else b""
        )
        return rest[-TAIL:], len(rest) - len(rest[-TAIL:])

    def _line_to_show(self) -> str | None:
        now = time.monotonic()
        if now - self._reported < EVERY or (self._late and now - self._looked < EVERY):
            return None
        self._looked = now
        line = last_line(self.tail(), complete=True)
        if not line or line == self._said:
            return None
        self._reported = now
        self._said = line
        return line


def ingest_log(store: Store, path: str, written: int | None = None) -> LogRef | None:
    """Moves a log of which `written` bytes were written (None: all that is there) into the Store; None when it can't be kept."""
    try:
        digest, size = store.ingest_file(path)
    except (OSError, GitmlError):
        return None
    return LogRef(digest, size, size if written is None else written)


def _masked(raw: bytes, mask: Mask | None, start: int) -> tuple[bytes, int]:
    """`raw` from `start` on, masked, and where in it that begins: what goes on from before is not shown in part."""
    if mask is None:
        return raw[start:], start
    mask = mask.again()
    mask.feed(raw[:start])
    begun = start - mask.waiting
    return mask.feed(raw[start:]) + mask.end(), begun


def _create(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o644)


def mask_of(action: Action, env: Mapping[str, str], machine: Mapping[str, str], more: Iterable[str] = ()) -> Mask:
    """The Mask for what a step with the environment `env` writes on a machine whose own is `machine`, and for `more`."""
    passed = [env[name] for name, value in action.env if value is None and is_secret(env.get(name, ""))]
    usual = secret_in_file(os.path.join(machine.get("HOME") or "/", ".ray/auth_token"))
    own = {**credentials_of(machine), **credentials_of(env)}
    return Mask([*passed, *own, *registered_secrets(), *([usual] if usual else []), *more])
