"""Durations, sizes and columns as people read them."""

from __future__ import annotations

import pytest

from gitml.cli.text.format import ago, cells, clipped, columns, count, duration, number, size


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0.00s"), (0.004, "0.00s"), (0.044, "0.04s"), (1.24, "1.2s"), (9.96, "10s"), (59.6, "1m00s"), (3599.6, "1h00m"),
     (7620, "2h07m"), (86400 * 3 + 4 * 3600, "3d04h")],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("bytes_", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (10 * 1024, "10 KiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 60, "5120 PiB"),
    ],
)
def test_sizes(bytes_: int, shown: str) -> None:
    assert size(bytes_) == shown


def test_ago_count_and_number() -> None:
    assert [ago(100, now) for now in (90, 130, 400, 7400, 200_000)] == [
        "0s ago",
        "30s ago",
        "5m ago",
        "2h ago",
        "2d ago",
    ]
    assert (count(1, "step"), count(2000, "step")) == ("1 step", "2,000 steps")
    assert (number(0.123456789), number(True), number(3), number("a\nb")) == ("0.123457", "true", "3", r"a\nb")


def test_columns_align_wide_characters() -> None:
    lines = columns([["火", "1"], ["abc", "22"]], right=frozenset([1]))
    assert lines == ["火    1", "abc  22"]
    assert columns([]) == []


def test_clipping_counts_cells() -> None:
    assert clipped("abcdef", 4) == "abc…"
    assert clipped("火火火", 5) == "火火…"
    assert clipped("abc", 3) == "abc"
    assert cells("e\u0301") == 1
