from __future__ import annotations

import os

import pytest

from gitml.execute.capacity import GpuShares, gpus, machine_capacity


def test_a_machine_has_at_most_the_cpus_it_may_use() -> None:
    capacity = machine_capacity({})
    assert 0 < capacity.cpus <= len(os.sched_getaffinity(0))
    assert 2**20 < capacity.memory <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("value", "names"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])]
)
def test_visible_devices_are_respected(value: str, names: list[str]) -> None:
    assert gpus({"CUDA_VISIBLE_DEVICES": value}) == names


def test_fractions_fill_one_gpu_before_the_next() -> None:
    shares = GpuShares(["0", "1"])
    assert shares.give("a", 0.5) == "0"
    assert shares.give("b", 0.25) == "0"
    assert shares.give("c", 1) == "1"
    with pytest.raises(ValueError, match="not free"):
        shares.give("d", 0.5)
    shares.take_back("c")
    assert shares.give("d", 0.5) == "1"
    assert shares.give("e", 0) is None
