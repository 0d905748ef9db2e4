"""Module folders and a registry for tests: a real repository, a clock that ticks once a second."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from gitml.git.repository import discover
from registry.interface import Interface, ModuleParam, ModulePort
from registry.registry import Publication, Registry
from registry.state import ModuleManifest
from tests.kit.projects.repository import DATE, Repository

INTERFACE = Interface((ModulePort("data", "file"),), (ModulePort("out", "file"),), (ModuleParam("n", "int", 3),))


class Clock:
    """Seconds since 1970: a second later whenever it is asked, unless it is set."""

    def __init__(self, start: float = DATE + 1e6) -> None:
        self.now = start

    def __call__(self) -> float:
        self.now += 1
        return self.now


class ModuleFolders:
    """A repository whose folder ``m`` is published again and again with other content."""

    def __init__(self, path: str | os.PathLike[str], *, object_format: str = "sha1", name: str = "m") -> None:
        self.repo = Repository(path, object_format=object_format)
        self.name = name
        self.clock = Clock()
        self.registry = Registry(discover(self.repo.path, {}), clock=self.clock)

    def publish(
        self,
        version: str,
        content: str | None = None,
        interface: Interface = INTERFACE,
        *,
        name: str | None = None,
        default: bool = False,
        allow_breaking: bool = False,
    ) -> Publication:
        """Commits the folder with `content` (the version itself when None) and publishes it."""
        files = {"m/module.yaml": f"content: {content or version}\n", "m/src/a.py": "print(1)\n"}
        self.repo.commit(f"for {version}", files)
        manifest = ModuleManifest(name or self.name, interface, version, f"{version} of it", "kind", ("t1", "t2"))
        return self.registry.publish(self.repo.file("m"), manifest, default=default, allow_breaking=allow_breaking)

    def log(self) -> list[str]:
        """The subjects of the records, oldest first, and the first parents only."""
        return self.repo.git("log", "--first-parent", "--reverse", "--format=%s", "refs/gitml/registry").split("\n")[1:]


@contextmanager
def module_folders(path: str | os.PathLike[str], **options: str) -> Iterator[ModuleFolders]:
    """A Shelf, closed in the end."""
    made = ModuleFolders(path, **options)
    try:
        yield made
    finally:
        made.registry.close()
