"""`gitml module`: the commands about modules and the registry, each imported when it is invoked."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module

import click

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# Command -> the module below this package and the name in it, in the order of the help.
_COMMANDS = {
    "init": ("module_folder", "init"),
    "check": ("module_folder", "check"),
    "run": ("module_trying", "run"),
    "publish": ("module_changing", "publish"),
    "list": ("module_reading", "list_modules"),
    "show": ("module_reading", "show"),
    "versions": ("module_reading", "versions"),
    "history": ("module_reading", "history"),
    "resolve": ("module_reading", "resolve"),
    "diff": ("module_reading", "diff"),
    "get": ("module_reading", "get"),
    "deprecate": ("module_changing", "deprecate"),
    "disable": ("module_changing", "disable"),
    "enable": ("module_changing", "enable"),
    "set-default": ("module_changing", "set_default"),
    "pull": ("module_sharing", "pull"),
    "push": ("module_sharing", "push"),
    "verify": ("module_sharing", "verify"),
    "rebuild": ("module_sharing", "rebuild"),
}


class ModuleGroup(click.Group):
    """Lists its commands in order, imports the one that is asked for, and answers an unknown one with the nearest."""

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """All of them, imported."""
        return {name: _load(name) for name in _COMMANDS}

    @commands.setter
    def commands(self, _: MutableMapping[str, click.Command]) -> None:
        """They are what the table says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        return _load(cmd_name) if cmd_name in _COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a usage error with the nearest name for an unknown one."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from gitml.core.diagnostics import nearest

            raise click.UsageError(f"no command 'module {args[0]}'{nearest(args[0], _COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _load(name: str) -> click.Command:
    home, attribute = _COMMANDS[name]
    found = getattr(import_module(f"gitml.cli.commands.{home}"), attribute)
    assert isinstance(found, click.Command)
    return found


@click.group("module", cls=ModuleGroup, context_settings=_SETTINGS, no_args_is_help=True)
def command() -> None:
    """Reusable, versioned steps: write one, publish it, use it in pipelines, and say when it should no longer be used."""
