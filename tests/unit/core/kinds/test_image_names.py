"""Names of container images: what each means, and which mistakes are said."""

from __future__ import annotations

import pytest

from gitml.core.kinds.image_names import parse_image_name

DIGEST = "sha256:" + "0123456789abcdef" * 4
HOSTS = (
    "x..y",
    "x.-.y",
    "x.y:0",
    "x.y:65536",
    "x.y:99999",
    "[::::]",
    "[:::]:5000",
    "[1.2.3.4]",
    "[1:2]",
    "[1::12345]",
    "a" * 64 + ".y",
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"ghcr.io/team/train@{DIGEST}", f"ghcr.io/team/train@{DIGEST}"),
        (f"docker://ghcr.io/team/train@{DIGEST}", f"ghcr.io/team/train@{DIGEST}"),
        (f"python@{DIGEST}", f"docker.io/library/python@{DIGEST}"),
        (f"index.docker.io/nvidia/cuda@{DIGEST}", f"docker.io/nvidia/cuda@{DIGEST}"),
        (f"nvidia/cuda:12.4.1-base@{DIGEST}", f"docker.io/nvidia/cuda:12.4.1-base@{DIGEST}"),
        ("localhost/tiny:1", "localhost/tiny:1"),
        ("localhost:5000/a/b/c_d__e-f.g", "localhost:5000/a/b/c_d__e-f.g"),
        (f"[::1]:5000/x@{DIGEST}", f"[::1]:5000/x@{DIGEST}"),
        (f"[fd00:1::a:B]/x@{DIGEST}", f"[fd00:1::a:B]/x@{DIGEST}"),
        ("[1:2:3:4:5:6:7:8]:65535/x", "[1:2:3:4:5:6:7:8]:65535/x"),
    ],
)
def test_a_name_means_one_image_however_it_is_written(text: str, meant: str) -> None:
    name, mistake = parse_image_name(text)
    assert (str(name), mistake) == (meant, None)
    assert parse_image_name(meant) == (name, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no name of an image"),
        ("ghcr.io/", "is no name of an image"),
        ("ghcr.io/a//b", "is no name of an image"),
        ("ghcr.io/../b", "is no name of an image"),
        ("ghcr.io/Team/x", "in lower case"),
        ("ghcr.io/a/b:", "has a tag that is none"),
        ("ghcr.io/a/b:-x", "has a tag that is none"),
        ("ghcr.io/a/b@sha256:12", "64 hexadecimal digits"),
        ("ghcr.io/a/b@sha512:" + "0" * 128, "64 hexadecimal digits"),
        ("user:password@ghcr.io/a/b", "no user and no password"),
        ("oci:./images/x", "is not in a registry"),
        ("-x.y/a", "has a host that is none"),
        *((f"{host}/a", "has a host that is none") for host in HOSTS),
        ("a b/c", "is no name of an image"),
        ("ghcr.io/a/b\n@" + DIGEST, "is no name of an image"),
        ("x" * 2000, "is no name of an image"),
    ],
)
def test_what_is_no_name_is_said_to_be_none(text: str, said: str) -> None:
    name, mistake = parse_image_name(text)
    assert name is None
    assert mistake is not None
    assert said in mistake
    assert len(mistake) < 400
    assert "password@" not in mistake


def test_what_a_digest_is_fetched_by_has_no_tag() -> None:
    name, _ = parse_image_name(f"ghcr.io/a/b:1@{DIGEST}")
    assert name is not None
    assert name.at(DIGEST) == f"ghcr.io/a/b@{DIGEST}"
    assert name.short() == "ghcr.io/a/b:1@sha256:0123456789ab…"
