"""`gitml completion`."""

from __future__ import annotations

import sys

import click

from gitml import layout
from gitml.cli.session import Session, verb
from gitml.cli.text.terminal import is_terminal

_HOW = {
    "bash": 'eval "$(gitml completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(gitml completion zsh)"    # in ~/.zshrc',
    "fish": "gitml completion fish | source   # in ~/.config/fish/config.fish",
}


@verb("completion")
@click.argument("shell", type=click.Choice(list(_HOW)))
def command(session: Session, shell: str) -> None:
    """Print the script that makes SHELL complete gitml's commands and options."""
    from click.shell_completion import get_completion_class

    from gitml.cli.main import gitml

    made = get_completion_class(shell)
    assert made is not None
    session.show(made(gitml, {}, "gitml", layout.COMPLETE_VARIABLE).source().rstrip("\n"))
    if is_terminal(sys.stdout):  # not where a shell reads the script each time it starts
        session.note(f"to have it always: {_HOW[shell]}")
