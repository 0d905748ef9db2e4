"""Which modules a Python source file imports, read from its text; nothing is executed.

Seen: ``import`` and ``from`` statements anywhere in the file, ``importlib.import_module`` and ``__import__`` with a literal
name. A name computed at run time can't be seen; `code:` names such files.
"""

from __future__ import annotations

from typing import NamedTuple

FORMAT = 1  # raised whenever the same source would give other imports


class Import(NamedTuple):
    """``from <level dots><module> import <names>``; a plain ``import a.b`` is level 0, module ``a.b``, no names."""

    level: int
    module: str
    names: tuple[str, ...]


def imports_of(source: bytes) -> list[Import]:
    """The imports of a source file in order, each once; empty for what is not Python."""
    import ast  # 8 ms, and only sources never seen before need it

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: dict[Import, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[Import(0, alias.name, ())] = None
        elif isinstance(node, ast.ImportFrom):
            found[Import(node.level, node.module or "", tuple(alias.name for alias in node.names))] = None
        elif isinstance(node, ast.Call) and node.args:
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            first = node.args[0]
            module = first.value if isinstance(first, ast.Constant) else None
            if name in ("import_module", "__import__") and isinstance(module, str) and not module.startswith("."):
                found[Import(0, module, ())] = None
    return list(found)
