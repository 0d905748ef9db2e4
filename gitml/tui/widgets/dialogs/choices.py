"""What is chosen from."""

from __future__ import annotations

from typing import NamedTuple


class MenuItem(NamedTuple):
    """Something to choose: its key, what is shown, and a dim remark."""

    key: str
    label: str
    remark: str = ""
