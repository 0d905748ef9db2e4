"""`gitml doctor`."""

from __future__ import annotations

import sys

from gitml.cli.errors import DONE, FAILED
from gitml.cli.session import Session, verb
from gitml.cli.text.format import cells
from gitml.cli.text.terminal import paint, safe

_COLOURS = {"ok": "green", "note": "yellow", "bad": "red"}


@verb("doctor", json=True)
def command(session: Session) -> int:
    """Check this machine: Git, Python, uv, sandboxes, disk space, the store and the records.

    Exits with 1 when something that gitml needs is missing; a note is something that gitml can do without.
    """
    from gitml.cli.doctor import examine

    findings = list(examine(session))
    if session.json:
        session.show_json([finding._asdict() for finding in findings])
    else:
        wide = max(cells(finding.what) for finding in findings)
        for finding in findings:
            word = paint(f"{finding.state:<4}", _COLOURS[finding.state], sys.stdout)
            hint = f": {safe(finding.hint)}" if finding.hint else ""
            room = " " * (wide - cells(finding.what))
            session.show(f"{word}  {finding.what}{room}  {safe(finding.found)}{hint}")
    return FAILED if any(finding.state == "bad" for finding in findings) else DONE
