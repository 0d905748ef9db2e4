"""`gitml env lock`."""

from __future__ import annotations

from typing import Any

import click

from gitml.cli.commands.environment.progress import BuildLine, stop_requests
from gitml.cli.errors import DONE
from gitml.cli.interrupts import InterruptHandler
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import safe

_NAMED = 20  # changes that are listed


@verb("lock", json=True, reaches=ALWAYS)
@click.argument("file", metavar="FILE")
@click.option(
    "--as-of",
    metavar="DATE|REV",
    help="Only packages that were there at the end of a date, at a time (UTC) or at a commit.",
)
@click.option("-o", "output", metavar="OUT", help="Where the lock goes; default: what is usual beside FILE.")
@click.option(
    "--group",
    "groups",
    metavar="NAME",
    multiple=True,
    help="With pyproject.toml and -o: also this dependency group; may be repeated.",
)
@click.option(
    "--extra",
    "extras",
    metavar="NAME",
    multiple=True,
    help="With pyproject.toml and -o: also this extra; may be repeated.",
)
@click.option("--upgrade", is_flag=True, help="Take the newest packages, not those of the lock that is there.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that is no lock of FILE.")
def lock(session: Session, file: str, as_of: str | None, output: str | None, **wanted: Any) -> int:
    """Lock what FILE lists: make the file that names each package with its version and hashes.

    FILE is requirements.txt or .in, setup.py, setup.cfg, pyproject.toml, a script with its dependencies (PEP 723),
    environment.yml or pixi.toml. Prints the line for the pipeline. What the lock already has stays where it fits, without
    --upgrade. A uv.lock has all groups and extras of a project, another lock (-o pylock.toml) those that are named.
    """
    from gitml.analysis.environment_lock import lock_environment
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.process import StoppedError

    progress = BuildLine(session)
    warnings: list[str] = []
    with InterruptHandler(quiet=session.quiet, message="stopping") as handler, stop_requests(handler.stop) as stop:
        try:
            done = lock_environment(
                *(session.ws, file, output, as_of),
                **wanted,
                control=BuildControl(stop, lambda words: progress.report(file, words)),
                warn=warnings.append,
            )
        except StoppedError:
            return handler.exit_code
        finally:
            progress.clear()
    session.warn(*map(safe, warnings))
    changes = [] if done.changes is None else [change._asdict() for change in done.changes]
    session.result(
        {
            "source": done.source,
            "lock": done.lock,
            "environment": done.environment,
            "as_of": done.as_of,
            "packages": list(done.packages),
            "new": done.changes is None,
            "changes": changes,
        },
        f"environment: {safe(done.environment)}",
    )
    for change in (done.changes or ())[:_NAMED]:
        session.remark(f"  {safe(str(change))}")
    more = len(done.changes or ()) - _NAMED
    if more > 0:
        session.remark(f"  and {count(more, 'more change')}")
    state = "wrote" if done.changed else "nothing changes in"
    session.remark(
        f"{state} {safe(done.lock)}, {count(len(done.packages), 'package')}: commit it, and write the line above"
    )
    return DONE
