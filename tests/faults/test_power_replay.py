"""Power cuts replayed: no state that a cut may leave loses what was acknowledged, blocks a repository, or has torn bytes used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit.replay import Disk
from tests.kit.replaychecks import COMMANDS, Recorded, Verdict, base, one_state, recorded

pytestmark = pytest.mark.needs("strace")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("base"))


def check(item: Recorded, folder: Path, model: str, seed: int) -> None:
    _, verdict = one_state(item, folder, model, seed)
    assert verdict == Verdict(), f"{item.name} {model} {seed}: {verdict}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cold", "plan", "push"])
def test_a_sample_of_cuts_loses_nothing(begun: Path, tmp_path: Path, name: str) -> None:
    item = recorded(begun, tmp_path, name)
    for model in ("ext4", "posix"):
        for seed in (0, 1):
            check(item, tmp_path / "state", model, seed)


@pytest.mark.slow
def test_a_command_replayed_whole_gives_the_disk_as_it_is(begun: Path, tmp_path: Path) -> None:
    item = recorded(begun, tmp_path, "cold")
    disk = Disk(item.before, item.final)
    for op in item.ops:
        disk.apply(op)
    replayed = {os.path.relpath(path, item.before): file.data for path, file in disk.names.items() if file is not None}
    real = {str(path.relative_to(item.final)): path.read_bytes() for path in item.final.rglob("*") if path.is_file()}
    for name in [*real]:
        if name.endswith("-shm"):  # SQLite writes it through memory, and makes it anew
            del real[name], replayed[name]
    assert replayed == real


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_campaign_of_cuts_loses_nothing(begun: Path, tmp_path: Path, name: str) -> None:
    item = recorded(begun, tmp_path, name)
    for seed in range(int(os.environ.get("GITML_CUTS", "2"))):
        for model in ("ext4", "posix"):
            check(item, tmp_path / "state", model, seed)
