"""`gitml module`: the commands about modules and the registry."""

from __future__ import annotations

import click

from gitml.cli.commands import module_changing, module_folder, module_reading, module_sharing

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class InOrder(click.Group):
    """A group that lists its commands as they were added, and answers an unknown one with the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a usage error with the nearest name for an unknown one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from gitml.core.diagnostics import nearest

            raise click.UsageError(f"no command 'module {args[0]}'{nearest(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)


@click.group("module", cls=InOrder, context_settings=_SETTINGS, no_args_is_help=True)
def command() -> None:
    """Reusable, versioned steps: write one, publish it, use it in pipelines, and say when it should no longer be used."""


for _made in (
    module_folder.init,
    module_folder.check,
    module_changing.publish,
    module_reading.list_modules,
    module_reading.show,
    module_reading.versions,
    module_reading.history,
    module_reading.resolve,
    module_reading.diff,
    module_reading.get,
    module_changing.deprecate,
    module_changing.disable,
    module_changing.enable,
    module_changing.set_default,
    module_sharing.pull,
    module_sharing.push,
    module_sharing.verify,
    module_sharing.rebuild,
):
    command.add_command(_made)
