"""A command at a terminal, and a person there who types an answer."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.kit.patience import PATIENCE


class TerminalOutput(NamedTuple):
    """How a command at a terminal ended, and all that the terminal showed."""

    code: int
    text: str


def at_terminal(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], answers: Mapping[str, str]
) -> TerminalOutput:
    """Runs a command at a terminal of its own. Each of `answers` is typed once, when the text that is its key was shown."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        list(command), cwd=cwd, env=dict(env), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown = b""
    waiting = dict(answers)
    end = time.monotonic() + PATIENCE
    try:
        while True:
            assert time.monotonic() < end, shown.decode(errors="replace")
            if not select.select([master], [], [], 0.2)[0]:
                continue
            try:
                new = os.read(master, 65536)
            except OSError:  # nobody holds the other end any more
                break
            if not new:
                break
            shown += new
            for text in [text for text in waiting if text.encode() in shown]:
                os.write(master, waiting.pop(text).encode())
        code = process.wait(PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        os.close(master)
    return TerminalOutput(code, shown.decode(errors="replace").replace("\r\n", "\n"))
