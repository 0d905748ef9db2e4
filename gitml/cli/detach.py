"""`gitml run --detach`: the same command in a session of its own, begun before this one ends."""

from __future__ import annotations

import sys

from gitml.cli.session import Session


def detach(session: Session) -> int:
    """Starts the run, waits until it goes on or has ended, and prints its id; its output before it begins is passed on."""
    from gitml.engine.detached import start_detached

    ws = session.ws
    arguments = [word for word in sys.argv[1:] if word not in ("--detach", "--json")]
    place = arguments.index("run")
    started = start_detached(ws, _without_directory(arguments[:place]), _without_directory(arguments[place + 1 :]))
    run_id = started.run_id
    if started.code:
        sys.stderr.buffer.write(started.said)
        if started.was_refused(ws):
            return started.code if started.code > 0 else 128 - started.code
    if session.json:
        session.show_json({"run": run_id})
    else:
        session.show(run_id)
    session.note(f"follow it: gitml logs {run_id[:8]} -f", f"stop it:   gitml cancel {run_id[:8]}")
    return 0


def _without_directory(words: list[str]) -> list[str]:
    """Without ``-C DIR``: this process is in DIR already."""
    kept: list[str] = []
    skip = False
    for number, word in enumerate(words):
        if word == "--":
            return kept + words[number:]
        if skip:
            skip = False
        elif word == "-C":
            skip = True
        elif not (word.startswith("-C") and len(word) > 2):
            kept.append(word)
    return kept
