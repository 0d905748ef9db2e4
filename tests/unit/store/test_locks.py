"""Locks across processes, deaths and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.errors import BusyError
from gitml.store.local.locks import Locks

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from gitml.store.local.locks import Locks
locks = Locks(sys.argv[1])
assert locks.try_lock(int(sys.argv[2]), shared=sys.argv[3] == "shared")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "gitml" / "locks")


class Holder:
    def __init__(self, path: str, slot: int, how: str) -> None:
        command = [sys.executable, "-c", HOLD, path, str(slot), how]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def holders() -> Iterator[list[Holder]]:
    made: list[Holder] = []
    yield made
    for holder in made:
        holder.kill()


def test_a_slot_of_another_process_is_refused_and_free_when_that_process_is_killed(
    path: str, holders: list[Holder]
) -> None:
    slot = Locks.slot_for("an action")
    holders.append(Holder(path, slot, "exclusive"))
    locks = Locks(path)
    assert not locks.try_lock(slot)
    assert locks.holder(slot) == holders[0].process.pid
    assert not locks.lock(slot, 0.05)
    assert locks.try_lock(Locks.slot_for("another action"))
    holders[0].kill()
    assert locks.holder(slot) is None
    assert locks.lock(slot, 5)
    assert locks.holder(slot) == os.getpid()
    locks.unlock(slot)
    locks.unlock(Locks.slot_for("another action"))


def test_sharers_keep_out_one_who_wants_it_alone_and_the_other_way_round(path: str, holders: list[Holder]) -> None:
    holders.append(Holder(path, Locks.GC, "shared"))
    locks = Locks(path)
    assert not locks.try_lock(Locks.GC)
    assert locks.try_lock(Locks.GC, shared=True)
    holders[0].kill()
    locks.unlock(Locks.GC)
    assert locks.try_lock(Locks.GC)
    locks.unlock(Locks.GC)
    holders.append(Holder(path, Locks.GC, "exclusive"))
    assert not locks.try_lock(Locks.GC, shared=True)


def test_one_process_gets_a_slot_once(path: str) -> None:
    locks = Locks(path)
    again = Locks(path)
    assert locks.try_lock(5)
    assert not locks.try_lock(5)
    assert not again.try_lock(5)
    assert not again.try_lock(5, shared=True)
    again.unlock(5)
    assert locks.try_lock(5)
    locks.unlock(5)
    locks.unlock(5)


def test_opening_the_locks_again_drops_none(path: str) -> None:
    locks = Locks(path)
    assert locks.try_lock(7)
    for _ in range(3):
        Locks(path)
    code = "import sys; from gitml.store.local.locks import Locks; sys.exit(0 if Locks(sys.argv[1]).try_lock(7) else 9)"
    command = [sys.executable, "-c", code, path]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 9
    locks.unlock(7)
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 0


def test_a_forked_child_holds_nothing_and_its_end_frees_nothing(path: str) -> None:
    locks = Locks(path)
    assert locks.try_lock(3)
    assert locks.try_lock(4)
    pid = os.fork()
    if pid == 0:
        refused = not locks.try_lock(3) and locks.holder(3) == os.getppid()
        locks.unlock(4)
        own = locks.try_lock(11)
        os._exit(0 if refused and own and not locks.try_lock(4) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    code = "import sys; from gitml.store.local.locks import Locks; sys.exit(0 if Locks(sys.argv[1]).try_lock(3) else 9)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code, path], env=environment).returncode == 9
    locks.unlock(3)
    locks.unlock(4)


def test_holding_says_who_has_it_and_frees_it_after_a_failure(path: str, holders: list[Holder]) -> None:
    locks = Locks(path)
    with pytest.raises(ZeroDivisionError), locks.holding(Locks.RECORDS):
        raise ZeroDivisionError
    holders.append(Holder(path, Locks.RECORDS, "exclusive"))
    with pytest.raises(BusyError, match=f"process {holders[0].process.pid} is using the records") as caught:
        locks.holding(Locks.RECORDS, 0.01, what="the records").__enter__()
    assert caught.value.where == path
    assert caught.value.hint


def test_waiting_ends_soon_after_the_slot_is_freed(path: str, holders: list[Holder]) -> None:
    holders.append(Holder(path, 1, "exclusive"))
    locks = Locks(path)
    started = time.monotonic()
    assert not locks.lock(1, 0.1)
    assert 0.1 <= time.monotonic() - started < 30
    holders[0].kill()
    assert locks.lock(1)
    locks.unlock(1)


def test_slots_of_names_are_spread_far_above_the_numbered_ones() -> None:
    slots = {Locks.slot_for(f"name {n}") for n in range(2000)}
    assert len(slots) == 2000
    assert all(1 << 32 <= slot < 1 << 63 for slot in slots)
    assert Locks.slot_for("a") == Locks.slot_for("a")
