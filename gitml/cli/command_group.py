"""CommandGroup: a group of commands, whose help names each with a whole sentence."""

from __future__ import annotations

import click

_LONGEST = 400  # characters: click cuts a sentence that is longer


class CommandGroup(click.Group):
    """A group whose help has the first sentence of each command's help, which click alone would cut at the end of a line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands and what they are for."""
        commands = {name: command for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))}
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_LONGEST)) for name, command in commands.items()])
