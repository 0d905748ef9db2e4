"""An image of 8 GB: fetched, unpacked and entered in bounded memory, and once."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from gitml.execute.environments.images.manifests import platform_of
from tests.kit.processes import measured
from tests.kit.projects.project import Project
from tests.kit.servers.image_registry import (
    CONFIG,
    LAYER,
    MANIFEST,
    BuiltImage,
    busybox,
    digest_of,
    needs_images,
    packed,
    registry,
)

pytestmark = [pytest.mark.large, pytest.mark.timeout(3600)]
FILES, SIZE = 8, 1 << 30
MOST_MEMORY = 400 << 20  # of the largest process
ROOM = 4 * FILES * SIZE


class Repeated:
    """A file of SIZE bytes that is one random block, again and again."""

    def __init__(self) -> None:
        self.block = os.urandom(1 << 20)
        self.left = SIZE

    def read(self, size: int) -> bytes:
        size = min(size, self.left, len(self.block))
        self.left -= size
        return self.block[:size]


def write_layer(path: Path) -> None:
    """A layer of FILES files, not compressed."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(FILES):
            info = tarfile.TarInfo(f"data/{number}")
            info.size = SIZE
            archive.addfile(info, Repeated())


def image_with(path: Path) -> BuiltImage:
    """An image of a small system, and of a layer in a file."""
    with path.open("rb") as file:
        large = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    base = packed(busybox())
    config = {
        "architecture": platform_of()[0],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(base), large]},
    }
    raw = json.dumps(config).encode()
    layers = [
        {"mediaType": LAYER, "digest": digest_of(base), "size": len(base)},
        {"mediaType": LAYER, "digest": large, "size": len(content)},
    ]
    described = {"mediaType": CONFIG, "digest": digest_of(raw), "size": len(raw)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}).encode()
    blobs = {digest_of(base): base, digest_of(raw): raw, large: content, digest_of(manifest): manifest}
    return BuiltImage(digest_of(manifest), blobs, {digest_of(manifest): MANIFEST})


def test_an_image_of_8_gb_is_fetched_and_entered_in_bounded_memory(tmp_path: Path) -> None:
    needs_images()
    if shutil.disk_usage(tmp_path).free < ROOM:
        pytest.skip(f"needs {ROOM >> 30} GiB of disk")
    layer = tmp_path / "layer.tar"
    write_layer(layer)
    with registry(tmp_path / "home") as served:
        name = served.push(image_with(layer))
        run = "ls -l /data/7 > ${{ outputs.o }}"
        pipeline = f'environment: {{image: "{name}"}}\nsteps:\n  a: {{shell: sh, run: "{run}", outputs: {{o: file}}}}\n'
        project = Project(tmp_path / "r", {"pipelines/p.yaml": pipeline})
        project.environ.update(served.environ(), PATH=os.environ["PATH"])
        words = [sys.executable, "-m", "gitml", "run"]
        ran = measured(words, project.repo.path, project.environ, timeout=1000)
        assert ran.code == 0, ran.said
        assert ran.memory < MOST_MEMORY, f"{ran.memory >> 20} MiB"
        asked = len(served.requests)
        assert str(SIZE) in project.output(project.run(reuse=False).steps[0]).decode()
        assert len(served.requests) == asked
