"""What goes over to a cluster's disk is all there, or an error says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gitml.cluster.content.file_transfer import write_piece

PROGRAM = """
import resource, sys
from gitml.cluster.content.file_transfer import write_piece
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # a disk with room for so much
try:
    write_piece(sys.argv[1], 0, bytes(1500))
except OSError as error:
    print(error.errno)
"""


def test_a_piece_is_written_where_it_belongs(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    write_piece(path, 5, b"second")
    write_piece(path, 0, b"first")
    write_piece(path, 0, b"")
    assert (tmp_path / "file").read_bytes() == b"firstsecond"


def test_a_disk_that_takes_a_part_of_a_piece_is_an_error(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "file")], capture_output=True, check=True, text=True
    )
    assert told.stdout == "27\n"
    assert os.path.getsize(tmp_path / "file") == 1000
