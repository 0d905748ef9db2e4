"""A team whose artifacts are too large for records: a pipeline with a large file, a directory and steps that need only one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.kit.projects.command_line import Project
from tests.kit.projects.team import Team

PIPELINE = """\
name: big
params: {seed: 1, cut: 10}
steps:
  make:
    run: python3 make.py ${{ outputs.model }} ${{ outputs.parts }} ${{ params.seed }}
    outputs: {model: file, parts: directory}
  head:
    run: python3 head.py ${{ steps.make.outputs.model }} ${{ outputs.first }} ${{ params.cut }}
    outputs: {first: file}
  count:
    run: python3 count.py ${{ steps.make.outputs.parts }} ${{ outputs.number }}
    outputs: {number: metrics}
"""
MAKE = """\
import os, random, sys
model, parts, seed = sys.argv[1:]
chance = random.Random(int(seed))
open(model, "wb").write(chance.randbytes(3_000_000))
os.makedirs(parts + "/sub")
for number in range(40):
    open(f"{parts}/sub/{number:03d}.bin", "wb").write(chance.randbytes(20_000))
open(parts + "/large.bin", "wb").write(chance.randbytes(2_000_000))
os.symlink("sub/001.bin", parts + "/link")
open(parts + "/tool.sh", "w").write("#!/bin/sh\\n")
os.chmod(parts + "/tool.sh", 0o755)
"""
HEAD = "import sys\nopen(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read(int(sys.argv[3])))\n"
COUNT = "import json, os, sys\njson.dump({'files': len(os.listdir(sys.argv[1] + '/sub'))}, open(sys.argv[2], 'w'))\n"
RECORDS = "records: {inline_file: 1KiB, inline_run: 4KiB}\n"  # so that nothing large travels with records


def big_files(remotes: str) -> Mapping[str, str]:
    """The project, with this under ``remotes:`` in its gitml.yaml."""
    return {
        "pipelines/big.yaml": PIPELINE,
        "make.py": MAKE,
        "head.py": HEAD,
        "count.py": COUNT,
        "gitml.yaml": f"defaults: {{pipeline: big}}\n{RECORDS}remotes: {remotes}\n",
    }


class ArtifactTeam(Team):
    """A Team whose repository has the project, with these remote stores; `wipe` takes all out of the store without gitml."""

    def __init__(
        self,
        path: Path,
        remotes: str,
        env: Mapping[str, str] | None = None,
        wipe: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(path)
        self.wipe = wipe
        self.env = dict(env or {})
        author = self.person("author")
        author.repo.commit("the project", big_files(remotes))
        author.repo.git("push", "-q", "origin", "main")

    def person(self, name: str, url: str | None = None, *options: str) -> Project:
        """Somebody with a fresh clone, and what the environment says of the stores."""
        project = super().person(name, url, *options)
        project.env.update(self.env)
        return project


def stored(project: Project) -> set[str]:
    """The objects that a person has on this machine."""
    top = project.path / ".git/gitml/objects"
    return {path.parent.name + path.name for path in top.glob("??/*")}


def bytes_stored(project: Project) -> int:
    """Their bytes."""
    top = project.path / ".git/gitml/objects"
    return sum(os.stat(path).st_size for path in top.glob("??/*"))
