"""`gitml module`: the commands about modules and the registry, each imported when it is invoked."""

from __future__ import annotations

import click

from gitml.cli.main import LazyGroup

_COMMANDS = {
    "init": "module.lifecycle:init",
    "check": "module.lifecycle:check",
    "run": "module.run:run",
    "publish": "module.lifecycle:publish",
    "list": "module.read:list_modules",
    "show": "module.read:show",
    "versions": "module.read:versions",
    "history": "module.read:history",
    "resolve": "module.read:resolve",
    "diff": "module.read:diff",
    "get": "module.read:get",
    "deprecate": "module.lifecycle:deprecate",
    "disable": "module.lifecycle:disable",
    "enable": "module.lifecycle:enable",
    "set-default": "module.lifecycle:set_default",
    "pull": "module.share:pull",
    "push": "module.share:push",
    "verify": "module.share:verify",
    "rebuild": "module.share:rebuild",
}


@click.group("module", cls=LazyGroup, table=_COMMANDS, no_args_is_help=True)
def command() -> None:
    """Reusable, versioned steps: write one, publish it, use it in pipelines, deprecate it."""
