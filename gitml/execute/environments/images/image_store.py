"""The images of this machine: manifests and layers by digest, and the roots they were unpacked into.

``blobs/sha256/HEX`` holds what came from registries, ``roots/HEX`` an image by the digest of its manifest: ``root`` is what steps
enter, complete where ``built.json`` is beside it. Layers stay for other images on the same base, until `remove_unused` finds them
old. Roots are made by `single_build`; a blob is written aside and renamed.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gitml import layout
from gitml.core.kinds.image_names import ImageName
from gitml.errors import GitmlError, Guard, InputError, IntegrityError, MachineError, machine_error
from gitml.execute.environments.images.manifests import (
    LARGEST,
    ImageConfig,
    ImageManifest,
    decode_config,
    decode_manifest,
    digest_of_bytes,
    manifest_for,
    platform_of,
)
from gitml.execute.environments.images.root import ImageRoot
from gitml.execute.environments.single_build import (
    RemovedEnvironments,
    build_once,
    builds_go_on,
    read_marker,
    remove_unused,
    write_marker,
)
from gitml.execute.environments.variables import find_program
from gitml.execute.sandbox.removal import remove_tree
from gitml.files import PART, remove_part, write_all
from gitml.platform.current import platform

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl

_BLOBS, _ROOTS, _FETCHES, _ROOT, _STAGE = "blobs", "roots", "fetches", "root", "fetched"


class ImageStore:
    """The images in `folder`. `machine` is the environment of this process, for the programs that fetch."""

    def __init__(self, folder: str, machine: Mapping[str, str]) -> None:
        self.folder = folder
        self._machine = machine

    def known_manifest(self, name: ImageName, digest: str) -> str | None:
        """The digest of this platform's manifest where `digest` is that of an index, or of the manifest; None if not known here.

        InputError where there is none for this platform.
        """
        content = self._blob(digest)
        return None if content is None else manifest_for(content, digest, name.short(), platform_of())

    def fetch_manifest(self, name: ImageName, digest: str) -> str:
        """As `known_manifest`, asked of the registry. InputError where it can't be had."""
        from gitml.execute.environments.images.own_registry import image_registry

        content = image_registry(self._machine).manifest(name, digest)
        found = manifest_for(content, digest, name.short(), platform_of())
        self._keep(digest, content)
        return found

    def fetch_tag(self, name: ImageName) -> str:
        """The digest of what the tag of `name` leads to now. InputError where its registry does not answer."""
        from gitml.execute.environments.images.own_registry import image_registry

        content = image_registry(self._machine).tagged(name)
        digest = digest_of_bytes(content)
        manifest_for(content, digest, str(name), platform_of())
        self._keep(digest, content)
        return digest

    def built(self, digest: str) -> ImageRoot | None:
        """The root of the image with that manifest; None while it is not here."""
        place = self.place_of(digest)
        facts = read_marker(place)
        if facts is None:
            return None
        return ImageRoot(f"{place}/{_ROOT}", tuple([(str(name), str(value)) for name, value in facts["env"]]))

    def build(self, name: ImageName, digest: str, control: BuildControl) -> ImageRoot:
        """The root of the image with that manifest, fetched and unpacked where it is not here.

        InputError where it can't be fetched, IntegrityError for one that is broken, MachineError when the disk refuses,
        StoppedError when `control.stop` asks.
        """
        place = self.place_of(digest)
        with Guard(self.folder, f"image {name.short()} can't be kept"):
            return build_once(
                place,
                lambda: self.built(digest),
                lambda: self._build(place, name, digest, control),
                control,
                f"image {name.short()}",
            )

    def _build(self, place: str, name: ImageName, digest: str, control: BuildControl) -> ImageRoot:
        from gitml.execute.environments.images.extraction import BrokenImageError, LayerFile, unpack

        root, stage = f"{place}/{_ROOT}", f"{place}/{_STAGE}"
        os.mkdir(place, 0o700)
        for folder in (root, stage):
            os.mkdir(folder, 0o755)
        _check_mount(root)
        manifest, config = self._fetched(name, digest, stage, control)
        control.report(f"unpacking image {name.short()}")
        pairs = zip(manifest.layers, config.diff_ids, strict=True)
        files = [LayerFile(self._path(layer.digest), layer, diff_id) for layer, diff_id in pairs]
        try:
            unpack(root, files, find_program("zstd", self._machine.get("PATH", "")), name.short(), control)
        except BrokenImageError as error:
            os.unlink(files[error.layer].path)  # to be fetched again
            raise
        remove_tree(stage)
        platform.sync_file_system(root)
        write_marker(place, {"image": digest, "env": [list(pair) for pair in config.env]})
        return ImageRoot(root, config.env)

    def _fetched(
        self, name: ImageName, digest: str, stage: str, control: BuildControl
    ) -> tuple[ImageManifest, ImageConfig]:
        """What an image is made of, its layers here, fetched through the empty folder `stage` where they were not."""
        from gitml.execute.environments.images.own_registry import image_registry

        manifest = self._manifest(name, digest)
        content = self._blob(manifest.config)
        if content is None:
            content = image_registry(self._machine).config(name, digest, manifest)
        config = decode_config(content, manifest, name.short())
        self._keep(manifest.config, content)
        missing = [layer for layer in manifest.layers if not os.path.exists(self._path(layer.digest))]
        if missing:
            size = sum(layer.size for layer in {layer.digest: layer for layer in missing}.values())
            control.report(f"fetching image {name.short()}: {size / 2**20:,.0f} MiB")
            self._need_room(name, [layer.digest for layer in missing], size)
            blobs = f"{self.folder}/{_BLOBS}"
            image_registry(self._machine).fetch(name, digest, missing, blobs, stage, control)
        for layer in manifest.layers:
            with suppress(OSError):
                os.utime(self._path(layer.digest))  # it was used now
        return manifest, config

    def _need_room(self, name: ImageName, layers: Sequence[str], size: int) -> None:
        """MachineError where the disk has no room for so many bytes of `layers`: a registry may say any size."""
        here = 0
        for digest in dict.fromkeys(layers):
            with suppress(FileNotFoundError):
                here += os.stat(self._path(digest) + PART).st_size
        found = os.statvfs(self.folder)
        free = found.f_bavail * found.f_frsize
        if size - here > free:
            what = f"image {name.short()} can't be kept: it takes {size / 2**20:,.0f} MiB, {free / 2**20:,.0f} are free"
            raise machine_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self.folder, what)

    @property
    def blobs(self) -> str:
        """The folder of manifests, configurations and layers, each under the hex digits of its sha256."""
        return f"{self.folder}/{_BLOBS}/sha256"

    def lacks(self, digest: str) -> bool:
        """Whether something would have to be fetched before steps can enter the image with that manifest."""
        if self.built(digest) is not None:
            return False
        parts = self._parts(digest)
        return parts is None or not all(os.path.exists(self._path(part)) for part, _ in parts)

    def fetch(self, name: ImageName, digest: str, control: BuildControl) -> tuple[tuple[str, int], ...]:
        """(digest, bytes) of all that the image with that manifest is made of, itself first; fetched where it is not here.

        Errors are those of `build`.
        """
        place = f"{self.folder}/{_FETCHES}/{digest.partition(':')[2][:32]}"

        def complete() -> bool:
            os.mkdir(place, 0o700)
            self._fetched(name, digest, place, control)
            remove_tree(place)
            return True

        def is_here() -> bool | None:
            parts = self._parts(digest)
            return True if parts and all(os.path.exists(self._path(part)) for part, _ in parts) else None

        with Guard(self.folder, f"image {name.short()} can't be kept"):
            waits = control._replace(report=_only_waits(control.report))
            build_once(place, is_here, complete, waits, f"image {name.short()}")
        return self.parts(digest)

    def parts(self, digest: str) -> tuple[tuple[str, int], ...]:
        """(digest, bytes) of all that the image with that manifest is made of, itself first; InputError while it is not here."""
        parts = self._parts(digest)
        if parts is None:
            raise InputError(f"image {digest[:19]}… is not on this machine", hint="gitml env build")
        return parts

    def known_size(self, digest: str) -> int | None:
        """Bytes of the index or manifest with that digest; None while it is not here."""
        content = self._blob(digest)
        return None if content is None else len(content)

    def keep_known(self, digest: str, content: bytes) -> None:
        """Keeps a manifest or an index that was had elsewhere. IntegrityError for other bytes."""
        self._keep(digest, content)

    def _parts(self, digest: str) -> tuple[tuple[str, int], ...] | None:
        content = self._blob(digest)
        if content is None:
            return None
        manifest = decode_manifest(content, digest, digest[:19])
        parts = {digest: len(content), manifest.config: manifest.config_size}
        return (*parts.items(), *{layer.digest: layer.size for layer in manifest.layers}.items())

    def remove_unused(self, older: float, now: float, *, dry_run: bool = False) -> RemovedEnvironments:
        """Removes images that are not used, and were not for `older` seconds before `now`; and what only they were made from.

        Layers that nothing was unpacked from for so long go, too: the images that were have their files.
        """
        roots, fetches = (f"{self.folder}/{name}" for name in (_ROOTS, _FETCHES))
        removed = remove_unused(roots, older, now, dry_run=dry_run)
        remove_unused(fetches, 0.0, now, dry_run=dry_run)  # what killed processes left
        if builds_go_on(roots) or builds_go_on(
            fetches
        ):  # they may have just fetched what no image here is made from yet
            return removed
        needed = self._needed_blobs()
        with suppress(FileNotFoundError), os.scandir(f"{self.folder}/{_BLOBS}/sha256") as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # taken away just now
                    continue
                if entry.name not in needed and now - found.st_mtime >= older:
                    if not dry_run and not _removed(entry.path):
                        continue
                    removed = removed.plus(0, found.st_size)
        return removed

    def _needed_blobs(self) -> set[str]:
        """The names of what says what the images here are."""
        needed: set[str] = set()
        with suppress(FileNotFoundError), os.scandir(f"{self.folder}/{_ROOTS}") as entries:
            for entry in entries:
                image = (read_marker(entry.path) or {}).get("image")
                content = self._blob(image) if isinstance(image, str) else None
                if not isinstance(image, str) or content is None:
                    continue
                with suppress(GitmlError):  # a damaged marker may name anything
                    config = decode_manifest(content, image, entry.name).config
                    needed.update([digest.partition(":")[2] for digest in (image, config)])
        return needed

    def _manifest(self, name: ImageName, digest: str) -> ImageManifest:
        content = self._blob(digest)
        if content is None:
            self.fetch_manifest(name, digest)
            content = self._blob(digest)
        assert content is not None
        return decode_manifest(content, digest, name.short())

    def _blob(self, digest: str) -> bytes | None:
        """The content of a small blob; None where it is not here, or damaged."""
        try:
            with open(self._path(digest), "rb") as file:
                content = file.read(LARGEST + 1)
        except OSError:
            return None
        return content if digest_of_bytes(content) == digest else None

    def _keep(self, digest: str, content: bytes) -> None:
        """Keeps a small blob, whose digest was compared. What can't be kept is asked for again."""
        path = self._path(digest)
        if digest_of_bytes(content) != digest:
            raise IntegrityError(f"other bytes arrived than {digest}", hint="fetch it again")
        with Guard(self.folder, "an image's manifest can't be kept"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            fd, part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".")
            try:
                write_all(fd, content)
                os.rename(part, path)
            except BaseException:
                os.unlink(part)
                raise
            finally:
                os.close(fd)

    def _path(self, digest: str) -> str:
        return f"{self.folder}/{_BLOBS}/{digest.replace(':', '/')}"

    def place_of(self, digest: str) -> str:
        """The folder of the image with that manifest, whether it is there or not."""
        return f"{self.folder}/{_ROOTS}/{digest.partition(':')[2][:32]}"


def _only_waits(report: Callable[[str], None]) -> Callable[[str], None]:
    """`report` without that something is built: nothing is."""
    return lambda words: report(words) if words.startswith("waiting ") else None


def _removed(path: str) -> bool:
    """Removes a blob, or a part of one that no process works on, or whatever lies there; whether it did."""
    if path.endswith(PART) and os.path.isfile(path) and not os.path.islink(path):
        return remove_part(path)
    remove_tree(path)
    return True


def _check_mount(folder: str) -> None:
    """MachineError where programs in `folder` could not be run."""
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        hint = f"set {layout.XDG_CACHE_HOME} to a folder on a disk whose programs may be run"
        raise MachineError("images can't be kept here: it is mounted noexec", where=folder, hint=hint)
