"""`gitml demo`."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys

import click

from gitml import layout
from gitml.cli.session import Session, verb
from gitml.cli.text.terminal import paint, safe
from gitml.consent.kinds import PLACES, RUN
from gitml.errors import InputError, MachineError

_IDENTITY = ("-c", "user.name=gitml demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
_CHANGE = ("pipelines/wine.yaml", "scale: {default: standard,", "scale: {default: none,")


@verb("demo")
@click.argument("folder", metavar="[DIR]", required=False)
def command(session: Session, folder: str | None) -> None:
    """Make a small repository in DIR and walk through it: run, reuse, change, explain, look back.

    DIR is gitml-demo unless it is given, or the first of gitml-demo-2, gitml-demo-3 … that is free. Three
    classifiers learn to name the grower of a wine. Nothing outside DIR is written, and nothing is asked.
    """
    if folder is None:
        names = itertools.chain(["gitml-demo"], (f"gitml-demo-{number}" for number in itertools.count(2)))
        folder = next(name for name in names if _is_free(name))
    root = os.path.abspath(folder)
    if not _is_free(root):
        raise InputError("there is something already", where=root, hint="name a folder that is new or empty")
    _make(root)
    tour = _Tour(session, root)
    tour.tell(f"A repository with one pipeline, in {safe(root)}")
    tour.git("init", "-q", "-b", "main")
    tour.git("add", "-A")
    tour.git("commit", "-q", "-m", "Name the grower of a wine")
    tour.gitml("dag")
    tour.tell("Run it: every step runs in a clean sandbox, from the commit")
    tour.gitml("run")
    tour.tell("Run it again: nothing changed, so nothing runs")
    tour.gitml("run")
    tour.tell("Change a parameter: the measurements are no longer scaled")
    tour.change()
    tour.gitml("explain", "prepare")
    tour.git("commit", "-q", "-a", "-m", "Leave the measurements as they are")
    tour.gitml("run")
    tour.tell("What did that do to the numbers?")
    tour.gitml("metrics", "diff", "HEAD~1..HEAD")
    tour.tell("Go back to the first commit, without checking it out: it is all still known")
    tour.gitml("run", "--at", "HEAD~1")
    tour.tell("Where does the report come from?")
    tour.gitml("lineage", "up", "latest:report.page")
    tour.tell("Everything that ran")
    tour.gitml("log")
    session.note("", f"It is yours now: cd {shlex.quote(safe(folder))}, then change something and run `gitml run`.")


class _Tour:
    """Prints each command before it runs it, as a person would type it."""

    def __init__(self, session: Session, root: str) -> None:
        self.session = session
        self.root = root

    def tell(self, line: str) -> None:
        """What the next commands are about."""
        self.session.note("", paint(f"# {line}", "bold", sys.stderr))

    def change(self) -> None:
        """Edits the pipeline file."""
        path, before, after = _CHANGE
        full = os.path.join(self.root, path)
        with open(full, encoding="utf-8") as file:
            text = file.read()
        if text.count(before) != 1:
            raise MachineError("the demo's pipeline is not as it should be", where=full, hint="install gitml again")
        with open(full, "w", encoding="utf-8") as file:
            file.write(text.replace(before, after))
        self._say("sed", "-i", f"s/{before}/{after}/", path)

    def git(self, *words: str) -> None:
        """A Git command, with an identity for those who have none."""
        self._run(["git", *words], ["git", "-c", "core.hooksPath=/dev/null", *_IDENTITY, *words])

    def gitml(self, *words: str) -> None:
        """A gitml command, of this very gitml."""
        self._run(["gitml", *words], [sys.executable, "-m", "gitml", *words])

    def _run(self, shown: list[str], real: list[str]) -> None:
        self._say(*shown)
        environ = {
            **os.environ,
            layout.TRUST_VARIABLE: f"{PLACES},{RUN}",
        }  # its own project: nothing is to be noted of it
        done = subprocess.run(real, cwd=self.root, env=environ, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise MachineError(
                f"`{shlex.join(shown)}` ended with {done.returncode}", where=self.root, hint="gitml doctor"
            )

    def _say(self, *words: str) -> None:
        sys.stdout.flush()
        self.session.note(f"{paint('$', 'green', sys.stderr)} {shlex.join(words)}")


def _is_free(path: str) -> bool:
    return not os.path.lexists(path) or (os.path.isdir(path) and not os.listdir(path))


def _make(root: str) -> None:
    """Copies the project that comes with gitml."""
    import shutil

    import gitml

    source = os.path.join(os.path.dirname(os.path.abspath(gitml.__file__)), "demo_project")
    if not os.path.isdir(source):
        raise MachineError("the demo's files are missing", where=source, hint="install gitml again")
    shutil.copytree(source, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
