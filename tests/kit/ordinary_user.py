"""A process for which permissions count: root, as containers have it, is made to heed them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

_POWERS = "-dac_override,-dac_read_search"
_DROP = ("setpriv", f"--bounding-set={_POWERS}", f"--inh-caps={_POWERS}")


def ordinary(*words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end as this user, without root's power to pass permissions over."""
    drop: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("permissions don't bind root: run the tests as an ordinary user")
        drop = _DROP
    return subprocess.run(
        [*drop, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, **options
    )
