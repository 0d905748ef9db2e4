"""`gitml remotes`."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from gitml.cli.errors import DONE
from gitml.cli.session import WHEN_ASKED, Session, verb
from gitml.cli.text.format import columns
from gitml.cli.text.terminal import paint, safe
from gitml.core.config.remotes import FROM
from gitml.errors import GitmlError, RemoteError, TrustError

_SHOWN = ("endpoint", "account", "remote", FROM)


@verb("remotes", json=True, reaches=WHEN_ASKED)
@click.option("--check", is_flag=True, help="Ask each whether it answers and lets us in.")
def command(session: Session, check: bool) -> int:
    """List the remote stores that `gitml.yaml` names, in the order in which they are asked.

    With --check exits with 6 when one doesn't answer, with 7 when one may not be asked.
    """
    from gitml.transfer.remotes import Remotes

    if check:
        session.reach()
    phrase: list[dict[str, Any]] = []
    with closing(Remotes(session.ws)) as remotes:
        for spec in remotes.specs:
            place = remotes.place(spec)
            row: dict[str, Any] = {
                "name": spec.name,
                "url": spec.url,
                "push": spec.push,
                "place": spec.place,
                "options": {word: value for word, value in spec.options.items() if word in _SHOWN},
                "allowed": place is None or session.ws.consent.may_use(place),
            }
            if check:
                row["problem"] = _problem(remotes, row)
            phrase.append(row)
    lines = columns([[safe(row["name"]), safe(row["place"]), _more(row)] for row in phrase])
    if check:
        wrong = [row["problem"] for row in phrase]
        verdicts = [paint(safe(why), "red") if why else paint("ok", "green") for why in wrong]
        lines = [f"{line}  {verdict}" for line, verdict in zip(lines, verdicts, strict=True)]
    session.result(phrase, *lines)
    if not phrase:
        session.remark("gitml.yaml names no remote store; see docs/remotes.md")
    if any(row.get("denied") for row in phrase):
        return TrustError.exit_code
    return RemoteError.exit_code if any(row.get("problem") for row in phrase) else DONE


def _more(row: dict[str, Any]) -> str:
    """What is special about a remote."""
    phrase = [f"{word} {safe(value)}" for word, value in row["options"].items()]
    phrase += [] if row["push"] else ["push: false"]
    phrase += [] if row["allowed"] else ["not allowed yet: gitml trust"]
    return ", ".join(phrase)


def _problem(remotes: Any, row: dict[str, Any]) -> str | None:
    """Why a remote can't be used, None when it can."""
    from gitml.core.config.remotes import StoredObject
    from gitml.core.model.digest import digest_of

    spec = remotes.named([row["name"]])[0]
    try:
        remote = remotes.open(spec)
        row["place"] = remote.place
        remote.present([StoredObject(digest_of(b""), 0)])
    except GitmlError as error:
        row["denied"] = isinstance(error, TrustError) and not row["allowed"]
        return f"{error.message}{f' ({error.hint})' if error.hint else ''}"
    return None
