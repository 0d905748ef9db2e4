"""`gitml remotes`."""

from __future__ import annotations

import sys
from typing import Any

import click

from gitml.cli.errors import DONE
from gitml.cli.session import WHEN_TOLD, Session, verb
from gitml.cli.terminal import paint, safe
from gitml.cli.words import columns
from gitml.errors import GitmlError, RemoteError


@verb("remotes", json=True, reaches=WHEN_TOLD)
@click.option("--check", is_flag=True, help="Ask each whether it answers and lets us in.")
def command(session: Session, check: bool) -> int:
    """List the remote stores that `gitml.yaml` names, in the order in which they are asked.

    With --check exits with 6 when one doesn't answer.
    """
    from gitml.flow.remotes import Remotes

    remotes = Remotes(session.ws)
    told: list[dict[str, Any]] = []
    try:
        for spec in remotes.specs:
            row: dict[str, Any] = {"name": spec.name, "url": spec.url, "push": spec.push, "place": spec.place}
            if check:
                row["problem"] = _problem(remotes, row)
            told.append(row)
    finally:
        remotes.close()
    bad = [row for row in told if row.get("problem")]
    if session.json:
        session.show_json(told)
    elif not told:
        session.note("gitml.yaml names no remote store; see docs/remotes.md")
    else:
        rows = [[safe(r["name"]), safe(r["place"]), "" if r["push"] else "push: false"] for r in told]
        lines = columns(rows)
        for row, line in zip(told, lines, strict=True):
            verdict = ""
            if check:
                wrong = row["problem"]
                verdict = "  " + (paint(safe(wrong), "red", sys.stdout) if wrong else paint("ok", "green", sys.stdout))
            session.show(line + verdict)
    return RemoteError.exit_code if bad else DONE


def _problem(remotes: Any, row: dict[str, Any]) -> str | None:
    """Why a remote can't be used, None when it can."""
    from gitml.core.digest import digest_of
    from gitml.core.remotes import Stored

    spec = remotes.named([row["name"]])[0]
    try:
        remote = remotes.open(spec)
        row["place"] = remote.place
        remote.present([Stored(digest_of(b""), 0)])
    except GitmlError as error:
        return f"{error.message}{f' ({error.hint})' if error.hint else ''}"
    return None
