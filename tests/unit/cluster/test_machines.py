"""The machines that tests of clusters run on are apart from each other, and leave nothing."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.cluster.machines import Machines, machines, why_not
from tests.kit.patience import PATIENCE

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
]

ASK = "import socket, sys; s = socket.create_connection((sys.argv[1], 4000), 2); print(s.recv(9).decode())"
SERVE = "import socket\ns = socket.create_server(('', 4000))\nwhile True:\n s.accept()[0].sendall(socket.gethostname().encode())"


@pytest.fixture(scope="module")
def lab() -> Iterator[Machines]:
    with machines(2) as lab:
        yield lab


def asks(lab: Machines, asker: int, whom: str) -> str:
    done = lab[asker].do("python", "-c", ASK, whom, code=None)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def serve(lab: Machines, number: int) -> subprocess.Popen[bytes]:
    server = lab[number].start("python", "-c", SERVE)
    end = time.monotonic() + PATIENCE
    while "refused" in asks(lab, number, "127.0.0.1"):
        assert time.monotonic() < end
    return server


def test_machines_have_names_addresses_processes_and_files_of_their_own(lab: Machines) -> None:
    for machine in lab:
        assert machine.do("hostname").stdout.strip() == machine.name
        assert machine.do("sh", "-c", "ls -A ~; ls -A /run").stdout == ""
        machine.write("/etc/mine", machine.name)
        machine.write("/tmp/mine", machine.name)
    assert lab[1].do("cat", "/etc/mine", "/tmp/mine").stdout == "node1node1"
    assert not Path("/etc/mine").exists()
    assert len(lab[1].do("sh", "-c", "ls -d /proc/[0-9]*").stdout.split()) < 6
    assert lab[1].do("touch", str(Path.cwd() / "planted"), code=None).returncode == 1


def test_a_cut_machine_is_silent_until_it_is_healed(lab: Machines) -> None:
    server = serve(lab, 2)
    assert asks(lab, 1, "node2") == "node2"
    lab.cut(2)
    assert "timed out" in asks(lab, 1, "node2")
    lab.heal(2)
    assert asks(lab, 1, "node2") == "node2"
    server.kill()
    server.communicate()


def test_a_killed_machine_takes_its_processes_along_and_comes_back_empty() -> None:
    with machines(1) as lab:
        lab[1].write("/etc/mine", "x")
        going = lab[1].start("sleep", "1234.5")
        while not lab[1].processes("1234.5"):
            time.sleep(0.05)
        pids = lab[1].processes("1234.5")
        lab.kill(1)
        going.communicate(timeout=PATIENCE)
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
        lab.boot(1)
        assert lab[1].do("ls", "/etc/mine", code=None).returncode == 2


def test_a_disk_can_be_made_small(lab: Machines) -> None:
    lab[1].small_disk("/var/small", "64k")
    assert lab[1].do("dd", "if=/dev/zero", "of=/var/small/x", "bs=1k", "count=100", code=None).returncode == 1


def test_nothing_is_left() -> None:
    before = Path("/proc/self/mounts").read_text()
    with machines(1) as lab:
        going = lab[1].start("sleep", "1234.75")
        while not (pids := lab[1].processes("1234.75")):
            time.sleep(0.05)
        everything = [lab.pid, lab.holder.pid, lab[1].pid, *pids]
    going.communicate(timeout=PATIENCE)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in everything)
    assert Path("/proc/self/mounts").read_text() == before
