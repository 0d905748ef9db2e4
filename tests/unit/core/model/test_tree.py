"""Trees: one encoding for one directory, and nothing else is read as one."""

from __future__ import annotations

import pytest

from gitml.core.model.digest import digest_of
from gitml.core.model.tree import HEADER, TreeEntry, decode_tree, encode_tree, link_stays_inside

D = digest_of(b"x")
HEX = D[7:].encode()


def line(name: bytes = b"a", kind: bytes = b"f", hex_: bytes = HEX, size: bytes = b"1") -> bytes:
    return b"%s %s %s %s\0" % (kind, hex_, size, name)


def test_a_listing_is_what_the_format_says() -> None:
    assert encode_tree([]) == HEADER
    assert encode_tree([TreeEntry(b"a", "f", D, 1)]) == HEADER + line()
    assert decode_tree(HEADER + line(b"a b", b"x") + line(b"b", b"d", size=b"0")) == [
        TreeEntry(b"a b", "x", D, 1),
        TreeEntry(b"b", "d", D, 0),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"", HEADER[:-1], b"gitml tree 2\n", HEADER + line()[:-1], HEADER + b"\0", HEADER + line(b""), HEADER + line(b"."),
        HEADER + line(b".."), HEADER + line(b"a/b"), HEADER + line(kind=b"q"), HEADER + line(kind=b""), HEADER + line(kind=b"\xff"),
        HEADER + line(hex_=HEX.upper()), HEADER + line(hex_=HEX[:-1]), HEADER + line(size=b"-1"), HEADER + line(size=b"01"),
        HEADER + line(size=b"+1"), HEADER + line(size=b"1_0"), HEADER + line(size=b""), HEADER + line(size=b"\xd9\xa1"),
        HEADER + line(size=b"9" * 5000), HEADER + line() + line(), HEADER + line(b"b") + line(b"a"), HEADER + line() + b"x",
        HEADER + b" " + line(), HEADER + HEADER,
    ],
)  # fmt: skip
def test_any_other_bytes_are_refused_with_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_tree(data)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b"])
def test_names_no_directory_can_hold_are_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        encode_tree([TreeEntry(name, "f", D, 1)])


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        encode_tree([TreeEntry(b"a", "f", D, 1), TreeEntry(b"a", "d", D, 1)])


@pytest.mark.parametrize(
    ("directory", "target", "inside"),
    [
        ("", "a", True), ("", "./a", True), ("a", "../b", True), ("a/b", "../../c", True), ("", "a/../b", False), ("a", "..", True),
        ("", "..", False), ("", "../a", False), ("a", "../../b", False), ("", "/etc", False), ("", "", False), ("", "a\0", False),
        ("a/b", "../../../c", False), ("", "a/../../b", False), ("", "..a", True), ("a", ".../x", True),
    ],
)  # fmt: skip
def test_a_link_that_leads_out_is_told_from_one_that_does_not(directory: str, target: str, inside: bool) -> None:
    assert link_stays_inside(directory, target) is inside
