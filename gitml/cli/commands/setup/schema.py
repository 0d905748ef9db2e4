"""`gitml schema`."""

from __future__ import annotations

import json

import click

from gitml.cli.session import Session, verb


@verb("schema")
@click.argument("file", metavar="pipeline|module|project", type=click.Choice(("pipeline", "module", "project")))
def command(session: Session, file: str) -> None:
    """Print the JSON Schema of pipeline files, of module.yaml or of gitml.yaml (project), for editors.

    It has every key with its kind of value and a sentence about it. What leads nowhere, an unknown step say, only gitml finds.
    """
    from gitml.core.config.parse import project_schema
    from gitml.core.language.parse import pipeline_schema
    from gitml.modules.spec import module_schema

    schemas = {"pipeline": pipeline_schema, "module": module_schema, "project": project_schema}
    session.show(json.dumps(schemas[file](), indent=2))
