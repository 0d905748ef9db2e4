"""The libraries of the machine's GPU driver, which belong to its kernel and which images therefore leave to the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

FOLDER = "gpu-libraries"
"""The folder of a sandbox in which a step in an image sees them."""
_DRIVER = "/dev/nvidiactl"
_LDCONFIG = ("/sbin/ldconfig", "/usr/sbin/ldconfig", "/run/current-system/sw/bin/ldconfig")
_LINE = re.compile(r"\s*(\S+) \(([^)]*)\) => (/\S.*)")
_NAMES = re.compile(
    r"lib(cuda|cudadebugger|nvcuvid|nvoptix|nvidia-(ml|ptxjitcompiler|nvvm|nvvm70|gpucomp|opencl|encode|allocator|cfg|fbc))\.so\.[0-9]+"
)
_ARCHITECTURES = {"x86_64": "x86-64", "aarch64": "AArch64"}


class GpuLibrary(NamedTuple):
    """A library at `path` by the name under which programs load it."""

    name: str
    path: str


@cache
def gpu_libraries() -> tuple[GpuLibrary, ...]:
    """Those of this machine; none where it has no such driver."""
    if not os.path.exists(_DRIVER):
        return ()
    import subprocess

    for program in _LDCONFIG:
        try:
            done = subprocess.run(
                [program, "-p"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        return tuple(libraries_in(done.stdout.splitlines(), os.uname().machine))
    return ()


def libraries_in(lines: Iterable[str], machine: str) -> Iterator[GpuLibrary]:
    """Those in what ``ldconfig -p`` prints, for programs of that ``uname -m``; of one name the first, as loaders do."""
    wanted = _ARCHITECTURES.get(machine)
    seen: set[str] = set()
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None or _NAMES.fullmatch(found[1]) is None or found[1] in seen:
            continue
        if wanted is not None and wanted in found[2].split(","):
            seen.add(found[1])
            yield GpuLibrary(found[1], found[3])
