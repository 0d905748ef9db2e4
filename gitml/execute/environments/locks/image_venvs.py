"""Virtual environments within images: made by uv there, of the image's Python, so that what is built fits the image's libraries.

uv itself, its cache and the user's settings of it are shown in the sandbox for that time, the image stays as it is.
"""

from __future__ import annotations

import os
import struct
from functools import partial

from gitml.errors import InputError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.bytecode import compile_bytecode, site_folders
from gitml.execute.environments.images.root import ImageRoot
from gitml.execute.environments.index_passwords import write_passwords
from gitml.execute.environments.locks.venvs import PackageList, install, write_list
from gitml.execute.environments.single_build import build_once, read_marker, write_marker
from gitml.execute.environments.software import MachineSoftware
from gitml.execute.environments.uv_commands import UvCommands, refuse_source, uv_program
from gitml.execute.sandbox.image_view import ShownFolder
from gitml.execute.sandbox.isolation import Isolation
from gitml.execute.sandbox.removal import remove_tree
from gitml.platform.linux import MOUNTED

_HEAD = 2**16  # bytes of a program that hold what says how it is started
_ELF_HEADER = 64
_INTERPRETER = 3  # the kind of an ELF program header: PT_INTERP
_LONGEST = 4096
_SYSTEM_CERTS = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
_FALSE = ("", "0", "false", "no", "off")
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_SETTINGS = ".config/uv"  # of the user's home
_LIST, _CACHE = "requirements.txt", "uv"
_PASSED = frozenset(
    (
        *("NO_COLOR", "SSL_CERT_FILE", "NETRC"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)


def build_in_image(
    shown: ShownFolder,
    image: ImageRoot,
    packages: PackageList,
    here: MachineSoftware,
    control: BuildControl,
) -> None:
    """Builds the environment that programs in `image` see as `shown`, if it is not built.

    InputError in uv's words when it fails; nothing is left then. StoppedError when `control.stop` asks.
    """
    make = partial(_build, shown, image, packages, here, control)
    build_once(shown.path, lambda: read_marker(shown.path) and True, make, control)


def _build(
    shown: ShownFolder,
    image: ImageRoot,
    packages: PackageList,
    here: MachineSoftware,
    control: BuildControl,
) -> bool:
    if not control.from_source:
        refuse_source(packages.sources)
    _need_loader(uv_program(here.machine), image)
    stage = f"{shown.path}.stage"
    remove_tree(stage)
    os.makedirs(f"{stage}/work")
    os.mkdir(shown.path)
    try:
        uv = UvCommands(here.machine, os.path.dirname(os.path.dirname(shown.path)), control.stop, control.report)
        write_list(packages, f"{stage}/{_LIST}")  # before a program of the image can put a link in its place
        _move_into(uv, image, stage, shown._replace(writable=True), packages)
        version = install(
            packages, uv, packages.python or "3", shown.seen, f"{MOUNTED}/{_LIST}", from_source=control.from_source
        )
        control.report("compiling the packages")
        sites = [f"{shown.seen}/{site}" for site in site_folders(shown.path)]
        env = {**image.variables(), "PATH": image.search_path()}
        compile_bytecode(f"{shown.seen}/bin/python", sites, env, control.stop, uv.confine)
        write_marker(shown.path, {"python": packages.python, "uv": version, "roots": []})
    finally:
        remove_tree(stage)
    return True


def _need_loader(uv: str, image: ImageRoot) -> None:
    """InputError for an image that lacks the program which starts uv there."""
    with open(uv, "rb") as file:
        loader = elf_interpreter(file.read(_HEAD))
    if loader and not image.is_executable(loader):
        what = f"uv can't install packages in the image: it needs glibc, and the image has no {loader}"
        hint = "take one with glibc (as python:3.12-slim, not -alpine), or install the packages in the image itself"
        raise InputError(what, hint=hint)


def elf_interpreter(head: bytes) -> str:
    """The path of the program that starts an ELF program which begins with `head`; empty where it needs none, or is no such."""
    if head[:4] != b"\x7fELF" or len(head) < _ELF_HEADER or head[5] != 1:  # of another byte order, it does not run here
        return ""
    wide = head[4] == 2
    try:
        (offset,) = struct.unpack_from("<Q" if wide else "<I", head, 32 if wide else 28)
        size, count = struct.unpack_from("<HH", head, 54 if wide else 42)
        for at in range(offset, offset + size * count, size or 1):
            if struct.unpack_from("<I", head, at) != (_INTERPRETER,):
                continue
            (start,) = struct.unpack_from("<Q" if wide else "<I", head, at + (8 if wide else 4))
            (length,) = struct.unpack_from("<Q" if wide else "<I", head, at + (32 if wide else 16))
            return head[start : start + min(length, _LONGEST)].rstrip(b"\0").decode("utf-8", "replace")
    except (struct.error, OverflowError):
        pass  # it is not all of it
    return ""


def _move_into(uv: UvCommands, image: ImageRoot, stage: str, environment: ShownFolder, packages: PackageList) -> None:
    """Has `uv` run in the image, with a sandbox at `stage`; what its settings name of the machine is shown there.

    The image's own Python, and its libraries, see all that uv sees. So its cache is the image's, as what lies in the user's own
    is trusted by other environments, and of variables and passwords it has what is for the indexes.
    """
    env = {name: value for name, value in uv.env.items() if name in _PASSED or name.startswith("UV_")}
    env.pop("UV_NO_CACHE", None)
    wanted = [env.pop(name, "") for name in _SYSTEM_CERTS]
    if any(value not in _FALSE for value in wanted) and "SSL_CERT_FILE" not in env:
        # those of the machine, which an image need not have
        certificates = next((place for place in _CERTIFICATES if os.path.isfile(place)), None)
        env.update({"SSL_CERT_FILE": certificates} if certificates else {})
    cache = os.path.join(os.path.dirname(image.folder), _CACHE)
    os.makedirs(cache, mode=0o700, exist_ok=True)
    shown = [environment, ShownFolder(uv.path, "uv"), ShownFolder(cache, "cache", writable=True)]
    home = uv.env.get("HOME", "")
    os.makedirs(f"{stage}/home", exist_ok=True)
    settings = os.path.join(home, _SETTINGS)
    if home and os.path.exists(settings):
        shown.append(ShownFolder(settings, f"home/{_SETTINGS}"))
    write_passwords(f"{stage}/home/.netrc", uv.env, (*packages.indexes, *packages.lines))
    env.pop("NETRC", None)
    for variable in ("UV_FIND_LINKS", "SSL_CERT_FILE"):
        places = []
        for number, place in enumerate(env.get(variable, "").split()):
            if place.startswith("/") and os.path.exists(place):
                shown.append(ShownFolder(place, f"{variable.lower()}-{number}"))
                place = shown[-1].seen
            places.append(place)
        if places:
            env[variable] = " ".join(places)
    own = {name: value for name, value in image.variables().items() if not name.startswith("UV_")}
    env = {**own, **env}
    env.update(
        PATH=image.search_path(),
        HOME=f"{MOUNTED}/home",
        TMPDIR="/tmp",  # noqa: S108  the sandbox's own
        UV_CACHE_DIR=f"{MOUNTED}/cache",
        UV_LINK_MODE="copy",  # its cache is another mount
        UV_PYTHON_PREFERENCE="only-system",
    )
    uv.env = env
    uv.path = shown[1].seen
    uv.confine = Isolation(False, "full", seen=MOUNTED, folder=stage, root=image.folder, shown=tuple(shown)).enter
