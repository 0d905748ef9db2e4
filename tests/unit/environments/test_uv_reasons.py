"""Why uv failed, in one line, from what it printed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.errors import FREE_SPACE, InputError
from gitml.execute.environments.uv_commands import UvCommands, reason_in
from gitml.execute.process import StopRequests
from tests.kit.servers.package_index import PackageIndex, package_index, wheel

UNBUILDABLE = """\
Using CPython 3.12.1 interpreter at: .venv/bin/python
Resolved 2 packages in 12ms
error: Failed to build `old==1.0`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta.build_wheel` failed (exit status: 1)

         [stdout]
         running egg_info

         [stderr]
         Traceback (most recent call last):
           File "<string>", line 14, in <module>
             self.run_setup()
             ^^^^^^^^^^^^^^^^
         OSError: mysql_config not found

hint: Build failures usually indicate a problem with the package or the build environment
"""


def test_of_a_build_its_last_words_are_the_reason_and_not_the_traceback() -> None:
    reason = reason_in(UNBUILDABLE)
    assert reason.startswith("Failed to build `old==1.0` cause: The build backend returned an error cause: Call to ")
    assert reason.endswith("failed (exit status: 1) running egg_info OSError: mysql_config not found")


def test_what_uv_says_on_its_way_is_no_reason() -> None:
    said = "Downloading numpy (15.6MiB)\nwarning: Failed to hardlink files; falling back\nerror: Failed to install: a\n  cause: b\n"
    assert reason_in(said) == "Failed to install: a cause: b"
    assert (
        reason_in("Downloaded numpy\n  × No solution found:\n  ╰─▶ Because a\n      b\n")
        == "No solution found: Because a b"
    )


def test_a_long_reason_keeps_its_beginning_and_its_end() -> None:
    reason = reason_in("error: begin " + "x" * 5000 + " end\n")
    assert len(reason) < 1100
    assert reason.startswith("begin x")
    assert reason.endswith("x end")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    wheel(tmp_path / "wheels", "leaf", "1.0")
    with package_index(tmp_path / "wheels") as served:
        yield served


@pytest.mark.slow
def test_the_hint_is_about_what_failed_and_not_about_what_was_asked(index: PackageIndex, tmp_path: Path) -> None:
    def hint(url: str, *packages: str) -> str:
        machine = {"PATH": os.environ["PATH"], "UV_DEFAULT_INDEX": url, "UV_CACHE_DIR": str(tmp_path / "uv")}
        uv = UvCommands({**machine, "UV_HTTP_RETRIES": "0"}, str(tmp_path), StopRequests())
        with pytest.raises(InputError) as caught:
            uv.run("pip", "install", "--target", str(tmp_path / "t"), *packages, purpose="install it", hint="as asked")
        assert "\n" not in caught.value.message, caught.value.message
        return caught.value.hint or ""

    assert hint(index.url, "leaf==2.0") == "as asked"
    assert "whether the package index can be reached" in hint("http://127.0.0.1:9/", "leaf")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text('[build-system]\nrequires = []\nbackend-path = ["."]\nbuild-backend = "b"\n')
    (broken / "b.py").write_text("raise OSError('mysql_config not found')\n")
    assert "or install what building it needs" in hint(index.url, str(broken))
    index.password = "secret"
    assert hint(index.url, "leaf").startswith("give uv what the index asks for: a line in ~/.netrc")


def test_a_full_disk_is_said_to_be_one(tmp_path: Path) -> None:
    full = tmp_path / "uv"
    full.write_text(
        "#!/bin/sh\necho 'error: Failed to copy'\necho '  cause: No space left on device (os error 28)'\nexit 2\n"
    )
    full.chmod(0o755)
    uv = UvCommands({"PATH": os.environ["PATH"]}, str(tmp_path), StopRequests())
    uv.path = str(full)
    with pytest.raises(InputError) as caught:
        uv.run("pip", purpose="install it", hint="as asked")
    assert caught.value.hint == FREE_SPACE
