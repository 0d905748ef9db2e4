"""`gitml du`."""

from __future__ import annotations

from gitml.cli.session import Session, as_data, verb
from gitml.cli.text.format import columns, size


@verb("du", json=True)
def command(session: Session) -> None:
    """Show how much disk space gitml uses for this repository, and for what."""
    from gitml.maintenance.gc import usage

    rooms = usage(session.ws)
    rows = [[size(room.bytes), f"{room.items:,}", room.what] for room in rooms]
    session.result({"place": session.ws.root, "rooms": as_data(rooms)}, *columns(rows, right=frozenset((0, 1))))
    if not session.json:
        session.note(f"in {session.ws.root}; `gitml gc -n` lists what could go")
