"""`gitml check`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, INPUT
from gitml.cli.session import Session, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import safe


@verb("check", json=True)
@click.argument("files", metavar="[FILE]...", nargs=-1)
def command(session: Session, files: tuple[str, ...]) -> int:
    """Check pipeline files, gitml.yaml and module.yaml, and report every mistake of all of them with its line.

    Without FILE: each gitml.yaml and every pipeline, those of projects in subfolders too. Nothing is planned or run, and no
    place is used. Exits with 2 when there is a mistake.
    """
    from gitml.analysis.file_check import check_files

    found = check_files(session.ws, files)
    session.result(
        {
            "files": list(found.files),
            "mistakes": [mistake._asdict() for mistake in found.mistakes],
            "warnings": list(found.warnings),
        },
        *[safe(str(mistake)) for mistake in found.mistakes],
    )
    if not session.json:
        session.warn(*map(safe, found.warnings))
    if not found.files:
        session.remark("no pipelines here: `gitml init` writes one to start from")
    elif found.mistakes:
        session.remark(f"{count(len(found.mistakes), 'mistake')}; {count(len(found.files), 'file')} checked")
    else:
        session.remark(f"no mistakes in {count(len(found.files), 'file')}")
    return INPUT if found.mistakes else DONE
