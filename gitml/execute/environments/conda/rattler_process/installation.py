"""Installs packages into a prefix."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
from pathlib import Path
from typing import Any

from rattler import PackageCache, PackageCacheLayer, RepoDataRecord, Subdir, ValidationMode, install

from gitml.execute.environments.conda.rattler_process.archives import fetch, info_of_archive, info_of_folder, record_of
from gitml.execute.environments.conda.rattler_process.events import InstallProgress
from gitml.execute.environments.conda.rattler_process.known_packages import KnownPackages
from gitml.execute.environments.conda.rattler_process.prefix_files import PrefixFiles
from gitml.execute.environments.conda.rattler_process.settings import client, settings

_AT_ONCE = 8  # downloads
_POST_LINK = re.compile(r"bin/\.(.+)-post-link\.sh")


async def install_packages(request: dict[str, Any]) -> dict[str, Any]:
    """Installs the packages of a request into its prefix; gives those whose script was not run.

    What was extracted for another prefix is used again, after its files are hashed: a step may have written to them.
    """
    _take_place(request)
    progress = InstallProgress(len(request["packages"]))
    fetcher, gate = client(), asyncio.Semaphore(_AT_ONCE)
    files, known, archives = PrefixFiles(), KnownPackages(request["cache"]), request["archives"]
    await known.look()

    async def record(package: dict[str, Any]) -> RepoDataRecord:
        sha256 = known.sha256(package)
        if sha256 is not None and not package["url"].startswith("file:"):
            info = info_of_folder(known.folder(package))
            if info.index_json is not None:
                found = record_of(package, info, sha256, package["url"], archives)
                if known.has(found):
                    files.add(package["name"], *info)
                    return found
        async with gate:
            path, sha256 = await fetch(package, archives, fetcher, progress)
            info = await info_of_archive(path)
        files.add(package["name"], *info)
        return record_of(package, info, sha256, Path(path).as_uri(), archives)

    records = await asyncio.gather(*[record(package) for package in request["packages"]])
    files.check_links()
    layer = PackageCacheLayer(request["cache"]).with_validation_mode(ValidationMode.full())
    await install(
        records,
        request["prefix"],
        installed_packages=[],
        platform=Subdir(request["subdir"]),
        execute_link_scripts=False,
        show_progress=False,
        client=fetcher,
        reporter=progress,
        config=settings(),
        package_cache=PackageCache.from_layers([layer]),
    )
    for package, installed in zip(request["packages"], records, strict=True):
        known.add(package, installed.sha256.hex())
    programs = f"{request['prefix']}/bin"
    names = os.listdir(programs) if os.path.isdir(programs) else []
    return {"scripts": sorted([match[1] for name in names if (match := _POST_LINK.fullmatch(f"bin/{name}"))])}


def _take_place(request: dict[str, Any]) -> None:
    """Waits for a process whose parent was killed, which may still write there, and removes what it left."""
    lock = os.open(request["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)  # held until this process ends
    for folder in (request["prefix"], request["archives"]):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
