"""Logs by the page: of any size, only what is looked at is read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

from gitml.history.logs import LONGEST, AttemptLog, find, page_at, size_of
from gitml.workspace import Workspace

NOWHERE = cast(Workspace, None)  # a log that is being written is a file, and needs none


def part(path: Path) -> AttemptLog:
    return AttemptLog("step", "0-1", 1, 1, path=str(path))


def test_a_page_holds_whole_lines_and_where_each_begins(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [f"line number {number}" for number in range(10_000)]
    log.write_text("\n".join(lines) + "\n")
    page = page_at(NOWHERE, part(log), 50_000, reach=1000)
    assert all(line in lines for line in page.lines)
    data = log.read_bytes()
    for line, offset in zip(page.lines, page.offsets, strict=True):
        assert data[offset : offset + len(line)].decode() == line
    assert data[page.start - 1 : page.start] == b"\n"
    assert data[page.end - 1 : page.end] == b"\n"


def test_the_last_page_ends_with_what_is_written_of_the_last_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nthr")
    page = page_at(NOWHERE, part(log), size_of(part(log)))
    assert page.lines == ("one", "two", "thr")
    log.write_bytes(b"one\n\ntwo\n")
    assert page_at(NOWHERE, part(log), 0).lines == ("one", "", "two")
    log.write_bytes(b"")
    assert page_at(NOWHERE, part(log), 0).lines == ()


def test_what_acts_on_a_terminal_is_told_and_colours_are_dropped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[1;31mred\x1b[0m \x1b[2J \xff \xe2\x80\xae\n10%\r20%\r30%\n")
    assert page_at(NOWHERE, part(log), 0).lines == ("red \\x1b[2J \\xff \\u202e", "30%")


def test_a_line_without_end_is_cut_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 3 * LONGEST)
    page = page_at(NOWHERE, part(log), 0)
    assert [len(line) for line in page.lines] == [LONGEST] * 3


def test_a_log_of_a_gigabyte_is_opened_at_either_end_and_searched_backwards_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with open(log, "wb") as file:
        file.write(b"the beginning\n")
        file.truncate(1 << 30)  # a hole: it takes no room
        file.seek(0, 2)
        file.write(b"\nfor the Needle in it\nthe end\n")
    begin = time.process_time()
    last = page_at(NOWHERE, part(log), size_of(part(log)))
    assert last.lines[-1] == "the end"
    assert page_at(NOWHERE, part(log), 0).lines[0] == "the beginning"
    at = find(NOWHERE, part(log), "needle", size_of(part(log)), backwards=True)
    assert time.process_time() - begin < 3.0
    assert at is not None
    assert last.end - at < 100


def test_a_text_is_found_wherever_it_lies_and_in_either_direction(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for place in (0, 1, (1 << 20) - 3, 1 << 20, (1 << 21) + 17):
        log.write_bytes(b"." * place + b"Needle" + b"." * 100)
        assert find(NOWHERE, part(log), "nEEDLE", 0) == place
        assert find(NOWHERE, part(log), "needle", place + 1) is None
        assert find(NOWHERE, part(log), "needle", place + 50, backwards=True) == place
        assert find(NOWHERE, part(log), "needle", place, backwards=True) is None
