"""The user's own settings, in a folder of a test's own."""

from __future__ import annotations

from pathlib import Path


def with_settings(folder: Path, text: str) -> dict[str, str]:
    """Environment variables under which `text` is the user's `config.yaml`."""
    place = folder / "config" / "gitml"
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.yaml").write_text(text)
    return {"XDG_CONFIG_HOME": str(folder / "config")}
