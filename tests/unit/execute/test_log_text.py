from __future__ import annotations

import pytest

from gitml.execute.log_text import denied_name, error_line, last_line, missing_command, neutral


def test_nothing_a_terminal_acts_on_is_left() -> None:
    hostile = "\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;http://e\x1b\\link\x08\x9b2J\u202eabc\r\n\x00"
    shown = neutral(hostile)
    assert all(ord(character) >= 32 and not 0x7F <= ord(character) < 0xA0 for character in shown)
    assert "\u202e" not in shown
    assert "red" in shown
    assert "title" not in shown


def test_bytes_and_surrogates_become_text_that_can_be_printed() -> None:
    neutral(b"caf\xe9").encode()
    neutral("caf\udce9").encode()


def test_a_long_line_is_cut() -> None:
    assert len(neutral("x" * 1000)) == 500


def test_the_last_line_passes_over_blank_ones_and_counts_carriage_returns() -> None:
    assert last_line(b"one\ntwo\n\n  \n") == "two"
    assert last_line(b"10%\r20%\r30") == "30"
    assert last_line(b"10%\r20%\r30", complete=True) == "20%"
    assert last_line(b"begun", complete=True) == ""


def traced(last: str) -> str:
    return f'Traceback (most recent call last):\n  File "t.py", line 3, in main\n    go()\n{last}'


PANDAS = """\
ImportError: Unable to find a usable engine; tried using: 'pyarrow', 'fastparquet'.
A suitable version of pyarrow or fastparquet is required for parquet support.
Trying to import the above resulted in these errors:
 - Missing optional dependency 'pyarrow'. pyarrow is required for parquet support.
 - Missing optional dependency 'fastparquet'.
"""


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (traced(PANDAS), "ImportError: Unable to find a usable engine; tried using: 'pyarrow', 'fastparquet'."),
        (
            "Error executing job with overrides: []\n" + traced("ValueError: bad\n\n")
            + "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
            "ValueError: bad",
        ),
        (traced("omegaconf.errors.ConfigAttributeError: Missing key lr\n    full_key: lr\n"), "omegaconf.errors.ConfigAttributeError: Missing key lr"),
        (traced("requests.exceptions.Timeout: too slow\n"), "requests.exceptions.Timeout: too slow"),
        (traced("KeyboardInterrupt\n"), "KeyboardInterrupt"),
        (traced("AssertionError\nmore of it\n"), "AssertionError"),
        (traced("KeyError: 1\n") + "\nDuring handling of the above exception, another exception occurred:\n\n" + traced("OSError: 2\n"), "OSError: 2"),
        (traced("ValueError: bad\n") + "make: *** [Makefile:2: all] Error 1\n", "ValueError: bad"),
        ("epoch 1\nepoch 2\nfatal: no\n", "fatal: no"),
        ("a\r 50%|##  | 1/2\r100%|####| 2/2 s=2.28]", "100%|####| 2/2 s=2.28]"),
        ("make: *** [Makefile:2: all] Error 1\n", "make: *** [Makefile:2: all] Error 1"),
        ("ValueError: borne\n" + "line\n" * 100 + "the end\n", "the end"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_line_that_tells_why_is_found(log: str, line: str) -> None:
    assert error_line(log.encode()) == line


@pytest.mark.parametrize(
    ("log", "name"),
    [
        ("PermissionError: [Errno 13] Permission denied: '/data/x.csv'", "/data/x.csv"),
        ("cat: /data/x y.csv: Permission denied", "/data/x y.csv"),
        ("sh: 1: cannot open /data/x: Permission denied", "/data/x"),
        ("bash: line 1: /data/x: Permission denied", "/data/x"),
        ("python3: can't open file '/data/x.py': [Errno 13] Permission denied", "/data/x.py"),
        ("error: failed to open file `/data/uv.toml`: Permission denied (os error 13)", "/data/uv.toml"),
        ("Error: EACCES: permission denied, open '/data/x'", "/data/x"),
        ("open /data/x: permission denied", "/data/x"),
        ("java.io.FileNotFoundException: /data/x (Permission denied)", "/data/x"),
        ("PermissionError: [Errno 13] Permission denied: '/s/work/x'", None),
        ("cat: x: Permission denied", None),
    ],
)
def test_the_path_that_was_denied_is_found(log: str, name: str | None) -> None:
    assert denied_name(log, "/s/work") == name


@pytest.mark.parametrize(
    ("log", "name"),
    [
        ("bash: line 1: python: command not found\n", "python"),
        ("sh: 1: python: not found\n", "python"),
        ("/usr/bin/env: ‘python’: No such file or directory\n", "python"),
        ("env: 'python': No such file or directory\n", "python"),
        ("a: not found\nbash: line 2: b: command not found\n", "b"),
        ("cat: x y: No such file or directory\n", None),
        ("all is well: python was found\n", None),
    ],
)
def test_the_command_that_a_shell_did_not_find_is_told(log: str, name: str | None) -> None:
    assert missing_command(log) == name
