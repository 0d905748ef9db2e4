"""What `gitml push`, `fetch`, `pull` and `clone` share: progress as it goes, and what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.session import Session
from gitml.cli.text.format import count, size
from gitml.cli.text.terminal import is_terminal, safe
from gitml.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from gitml.git.progress import Progress
    from gitml.transfer.records import PushPreview, SyncResult, Watch, WithdrawnEvent

remote_argument = click.argument("remote", required=False)
_PAUSE = 0.1


def can_ask() -> bool:
    """Whether somebody is there to type a password."""
    return sys.stdin is not None and sys.stdin.isatty()


def progress_line(session: Session) -> Watch | None:
    """Who draws the progress of a transfer: one line of a terminal, nobody elsewhere."""
    if session.quiet or session.json or not is_terminal(sys.stderr):
        return None
    last = 0.0

    def draw(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        ended = progress.done == progress.total
        if now - last < _PAUSE and not ended:
            return
        last = now
        of = f" of {progress.total:,}" if progress.total else ""
        rate = f", {safe(progress.rate)}" if progress.rate else ""
        line = f"{progress.what} {progress.done:,}{of}{rate}"
        sys.stderr.write(f"\r\x1b[K{line}" + ("\r\x1b[K" if ended else ""))
        sys.stderr.flush()

    return draw


def report_sharing(session: Session, moved: SyncResult) -> int:
    """Shows what came of sharing. After that IntegrityError when records were refused, InputError when events were withdrawn."""
    if session.json:
        session.show_json(sharing_as_json(moved))
    else:
        session.show(sharing_line(moved))
    return check_refusals(moved)


def check_refusals(moved: SyncResult) -> int:
    """The exit code. IntegrityError when records were refused, InputError when events were withdrawn."""
    if moved.refused:
        first = moved.refused[0]
        more = f", and {count(len(moved.refused) - 1, 'other')}" if len(moved.refused) > 1 else ""
        raise IntegrityError(
            f"a record is refused: {first.why}{more}", where=first.path, hint="everything else was taken in"
        )
    refuse_withdrawn(moved.withdrawn)
    return 0


def refuse_withdrawn(withdrawn: Sequence[WithdrawnEvent]) -> None:
    """InputError when there is one."""
    if not withdrawn:
        return
    event = withdrawn[0]
    what = f"{event.module} {event.version}" if event.version else event.module
    more = f"; {count(len(withdrawn) - 1, 'other event')} withdrawn too" if len(withdrawn) > 1 else ""
    raise InputError(
        f"your {event.event} of {what} is withdrawn: {event.why}{more}",
        where="the registry",
        hint="publish your content as another version",
    )


def preview_line(found: PushPreview) -> str:
    """What a push of records would do, in one line."""
    phrase = _things(found.runs, found.events)
    sent = f"would send {phrase}, about {size(found.bytes)}" if phrase else "nothing to send"
    before = _things(found.runs_received, found.events_received)
    return f"{safe(found.remote)}: {sent}" + (f", after taking in {before}" if phrase and before else "")


def sharing_as_json(moved: SyncResult) -> dict[str, Any]:
    """What ``--json`` shows."""
    return {
        "remote": moved.remote,
        "received": {"runs": moved.runs_received, "events": moved.events_received},
        "sent": {"runs": moved.runs_sent, "events": moved.events_sent},
        "refused": [item._asdict() for item in moved.refused],
        "withdrawn": [item._asdict() for item in moved.withdrawn],
    }


def sharing_line(moved: SyncResult) -> str:
    """What came of it, in one line."""
    received = _things(moved.runs_received, moved.events_received)
    sent = _things(moved.runs_sent, moved.events_sent)
    phrase = [f"{received} received" if received else "", f"{sent} sent" if sent else ""]
    return f"{safe(moved.remote)}: " + (", ".join(filter(None, phrase)) or "everything is there already")


def _things(runs: int, events: int) -> str:
    phrase = [count(runs, "run") if runs else "", count(events, "registry event") if events else ""]
    return " and ".join(filter(None, phrase))
