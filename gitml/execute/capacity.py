"""What this machine has for steps: CPUs, memory and GPUs, as its control groups leave them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitml.core.model.resources import Resources
from gitml.platform.current import platform

_CGROUP = "/sys/fs/cgroup"
_UNLIMITED = 2**60


def machine_capacity(machine: Mapping[str, str]) -> Resources:
    """All that this process may use; `machine` is its environment, whose CUDA_VISIBLE_DEVICES is respected."""
    cpus = float(platform.cpu_count())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    quota, limit = _cgroup_limits()
    return Resources(min(cpus, quota), float(len(gpus(machine))), min(memory, limit))


def gpus(machine: Mapping[str, str]) -> list[str]:
    """The GPUs a step can be given, as CUDA_VISIBLE_DEVICES names them."""
    visible = machine.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        # CUDA itself stops at the first name that is no device
        valid = [name for name in names if name and name != "-1"]
        return valid if valid == names else []
    try:
        found = os.listdir("/dev")
    except OSError:
        return []
    numbers = sorted(int(name[6:]) for name in found if name.startswith("nvidia") and name[6:].isdigit())
    return [str(index) for index, _ in enumerate(numbers)]


class GpuShares:
    """Which GPU is in use by how much, so that whole GPUs are given to one attempt at a time and fractions share one."""

    def __init__(self, names: list[str]) -> None:
        self._free = dict.fromkeys(names, 1.0)
        self._held: dict[str, tuple[list[str], float]] = {}

    def give(self, attempt: str, count: float) -> str | None:
        """The devices for an attempt as CUDA_VISIBLE_DEVICES; ValueError when they are not free.

        None when it asks for none: it then sees what the machine's own CUDA_VISIBLE_DEVICES lets it see.
        """
        if count <= 0:
            return None
        if count < 1:
            share = count
            fitting = sorted((free, name) for name, free in self._free.items() if free >= count - 1e-9)
            chosen = [name for _, name in fitting[:1]]
        else:
            share = 1.0
            whole = int(count) if count == int(count) else int(count) + 1
            chosen = [name for name, free in self._free.items() if free >= 1 - 1e-9][:whole]
            if len(chosen) < whole:
                chosen = []
        if not chosen:
            raise ValueError(f"{count:g} gpus are not free")
        for name in chosen:
            self._free[name] -= share
        self._held[attempt] = (chosen, share)
        return ",".join(chosen)

    def take_back(self, attempt: str) -> None:
        """Frees what an attempt was given."""
        chosen, share = self._held.pop(attempt, ([], 0.0))
        for name in chosen:
            self._free[name] += share


def _cgroup_limits() -> tuple[float, int]:
    """CPUs and bytes of memory that the control groups of this process allow."""
    cpus, memory = float("inf"), _UNLIMITED
    for group in _groups():
        quota = _words(f"{group}/cpu.max")
        if len(quota) == 2 and quota[0].isdigit():
            cpus = min(cpus, int(quota[0]) / int(quota[1]))
        v1_quota, v1_period = _words(f"{group}/cpu.cfs_quota_us"), _words(f"{group}/cpu.cfs_period_us")
        if v1_quota and v1_period and v1_quota[0].isdigit():
            cpus = min(cpus, int(v1_quota[0]) / int(v1_period[0]))
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _words(f"{group}/{name}")
            if limit and limit[0].isdigit():
                memory = min(memory, int(limit[0]))
    return cpus, memory


def _groups() -> list[str]:
    """The folders of this process's control groups and of all above them, both versions."""
    found = []
    try:
        with open("/proc/self/cgroup") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers and not {"cpu", "memory"}.intersection(names):
            continue
        base = f"{_CGROUP}/{controllers}" if controllers else _CGROUP
        place = path.rstrip("/")
        while place:
            found.append(base + place)
            place = place[: place.rfind("/")]
        found.append(base)
    return found


def _words(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().split()
    except OSError:
        return []
