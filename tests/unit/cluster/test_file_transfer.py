"""What goes over to a cluster's disk is all there, or an error says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gitml.cluster.content.file_transfer import write_at

PROGRAM = """
import os, resource, sys
from gitml.cluster.content.file_transfer import write_at
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # a disk with room for so much
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
try:
    write_at(fd, bytes(1500), 0)
except OSError as error:
    print(error.errno)
"""


def test_a_piece_is_written_where_it_belongs(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        write_at(fd, b"second", 5)
        write_at(fd, b"first", 0)
        write_at(fd, b"", 0)
    finally:
        os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"firstsecond"


def test_a_disk_that_takes_a_part_of_a_piece_is_an_error(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "file")], capture_output=True, check=True, text=True
    )
    assert told.stdout == "27\n"
    assert os.path.getsize(tmp_path / "file") == 1000
