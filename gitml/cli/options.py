"""Options that several commands share, and `bundle`, which passes a group of them to a command as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

Body = Callable[..., Any]


def bundle(name: str, make: Callable[..., Any], *decorators: Callable[[Body], Body]) -> Callable[[Body], Body]:
    """Adds the arguments and options of `decorators`, in their order; the command gets as `name` what `make` makes of them."""

    def decorate(body: Body) -> Body:
        @functools.wraps(body)
        def bound(*args: Any, **options: Any) -> Any:
            values = {key: options.pop(key) for key in keys}
            return body(*args, **options, **{name: make(**values)})

        own = list(getattr(body, "__click_params__", ()))
        bound.__click_params__ = []  # type: ignore[attr-defined]
        decorated: Any = bound
        for decorator in reversed(decorators):
            decorated = decorator(decorated)
        keys = [str(parameter.name) for parameter in decorated.__click_params__]
        decorated.__click_params__ = own + decorated.__click_params__  # click keeps them last first
        return decorated  # type: ignore[no-any-return]

    return decorate


def read_duration(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """The callback of an option that takes a time such as ``90s``: its seconds."""
    if value is None:
        return None
    from gitml.core.language.fields import seconds_of

    seconds = seconds_of(value)
    if seconds is None:
        raise click.BadParameter(f"{value[:60]!r} is not a time such as 90s, 10m, 2h or 1d")
    return seconds


at_option = click.option(
    "--at", "-r", "--rev", "rev", metavar="REV", help="The commit, branch, tag or HEAD~3 to look at, not the files."
)
set_option = click.option(
    "-S", "--set", "given", metavar="NAME=VALUE", multiple=True, help="Give a parameter a value; may be repeated."
)
secret_option = click.option(
    "--secret",
    "secrets",
    metavar="NAME",
    multiple=True,
    help="Ask for a secret parameter where GITML_SECRET_<NAME> is not set; may be repeated.",
)
on_option = click.option("--on", metavar="TARGET", help="Run every step on this target, not on those of the pipeline.")
cluster_option = click.option("--on", metavar="TARGET", help="Ask this cluster for runs that were submitted to it.")
