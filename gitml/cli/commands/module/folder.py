"""`gitml module init` and `check`."""

from __future__ import annotations

from typing import Any

import click

from gitml.cli.session import Session, verb
from gitml.cli.text.terminal import safe


@verb("init", json=True)
@click.argument("folder", metavar="DIR")
@click.option("--name", metavar="NAME", help="What it is called, name or owner/name; default: the name of the folder.")
def init(session: Session, folder: str, name: str | None) -> None:
    """Start a module in DIR: a module.yaml and a program that work, to be changed into what is wanted."""
    from gitml.modules.folder import create_module

    begun = create_module(folder, name)
    if session.json:
        session.show_json({"name": begun.name, "files": list(begun.files)})
    else:
        session.show(*[safe(path) for path in begun.files])
        session.note(
            f"try it: gitml module run {safe(folder)} -I text=FILE; commit it, then gitml module publish {safe(folder)}"
        )


@verb("check", json=True)
@click.argument("folder", metavar="DIR")
def check(session: Session, folder: str) -> None:
    """Check the module.yaml in DIR and report every mistake with its line."""
    from gitml.modules.folder import check_folder

    spec = check_folder(folder)
    if session.json:
        data: dict[str, Any] = {
            "name": spec.name,
            "version": spec.version,
            "inputs": {p.name: {"type": p.kind, "optional": p.optional} for p in spec.inputs.values()},
            "outputs": {p.name: {"type": p.kind} for p in spec.outputs},
            "params": {p.name: {"type": p.type, "default": p.default} for p in spec.params.values()},
        }
        session.show_json(data)
    else:
        ports = f"{len(spec.inputs)} in, {len(spec.outputs)} out, {len(spec.params)} parameters"
        session.show(f"{spec.name}{f' {spec.version}' if spec.version else ''}: {ports}")
