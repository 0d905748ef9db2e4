"""Drives py-rattler in a process of its own, which can be ended at any time: `python rattler_program.py REQUEST`.

REQUEST is a JSON file; what happens is printed as JSON, one object a line: ``{"doing": …}`` while packages are installed,
``{"result": …}`` in the end, or ``{"error": …}`` with the exit status 1. The file is started by its path, so it needs nothing
of gitml.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from rattler import (
    BuildString,
    Client,
    Config,
    InstallerReporter,
    PackageRecord,
    RepoDataRecord,
    Subdir,
    VersionWithSource,
    install,
)

_INTERVAL = 0.5  # seconds between two lines
_SETTINGS_OF = "pixi"  # its settings files are read beside rattler's own: mirrors, proxies, where credentials are
_POST_LINK = re.compile(r"bin/\.(.+)-post-link\.sh")


def say(**event: Any) -> None:
    """Prints one event."""
    print(json.dumps(event), flush=True)


class Progress(InstallerReporter):  # type: ignore[misc]
    """Counts packages and bytes, and prints them now and then. Threads of rattler call it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.linked = 0
        self.bytes: dict[int, int] = {}
        self.said = 0.0

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        """Bytes of one archive have come."""
        self.bytes[download_idx] = progress
        self.print_now_and_then()

    def on_link_complete(self, index: int) -> None:
        """One package is installed."""
        self.linked += 1
        self.print_now_and_then()

    def print_now_and_then(self) -> None:
        """Prints how far it is unless that was printed just now."""
        now = time.monotonic()
        if now - self.said >= _INTERVAL:
            self.said = now
            say(doing={"linked": self.linked, "total": self.total, "bytes": sum(list(self.bytes.values()))})


def settings() -> Config:
    """The user's settings of rattler and pixi."""
    return Config.load_from_default_locations(_SETTINGS_OF)


def client() -> Client:
    """What fetches, by the user's settings and with the user's credentials."""
    return Client.from_config(settings(), user_agent="gitml")


def record_of(package: dict[str, Any]) -> RepoDataRecord:
    """The record of a package of a request.

    It has no dependencies: what a prefix ends up with must follow from what packages are identified by.
    """
    kind, _, digits = package["hash"].partition(":")
    number = re.search(r"_([0-9]{1,9})$", package["build"])
    record = PackageRecord(
        package["name"],
        VersionWithSource(package["version"]),
        BuildString(package["build"]),
        int(number[1]) if number else 0,
        package["subdir"],
        sha256=bytes.fromhex(digits) if kind == "sha256" else None,
        md5=bytes.fromhex(digits) if kind == "md5" else None,
        size=package["size"] or None,
        python_site_packages_path=package["site_packages"] or None,
    )
    channel = package["url"].rsplit("/", 2)[0]
    return RepoDataRecord(record, package["url"].rpartition("/")[2], package["url"], channel)


async def install_packages(request: dict[str, Any]) -> dict[str, Any]:
    """Installs the packages of a request into its prefix; gives the packages whose script was not run."""
    records = [record_of(package) for package in request["packages"]]
    await install(
        records,
        request["prefix"],
        cache_dir=Path(request["cache"]) if request["cache"] else None,
        installed_packages=[],
        platform=Subdir(request["subdir"]),
        execute_link_scripts=False,
        show_progress=False,
        client=client(),
        reporter=Progress(len(records)),
        config=settings(),
    )
    names = os.listdir(f"{request['prefix']}/bin") if os.path.isdir(f"{request['prefix']}/bin") else []
    found = [match[1] for name in names if (match := _POST_LINK.fullmatch(f"bin/{name}"))]
    return {"scripts": sorted(found)}


WORK = {"install": install_packages}
"""By what a request asks for."""


def main(path: str) -> int:
    """Does what the request at `path` asks for."""
    with open(path, "rb") as file:
        request = json.load(file)
    try:
        result = asyncio.run(WORK[request["work"]](request))
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        return 1
    say(result=result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
