"""`gitml env`: the commands about environments, each imported when it is invoked."""

from __future__ import annotations

import click

from gitml.cli.main import LazyGroup

_COMMANDS = {
    "show": "environment.show:show",
    "build": "environment.build:build",
    "explain": "environment.show:explain",
    "lock": "environment.lock:lock",
    "diff": "environment.diff:diff",
    "push": "environment.push:push",
}


@click.group("env", cls=LazyGroup, table=_COMMANDS, no_args_is_help=True)
def command() -> None:
    """The environments of steps: what they are and where they are built, why they differ; build, lock and push them."""
