"""`gitml run --detach`: the same command in a session of its own, begun before this one ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from gitml.cli.session import Session

_PATIENCE = 60.0  # seconds for the run to begin; planning a huge pipeline takes a few


def detach(session: Session) -> int:
    """Starts the run, waits until it goes on or has ended, and prints its id; what it says before it begins is passed on."""
    from gitml.flow.run import new_run_id

    ws = session.ws
    run_id = new_run_id()
    arguments = [word for word in sys.argv[1:] if word not in ("--detach", "--json")]
    place = arguments.index("run") + 1
    full = [sys.executable, "-m", "gitml", *_without_directory(arguments[:place]), "--run-id", run_id, "-q"]
    full += _without_directory(arguments[place:])
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            full, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
        live = os.path.join(ws.live, run_id, "run.json")
        end = time.monotonic() + _PATIENCE
        while process.poll() is None and not os.path.exists(live) and time.monotonic() < end:
            time.sleep(0.01)
        code = process.poll()
        if code:
            said.seek(0)
            sys.stderr.buffer.write(said.read())
            if ws.index.run_row(run_id) is None:
                return code if code > 0 else 128 - code
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
