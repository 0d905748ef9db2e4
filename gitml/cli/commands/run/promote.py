"""`gitml promote`."""

from __future__ import annotations

import click

from gitml.cli.session import Session, as_data, verb
from gitml.cli.text.terminal import safe
from gitml.errors import InputError


@verb("promote", json=True)
@click.argument("run")
@click.option("--branch", metavar="NAME", help="The branch to make; default: promoted/ and the id of the run.")
@click.option(
    "-m", "--message", default="", metavar="TEXT", help="The message of the commit; default: that of the run."
)
def command(session: Session, run: str, branch: str | None, message: str) -> int:
    """Make the files and values that RUN ran a commit on a new branch, where the next run reuses all that it made.

    The commit has exactly the files of the run, uncommitted work included, with its values as defaults in the config files and
    the pipeline that they come from; every other byte is as it was. The work tree is left alone.
    """
    from gitml.analysis.promote import promote
    from gitml.core.parameters.value_path import text_of_value
    from gitml.history.runs import find_run

    ws = session.recovered_ws
    found = find_run(ws, run)
    if found.live is not None:
        raise InputError(f"run {found.run.id[:8]} is still going on", hint=f"gitml wait {found.run.id[:8]}")
    made = promote(ws, found.run, branch, message)
    lines = [
        safe(f"{value.file}: {value.param} {text_of_value(value.before)} -> {text_of_value(value.after)}")
        for value in made.values
    ]
    state = "is" if made.existed else "made"
    session.result(as_data(made), *lines, safe(f"{state} branch {made.branch} at {made.commit[:12]}"))
    session.remark(safe(f"to go there: git switch {made.branch}"))
    return 0
