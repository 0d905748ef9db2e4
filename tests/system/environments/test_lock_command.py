"""`env lock`: a lock of each kind of file, made by uv from packages that lie beside the test."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.system.conftest import Project

SCRIPT = '# /// script\n# requires-python = ">=3.11"\n# dependencies = ["leaf"]\n# ///\nimport leaf\n'
PROJECT = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["leaf"]\n'


def files_of(project: Project) -> list[str]:
    """The files of the work tree, ignored ones too."""
    found = (path.relative_to(project.root) for path in project.root.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[0] != ".git")


def test_loose_requirements_become_a_lock_that_a_pipeline_can_name(locked: Project) -> None:
    locked.write("loose.txt", "leaf<1.1\n")
    answer = locked.gitml("env", "lock", "loose.txt")
    assert answer.out == "environment: loose.lock.txt\n"
    assert "wrote loose.lock.txt, 1 package: commit it" in answer.err
    text = (locked.root / "loose.lock.txt").read_text()
    assert "\nleaf==1.0 \\\n    --hash=sha256:" in text
    assert "#    gitml env lock loose.txt\n" in text
    assert str(locked.root.parent) not in text
    pipeline = (locked.root / "pipelines/p.yaml").read_text().replace("r.txt", "loose.lock.txt")
    locked.write("pipelines/p.yaml", pipeline)
    assert {step["outcome"] for step in locked.run()["steps"]} == {"executed"}
    assert sorted(path.name for path in locked.root.iterdir() if path.name.startswith(".")) == [".git"]


def test_what_a_lock_has_stays_until_it_is_upgraded_and_changes_are_named(locked: Project) -> None:
    locked.write("requirements.in", "leaf<1.1\n")
    assert locked.gitml("env", "lock", "requirements.in").out == "environment: requirements.txt\n"
    locked.write("requirements.in", "leaf\n")
    same = locked.gitml("env", "lock", "requirements.in", "--json").data
    assert (same["new"], same["changes"], same["packages"]) == (False, [], ["leaf 1.0"])
    upgraded = locked.gitml("env", "lock", "requirements.in", "--upgrade")
    assert "  package leaf: 1.0 -> 1.1\n" in upgraded.err


def test_a_file_that_is_no_lock_of_it_is_not_overwritten_unasked(locked: Project) -> None:
    locked.write("other.in", "leaf\n")
    before = (locked.root / "r.txt").read_text()
    answer = locked.gitml("env", "lock", "other.in", "-o", "r.txt", code=2)
    assert "it is there and is no lock of other.in (r.txt)" in answer.err
    assert (locked.root / "r.txt").read_text() == before
    locked.gitml("env", "lock", "other.in", "-o", "r.txt", "--force")
    locked.write("another.in", "leaf\n")
    answer = locked.gitml("env", "lock", "another.in", "-o", "r.txt", code=2)
    assert "but was made by `gitml env lock other.in`" in answer.err
    assert "it is a lock, made by" in locked.gitml("env", "lock", "r.txt", code=2).err


def test_a_project_and_a_script_get_the_lock_of_uv_beside_them(locked: Project) -> None:
    locked.write("lib/pyproject.toml", PROJECT)
    locked.write("lib/s.py", SCRIPT)
    assert locked.gitml("env", "lock", "lib/pyproject.toml").out == "environment: lib/uv.lock\n"
    assert 'name = "leaf"' in (locked.root / "lib/uv.lock").read_text()
    assert locked.gitml("env", "lock", "s.py", cwd=locked.root / "lib").out == "environment: {script: lib/s.py}\n"
    assert 'name = "leaf"' in (locked.root / "lib/s.py.lock").read_text()
    done = locked.gitml("env", "lock", "lib/pyproject.toml", "-o", "lib/pylock.toml").out
    assert done == "environment: lib/pylock.toml\n"
    assert 'name = "leaf"' in (locked.root / "lib/pylock.toml").read_text()


def test_groups_and_extras_of_a_project_are_in_a_lock_that_names_them_or_said_to_be_left_out(locked: Project) -> None:
    more = '[project.optional-dependencies]\nmore = ["absent"]\n[dependency-groups]\ntrain = ["leaf<1.1"]\ndev = []\n'
    locked.write("pyproject.toml", PROJECT.replace('"leaf"', "") + more)
    answer = locked.gitml("env", "lock", "pyproject.toml", "-o", "pylock.toml", "--group", "Train")
    assert 'version = "1.0"' in (locked.root / "pylock.toml").read_text()
    assert "pylock.toml leaves out group dev (--group dev), extra more (--extra more)" in answer.err
    assert "env lock pyproject.toml --group Train" in (locked.root / "pylock.toml").read_text()
    for words, message in (
        (
            ["-o", "pylock.toml", "--group", "trian"],
            "pyproject.toml has no group 'trian' (--group): its groups: train, dev",
        ),
        (["-o", "pylock.toml", "--extra", "no"], "pyproject.toml has no extra 'no' (--extra): its extras: more"),
        (["--group", "train"], "uv.lock has all of them: name them in the pipeline"),
    ):
        assert message in locked.gitml("env", "lock", "pyproject.toml", *words, code=2).err


def test_the_date_of_a_lock_of_pixi_stands_in_its_file_and_the_error_gives_the_line(locked: Project) -> None:
    locked.write("pixi.toml", "")
    answer = locked.gitml("env", "lock", "pixi.toml", "--as-of", "2025-03-01", code=2)
    assert 'write exclude-newer = "2025-03-02T00:00:00Z" below [workspace] of pixi.toml' in answer.err
    assert "--upgrade" in locked.gitml("env", "lock", "pixi.toml", "--upgrade", code=2).err


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("bad.in", "absent\n", "uv could not lock bad.in: .*absent"),
        ("pyproject.toml", "[tool.poetry]\n", r"has no \[project\] table.*poetry export"),
        ("pyproject.toml", "[project\n", "it is no TOML"),
        ("plain.py", "print()\n", r"does not list its dependencies \(PEP 723\)"),
        ("poetry.lock", "", "a lock of Poetry"),
        ("pixi.toml", "", "pixi is not installed"),
        ("uv.lock", "", r"it is a lock already \(uv.lock\): write environment: uv.lock"),
        ("environment.yml", "name: x\n", "it names no packages .*: list them under dependencies"),
        ("notes.md", "", "nothing is known that locks this file"),
    ],
)
def test_what_cannot_be_locked_is_one_line_and_leaves_nothing(
    locked: Project, path: str, text: str, words: str
) -> None:
    if path == "pixi.toml" and shutil.which("pixi"):
        pytest.skip("pixi is installed")
    locked.write(path, text)
    before = files_of(locked)
    answer = locked.gitml("-q", "env", "lock", path, code=2)
    assert re.search(words, answer.err), answer.err
    assert answer.err.count("\n") == 1
    assert files_of(locked) == before


def test_a_time_that_is_neither_a_date_nor_a_revision_is_said_with_how_one_is_written(locked: Project) -> None:
    answer = locked.gitml("env", "lock", "r.txt", "--as-of", "1999", code=2).err
    assert "(--as-of): a date is written as 2025-03-01" in answer


@pytest.mark.slow
def test_an_environment_of_conda_is_locked_beside_it(locked: Project, tmp_path: Path) -> None:
    pytest.importorskip("rattler", reason="py-rattler is not installed: pip install 'gitml[conda]'")
    from tests.kit.servers.conda_channel import CondaChannel

    channel = CondaChannel(tmp_path / "channel")
    channel.package("greet", {"bin/greet": "#!/bin/sh\necho hello\n"}, "1.0")
    channel.index()
    locked.write("environment.yml", f"channels: ['{channel.url}']\ndependencies: [greet]\n")
    first = locked.gitml("env", "lock", "environment.yml")
    assert first.out == "environment: conda-lock.yml\n"
    assert "wrote conda-lock.yml, 1 package" in first.err
    assert "nothing changes in conda-lock.yml" in locked.gitml("env", "lock", "environment.yml").err


def test_a_failed_lock_leaves_the_one_that_was_there(locked: Project) -> None:
    locked.write("pyproject.toml", PROJECT)
    locked.gitml("env", "lock", "pyproject.toml")
    before = (locked.root / "uv.lock").read_bytes()
    locked.write("pyproject.toml", PROJECT.replace('"leaf"', '"leaf", "absent"'))
    assert "absent" in locked.gitml("env", "lock", "pyproject.toml", code=2).err
    assert (locked.root / "uv.lock").read_bytes() == before


def test_a_lock_that_is_a_link_is_not_written_through(locked: Project, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine\n")
    locked.write("pyproject.toml", PROJECT)
    (locked.root / "uv.lock").symlink_to(tmp_path / "mine")
    assert "symbolic link" in locked.gitml("env", "lock", "pyproject.toml", code=2).err
    answer = locked.gitml("env", "lock", "pyproject.toml", "-o", str(tmp_path / "out.txt"), code=2)
    assert "it is not in the work tree" in answer.err
    assert (tmp_path / "mine").read_text() == "mine\n"


def test_a_credential_does_not_get_into_a_lock(locked: Project, tmp_path: Path) -> None:
    wheel = tmp_path / "wheels/leaf-1.0-py3-none-any.whl"
    with package_index(tmp_path / "wheels") as url:
        private = url.replace("http://", "http://me:hunter2hunter2@")
        locked.env |= {"UV_OFFLINE": "0", "UV_DEFAULT_INDEX": f"{private}/simple", "UV_FIND_LINKS": ""}
        locked.write("i.in", "leaf\n")
        locked.gitml("env", "lock", "i.in")
        assert "hunter2" not in (locked.root / "i.txt").read_text()
        locked.write("url.in", f"leaf @ {private}/files/{wheel.name}\n")
        answer = locked.gitml("env", "lock", "url.in", code=2)
        assert "would be in the lock" in answer.err
        assert "hunter2" not in answer.err
        assert not (locked.root / "url.txt").exists()


def test_as_of_takes_what_there_was_at_a_date_or_a_commit(locked: Project, tmp_path: Path) -> None:
    with package_index(tmp_path / "wheels", {"1.0": "2024-01-01T00:00:00Z", "1.1": "2024-06-01T00:00:00Z"}) as url:
        locked.env |= {"UV_OFFLINE": "0", "UV_DEFAULT_INDEX": f"{url}/simple", "UV_FIND_LINKS": ""}
        locked.write("x.in", "leaf\n")

        def packages(*words: str) -> list[str]:
            found: list[str] = locked.gitml("env", "lock", "x.in", "--json", "--upgrade", *words).data["packages"]
            return found

        assert packages() == ["leaf 1.1"]
        assert packages("--as-of", "2024-05-31") == ["leaf 1.0"]
        assert packages("--as-of", "2024-06-01") == ["leaf 1.1"]
        locked.env |= {"GIT_COMMITTER_DATE": "2024-03-01T00:00:00Z"}
        locked.commit("of March")
        assert packages("--as-of", "HEAD") == ["leaf 1.0"]
        assert "--as-of HEAD\n" in (locked.root / "x.txt").read_text()
        assert "nowhere" in locked.gitml("env", "lock", "x.in", "--as-of", "nowhere", code=2).err


@contextmanager
def package_index(wheels: Path, times: dict[str, str] | None = None) -> Iterator[str]:
    """The URL of an index on loopback with the wheels of a folder and the times of their upload (PEP 700)."""
    times = times or {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = "application/vnd.pypi.simple.v1+json"
            if self.path.startswith("/files/"):
                content, kind = (wheels / self.path.rpartition("/")[2]).read_bytes(), "application/octet-stream"
            else:
                name = self.path.strip("/").rpartition("/")[2]
                files = [
                    {
                        "filename": path.name,
                        "url": f"/files/{path.name}",
                        "hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
                        "upload-time": times.get(path.name.split("-")[1], "2020-01-01T00:00:00Z"),
                        "size": path.stat().st_size,
                    }
                    for path in sorted(wheels.glob(f"{name}-*.whl"))
                ]
                content = json.dumps(
                    {"meta": {"api-version": "1.1"}, "name": name, "versions": sorted(times), "files": files}
                ).encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
