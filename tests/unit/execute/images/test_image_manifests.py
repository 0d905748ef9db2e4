"""Manifests and indexes of images, as registries send them: which one is this platform's, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitml.errors import GitmlError, InputError, IntegrityError
from gitml.execute.environments.images.manifests import (
    LARGEST,
    decode_config,
    decode_manifest,
    digest_of_bytes,
    manifest_for,
    platform_of,
)
from tests.kit.servers.image_registry import Entry, image, index

AMD64, ARM64 = ("amd64", ""), ("arm64", "v8")


def one(content: str) -> Any:
    return image([[Entry("x", content.encode())]])


def test_an_index_means_another_manifest_on_each_platform() -> None:
    amd64, arm64, windows = one("amd64"), one("arm64"), one("windows")
    both = index({("windows", "amd64", ""): windows, ("linux", "amd64", ""): amd64, ("linux", "arm64", "v8"): arm64})
    content = both.blobs[both.digest]
    assert manifest_for(content, both.digest, "x", AMD64) == amd64.digest
    assert manifest_for(content, both.digest, "x", ARM64) == arm64.digest
    with pytest.raises(InputError, match="not built for linux/s390x, only for: amd64, arm64/v8"):
        manifest_for(content, both.digest, "x", ("s390x", ""))


def test_of_the_variants_of_an_architecture_the_best_that_runs_here_is_taken() -> None:
    v5, v6, v7 = one("5"), one("6"), one("7")
    arms = index({("linux", "arm", "v5"): v5, ("linux", "arm", "v7"): v7, ("linux", "arm", "v6"): v6})
    content = arms.blobs[arms.digest]
    assert manifest_for(content, arms.digest, "x", ("arm", "v7")) == v7.digest
    assert manifest_for(content, arms.digest, "x", ("arm", "v6")) == v6.digest
    plain = index({("linux", "arm64", ""): v7})
    assert manifest_for(plain.blobs[plain.digest], plain.digest, "x", ARM64) == v7.digest


def test_a_manifest_of_one_platform_is_taken_as_it_is() -> None:
    built = one("x")
    assert manifest_for(built.blobs[built.digest], built.digest, "x", platform_of()) == built.digest


def test_machines_are_known_by_the_words_of_images() -> None:
    assert platform_of("x86_64") == AMD64
    assert platform_of("aarch64") == ARM64
    assert platform_of("riscv64") == ("riscv64", "")


def test_other_bytes_than_the_digest_says_are_refused() -> None:
    built = one("x")
    content = built.blobs[built.digest].replace(b'"layers"', b'"Layers"')
    with pytest.raises(IntegrityError, match="other bytes arrived"):
        manifest_for(content, built.digest, "x", AMD64)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"manifests": {}}',
        b'{"manifests": [1, null, {"platform": 3}, {"platform": {"os": "linux", "architecture": "amd64"}, "digest": "x"}]}',
        b'{"schemaVersion": 1}',
        b'{"schemaVersion": 2, "config": 1, "layers": []}',
        b'{"schemaVersion": 2, "config": {"digest": "sha256:../../x", "size": 1}, "layers": []}',
        b'{"schemaVersion": 2, "config": {"digest": 1, "size": true}, "layers": [[]]}',
        b"\xff\xfe",
        b'{"schemaVersion": 2, "config": {}, "layers": [{"mediaType": "text/html"}]}',
        b" " * (LARGEST + 1),
    ],
)
def test_what_is_neither_manifest_nor_index_is_refused(content: bytes) -> None:
    with pytest.raises(GitmlError) as refused:
        manifest_for(content, digest_of_bytes(content), "x", AMD64)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+encrypted",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "text/plain",
    ],
)
def test_a_layer_that_cannot_be_unpacked_is_refused_before_anything_is_fetched(kind: str) -> None:
    built = one("x")
    raw = json.loads(built.blobs[built.digest])
    raw["layers"][0]["mediaType"] = kind
    content = json.dumps(raw).encode()
    with pytest.raises(InputError, match="has a layer"):
        decode_manifest(content, digest_of_bytes(content), "x")


def test_a_configuration_has_a_digest_for_each_layer_and_the_variables() -> None:
    built = image([[Entry("x")], [Entry("y")]], ["PATH=/opt/bin:/bin", "A=b=c", "empty=", "none"])
    manifest = decode_manifest(built.blobs[built.digest], built.digest, "x")
    config = decode_config(built.blobs[manifest.config], manifest, "x")
    assert config.env == (("PATH", "/opt/bin:/bin"), ("A", "b=c"), ("empty", ""))
    assert len(config.diff_ids) == len(manifest.layers) == 2
    short = manifest._replace(layers=manifest.layers[:1])
    with pytest.raises(IntegrityError, match="other layers than its manifest"):
        decode_config(built.blobs[manifest.config], short, "x")
