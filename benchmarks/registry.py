"""Resolving in a registry of 10,000 versions of 500 modules: by the lock, by a requirement, and after a fetch of 1,000 events."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.measure import (
    Sample,
    commit_all,
    environment,
    fresh,
    in_turn,
    measured,
    median_ratio,
    median_wall,
    program,
)
from benchmarks.measure import quiet as done
from benchmarks.report import raw, save, seconds, table
from registry.log.events import PUBLISH, Event, content_path, event_as_bytes
from registry.log.journal import stamp

REF = "refs/gitml/registry"
FIRST = 1_767_225_600  # 2026-01-01
FLOOR = "gitml --version"


def make(root: str, versions: int, modules: int) -> None:
    """A repository whose registry holds that many versions, one record each, written as one pack."""
    with open(os.path.join(root, "module.yaml"), "w", encoding="utf-8") as file:
        file.write("name: m\nrun: 'true'\n")
    commit_all(root, "a module")
    tree = done(["git", "rev-parse", "HEAD^{tree}"], root).strip()
    interface = {"inputs": {"data": {"type": "file"}}, "outputs": {"out": {"type": "file"}}, "params": {}}
    parts = [b"commit %s\nmark :1\ncommitter x <x@x> 0 +0000\ndata 0\n\n" % REF.encode()]
    for number in range(versions):
        name, version = f"team/m{number % modules}", f"1.{number // modules}.0"
        event = Event(
            f"{number:016x}", stamp(FIRST + number), "x <x@x>", PUBLISH, name, version,
            default=version, content=f"git:{tree}", interface=interface, description="a module of the benchmark",
        )  # fmt: skip
        data = event_as_bytes(event)
        parts.append(b"commit %s\ncommitter x <x@x> %d +0000\ndata 0\n" % (REF.encode(), FIRST + number))
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (event.file.encode(), len(data), data))
        parts.append(b"M 040000 %s %s\n" % (tree.encode(), content_path(name, version).encode()))
    command = ["git", "fast-import", "--quiet", "--date-format=raw-permissive"]
    subprocess.run(command, cwd=root, env=environment(), input=b"".join(parts), check=True)
    done([program("gitml", "gitml"), "module", "resolve", "team/m1"], root)


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--modules", type=int, default=500)
    parser.add_argument("--new", type=int, default=1_000)
    options = parser.parse_args()
    root = fresh("registry")
    make(root, options.versions, options.modules)
    gitml, env = program("gitml", "gitml"), environment()
    lock(root, gitml)
    database, tip = os.path.join(root, ".git/gitml/registry.db"), done(["git", "rev-parse", REF], root).strip()
    shutil.copy(database, f"{database}.level")
    done(["git", "update-ref", REF, f"{tip}~{options.new}"], root)
    os.unlink(database)
    done([gitml, "module", "resolve", "team/m1"], root)
    shutil.copy(database, f"{database}.behind")
    done(["git", "update-ref", REF, tip], root)

    def resolve(words: Sequence[str], state: str = "level") -> Sample:
        shutil.copy(f"{database}.{state}", database)
        return measured([gitml, "module", *words], root, env)

    samples = in_turn(
        {
            FLOOR: lambda: measured([gitml, "--version"], root, env),
            "resolve, pinned by the lock": lambda: resolve(["resolve", "team/m77@^1", "--locked", "--json"]),
            "resolve, the default": lambda: resolve(["resolve", "team/m77", "--json"]),
            "resolve, a range": lambda: resolve(["resolve", "team/m77@^1", "--json"]),
            f"resolve, after {options.new:,} new events": lambda: resolve(["resolve", "team/m77"], "behind"),
            "list all": lambda: resolve(["list", "--json"]),
            "rebuild": lambda: resolve(["rebuild"]),
        },
        options.rounds,
    )
    rows = [
        [name, seconds(median_wall(taken)), f"{median_ratio(taken, samples[FLOOR]):.2f}x"]
        for name, taken in samples.items()
    ]
    print(f"### A registry of {options.versions:,} versions of {options.modules} modules, {options.rounds} rounds\n")
    print(table(["", "s", f"beside {FLOOR}"], rows))
    print(f"raw figures: {save('registry', {name: raw(taken) for name, taken in samples.items()})}")
    return 0


def lock(root: str, gitml: str) -> None:
    """A `gitml.lock` with one entry."""
    found = json.loads(done([gitml, "module", "resolve", "team/m77@^1", "--json"], root))
    entry = {"name": found["name"], "requirement": "^1", "version": found["version"], "content": found["content"]}
    entry["state"] = done(["git", "rev-parse", REF], root).strip()
    with open(os.path.join(root, "gitml.lock"), "w", encoding="utf-8") as file:
        json.dump({"format": 1, "modules": {"team/m77@^1": entry}}, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
