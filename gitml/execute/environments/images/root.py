"""The root of an image on this machine, and what its programs find there; paths in it are looked up without entering it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitml.execute.sandbox.gpu_libraries import FOLDER, GpuLibrary
from gitml.execute.sandbox.image_view import ShownFolder
from gitml.platform.linux import MOUNTED

_DEFAULT_PATH = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as engines have it for images without one
)
_MOST_LINKS = 40
_LIBRARY_PATH = "LD_LIBRARY_PATH"


class ImageRoot(NamedTuple):
    """An image unpacked at `folder`, with the variables that it sets for its programs, and what of the machine these see."""

    folder: str
    env: tuple[tuple[str, str], ...] = ()
    shown: tuple[ShownFolder, ...] = ()

    def variables(self) -> Mapping[str, str]:
        """The image's own variables, without PATH."""
        return {name: value for name, value in self.env if name != "PATH"}

    def search_path(self) -> str:
        """The PATH of the image's programs."""
        return dict(self.env).get("PATH") or _DEFAULT_PATH

    def with_gpu_libraries(self, libraries: Sequence[GpuLibrary]) -> ImageRoot:
        """The same, whose programs find these `libraries` of the machine behind those of the image."""
        if not libraries:
            return self
        shown = [ShownFolder(library.path, f"{FOLDER}/{library.name}") for library in libraries]
        env = dict(self.env)
        searched = [path for path in (env.get(_LIBRARY_PATH), f"{MOUNTED}/{FOLDER}") if path]
        env[_LIBRARY_PATH] = ":".join(searched)
        return self._replace(env=tuple(env.items()), shown=(*self.shown, *shown))

    def find_program(self, name: str, path: str) -> str | None:
        """The executable file of the image that `name` means on the search path `path`; a name with a slash is taken as it is."""
        if "/" in name:
            return name
        for directory in path.split(":"):
            if directory.startswith("/") and self.is_executable(f"{directory}/{name}"):
                return f"{directory}/{name}"
        return None

    def is_executable(self, path: str) -> bool:
        """Whether there is a file at the absolute `path` of the image that its user may run."""
        found = self.place_of(path)
        if found is None:
            return False
        try:
            mode = os.lstat(found).st_mode
        except OSError:
            return False
        return stat.S_ISREG(mode) and os.access(found, os.X_OK)

    def exists(self, path: str) -> bool:
        """Whether there is anything at the absolute `path` of the image."""
        return self.place_of(path) is not None

    def place_of(self, path: str) -> str | None:
        """Where on this machine the absolute `path` of the image is, links followed as they lead in it; None where nothing is."""
        left = path.split("/")[::-1]
        found: list[str] = []
        links = 0
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del found[-1:]
                continue
            place = self._joined((*found, name))
            try:
                mode = os.lstat(place).st_mode
                target = os.readlink(place) if stat.S_ISLNK(mode) else None
            except (OSError, ValueError):
                return None
            if target is None:
                found.append(name)
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            if target.startswith("/"):
                found.clear()
            left += target.split("/")[::-1]
        return self._joined(found)

    def _joined(self, names: Sequence[str]) -> str:
        """Where on this machine a path of the image is that has no links."""
        path = "/" + "/".join(names)
        for item in self.shown:
            if f"{path}/".startswith(f"{item.seen}/"):
                return item.path + path[len(item.seen) :]
        return self.folder + path.rstrip("/")
