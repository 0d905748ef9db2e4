"""`gitml module list`, `show`, `versions`, `history`, `resolve`, `diff` and `get`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.commands.module.session import (
    as_of_option,
    event_data,
    name_without_version,
    open_module,
    open_registries,
    registry_option,
    version_data,
)
from gitml.cli.session import Session, verb
from gitml.cli.text.format import columns, count
from gitml.cli.text.terminal import paint, safe
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.modules.registry_types import ModuleVersion, RegisteredModule

_COLOURS = {"deprecated": "yellow", "disabled": "red"}


@verb("list", json=True)
@click.argument("text", required=False)
@click.option("--state", type=click.Choice(["active", "deprecated", "disabled"]), help="Only modules in this state.")
@click.option("--category", metavar="NAME", help="Only modules of this category.")
@click.option("--tag", metavar="NAME", help="Only modules with this tag.")
@as_of_option
@registry_option
def list_modules(session: Session, as_of: str | None, registry_name: str | None, **wanted: str | None) -> None:
    """List modules: all, or those with TEXT in their name or description."""
    with open_registries(session) as modules:
        found = modules.registry(registry_name).modules(as_of, **wanted)
    if not found and not session.json:
        session.note("no modules")
        return
    data = []
    rows = [["MODULE", "STATE", "DEFAULT", "HIGHEST", "VERSIONS", "DESCRIPTION"]]
    for module in found:
        active = [v.version for v in module.versions if v.state == "active"]
        short = module.description.partition("\n")[0][:60]
        highest = active[0] if active else "-"
        rows.append([module.name, module.state, module.default or "-", highest, str(len(module.versions)), safe(short)])
        versions = [
            {"version": v.version, "state": v.state, "content": v.content, "published": v.published}
            for v in module.versions
        ]
        data.append({"name": module.name, "state": module.state, "default": module.default, "versions": versions})
    session.result(data, *columns(rows, right=frozenset((4,))))


@verb("show", json=True)
@click.argument("module", metavar="NAME[@VERSION]")
@as_of_option
def show(session: Session, module: str, as_of: str | None) -> None:
    """Show a module, or one of its versions: what it is for, its ports and parameters, its state and why."""
    with open_module(session, module) as of:
        found = of.registry.module(of.name, as_of)
        chosen = of.registry.version(of.name, of.requirement, as_of) if of.requirement else _shown_version(found)
    if session.json:
        data = {**found._asdict(), "versions": [version_data(v) for v in found.versions]}
        session.show_json(version_data(chosen) if of.requirement and chosen else data)
        return
    lines = [f"{paint(found.name, 'bold')}  {_state(found)}"]
    if found.description:
        lines += [f"  {safe(line)}" for line in (chosen or found).description.splitlines()]
    about = [f"default {found.default}" if found.default else "no default"]
    about += [f"category {safe(found.category)}"] if found.category else []
    about += [f"tags {safe(', '.join(found.tags))}"] if found.tags else []
    lines.append("  " + "; ".join(about))
    if chosen is not None:
        lines += _version_lines(chosen)
    if not of.requirement:
        states = {v.version: "" if v.state == "active" else f" ({v.state})" for v in found.versions}
        lines.append("versions: " + ", ".join(version + state for version, state in states.items()))
    session.show(*lines)


def _shown_version(module: RegisteredModule) -> ModuleVersion | None:
    """The version that `show` describes: the default, else the first there is."""
    for version in module.versions:
        if version.version == module.default:
            return version
    return module.versions[0] if module.versions else None


def _version_lines(version: ModuleVersion) -> list[str]:
    lines = [f"version {version.version}  {_state(version)}"]
    lines.append(f"  published {version.published[:19]}Z by {safe(version.by)}")
    if version.commit:
        lines.append(f"  from {version.commit[:12]}:{safe(version.path)}  content {version.content}")
    interface = version.interface
    rows = []
    for title, ports in (("input", interface.inputs), ("output", interface.outputs)):
        for port in ports:
            rows.append(
                [f"  {title}", safe(port.name), port.type + (", optional" if port.optional else ""), safe(port.help)]
            )
    for param in interface.params:
        default = "must be given" if param.default is None else f"default {param.default}"
        bounds = "".join(f", {n} {v:g}" for n, v in (("min", param.min), ("max", param.max)) if v is not None)
        choices = f", one of {' '.join(map(str, param.choices))}" if param.choices else ""
        rows.append(["  param", safe(param.name), safe(f"{param.type}, {default}{bounds}{choices}"), safe(param.help)])
    return lines + columns(rows)


def _state(item: RegisteredModule | ModuleVersion) -> str:
    why = f": {safe(item.reason)}" if item.reason else ""
    instead = f" (use {safe(item.replacement)})" if item.replacement else ""
    return paint(item.state, _COLOURS.get(item.state, "green")) + why + instead


@verb("versions", json=True)
@click.argument("module", metavar="NAME")
@as_of_option
def versions(session: Session, module: str, as_of: str | None) -> None:
    """List the versions of a module, the highest first; those without an order come last."""
    with open_module(session, module) as of:
        found = of.registry.module(name_without_version(of), as_of)
    rows = []
    for version in found.versions:
        mark = "default" if version.version == found.default else ""
        why = safe(version.reason or (found.reason if version.state != "active" else ""))
        rows.append([version.version, version.state, mark, version.published[:10], safe(version.by), why])
    session.result([version_data(version) for version in found.versions], *columns(rows))


@verb("history", json=True)
@click.argument("module", metavar="NAME")
@as_of_option
def history(session: Session, module: str, as_of: str | None) -> None:
    """List all events of a module, oldest first: what, when, by whom, why."""
    with open_module(session, module) as of:
        events = of.registry.history(name_without_version(of), as_of)
    rows = []
    for event in events:
        more = [safe(event.reason)] if event.reason else []
        more += [f"use {safe(event.replacement)}"] if event.replacement else []
        more += [f"default {event.default}"] if event.default else []
        more += ["no default any more"] if event.clear_default else []
        rows.append([f"{event.at[:19]}Z", event.kind, event.version or "(module)", safe(event.by), "; ".join(more)])
    session.result([event_data(event) for event in events], *columns(rows))


@verb("resolve", json=True)
@click.argument("use", metavar="NAME[@REQUIREMENT]")
@as_of_option
@click.option("--locked", is_flag=True, help="Answer as a run would: by gitml.lock where it has an entry.")
@click.option("--allow-disabled", is_flag=True, help="Take what is disabled, too.")
def resolve(session: Session, use: str, as_of: str | None, locked: bool, allow_disabled: bool) -> None:
    """Print the version that a requirement means: 1.2.0, ^1.2, ~1.2, '>=1,<3', latest, or none for the default."""
    if locked and as_of is not None:
        raise InputError("gitml.lock holds for now only", where="--locked, --as-of")
    with open_registries(session) as modules:
        if as_of is None:
            lock = _lock(modules.location.worktree) if locked else None
            meant = modules.resolve(use, lock, allow_disabled=allow_disabled)
            name, version, content = meant.entry.name, meant.entry.version, meant.entry.content
            state, warnings = meant.state, meant.warnings
        else:
            name, version, state, content, warnings = modules.resolve_then(use, as_of, allow_disabled=allow_disabled)
    if not session.json:
        session.warn(*map(safe, warnings))
    data = {"name": name, "version": version, "state": state, "content": content}
    session.result({**data, "warnings": list(warnings)}, f"{name}@{version}  {content}")


def _lock(worktree: str | None) -> Any:
    from gitml.modules.lockfile import PATH, parse_lock

    if worktree is None:
        return {}
    try:
        with open(os.path.join(worktree, PATH), "rb") as file:
            return parse_lock(file.read())
    except FileNotFoundError:
        raise InputError(f"no {PATH}", where=worktree, hint="gitml lock") from None


@verb("diff", json=True)
@click.argument("module", metavar="NAME")
@click.argument("one", metavar="V1")
@click.argument("other", metavar="V2")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something differs.")
def diff(session: Session, module: str, one: str, other: str, exit_code: bool) -> int:
    """Show what changed from version V1 to V2: ports and parameters, and files."""
    with open_module(session, module) as of:
        found = of.registry.diff(name_without_version(of), one, other)
    data = {
        "breaking": list(found.interface.breaking),
        "compatible": list(found.interface.compatible),
        "files": [{"change": change, "path": path} for change, path in found.files],
    }
    lines = [f"{paint('breaking', 'red')}    {safe(line)}" for line in found.interface.breaking]
    lines += [f"compatible  {safe(line)}" for line in found.interface.compatible]
    lines += [f"{change}  {safe(path)}" for change, path in found.files]
    session.result(data, *lines)
    if not lines:
        session.remark("no difference")
    return 1 if exit_code and (found.files or any(found.interface)) else 0


@verb("get", json=True)
@click.argument("module", metavar="NAME@VERSION")
@click.argument("destination", metavar="[DEST]", required=False)
def get(session: Session, module: str, destination: str | None) -> None:
    """Write the files of a version into DEST, a new or empty folder; default: a folder of the module's name."""
    from gitml.history.files.checkout import notes_on

    with open_module(session, module) as of:
        version = of.registry.resolve(f"{of.name}@{of.requirement}" if of.requirement else of.name, None, True)
        place = destination or of.name.rpartition("/")[2]
        files = of.registry.get(of.name, version.version, place)
        notes = notes_on(place)
    if session.json:
        session.show_json({"name": of.name, "version": version.version, "destination": place, "files": files})
    else:
        session.warn(*map(safe, (*version.warnings, *notes)))
        session.note(f"{of.name}@{version.version}: {count(files, 'file')} in {safe(place)}")
