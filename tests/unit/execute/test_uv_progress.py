"""What is reported while uv works, from the lines that uv 0.13 prints and the bytes that a process writes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gitml.execute import process
from gitml.execute.environments.locks.uv_progress import UvProgress
from gitml.execute.process import StopRequests, run
from gitml.platform.current import platform

SAID = b"""Using Python 3.11.7 environment at: v
Resolved 57 packages in 88ms
Downloading numpy (18.4MiB)
Downloading torch (797.3MiB)
Downloading pandas (12.5MiB)
   Building wfdb==4.1.2
 Downloaded pandas
"""


def test_what_uv_prints_becomes_the_stage_and_the_packages_under_way() -> None:
    progress = UvProgress([].append)
    assert progress.words() == "resolving packages"
    for at in range(len(SAID)):  # in whatever pieces it comes
        progress.heard(SAID[at : at + 1])
    assert progress.words() == "downloading 57 packages: numpy, torch and 1 more under way"
    progress.heard(b" Downloaded torch\n Downloaded numpy\n      Built wfdb==4.1.2\nPrepared 57 packages in 2.02s\n")
    assert progress.words() == "installing 57 packages"
    progress.heard(b"Installed 57 packages in 147ms\n")
    assert progress.words() == "compiling 57 packages"


def test_a_line_without_end_takes_no_memory() -> None:
    progress = UvProgress([].append)
    for _ in range(1000):
        progress.heard(b"x" * 10_000)
    assert len(progress._line) <= 14_096


@pytest.mark.needs_linux("bytes that a process wrote")
def test_bytes_and_their_rate_are_those_that_the_process_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WATCH", 0.05)
    reported: list[str] = []
    progress = UvProgress(reported.append)
    script = (
        "import sys, time\nprint('Resolved 1 package in 1ms', flush=True)\n"
        f"file = open({str(tmp_path / 'file')!r}, 'wb', 0)\n"
        "for _ in range(8):\n    file.write(bytes(1 << 20))\n    time.sleep(0.1)\n"
    )
    argv = (sys.executable, "-c", script)
    ended = run(sys.executable, argv, dict(os.environ), progress.heard, StopRequests(), watch=progress.tick)
    assert ended.code == 0
    assert reported[-1].startswith("downloading 1 package: ")
    assert any("MiB/s" in words for words in reported), reported
    assert {"4.0 MiB", "5.0 MiB", "6.0 MiB"} & {
        part.strip() for words in reported for part in words.split(":")[-1].split(",")
    }


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    assert platform.bytes_written(2**22 - 1) is None
