"""What a Python source imports, read from its text."""

from __future__ import annotations

import sys

import pytest

from gitml.core.planner.python_imports import Import, imports_of


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a", [Import(0, "a", ())]),
        ("import a.b.c as d, e", [Import(0, "a.b.c", ()), Import(0, "e", ())]),
        ("from a.b import c, d as e", [Import(0, "a.b", ("c", "d"))]),
        ("from a import *", [Import(0, "a", ("*",))]),
        ("from . import a", [Import(1, "", ("a",))]),
        ("from ..a.b import c", [Import(2, "a.b", ("c",))]),
        ("def f():\n    import a", [Import(0, "a", ())]),
        ("try:\n    import a\nexcept ImportError:\n    import b", [Import(0, "a", ()), Import(0, "b", ())]),
        ("if TYPE_CHECKING:\n    import a", [Import(0, "a", ())]),
        ("import importlib\nimportlib.import_module('a.b')", [Import(0, "importlib", ()), Import(0, "a.b", ())]),
        ("from importlib import import_module as i\nimport_module('a')", None),
        ("__import__('a')", [Import(0, "a", ())]),
        ("importlib.import_module(name)", []),
        ("importlib.import_module('.a', 'b')", []),
        ("importlib.import_module()", []),
        ("'import a'", []),
        ("# import a", []),
        ("import a\nimport a", [Import(0, "a", ())]),
    ],
)
def test_imports_are_read_wherever_they_stand(source: str, expected: list[Import] | None) -> None:
    found = imports_of(source.encode())
    assert Import(0, "a", ()) in found if expected is None else sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "source",
    [
        b"import (",
        b"print 'x'",
        b"\xff\xfe",
        b"import a\0",
        b"",
        b"(" * 5000,
        b"x = " + b"-" * 200_000 + b"1",
        b"# coding: nonsense\n",
    ],
)
def test_what_is_no_python_imports_nothing(source: bytes) -> None:
    assert imports_of(source) == []


def test_a_declared_encoding_is_heeded() -> None:
    assert imports_of("# coding: latin-1\nimport a  # é".encode("latin-1")) == [Import(0, "a", ())]


def test_nothing_of_the_source_is_executed() -> None:
    imports_of(b"import sys\nsys.executed_by_imports_of = True\n")
    assert not hasattr(sys, "executed_by_imports_of")
