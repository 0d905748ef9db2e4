"""The form of the platform that this process uses."""

from __future__ import annotations

import os
import sys

from gitml.layout import PLATFORM_VARIABLE
from gitml.platform.interface import Platform

IS_LINUX = sys.platform.startswith("linux") and os.environ.get(PLATFORM_VARIABLE) != "posix"

if IS_LINUX:
    from gitml.platform.linux import form

    platform: Platform = form
else:
    platform = Platform()
