"""Errors as text and exit codes: the only place that knows both.

0 done; 1 a step failed, or a difference was found where asked for; 2 input or usage; 3 integrity; 4 busy; 5 disk or
system; 6 remote; 7 trust; 70 a bug of gitml; 128 and a signal's number.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import click

from gitml.cli.text.terminal import paint, safe
from gitml.errors import GitmlError, how_to_mend

DONE, FAILED, INPUT, MACHINE, BUG = 0, 1, 2, 5, 70
INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143


class ErrorReport(NamedTuple):
    """An error in the parts in which it is shown. `lines` replace the message where there are several."""

    code: str
    message: str
    where: str | None
    hint: str | None
    exit_code: int
    lines: tuple[str, ...] = ()


def exit_code_of(status: str, *, hindered: bool, cancelled: int = INTERRUPTED) -> int:
    """The exit code for a run by how it ended; `hindered` as of a Run, `cancelled` is that of a run that was stopped here."""
    if status == "succeeded":
        return DONE
    if status == "cancelled":
        return cancelled
    return MACHINE if hindered else FAILED


def worst(codes: Iterable[int]) -> int:
    """The exit code for several runs: that of one that failed, else of one that was cancelled."""
    return max(codes, key=lambda code: (code != DONE, code != INTERRUPTED, code), default=DONE)


def report(error: BaseException, *, as_json: bool, verbose: bool) -> int:
    """Writes `error` to stderr in the one form that errors have; the exit code for it."""
    if isinstance(error, click.exceptions.Exit):
        return int(error.exit_code)
    if isinstance(error, BrokenPipeError):
        return _close_quietly()
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        error_report = ErrorReport("interrupted", "interrupted", None, None, INTERRUPTED)
    else:
        error_report = translate(error)
    if error_report.exit_code == BUG and verbose:
        import traceback

        print(_redacted("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    write_error(error_report, as_json=as_json)
    return error_report.exit_code


def write_error(error_report: ErrorReport, *, as_json: bool) -> None:
    """`error_report` on stderr."""
    try:
        if as_json:
            import json

            print(json.dumps({"error": error_as_json(error_report)}), file=sys.stderr)
        else:
            for line in error_report.lines or (_line(error_report),):
                print(f"{paint('gitml:', 'red', sys.stderr)} {safe(line)}", file=sys.stderr)
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        pass


def translate(error: BaseException) -> ErrorReport:
    """What `error` is to a person, without what is secret."""
    error_report = _translated(error)
    message, where, hint = (
        text and _redacted(text) for text in (error_report.message, error_report.where, error_report.hint)
    )
    lines = tuple([_redacted(line) for line in error_report.lines])
    return error_report._replace(message=message or "", where=where, hint=hint, lines=lines)


def _redacted(text: str) -> str:
    from gitml.redaction import redacted  # what goes well does without

    return redacted(text)


def _translated(error: BaseException) -> ErrorReport:
    if isinstance(error, GitmlError):
        lines = tuple(str(item) for item in getattr(error, "diagnostics", ()))
        return ErrorReport(error.code, error.message, error.where, error.hint, error.exit_code, lines)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError) and error.errno is not None:
        where = " -> ".join(
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))
        )
        what = error.strerror or os.strerror(error.errno)
        path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "."
        return ErrorReport("machine", what, where or None, how_to_mend(error, path), MACHINE)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "this is a bug of gitml: run again with -v for the traceback"
    return ErrorReport("internal", f"internal error: {what}", None, hint, BUG)


def error_as_json(report: ErrorReport) -> dict[str, Any]:
    """The object under ``error`` that scripts rely on."""
    data: dict[str, Any] = {name: getattr(report, name) for name in ("code", "message", "where", "hint")}
    if report.lines:
        data["diagnostics"] = list(report.lines)
    return data


def _usage(error: click.ClickException) -> ErrorReport:
    message = (
        " ".join(error.format_message().split())
        .rstrip(".")
        .replace("valid integer range", "whole number")
        .replace("valid float range", "number")
    )
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "gitml"
    return ErrorReport("usage", message, None if path == "gitml" else path, f"see {path} --help", INPUT)


def _line(error_report: ErrorReport) -> str:
    where = f" ({error_report.where})" if error_report.where else ""
    if error_report.exit_code == BUG:
        return f"{error_report.message}{where}; {error_report.hint}"
    return f"{error_report.message}{where}" + (f": {error_report.hint}" if error_report.hint else "")


def _close_quietly() -> int:
    """The reader of our output has gone: nothing more can be written, and Python must not try at exit either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return BROKEN_PIPE
