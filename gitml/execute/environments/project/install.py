"""Writes into a sandbox what makes the project's own package installed there: metadata and commands."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from gitml.core.planner.project_files import CONSOLE
from gitml.core.planner.project_package import ProjectPackage

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 120  # bytes of a first line, which Linux cuts at 127 or 255

_COMMAND = """\
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({function}())
"""


def write_metadata(project: ProjectPackage, folder: str) -> None:
    """Writes the ``dist-info`` of a package into `folder`, which is made."""
    normal = re.sub(r"[-_.]+", "_", project.name)
    info = f"{folder}/{normal}-{project.version}.dist-info"
    os.makedirs(info)
    head = f"Metadata-Version: 2.1\nName: {project.name}\nVersion: {project.version}\n"
    points = "".join(f"[{group}]\n{_lines(named)}\n" for group, named in sorted(project.entry_points.items()))
    for name, text in (("METADATA", head), ("entry_points.txt", points), ("INSTALLER", "gitml\n")):
        with open(f"{info}/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def write_commands(project: ProjectPackage, folder: str, python: str | None) -> None:
    """Writes the package's commands into `folder`, which is made; they are started by `python`, or by the first on PATH."""
    os.makedirs(folder)
    for group in CONSOLE:
        for name, target in project.entry_points.get(group, {}).items():
            module, _, function = target.partition(":")
            text = _COMMAND.format(module=module, first=function.partition(".")[0], function=function)
            path = f"{folder}/{name}"
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(_first_line(python) + text)
            os.chmod(path, 0o755)  # noqa: S103  a command


def _lines(points: Mapping[str, str]) -> str:
    return "".join(f"{name} = {target}\n" for name, target in sorted(points.items()))


def _first_line(python: str | None) -> str:
    """What has the kernel start `python`: by a shell where its path is longer than a first line may be, or has a space."""
    if python is None:
        return "#!/usr/bin/env python3\n"
    if " " not in python and len(os.fsencode(python)) < _LONGEST:
        return f"#!{python}\n"
    quoted = python.replace("'", "'\\''")  # of a text in single quotes
    return f"#!/bin/sh\n'''exec' '{quoted}' \"$0\" \"$@\"\n' '''\n"
