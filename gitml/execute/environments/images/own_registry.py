"""Fetches manifests and layers from registries without skopeo, by `registry_process`; and which of the two this machine has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gitml.core.kinds.image_names import ImageName
from gitml.core.secrets.mask import Mask
from gitml.errors import GitmlError, InputError, IntegrityError, MachineError, TrustError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images.manifests import LARGEST, ImageManifest, Layer
from gitml.execute.environments.images.registry import PATIENCE, Skopeo, fetch_progress, refusal
from gitml.execute.environments.variables import find_program
from gitml.execute.log_text import neutral
from gitml.execute.process import StoppedError, run

SKOPEO = "skopeo"
_PROGRAM = "gitml.execute.environments.images.registry_process"
_TAIL = 2**16


class OwnRegistry:
    """Registries as gitml reads them itself; `machine` is the environment of this process, with the user's settings."""

    def __init__(self, machine: Mapping[str, str]) -> None:
        self._env = {name: value for name, value in machine.items() if not name.startswith(("GIT_", "PYTHON"))}
        # found where this process finds it
        self._env["PYTHONPATH"] = os.pathsep.join([folder for folder in sys.path if folder.startswith("/")])

    def manifest(self, name: ImageName, digest: str) -> bytes:
        """The manifest or index with that digest, as the registry has it. InputError in the registry's words."""
        return self._answer(name, "manifest", digest)

    def config(self, name: ImageName, digest: str, manifest: ImageManifest) -> bytes:
        """The configuration of the image whose manifest has that digest."""
        return self._answer(name, "blob", manifest.config)

    def tagged(self, name: ImageName) -> bytes:
        """The manifest or index that the tag of `name` leads to now."""
        return self._answer(name, "manifest", name.tag or "latest")

    def fetch(
        self,
        name: ImageName,
        digest: str,
        layers: Sequence[Layer],
        blobs: str,
        stage: str,
        control: BuildControl,
    ) -> None:
        """Fetches `layers` to the folder `blobs`; what has come of one stays there when it ends early.

        InputError in the registry's words, StoppedError when `control.stop` asks.
        """
        wanted = {layer.digest: layer.size for layer in layers}
        total = sum(wanted.values())
        asked = {"layers": list(wanted.items()), "folder": os.path.join(blobs, "sha256")}
        lines: list[bytes] = []
        rest = bytearray()

        def keep(chunk: bytes) -> None:
            rest.extend(chunk)
            *whole, last = bytes(rest).split(b"\n")
            rest[:] = last[-_TAIL:]
            for line in whole:
                done = _number(line, "done")
                if done is None:
                    lines[:] = [*lines[-20:], line]
                else:
                    control.report(fetch_progress(name, done, _number(line, "rate") or 0, total))

        argv = self._argv(name, "layers", asked)
        ended = run(argv[0], argv, self._env, keep, control.stop)
        if ended.stopped:
            raise StoppedError
        if ended.code != 0:
            raise _refusal(name, b"\n".join([*lines, bytes(rest)]), ended.code)

    def _answer(self, name: ImageName, work: str, reference: str) -> bytes:
        argv = self._argv(name, work, {"reference": reference})
        try:
            ran = subprocess.run(
                argv, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            hint = "see whether the registry can be reached: HTTPS_PROXY"
            raise InputError(f"{name.host} did not answer for {PATIENCE:g} s", hint=hint) from None
        if ran.returncode != 0:
            raise _refusal(name, ran.stderr[-_TAIL:], ran.returncode)
        return ran.stdout[: LARGEST + 1]

    def _argv(self, name: ImageName, work: str, more: Mapping[str, Any]) -> tuple[str, ...]:
        request = json.dumps({"work": work, "name": list(name), "parent": os.getpid(), **more})
        return (sys.executable, "-P", "-m", _PROGRAM, request)


def image_registry(machine: Mapping[str, str]) -> Skopeo | OwnRegistry:
    """What fetches images here: skopeo where it is installed, as it knows mirrors and policies of the user's, too."""
    found = find_program(SKOPEO, machine.get("PATH", ""))
    return OwnRegistry(machine) if found is None else Skopeo(found, machine)


def _number(line: bytes, key: str) -> int | None:
    try:
        found = json.loads(line).get(key)
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def _refusal(name: ImageName, said: bytes, code: int) -> GitmlError:
    """The error for what the process said in its last line."""
    try:
        told = json.loads(said.strip().rpartition(b"\n")[2])
        words, where, hint, kind = (told[key] for key in ("error", "where", "hint", "code"))
    except (ValueError, KeyError, TypeError):
        return refusal(name, said, f"exit status {code}")
    if kind == MachineError.code:
        shown = neutral(Mask().text(str(words)), 400)
        return MachineError(f"image {name.short()} can't be kept: {shown}", hint=hint, where=where)
    if kind == IntegrityError.code:
        return IntegrityError(f"image {name.short()} can't be used: {words}", hint="have it pushed again")
    found = refusal(name, f"{where}: {words}".encode() if where else str(words).encode(), "")
    if kind == TrustError.code and hint and type(found) is InputError:
        found.hint = str(hint)
    return found
