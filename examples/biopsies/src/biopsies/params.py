"""The settings of params.yaml."""

from typing import Any

import yaml


def read_params() -> dict[str, Any]:
    """All of params.yaml, in the folder where the program was started."""
    with open("params.yaml", encoding="utf-8") as file:
        return dict(yaml.safe_load(file))
