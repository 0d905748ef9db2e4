"""Fetches manifests and layers from registries with skopeo, which knows the user's own credentials, mirrors and certificates.

What arrives is not believed here: who asks for bytes by digest compares them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial

from gitml.core.kinds.image_names import ImageName
from gitml.core.secrets.mask import Mask
from gitml.errors import FREE_SPACE, GitmlError, InputError, IntegrityError, MachineError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images.manifests import LARGEST, ImageManifest, Layer
from gitml.execute.log_text import neutral
from gitml.execute.process import StoppedError, run, spawn
from gitml.platform.current import platform

PATIENCE = 60.0
"""Seconds in which a registry must have answered what an image is made of."""
_SLOWEST = 1024  # bytes a second, over `_SILENT` seconds: long enough to write to the disk what has come
_SILENT = 300.0
_TAIL = 2**16
_EACH = 2.0  # seconds from one report of progress to the next
_LOOK = 0.25
_BESIDE = 2**24  # bytes that skopeo writes beside the layers, at most
_TOO_LARGE, _TOO_SLOW = 121, 122  # exit statuses for a fetch that was ended; skopeo has 1 and 2
_UNREACHED = "see whether the registry can be reached: HTTPS_PROXY, registries.conf"
_PROGRESS = b"\x1e"
_MESSAGE = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"')
_NAMED = re.compile(r'^(?:error )?(?:parsing image name|initializing source) "?docker://[^\s"]+"?: ', re.IGNORECASE)
_GONE = ("manifest unknown", "name unknown", "not found", "status: 404", "does not exist", "blob unknown")
_FULL = ("no space left on device", "disk quota exceeded")
_DENIED = ("unauthorized", "denied", "authentication required", "status: 401", "status: 403", "forbidden")


class ImageGoneError(InputError):
    """The registry has no such image, or has it no more."""


class Skopeo:
    """The program of that name, at the path `program`; `machine` is the environment of this process."""

    def __init__(self, program: str, machine: Mapping[str, str]) -> None:
        self._program = program
        # what steers Git or Python is not for it; settings and credentials of the user are
        self._env = {name: value for name, value in machine.items() if not name.startswith(("GIT_", "PYTHON"))}

    def manifest(self, name: ImageName, digest: str) -> bytes:
        """The manifest or index with that digest, as the registry has it. InputError in skopeo's words."""
        return self._answer(name, "inspect", "--raw", f"docker://{name.at(digest)}")

    def config(self, name: ImageName, digest: str, manifest: ImageManifest) -> bytes:
        """The configuration of the image whose manifest has that digest."""
        return self._answer(name, "inspect", "--raw", "--config", f"docker://{name.at(digest)}")

    def tagged(self, name: ImageName) -> bytes:
        """The manifest or index that the tag of `name` leads to now."""
        return self._answer(name, "inspect", "--raw", f"docker://{name._replace(digest='')}")

    def fetch(
        self,
        name: ImageName,
        digest: str,
        layers: Sequence[Layer],
        blobs: str,
        stage: str,
        control: BuildControl,
    ) -> None:
        """Fetches `layers` of a manifest, those that are not in the folder `blobs`, to there, through the empty folder `stage`.

        InputError in skopeo's words, IntegrityError when more comes than the layers have, StoppedError when `control.stop` asks.
        """
        options = ("--quiet", "--dest-oci-accept-uncompressed-layers", f"--dest-shared-blob-dir={blobs}")
        argv = (self._program, "copy", *options, f"docker://{name.at(digest)}", f"oci:{stage}:image")
        said = bytearray()
        total = sum({layer.digest: layer.size for layer in layers}.values())

        def keep(chunk: bytes) -> None:
            said.extend(chunk)
            *lines, rest = bytes(said).split(b"\n")
            said[:] = b"\n".join([line for line in lines if not line.startswith(_PROGRESS)] + [rest])[-_TAIL:]
            for line in lines:
                if line.startswith(_PROGRESS):
                    done, rate = (int(word) for word in line[len(_PROGRESS) :].split())
                    control.report(fetch_progress(name, done, rate, total))

        watch = partial(_spawn_and_watch, self._program, argv, self._env, stage, total + _BESIDE)
        ended = run(self._program, argv, self._env, keep, control.stop, launch=watch)
        if ended.stopped:
            raise StoppedError
        if ended.code == _TOO_LARGE:
            what = f"image {name.short()} can't be used: more bytes arrived than its manifest says"
            raise IntegrityError(what, hint="have it pushed again")
        if ended.code == _TOO_SLOW:
            raise InputError(f"{name.host} sent next to nothing for {_SILENT:g} s", hint=_UNREACHED)
        if ended.code != 0:
            raise refusal(name, bytes(said), f"exit status {ended.code}")

    def _answer(self, name: ImageName, *words: str) -> bytes:
        try:
            ran = subprocess.run(
                [self._program, *words],
                env=self._env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"{name.host} did not answer for {PATIENCE:g} s", hint=_UNREACHED) from None
        except OSError as error:
            raise InputError(f"skopeo can't be run: {error.strerror}", hint="install it again") from error
        if ran.returncode != 0:
            raise refusal(name, ran.stderr[-_TAIL:], f"exit status {ran.returncode}")
        return ran.stdout[: LARGEST + 1]


