"""Environments of steps: a plan with a large lock, what a step costs in each, and building beside uv alone.

- *plan*: ten steps, none run yet, in an environment of 500 packages by each kind of lock, beside `host`.
- *steps*: a hundred steps that do nothing, one after another, as they are, cut off, and in an image.
- *build*: packages of many files, from a folder and an empty cache, by uv's own commands and by `gitml env build`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Mapping
from functools import partial

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
from benchmarks.report import raw, save, seconds, table
from tests.kit.servers.image_registry import Registry, busybox, image, registry

PACKAGES, STEPS = 500, 100
_FILES = 30  # of each package that is built
TAGS = [
    f"cp{python}-cp{python}-{platform}"
    for python in (310, 311, 312, 313)
    for platform in ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64", "win_amd64")
]


def digest(text: str) -> str:
    """A hash that looks like one."""
    return hashlib.sha256(text.encode()).hexdigest()


def uv_lock() -> str:
    """A lock of PACKAGES packages, each fifth with wheels for every platform."""
    parts = ['version = 1\nrevision = 3\nrequires-python = ">=3.10"\n']
    for number in range(PACKAGES):
        name = f"pkg{number:03d}"
        tags = TAGS if number % 5 == 0 else ["py3-none-any"]
        url = f"https://files.pythonhosted.org/packages/{name}/{name}-1.0"
        wheels = "\n".join(f'    {{ url = "{url}-{tag}.whl", hash = "sha256:{digest(name + tag)}" }},' for tag in tags)
        needs = f'dependencies = [\n    {{ name = "pkg{number + 1:03d}" }},\n]\n' if number + 1 < PACKAGES else ""
        parts.append(
            f'[[package]]\nname = "{name}"\nversion = "1.0"\nsource = {{ registry = "https://pypi.org/simple" }}\n{needs}'
            f'sdist = {{ url = "{url}.tar.gz", hash = "sha256:{digest(name)}" }}\nwheels = [\n{wheels}\n]\n'
        )
    parts.append(
        '[[package]]\nname = "zz"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [\n    { name = "pkg000" },\n]\n\n'
        '[package.metadata]\nrequires-dist = [{ name = "pkg000" }]\n'
    )
    return "\n".join(parts)


def project(name: str, files: Mapping[str, str]) -> str:
    """A repository with these files."""
    root = fresh(name)
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w") as file:
            file.write(text)
    commit_all(root, "the project")
    return root


def plans(rounds: int) -> dict[str, list[Sample]]:
    """A plan in each kind of environment."""
    kinds = {"host": "host", "requirements": "requirements.txt", "uv.lock": "uv.lock"}
    steps = "".join(f"  s{n}: {{run: 'python a.py {n}'}}\n" for n in range(10))
    files = {f"pipelines/{name}.yaml": f"environment: {kind}\nsteps:\n{steps}" for name, kind in kinds.items()}
    files["requirements.txt"] = "".join(
        f"pkg{n:03d}==1.0 --hash=sha256:{digest(f'pkg{n:03d}')}\n" for n in range(PACKAGES)
    )
    files |= {"uv.lock": uv_lock(), "a.py": "", "pyproject.toml": '[project]\nname = "zz"\nversion = "1"\n'}
    files["pyproject.toml"] += 'requires-python = ">=3.10"\ndependencies = ["pkg000"]\n'
    root = project("environments-plan", files)
    gitml = program("gitml", "gitml")
    return in_turn({name: partial(measured, [gitml, "plan", name, "-q"], root) for name in kinds}, rounds)


def steps(rounds: int, served: Registry) -> dict[str, list[Sample]]:
    """A hundred steps that do nothing, in each."""
    name = served.push(image([busybox()], ["PATH=/bin"]))
    kinds = {
        "bare": "environment: host",
        "network: none": "network: none",
        "sandbox: strict": "sandbox: strict",
        "image": f'environment: {{image: "{name}"}}',
    }
    body = "".join(f"  s{n}: {{run: 'busybox true {n}'}}\n" for n in range(STEPS))
    files = {f"pipelines/p{n}.yaml": f"{head}\nsteps:\n{body}" for n, head in enumerate(kinds.values())}
    root = project("environments-steps", {**files, "gitml.yaml": "targets: {local: {cpus: 1}}\n"})
    env = environment(**served.environ())
    gitml = program("gitml", "gitml")
    return in_turn(
        {
            kind: partial(measured, [gitml, "run", "-q", "--no-reuse", f"p{n}"], root, env)
            for n, kind in enumerate(kinds)
        },
        rounds,
    )


def builds(rounds: int) -> dict[str, list[Sample]]:
    """An environment of 60 packages of 30 files, built from nothing."""
    root = project(
        "environments-build", {"pipelines/p.yaml": "environment: r.txt\nsteps:\n  a: {run: 'python -c pass'}\n"}
    )
    wheels = os.path.join(root, ".git/wheels")
    os.makedirs(wheels)
    lines = []
    for number in range(60):
        path = os.path.join(wheels, f"pkg{number:03d}-1.0-py3-none-any.whl")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in range(_FILES):
                archive.writestr(f"pkg{number:03d}/m{file}.py", f"def f(x):\n    return x + {file}\n" * 40)
            info = f"pkg{number:03d}-1.0.dist-info"
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pkg{number:03d}\nVersion: 1.0\n")
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        with open(path, "rb") as wheel:
            lines.append(f"pkg{number:03d}==1.0 --hash=sha256:{hashlib.file_digest(wheel, 'sha256').hexdigest()}\n")
    with open(os.path.join(root, "r.txt"), "w") as listed:
        listed.writelines(lines)
    commit_all(root, "locked")
    home = os.path.join(root, ".git/home")
    offline = {"UV_OFFLINE": "1", "UV_FIND_LINKS": wheels, "UV_CACHE_DIR": f"{home}/uv"}
    env = environment(**offline, XDG_CACHE_HOME=f"{home}/cache", GITML_TRUST="run")
    uv = program("gitml", "uv")
    sync = f"{uv} pip sync -q --compile-bytecode --require-hashes --python {home}/venv r.txt"
    by_hand = f"{uv} venv -q --no-project {home}/venv && {sync}"

    def anew(*words: str) -> Sample:
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(home)
        return measured(words, root, env)

    gitml = program("gitml", "gitml")
    commands = {
        "uv venv, uv pip sync": partial(anew, "sh", "-c", by_hand),
        "gitml env build": partial(anew, gitml, "env", "build", "-q"),
    }
    return in_turn(commands, rounds)


def shown(title: str, samples: Mapping[str, list[Sample]], by: int = 1) -> None:
    """Prints a table; the first row is what all are beside."""
    first = next(iter(samples.values()))
    rows = [
        [name, seconds(median_wall(taken) / by), f"{median_ratio(taken, first):.2f}x"]
        for name, taken in samples.items()
    ]
    path = save(
        f"environments-{title.split()[0].lower().strip(':')}", {name: raw(taken) for name, taken in samples.items()}
    )
    print(f"### {title}\n\n{table(['', 's', 'beside the first'], rows)}\nraw figures: {path}\n")


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    shown(f"Plan with {PACKAGES} packages, {rounds} rounds", plans(rounds))
    home = fresh("environments-home")
    from pathlib import Path

    with registry(Path(home)) as served:
        shown(f"Steps: seconds each of {STEPS}, {rounds} rounds", steps(rounds, served), STEPS)
    shown(f"Build of 60 packages, {rounds} rounds", builds(rounds))
    print(json.dumps({"cpus": os.cpu_count()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
