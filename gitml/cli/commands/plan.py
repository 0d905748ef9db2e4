"""`gitml plan`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.loading import at_option, load_words, on_option, parse_given, set_option
from gitml.cli.planshow import show_plan
from gitml.cli.session import Session, verb


@verb("plan", json=True)
@click.argument("words", metavar="[PIPELINE] [STEP]...", nargs=-1)
@at_option
@set_option
@on_option
@click.option("-f", "--force", is_flag=True, help="As `run --force` would do.")
@click.option("--no-reuse", is_flag=True, help="As `run --no-reuse` would do.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something would run.")
def command(
    session: Session,
    words: tuple[str, ...],
    rev: str | None,
    given: tuple[str, ...],
    on: str | None,
    force: bool,
    no_reuse: bool,
    exit_code: bool,
) -> int:
    """Tell for each step what `gitml run` would do, and why: reuse, run, unknown (an input is not made yet) or blocked."""
    asked = load_words(session.ws, words, rev, parse_given(given))
    plan = show_plan(session, asked, force=force, reuse=not no_reuse, on=on)
    return FAILED if exit_code and plan.runs_something() else DONE
