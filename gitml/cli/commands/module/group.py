"""`gitml module`: the commands about modules and the registry, each imported when it is invoked."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module

import click

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# Command -> the module below this package and the name in it, in the order of the help.
_COMMANDS = {
    "init": ("folder", "init"),
    "check": ("folder", "check"),
    "run": ("run", "run"),
    "publish": ("lifecycle", "publish"),
    "list": ("read", "list_modules"),
    "show": ("read", "show"),
    "versions": ("read", "versions"),
    "history": ("read", "history"),
    "resolve": ("read", "resolve"),
    "diff": ("read", "diff"),
    "get": ("read", "get"),
    "deprecate": ("lifecycle", "deprecate"),
    "disable": ("lifecycle", "disable"),
    "enable": ("lifecycle", "enable"),
    "set-default": ("lifecycle", "set_default"),
    "pull": ("share", "pull"),
    "push": ("share", "push"),
    "verify": ("share", "verify"),
    "rebuild": ("share", "rebuild"),
}


class ModuleGroup(click.Group):
    """Lists its commands in order, imports the one that is asked for, and answers an unknown one with the nearest."""

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """All of them, imported."""
        return {name: _load(name) for name in _COMMANDS}

    @commands.setter
    def commands(self, _: MutableMapping[str, click.Command]) -> None:
        """The table lists them."""

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
            from gitml.core.language.diagnostics import nearest

            raise click.UsageError(f"no command 'module {args[0]}'{nearest(args[0], _COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _load(name: str) -> click.Command:
    module, attribute = _COMMANDS[name]
    found = getattr(import_module(f"gitml.cli.commands.module.{module}"), attribute)
    assert isinstance(found, click.Command)
    return found


@click.group("module", cls=ModuleGroup, context_settings=_SETTINGS, no_args_is_help=True)
def command() -> None:
    """Reusable, versioned steps: write one, publish it, use it in pipelines, deprecate it."""
