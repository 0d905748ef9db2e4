"""gitml's part of pre-push: the gate, and what goes along."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gitml import layout
from gitml.cli.commands.hooks.output import print_line, read_stdin
from gitml.cli.errors import DONE, FAILED, translate
from gitml.cli.session import Session
from gitml.cli.text.terminal import safe
from gitml.errors import GitmlError

if TYPE_CHECKING:
    from gitml.hooks.pre_push import Update


def pre_push(session: Session, args: tuple[str, ...], _: str | None) -> int:
    from gitml.hooks.pre_push import is_gated, unrun_pipelines, updates_of_framework, updates_to_send

    remote = args[0] if args else os.environ.get("PRE_COMMIT_REMOTE_NAME", "origin")
    updates = updates_of_framework(session.ws, os.environ)
    if updates is None:
        updates = updates_to_send(read_stdin("pre-push"))
    if not updates:
        return DONE
    found = list(unrun_pipelines(session.ws, updates, remote))
    if session.json:
        session.show_json([{**item._asdict(), "command": item.command} for item in found])
    for item in found if not session.json else ():
        step = f", step {safe(item.step)}" if item.step else ""
        print_line(
            f"{item.commit[:12]} has not run: {safe(item.pipeline)}{step} ({safe(item.reason)}): {safe(item.command)}"
        )
    if found:
        print_line("this project's gate refuses commits that have not run (git push --no-verify leaves it out)")
        return FAILED
    if session.json or _is_dry_run(os.environ):
        return DONE
    try:
        _send_along(session, updates, remote)
    except GitmlError as error:
        phrase = translate(error)
        print_line(
            safe(
                f"the runs of these commits don't go along: {phrase.message}"
                + (f" ({phrase.where})" if phrase.where else "")
            )
        )
        if is_gated(session.ws, updates):
            print_line("this project's gate refuses commits without them (git push --no-verify leaves it out)")
            return FAILED
        print_line("gitml push sends them later")
    return DONE


def _send_along(session: Session, updates: Sequence[Update], remote: str) -> None:
    """Uploads artifacts and then pushes the records that name them, as the project's settings ask; prints what was sent."""
    from gitml.hooks.pre_push import has_all_records, has_remote_store, kinds_to_push, runs_to_push

    ws = session.ws
    along = kinds_to_push(ws, updates, remote)
    if "artifacts" in along and has_remote_store(ws):
        from gitml.cli.transfers import push_artifacts, upload_lines
        from gitml.transfer.run_selector import RunSelection

        runs = runs_to_push(ws, updates, remote)
        if runs is None or runs:
            session.reach()
            ws.consent.ask = None  # Git's push is under way: consent that was not given before is not asked for now
            sent = push_artifacts(session, RunSelection(runs or ()), trusting=True)
            for line in upload_lines([one for one in sent if one.sent or one.refused]):
                print_line(line)
    if "records" in along and not has_all_records(ws, remote):
        from gitml.cli.commands.share.report import sharing_line
        from gitml.transfer.records import push

        moved = push(ws, remote)
        if moved.runs_sent or moved.events_sent or moved.runs_received or moved.events_received:
            print_line(sharing_line(moved))
        if moved.runs_sent:
            from gitml.cli.transfers import unshared_lines
            from gitml.transfer.upload import unshared_artifacts

            for line in unshared_lines(session, unshared_artifacts(ws)):
                print_line(line)
        for refused in moved.refused:
            print_line(safe(f"a record is refused: {refused.why} ({refused.path})"))
        for withdrawn in moved.withdrawn:
            print_line(safe(f"your {withdrawn.event} of {withdrawn.module} is withdrawn: {withdrawn.why}"))


def _is_dry_run(environ: Mapping[str, str]) -> bool:
    """Whether the calling push is ``git push --dry-run``, which Git does not pass to its hook."""
    try:
        with open(f"/proc/{int(environ[layout.PUSHED_BY_VARIABLE])}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except (KeyError, ValueError, OSError):
        return False
    for word in words[1 : words.index(b"--") if b"--" in words else None]:
        if len(word) > 3 and b"--dry-run".startswith(word):
            return True
        if word[:1] == b"-" and word[1:2] != b"-" and b"n" in word.partition(b"o")[0]:
            return True
    return False
