"""A project whose repository calls gitml by hooks, and Git as a person uses it there."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Done, Project

PIPELINE = """\
params: {word: hello}
inputs: {raw: data/raw.txt}
steps:
  upper:
    run: sh src/upper.sh ${{ inputs.raw }} ${{ outputs.text }}
    outputs: {text: file}
  count:
    run: sh src/count.sh ${{ steps.upper.outputs.text }} ${{ params.word }} ${{ outputs.numbers }}
    outputs: {numbers: metrics}
"""
FILES = {
    "pipelines/words.yaml": PIPELINE,
    "src/upper.sh": 'tr a-z A-Z < "$1" > "$2"\n',
    "src/count.sh": 'printf \'{"letters": %s}\' "$(wc -c < "$1")" > "$3"\n',
    "data/raw.txt": "some words\n",
    "README.md": "words\n",
}


class ProjectWithHooks(Project):
    """A project of one pipeline, `words`, with hooks to be installed."""

    def __init__(self, path: Path, files: Mapping[str, str | bytes] = FILES) -> None:
        super().__init__(path, files)

    def git(
        self, *args: str, code: int | None = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Done:
        """``git ARGS``; `code` is what it must end with (None: anything)."""
        done = subprocess.run(
            ["git", *args],
            cwd=cwd or self.path,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        told = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert code is None or told.code == code, f"git {' '.join(args)} gave {told.code}\n{told.out}\n{told.err}"
        return told

    def git_at_terminal(self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """What a person sees of ``git ARGS``, which must succeed."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            ["git", *args],
            cwd=cwd or self.path,
            env={**self.env, "TERM": "xterm", "NO_COLOR": "1", **(env or {})},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        seen = b""
        try:
            while chunk := os.read(master, 65536):
                seen += chunk
        except OSError:
            pass  # Linux says so when the other side is closed
        finally:
            os.close(master)
        assert process.wait(PATIENCE) == 0, seen
        return seen.decode("utf-8", "replace").replace("\r\n", "\n")

    def stage(self, files: Mapping[str, str | bytes]) -> None:
        """Writes files and adds them."""
        self.repo.write(files)
        self.git("add", "--all", "--", *files)

    def hook(self, name: str, text: str, folder: str = ".git/hooks") -> Path:
        """Writes a hook as a person or another tool would."""
        path = self.path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path
