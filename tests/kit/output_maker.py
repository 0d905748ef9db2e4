"""A program that makes outputs of every kind in any size, the same bytes for the same words; and what it makes, for comparison."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# `make.py NOTE LOG EXIT {KIND SIZE SALT PATH}`: writes each path, prints LOG bytes, ends with EXIT. NOTE changes nothing.
PROGRAM = """\
import json, os, random, sys
def make(kind, size, salt, out):
    chance = random.Random(f"{kind} {size} {salt}")
    def file(path, size=size):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        open(path, "wb").write(chance.randbytes(size))
    if kind in ("file", "program"):
        file(out)
        os.chmod(out, 0o755 if kind == "program" else 0o644)
    elif kind == "flat":
        file(out + "/one")
        file(out + "/two", 5)
    elif kind == "nested":
        file(out + "/a/b/c/deep")
        file(out + "/a/near", 7)
    elif kind == "many":
        for number in range(12):
            file(f"{out}/{number:03d}", size)
    elif kind == "empty":
        os.makedirs(out + "/nothing/below" * (size > 100), exist_ok=True)
    elif kind == "links":
        file(out + "/sub/target")
        os.symlink("sub/target", out + "/link")
        os.symlink("nowhere", out + "/sub/dangling")
    elif kind == "metrics":
        json.dump({f"m{number}": chance.random() for number in range(min(size, 20_000) // 25)}, open(out, "w"))
    elif kind == "plot":
        open(out, "w").write("x,y\\n" + "".join(f"{n},{chance.randrange(97)}\\n" for n in range(1 + size // 8)))
def main(note, log, code, *words):
    words = list(words)
    while words:
        make(words.pop(0), int(words.pop(0)), words.pop(0), words.pop(0))
    print("x" * int(log))
    sys.exit(int(code))
if __name__ == "__main__":
    main(*sys.argv[1:])
"""
PORTS = {
    "file": "file",
    "program": "file",
    "flat": "directory",
    "nested": "directory",
    "many": "directory",
    "empty": "directory",
    "links": "directory",
    "metrics": "metrics",
    "plot": "plot",
}


@lru_cache(500)
def made(kind: str, size: int, salt: str) -> dict[str, tuple[bytes, bool]]:
    """What the program makes of one output: content (of a link its target) and executable bit, by path; "" for a file itself."""
    program: dict[str, Any] = {"__name__": "program"}
    exec(PROGRAM, program)
    with TemporaryDirectory() as folder:
        program["make"](kind, size, salt, f"{folder}/out")
        return files_below(Path(folder) / "out")


def files_below(top: Path) -> dict[str, tuple[bytes, bool]]:
    """The same of what lies on a disk."""
    found = {}
    for path in [top, *top.rglob("*")]:
        name = "" if path == top else str(path.relative_to(top))
        if path.is_symlink():
            found[name] = (str(path.readlink()).encode(), False)
        elif path.is_file():
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found
