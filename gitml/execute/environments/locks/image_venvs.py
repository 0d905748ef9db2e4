"""Virtual environments within images: made by uv there, of the image's Python, so that what is built fits the image's libraries.

uv itself, its cache and the user's settings of it are shown in the sandbox for that time, the image stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from gitml import layout
from gitml.execute.environments.images.root import ImageRoot
from gitml.execute.environments.locks.venvs import PackageList, install
from gitml.execute.environments.single_build import build_once, read_marker, write_marker
from gitml.execute.environments.software import MachineSoftware
from gitml.execute.environments.uv_commands import UvCommands
from gitml.execute.process import StopRequests
from gitml.execute.sandbox.image_view import ShownFolder
from gitml.execute.sandbox.isolation import Isolation
from gitml.execute.sandbox.removal import remove_tree
from gitml.platform.linux import MOUNTED

_SETTINGS = (".netrc", ".config/uv", ".config/netrc")  # of the user's home


def build_in_image(
    shown: ShownFolder,
    image: ImageRoot,
    packages: PackageList,
    here: MachineSoftware,
    stop: StopRequests,
    report: Callable[[str], None],
) -> None:
    """Builds the environment that programs in `image` see as `shown`, if it is not built.

    InputError in uv's words when it fails; nothing is left then. StoppedError when `stop` asks.
    """
    make = partial(_build, shown, image, packages, here, stop, report)
    build_once(shown.path, lambda: read_marker(shown.path) and True, make, stop, report)


def _build(
    shown: ShownFolder,
    image: ImageRoot,
    packages: PackageList,
    here: MachineSoftware,
    stop: StopRequests,
    report: Callable[[str], None],
) -> bool:
    stage = f"{shown.path}.stage"
    remove_tree(stage)
    os.makedirs(f"{stage}/work")
    os.mkdir(shown.path)
    try:
        uv = UvCommands(here.machine, os.path.dirname(os.path.dirname(shown.path)), stop, report)
        _move_into(uv, image, stage, shown._replace(writable=True))
        listed = "work/requirements.txt"
        version = install(packages, uv, packages.python or "3", shown.seen, f"{stage}/{listed}", f"{MOUNTED}/{listed}")
        write_marker(shown.path, {"python": packages.python, "uv": version, "roots": []})
    finally:
        remove_tree(stage)
    return True


def _move_into(uv: UvCommands, image: ImageRoot, stage: str, environment: ShownFolder) -> None:
    """Has `uv` run in the image, with a sandbox at `stage`; what its settings name of the machine is shown there."""
    env = uv.env
    cache = env.get("UV_CACHE_DIR") or os.path.join(layout.user_cache(env), "uv")
    os.makedirs(cache, exist_ok=True)
    shown = [environment, ShownFolder(uv.path, "uv"), ShownFolder(cache, "cache", writable=True)]
    home = env.get("HOME", "")
    for name in _SETTINGS:
        if home and os.path.exists(os.path.join(home, name)):
            shown.append(ShownFolder(os.path.join(home, name), f"home/{name}"))
    for variable in ("UV_FIND_LINKS", "SSL_CERT_FILE", "NETRC"):
        places = []
        for number, place in enumerate(env.get(variable, "").split()):
            if place.startswith("/") and os.path.exists(place):
                shown.append(ShownFolder(place, f"{variable.lower()}-{number}"))
                place = shown[-1].seen
            places.append(place)
        if places:
            env[variable] = " ".join(places)
    os.makedirs(f"{stage}/home", exist_ok=True)
    env.update(image.variables())
    env.update(
        PATH=image.search_path(),
        HOME=f"{MOUNTED}/home",
        TMPDIR="/tmp",  # noqa: S108  the sandbox's own
        UV_CACHE_DIR=f"{MOUNTED}/cache",
        UV_LINK_MODE="copy",  # its cache is another mount
        UV_PYTHON_PREFERENCE="only-system",
    )
    uv.path = shown[1].seen
    uv.confine = Isolation(False, "full", seen=MOUNTED, folder=stage, root=image.folder, shown=tuple(shown)).enter
