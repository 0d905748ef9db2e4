"""Records as somebody with a Git of their own could write them, whatever gitml would have written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository

RUNS = "refs/gitml/runs"
Files = dict[str, bytes]


def forge(repo: Repository, files: Mapping[str, tuple[str, bytes]]) -> str:
    """Puts files, (mode, content) by path, behind the log of `repo` as somebody with a Git of their own could."""
    parts = [f"commit {RUNS}\ncommitter x <x> 1700000000 +0000\ndata 0\nfrom {RUNS}^0\n".encode()]
    for path, (mode, content) in files.items():
        parts.append(f"M {mode} inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
    repo.git("fast-import", "--quiet", "--force", input=b"".join(parts))
    return repo.git("rev-parse", RUNS)


def another_id(run: str) -> str:
    """The id of a run that there is not: that of `run`, but for one digit."""
    return f"{int(run[0], 16) ^ 1:x}{run[1:]}"


def record_of(person: Project, run: str) -> tuple[str, Files]:
    """The folder of a run's record, and its files by their name in it."""
    paths = person.repo.git("ls-tree", "-r", "--name-only", RUNS).split("\n")
    folder = next(path for path in paths if path.endswith(f"/{run}/run.json")).removesuffix("/run.json")
    return folder, {
        path.removeprefix(f"{folder}/"): person.repo.git_bytes("cat-file", "blob", f"{RUNS}:{path}")
        for path in paths
        if path.startswith(f"{folder}/")
    }


def with_action(files: Files, **change: Any) -> Files:
    """The files of a record whose one action says something else; its key is that of what it says now."""
    name = next(path for path in files if path.startswith("actions/"))
    action = {**json.loads(files[name]), **change}
    content = json.dumps(action, sort_keys=True, separators=(",", ":")).encode()
    old, new = name[len("actions/") : -len(".json")], hashlib.sha256(content).hexdigest()
    rest = {path: data for path, data in files.items() if path != name}
    return {**rest, "run.json": files["run.json"].replace(old.encode(), new.encode()), f"actions/{new}.json": content}
