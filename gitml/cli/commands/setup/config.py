"""`gitml config`."""

from __future__ import annotations

from typing import Any

from gitml.cli.options import at_option
from gitml.cli.session import Session, verb
from gitml.cli.text.format import columns, size
from gitml.cli.text.terminal import safe


@verb("config", json=True)
@at_option
def command(session: Session, rev: str | None) -> None:
    """Show the settings in force: those of `gitml.yaml`, and the defaults for the rest."""
    from gitml.engine.planning.load import open_source, read_config

    ws = session.ws
    if rev is None and ws.location.worktree is None:
        rev = "HEAD"
    source = open_source(ws, rev)
    config = read_config(ws, source)
    settings: dict[str, Any] = {
        "defaults.pipeline": config.pipeline,
        "defaults.experiment": config.experiment,
        "defaults.environment": config.defaults.environment.as_json(),
        "defaults.sandbox": "strict" if config.defaults.strict else "normal",
        "defaults.network": config.defaults.network,
        **{f"targets.local.{name}": value for name, value in config.local.items()},
        "records.inline_file": config.inline_file,
        "records.inline_run": config.inline_run,
        **{f"hooks.{name}": value for name, value in config.hooks._asdict().items()},
    }
    written = source.lookup("gitml.yaml") is not None
    rows = [[name, _shown(name, value)] for name, value in settings.items()]
    session.result({"written": written, "settings": settings}, *columns(rows))
    if not written:
        session.remark("there is no gitml.yaml: these are the defaults")


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "(not set)"
    if isinstance(value, tuple):
        return ", ".join(map(safe, value)) or "(none)"
    if name.startswith("records.") or name.endswith((".memory", ".large_file")):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(safe(f"{key}={one}") for key, one in value.items())
    return safe(f"{value:g}" if isinstance(value, float) else str(value))
