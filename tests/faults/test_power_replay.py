"""Power cuts replayed: no state that a cut may leave loses what was acknowledged, blocks a repository, or has torn bytes used."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from gitml.core.model.digest import digest_of, from_hex
from gitml.core.model.tree import TreeEntry, encode_tree
from tests.kit.disks.power_cut_replay import Disk, record, state_after
from tests.kit.disks.replay_checks import COMMANDS, Recorded, Verdict, base, one_state, recorded

pytestmark = pytest.mark.needs("strace")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("base"))


def check(item: Recorded, model: str, seed: int) -> None:
    _, verdict = one_state(item, model, seed)
    assert verdict == Verdict(), f"{item.name} {model} {seed}: {verdict}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cold", "plan", "push"])
def test_a_sample_of_cuts_loses_nothing(begun: Path, tmp_path: Path, name: str) -> None:
    item = recorded(begun, tmp_path, name)
    for model in ("ext4", "posix"):
        for seed in (0, 1):
            check(item, model, seed)


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


TAKE_MANY = """
import os
from gitml.platform import linux
from gitml.store.local import ingest
from gitml.store.local.store import LocalStore

linux.form.unwritten_bytes = lambda: 0  # so that all is written at once, where that is as good
ingest._MANY = 50  # so that two processes do it, where there are two processors
os.makedirs("in/sub")
for n in range(400):
    with open(f"in/{'sub/' * (n % 2)}{n}", "w") as file:
        file.write(f"content {n}")
assert LocalStore("gitml").ingest_tree("in", leave=True)[0] == os.environ["ROOT"]
"""


@pytest.mark.slow
def test_no_file_of_many_has_its_name_before_its_bytes_and_all_have_both_once_they_are_taken_in(tmp_path: Path) -> None:
    contents = {n: f"content {n}".encode() for n in range(400)}
    files = {n: TreeEntry(b"%d" % n, "f", digest_of(content), len(content)) for n, content in contents.items()}
    below = encode_tree([files[n] for n in range(1, 400, 2)])
    sub = TreeEntry(b"sub", "d", digest_of(below), sum(files[n].size for n in range(1, 400, 2)))
    root = encode_tree([*(files[n] for n in range(0, 400, 2)), sub])
    named = {digest_of(content): content for content in (*contents.values(), below, root)}
    place = tmp_path / "place"
    place.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "ROOT": digest_of(root)}
    ops, code = record([sys.executable, "-c", TAKE_MANY], place, environment, place, tmp_path / "calls")
    assert code == 0
    shutil.rmtree(place)
    place.mkdir()
    for seed in range(60):
        chance = random.Random(seed)
        is_taken = seed % 3 == 0
        done = ops if is_taken else ops[: chance.randrange(len(ops))]
        for model in ("ext4", "posix"):
            state = state_after(Disk(place), done, model, chance)
            folders = f"{place}/gitml/objects/"
            left = {
                from_hex(path[len(folders) :].replace("/", "")): content
                for path, content in state.items()
                if path.startswith(folders) and content is not None and not path.startswith(f"{folders}tmp/")
            }
            assert left.items() <= named.items(), (seed, model, "a name without its bytes")
            assert not is_taken or left == named, (seed, model, "taken in and lost")
            if digest_of(root) in left:
                assert left == named, (seed, model, "a tree without what it names")


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_campaign_of_cuts_loses_nothing(begun: Path, tmp_path: Path, name: str) -> None:
    item = recorded(begun, tmp_path, name)
    for seed in range(int(os.environ.get("GITML_CUTS", "2"))):
        for model in ("ext4", "posix"):
            check(item, model, seed)
