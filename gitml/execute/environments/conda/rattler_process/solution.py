"""Solves what is wanted of conda packages, for each platform."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rattler import (
    BuildString,
    Channel,
    Gateway,
    GenericVirtualPackage,
    MatchSpec,
    PackageName,
    RepoDataRecord,
    Version,
    solve,
)

from gitml.execute.environments.conda.rattler_process.events import say
from gitml.execute.environments.conda.rattler_process.settings import client, settings


async def solve_environment(request: dict[str, Any]) -> dict[str, Any]:
    """What the specs of a request have installed on each of its platforms, by subdir."""
    until = request["until"]
    gateway = Gateway.from_config(settings(), cache_dir=Path(request["cache"]), client=client())
    found = {}
    for subdir, virtual in request["platforms"].items():
        say(doing={"solving": subdir})
        records = await solve(
            [Channel(channel) for channel in request["channels"]],
            [MatchSpec(spec) for spec in request["specs"]],
            gateway=gateway,
            platforms=[subdir, "noarch"],
            virtual_packages=[
                GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
                for name, version, build in virtual
            ],
            exclude_newer=None if until is None else datetime.fromtimestamp(until, UTC),
        )
        found[subdir] = [_as_json(record) for record in records]
    return {"platforms": found}


def _as_json(record: RepoDataRecord) -> dict[str, Any]:
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "subdir": record.subdir,
        "url": record.url,
        "md5": record.md5.hex() if record.md5 else "",
        "sha256": record.sha256.hex() if record.sha256 else "",
        "depends": list(record.depends),
    }
