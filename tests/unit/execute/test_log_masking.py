"""A log of any length holds no secret: in its first part, in its last, at the borders between them, and in what is shown of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gitml.core.secrets.mask import Mask
from gitml.execute import log as logs
from gitml.execute.log import Log

SECRET = "tok-0123456789/+abcdef"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that a test fills in no time."""
    for name, size in (("HEAD", 2000), ("TAIL", 500), ("LOOK_BACK", 200), ("LEAD", 100)):
        monkeypatch.setattr(logs, name, size)


def written(path: Path, data: bytes, sizes: random.Random) -> tuple[bytes, Log, list[bytes]]:
    log = Log(str(path), Mask([SECRET]))
    shown = []
    place = 0
    while place < len(data):
        size = sizes.choice([1, 3, 20, 90, 400])
        log._reported = 0.0
        line = log.write(data[place : place + size])
        shown += [log.tail(), (line or "").encode()]
        place += size
    log.end()
    log.close()
    return path.read_bytes(), log, [*shown, log.tail()]


@pytest.mark.parametrize("seed", range(60))
def test_no_part_of_it_shows_a_secret(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = b""
    length = chance.choice([1500, 1990, 2300, 2600, 5000])
    while len(data) < length:
        data += chance.choice([SECRET.encode(), SECRET.encode(), b" ", b"\n", b"tok-01", b"words of a step\n"])
    kept, log, shown = written(tmp_path / "log", data, chance)
    for text in (kept, *shown):
        for start in range(len(SECRET) - 9):
            assert SECRET[start : start + 10].encode() not in text, start
    assert log.written >= len(kept) - 60


@pytest.mark.parametrize("seed", range(20))
def test_without_secrets_it_is_what_was_written_but_for_the_middle(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = b"".join(b"line %d of it\n" % number for number in range(chance.choice([3, 140, 160, 180, 400])))
    kept, log, shown = written(tmp_path / "log", data, chance)
    assert log.written == len(data)
    assert data.endswith(shown[-1])
    assert len(shown[-1]) >= min(len(data), 200)
    if len(data) <= 2500:
        assert kept == data
    else:
        head, _, rest = kept.partition(b"\n[... ")
        count, _, last = rest.partition(b" bytes left out ...]\n")
        assert head == data[:2000]
        assert data.endswith(last)
        assert len(last) == 500
        assert int(count) == len(data) - 2500
