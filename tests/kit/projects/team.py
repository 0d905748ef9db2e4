"""A team: people with clones of one bare repository, each driving gitml by the command line."""

from __future__ import annotations

from pathlib import Path

from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository

PIPELINE = """\
name: say
params: {who: world}
steps:
  say:
    run: python3 say.py ${{ outputs.said }} ${{ params.who }}
    outputs: {said: file}
"""
SCRIPT = "import sys; open(sys.argv[1], 'w').write('hello ' + sys.argv[2]); print('said', sys.argv[2])\n"
FILES = {"pipelines/say.yaml": PIPELINE, "say.py": SCRIPT}


class Team:
    """The bare repository `hub` below `path`, which begins with one commit, and the people who cloned it."""

    def __init__(self, path: Path, *, object_format: str = "sha1") -> None:
        self.path = path
        self.object_format = object_format
        self.hub = Repository(path / "hub.git", bare=True, object_format=object_format)
        self.people: dict[str, Project] = {}
        seed = Repository(path / "seed", object_format=object_format)
        seed.commit("begin", FILES)
        seed.git("push", "-q", self.hub.path, "main")

    def person(self, name: str, url: str | None = None, *options: str) -> Project:
        """Somebody with a fresh clone."""
        folder = self.path / name
        self.hub.git("clone", "-q", *options, "--", url or self.hub.path, str(folder))
        project = Project(folder)
        (folder / ".git/FETCH_HEAD").unlink(missing_ok=True)
        self.people[name] = project
        return project

    def runs_of(self, person: Project) -> set[str]:
        """The ids of all runs that a person sees."""
        return {row["run"] for row in person.do("log", "--all", "--json").json}
