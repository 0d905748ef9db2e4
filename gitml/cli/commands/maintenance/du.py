"""`gitml du`."""

from __future__ import annotations

from gitml.cli.session import Session, verb
from gitml.cli.text.format import columns, size


@verb("du", json=True)
def command(session: Session) -> None:
    """Show how much disk space gitml uses for this repository, and for what."""
    from gitml.maintenance.gc import usage

    rooms = usage(session.ws)
    if session.json:
        session.show_json({"place": session.ws.root, "rooms": [room._asdict() for room in rooms]})
        return
    rows = [[size(room.bytes), f"{room.items:,}", room.what] for room in rooms]
    session.show(*columns(rows, right=frozenset((0, 1))))
    session.note(f"in {session.ws.root}; `gitml gc -n` lists what could go")
