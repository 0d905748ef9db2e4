"""What gitml sets of Ray, for itself and for the Ray that it starts: silence, and faults of the network noticed in seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A Python that differs in its last number speaks the same; `connect` compares the first two.
    "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",
}
# A peer that says nothing for so long is lost. Ray's own values amount to a minute and more.
QUICK = {
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}
AUTH_MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def apply_settings(environ: Mapping[str, str], authentication: Mapping[str, str]) -> None:
    """Puts Ray's settings into this process's environment, where Ray reads them; what the user set of them stays.

    Must come before Ray is imported; where it was imported already, it is made to read them again.
    """
    for name, value in {**QUIET, **QUICK}.items():
        os.environ[name] = environ.get(name, value)
    for name in (AUTH_MODE, TOKEN, TOKEN_PATH):
        os.environ.pop(name, None)
    os.environ.update(authentication)
    raylet: Any = sys.modules.get("ray._raylet")
    if raylet is not None:
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
