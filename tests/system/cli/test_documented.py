"""docs/commands.md tells of every command and option, and the table of commands tells what they say themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from gitml.cli.main import gitml
from gitml.cli.table import COMMANDS
from tests.system.conftest import ROOT

DOCS = (ROOT / "docs/commands.md").read_text()


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = gitml.get_command(click.Context(gitml), name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for below in command.list_commands(click.Context(command)):
                inner = command.get_command(click.Context(command), below)
                assert inner is not None
                yield f"{name} {below}", inner


def section(name: str) -> str:
    found = re.search(rf"^#+ gitml {name}\n(.*?)(?=^#+ gitml |^## |\Z)", DOCS, re.M | re.S)
    return found[1] if found else ""


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_and_option_is_documented(name: str, command: click.Command) -> None:
    text = section(name)
    assert text, f"{name} has no section"
    general = DOCS.partition("\n## Run\n")[0]
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            for spelled in option.opts:
                where = general if spelled in ("-C", "-q", "--quiet", "-v", "--verbose", "--trust") else text
                assert f"`{spelled}`" in where or f"{spelled}" in where, f"{name} {spelled}"


def test_nothing_is_documented_that_is_not_there() -> None:
    named = set(re.findall(r"^#+ gitml (.+)$", DOCS, re.M))
    assert named == {name for name, _ in commands()}


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_and_option_has_a_help(name: str, command: click.Command) -> None:
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option) and not option.hidden)


def test_the_help_of_a_group_names_its_commands_with_whole_sentences() -> None:
    groups = {name: command for name, command in commands() if isinstance(command, click.Group)}
    assert {"env", "module", "trust"} <= groups.keys()
    for name, group in groups.items():
        text = group.get_help(click.Context(group, info_name=name))
        assert "..." not in text.partition("\nCommands:\n")[2], text


def test_commands_that_list_or_show_have_json() -> None:
    without = {name for name, command in commands() if not any("--json" in option.opts for option in command.params)}
    groups = {"env", "hooks", "lineage", "metrics", "module", "params", "plots", "trust"}
    assert without == {"completion", "demo", "schema", "shell", "ui"} | groups
