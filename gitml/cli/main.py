"""The `gitml` command: finds the command asked for, imports that one alone, and turns how it ends into an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import click

from gitml import __version__, layout
from gitml.cli import errors
from gitml.cli.command_group import CommandGroup
from gitml.cli.table import COMMANDS, SECTIONS
from gitml.cli.text.terminal import forgive_encoding

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(CommandGroup):
    """A group whose commands are imported when they are invoked: `table` has the module of each, after a colon its name there."""

    def __init__(self, *args: Any, table: Mapping[str, str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the help."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self.table:
            return None
        from importlib import import_module

        module, _, name = self.table[cmd_name].partition(":")
        command = getattr(import_module(f"gitml.cli.commands.{module}"), name or "command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a usage error with the nearest name for an unknown one."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            from gitml.core.language.diagnostics import nearest

            words = " ".join([*ctx.command_path.split()[1:], args[0]])
            raise click.UsageError(f"no command {words!r}{nearest(args[0], self.table)}", ctx)
        return super().resolve_command(ctx, args)


class _Commands(LazyGroup):
    """All of gitml's."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their short helps, from the table."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in section.items()])


@click.group(
    "gitml",
    cls=_Commands,
    table={name: entry.module for name, entry in COMMANDS.items()},
    context_settings=_SETTINGS,
    no_args_is_help=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.option("-C", "directory", metavar="DIR", help="Work as if started in DIR.")
@click.option("-q", "--quiet", is_flag=True, help="Print only errors and the result.")
@click.option("-v", "--verbose", is_flag=True, help="Print more; show the traceback of an internal error.")
@click.version_option(__version__, prog_name="gitml", message="%(prog)s %(version)s")
@click.pass_context
def gitml(context: click.Context, directory: str | None, quiet: bool, verbose: bool) -> None:
    """Machine-learning pipelines that live in Git: run any commit, reuse what did not change, get every number back."""
    context.obj = (quiet, verbose)
    if directory is not None:
        change_directory(directory)


def change_directory(directory: str) -> None:
    """Goes to `directory`, as `-C` asks; InputError when it is none."""
    from gitml.errors import InputError

    try:
        os.chdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("no such folder", where=directory) from None


def _search_no_relative_folder() -> None:
    """Leaves folders out of PATH that are relative to where a program starts: that is where a clone's files lie."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if not all(map(os.path.isabs, folders)):
        os.environ["PATH"] = os.pathsep.join(filter(os.path.isabs, folders)) or os.defpath


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; its exit code. Nothing but a bug is shown as more than a line."""
    forgive_encoding()
    _search_no_relative_folder()
    warnings.simplefilter("ignore", SyntaxWarning)  # of sources that are looked through: that is for who runs them
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, verbose = "--json" in own, "-v" in own or "--verbose" in own
    try:
        if layout.COMPLETE_VARIABLE in os.environ:
            from click.shell_completion import shell_complete

            return shell_complete(gitml, {}, "gitml", layout.COMPLETE_VARIABLE, os.environ[layout.COMPLETE_VARIABLE])
        with gitml.make_context("gitml", list(arguments)) as context:
            code = gitml.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else errors.DONE
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return errors.INPUT
    except BaseException as error:
        try:
            sys.stdout.flush()
        except BrokenPipeError as broken:
            return errors.report(broken, as_json=as_json, verbose=verbose)
        except (OSError, ValueError):
            pass
        return errors.report(error, as_json=as_json, verbose=verbose)
