"""An environment.yml becomes a lock that gitml and others read: what its channels had, at a date where one is given."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitml.errors import InputError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.conda.environment_lock import LockRequest, lock_environment_file
from gitml.execute.environments.conda.locks import read_lock
from gitml.execute.environments.conda.loose_environment import read_environment_file
from gitml.execute.process import StopRequests
from tests.kit.projects.project import Project
from tests.kit.servers.conda_channel import CondaChannel

pytest.importorskip("rattler", reason="py-rattler is not installed: pip install 'gitml[conda]'")
pytestmark = pytest.mark.slow

DAY = 86_400_000
START = 1_600_000_000_000


@pytest.fixture
def channel(tmp_path: Path) -> CondaChannel:
    """Two versions of ``greet`` a day apart, the newer of which needs ``words``, for two platforms."""
    found = CondaChannel(tmp_path / "channel")
    for subdir in ("linux-64", "osx-arm64"):
        for number, version in enumerate(("1.0", "1.1")):
            found.package(
                "greet",
                {"bin/greet": f"#!/bin/sh\necho {version}\n"},
                version,
                subdir=subdir,
                timestamp=START + number * DAY,
                depends=["words >=2"] if number else [],
            )
    found.package("words", {"share/words": "a\n"}, "2.0", timestamp=START)
    found.package("driven", {"share/driven": "x"}, timestamp=START, depends=["__cuda >=12"])
    found.index()
    return found


def lock(
    tmp_path: Path,
    text: str,
    platforms: Sequence[str] = ("linux-64",),
    as_of: datetime | None = None,
    said: list[str] | None = None,
    **more: str,
) -> str:
    machine = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **more}
    request = LockRequest(machine, str(tmp_path / "cache"), platforms, as_of)
    report = (said if said is not None else []).append
    return lock_environment_file("env/environment.yml", text.encode(), request, BuildControl(StopRequests(), report))


def environment(channel: CondaChannel, *dependencies: str, more: str = "") -> str:
    listed = "".join(f"- {one}\n" for one in dependencies)
    return f"name: mine\nchannels:\n- {channel.url}\ndependencies:\n{listed}{more}"


def names(text: str, subdir: str = "linux-64") -> list[str]:
    return read_lock("conda-lock.yml", text.encode(), subdir).distributions()


def test_each_platform_gets_what_the_newest_packages_need(tmp_path: Path, channel: CondaChannel) -> None:
    text = lock(tmp_path, environment(channel, "greet"), ["osx-arm64", "linux-64"])
    for subdir in ("linux-64", "osx-arm64"):
        assert names(text, subdir) == ["greet 1.1", "words 2.0"]
    assert text == lock(tmp_path, environment(channel, "greet"), ["linux-64", "osx-arm64"])


def test_as_of_a_date_newer_packages_are_not_there(tmp_path: Path, channel: CondaChannel) -> None:
    before = datetime.fromtimestamp((START + DAY / 2) / 1000, UTC)
    assert names(lock(tmp_path, environment(channel, "greet"), as_of=before)) == ["greet 1.0"]
    with pytest.raises(InputError, match="rattler could not solve"):
        lock(tmp_path, environment(channel, "greet"), as_of=datetime(1999, 1, 1, tzinfo=UTC))


def test_platforms_of_the_file_count_where_none_are_asked_for(tmp_path: Path, channel: CondaChannel) -> None:
    text = lock(tmp_path, environment(channel, "greet=1.0", more="platforms: [osx-arm64]\n"), ())
    assert names(text, "osx-arm64") == ["greet 1.0"]
    with pytest.raises(InputError, match="the lock is for osx-arm64, and not for linux-64"):
        names(text)


def test_a_package_for_a_driver_is_solved_as_conda_does(tmp_path: Path, channel: CondaChannel) -> None:
    with pytest.raises(InputError) as caught:
        lock(tmp_path, environment(channel, "driven"))
    assert "__cuda" in caught.value.message
    assert "\n" not in caught.value.message
    assert names(lock(tmp_path, environment(channel, "driven"), CONDA_OVERRIDE_CUDA="12.4")) == ["driven 1.0"]


def test_what_is_no_package_is_said(tmp_path: Path, channel: CondaChannel) -> None:
    said: list[str] = []
    lock(tmp_path, environment(channel, "greet", more="variables: {A: b}\n"), said=said)
    assert said[0] == "left out: variables (variables belong under env: of a step)"
    assert "solving for linux-64" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\n", "it names no packages"),
        ("dependencies: [a]\n", "it has no channels"),
        ("channels: [c]\ndependencies: []\n", "it names no packages"),
        ("channels: ['https://a:b@c/d']\ndependencies: [a]\n", "a channel with a password or a token"),
        ("channels: [c]\ndependencies: [a, {pip: [-e .]}]\n", "'-e .' under pip is no package of an index"),
        ("channels: [c]\ndependencies: [a, {pip: [-r r.txt]}]\n", "'-r r.txt' under pip"),
        ("channels: [c]\ndependencies: [[a]]\n", "this is not text"),
    ],
)
def test_what_can_not_be_locked_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_environment_file("environment.yml", text.encode())
    assert message in caught.value.message
    assert str(caught.value.where).startswith("environment.yml:")


def test_defaults_are_the_channels_that_conda_means_by_it() -> None:
    asked = read_environment_file("e.yml", b"channels: [conda-forge, defaults, nodefaults]\ndependencies: [a]\n")
    assert asked.channels == (
        "conda-forge",
        "https://repo.anaconda.com/pkgs/main",
        "https://repo.anaconda.com/pkgs/r",
    )


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="its packages are for linux-64")
def test_a_step_runs_in_what_was_locked(tmp_path: Path, channel: CondaChannel) -> None:
    text = lock(tmp_path, environment(channel, "greet"))
    pipeline = "environment: env/conda-lock.yml\nsteps:\n  a: {shell: sh, run: 'greet > ${{ outputs.o }}', outputs: {o: file}}\n"
    made = Project(tmp_path / "r", {"env/conda-lock.yml": text, "pipelines/p.yaml": pipeline})
    assert made.output(made.run().steps[0]) == b"1.1\n"


def test_requirements_of_pip_need_a_python(tmp_path: Path, channel: CondaChannel) -> None:
    with pytest.raises(InputError, match="it has requirements of pip and no Python for linux-64"):
        lock(tmp_path, environment(channel, "greet", "{pip: [idna]}"))


def test_requirements_of_pip_are_locked_beside_those_of_conda(tmp_path: Path, channel: CondaChannel) -> None:
    channel.package("python", {"share/x": ""}, "3.12.4", subdir="linux-64", build="h0_0_cpython")
    channel.package("six", {"share/six": ""}, "1.0", noarch="generic")
    channel.index()
    channel.simple_index({"idna": ["3.3", "3.4"], "six": ["1.0", "2.0"]}, {"idna": ["six"]})
    with channel.served():
        asked = environment(channel, "python", "six", "{pip: ['idna<3.4']}")
        text = lock(tmp_path, asked, UV_DEFAULT_INDEX=f"{channel.url}/simple", UV_CACHE_DIR=str(tmp_path / "uv"))
    found = read_lock("conda-lock.yml", text.encode(), "linux-64")
    assert [(package.name, package.version) for package in found.pypi] == [("idna", "3.3")]
    assert found.pypi[0].hash == f"sha256:{json.loads((channel.folder / 'simple/hashes.json').read_text())['idna-3.3']}"
    assert names(text) == ["idna 3.3", "python 3.12.4", "six 1.0"]


def test_others_read_the_lock(tmp_path: Path, channel: CondaChannel) -> None:
    from rattler import LockFile

    path = tmp_path / "conda-lock.yml"
    path.write_text(lock(tmp_path, environment(channel, "greet"), ["linux-64", "osx-arm64"]))
    found = dict(LockFile.from_path(path).environments())["default"]
    assert {platform.name for platform in found.platforms()} == {"linux-64", "osx-arm64"}
    linux = next(platform for platform in found.platforms() if platform.name == "linux-64")
    assert sorted(package.name for package in found.packages(linux) or ()) == ["greet", "words"]