def refusal(name: ImageName, said: bytes, otherwise: str) -> GitmlError:
    """The error for what skopeo said when it could not fetch `name`."""
    text = said.decode("utf-8", "replace")
    found = _MESSAGE.findall(text)
    words = found[-1].replace('\\"', '"').replace("\\\\", "\\") if found else text.strip().rpartition("\n")[2]
    words = _NAMED.sub("", words)
    shown = neutral(Mask().text(words), 400) or otherwise
    low = words.lower()
    if any(sign in low for sign in _FULL):
        return MachineError(f"image {name.short()} can't be kept: {shown}", hint=FREE_SPACE)
    if any(sign in low for sign in _DENIED):
        hint = f"log in, as by `skopeo login {name.host}`, or fix the name; registries deny what they don't have, too"
        return InputError(f"image {name.short()} can't be fetched: {shown}", hint=hint)
    if any(sign in low for sign in _GONE):
        hint = "it was removed, or never pushed: push it again, or name another one"
        return ImageGoneError(f"image {name.short()} is gone: {shown}", hint=hint)
    return InputError(f"image {name.short()} can't be fetched: {shown}", hint=_UNREACHED)


def _spawn_and_watch(program: str, argv: Sequence[str], env: Mapping[str, str], stage: str, most: int) -> int:
    """Runs the program to its end; says now and then how many bytes there are in `stage`.

    skopeo takes whatever comes, however long that is or lasts. So it is ended when there are more than `most`, or hardly more.
    """
    begun = reported = time.monotonic()
    pid = spawn(program, tuple(argv), env, 1)
    done, largest = 0, 0
    heard, heard_at = 0, begun
    while True:
        platform.wait_for_other(pid, _LOOK)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        now = _bytes_in(stage)
        # a layer that is complete leaves the folder
        done += max(0, largest - now)
        largest = now
        clock = time.monotonic()
        if done + now - heard >= _SLOWEST * _SILENT:
            heard, heard_at = done + now, clock
        if now > most or clock - heard_at > _SILENT:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return _TOO_LARGE if now > most else _TOO_SLOW
        if clock - reported >= _EACH:
            reported = clock
            os.write(1, b"%s%d %d\n" % (_PROGRESS, done + now, (done + now) / (clock - begun)))


def fetch_progress(name: ImageName, done: int, rate: int, total: int) -> str:
    """How far a fetch of `total` bytes is, at `rate` bytes a second."""
    return f"fetching image {name.short()}: {done / 2**20:,.0f} of {total / 2**20:,.0f} MiB, {rate / 2**20:,.1f} MiB/s"


def _bytes_in(folder: str) -> int:
    size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    size += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return 0
    return size
