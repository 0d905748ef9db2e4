"""Small parts of the command line that need no repository."""

from __future__ import annotations

import errno

import click
import pytest

from gitml.cli.commands.run.run import _without_directory
from gitml.cli.errors import report, translate
from gitml.cli.pipeline_arguments import parse_assignments
from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.errors import BusyError, InputError, IntegrityError, MachineError, RemoteError, TrustError


def test_values_may_hold_equal_signs_and_be_empty() -> None:
    assert parse_assignments(["a=b=c", "d="]) == [("a", "b=c"), ("d", "")]
    for wrong in ("a", "=b", ""):
        with pytest.raises(InputError):
            parse_assignments([wrong])


def test_dash_c_is_taken_out_of_a_detached_command_but_not_from_behind_two_dashes() -> None:
    assert _without_directory(["-C", "x", "run", "-Cy", "a", "--", "-C", "z"]) == ["run", "a", "--", "-C", "z"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 2), (IntegrityError("x"), 3), (BusyError("x"), 4), (MachineError("x"), 5), (RemoteError("x"), 6),
        (TrustError("x"), 7), (OSError(errno.ENOSPC, "full"), 5), (PermissionError(errno.EACCES, "no"), 5),
        (OSError(errno.EROFS, "ro"), 5), (KeyboardInterrupt(), 130), (click.UsageError("Bad."), 2), (ZeroDivisionError(), 70),
        (click.exceptions.Exit(3), 3),
    ],
)  # fmt: skip
def test_every_kind_of_error_has_its_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error, as_json=False, verbose=False) == code
    assert capsys.readouterr().err.count("\n") <= 1


def test_the_form_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    report(InputError("what", where="where\n", hint="mend it"), as_json=False, verbose=False)
    assert capsys.readouterr().err == "gitml: what (where\\n): mend it\n"


def test_a_system_error_names_the_file_and_the_mend() -> None:
    told = translate(OSError(errno.ENOSPC, "No space left on device", "/a/b"))
    assert (told.message, told.where) == ("No space left on device", "/a/b")
    assert told.hint is not None
    assert "gitml gc" in told.hint


def test_all_mistakes_of_a_file_are_told_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    mistakes = SpecError([Diagnostic("p.yaml", 3, 1, "two"), Diagnostic("p.yaml", 1, 2, "one")])
    assert report(mistakes, as_json=False, verbose=False) == 2
    assert capsys.readouterr().err == "gitml: p.yaml:1:2: one\ngitml: p.yaml:3:1: two\n"
    assert translate(mistakes).lines == ("p.yaml:1:2: one", "p.yaml:3:1: two")
