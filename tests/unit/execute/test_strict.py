"""sandbox: strict denies what a step does not declare, and says what it was."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.platform.current import platform
from gitml.platform.landlock import scopes
from tests.kit.execution import ExecutionBench

pytestmark = pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ExecutionBench]:
    (tmp_path / "outside.txt").write_text("secret")
    bench = ExecutionBench(tmp_path)
    yield bench
    bench.close()


def test_a_file_outside_is_denied_and_named(bench: ExecutionBench) -> None:
    outside = bench.root / "outside.txt"
    assert bench.run("cat", str(outside)).outcome == "done"
    finished = bench.run("cat", str(outside), strict=True)
    assert finished.outcome == "failed"
    assert finished.error == f"the step used {outside}, which it does not declare"
    assert "`code:`" in (finished.hint or "")


@pytest.mark.parametrize(
    "command",
    [
        ("python3", "-c", "open({!r})"),
        ("python3", "-c", "import subprocess; subprocess.run(['cat', {!r}], check=True)"),
        ("sh", "-c", "cat < {!r}"),
        ("bash", "-c", "echo x > {!r}"),
        ("bash", "-c", "setsid -w cat {!r}"),
    ],
)
def test_every_way_to_a_file_is_denied_and_named(bench: ExecutionBench, command: tuple[str, ...]) -> None:
    outside = str(bench.root / "outside.txt")
    finished = bench.run(*[word.format(outside) for word in command], strict=True)
    assert finished.outcome == "failed"
    assert finished.error == f"the step used {outside}, which it does not declare"
    assert (bench.root / "outside.txt").read_text() == "secret"


@pytest.mark.skipif(not scopes(), reason="this kernel's Landlock knows no scopes")
def test_a_step_can_signal_its_own_processes_and_no_other(bench: ExecutionBench) -> None:
    script = (
        "import os, signal, socket, subprocess\n"
        "own = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "own.terminate(); print(own.wait())\n"
        f"for pid in (os.getppid(), {os.getpid()}):\n"
        "    try: os.kill(pid, 0); print('allowed')\n"
        "    except PermissionError: print('denied')\n"
        "try: socket.socket(socket.AF_UNIX).connect('\\0gitml-test'); print('allowed')\n"
        "except PermissionError: print('denied')\n"
    )
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("\0gitml-test")
        listening.listen()
        finished = bench.run("python3", "-c", script, strict=True)
    assert bench.log(finished).decode().split() == ["-15", "denied", "denied", "denied"], finished


def test_a_denial_that_names_no_file_gets_the_hint_too(bench: ExecutionBench) -> None:
    finished = bench.run("sh", "-c", "echo 'failed to read settings: os error 13'; exit 2", strict=True)
    assert finished.error == "exit status 2: failed to read settings: os error 13"
    assert "does not declare" in (finished.hint or "")
    assert bench.run("sh", "-c", "echo 'os error 13'; exit 2").hint is None


def test_what_is_declared_and_the_system_can_be_used(bench: ExecutionBench) -> None:
    made = bench.run("sh", "-c", "echo in > x", outputs=[("x", "x", "file")]).outputs[0]
    script = (
        "import json, multiprocessing, os, ssl, tempfile\n"
        "lock = multiprocessing.Lock()\n"
        "open(os.path.join(tempfile.mkdtemp(), 't'), 'w').write('t')\n"
        "open(os.path.join(os.environ['HOME'], 'h'), 'w').write('h')\n"
        "open('/dev/null', 'w').write('n'); open('/dev/urandom', 'rb').read(1)\n"
        "open('out', 'w').write(open('in.txt').read() + open('src/f').read())\n"
        "os.mkdir('d'); os.rename('out', 'd/out')\n"
    )
    finished = bench.run(
        "python3",
        "src/s.py",
        strict=True,
        code=[("src", "40000", bench.tree({"s.py": script, "f": "code"}))],
        inputs=[("x", "in.txt", "file", made.digest)],
        outputs=[("d", "d", "directory")],
    )
    assert finished.outcome == "done", (finished, bench.log(finished))


def test_streams_by_name_and_process_substitution_work(bench: ExecutionBench) -> None:
    finished = bench.shell("cat <(echo hi) > /dev/stdout; echo there > /dev/stderr", strict=True)
    assert bench.log(finished) == b"hi\nthere\n"


def test_the_home_folder_is_the_steps_own(bench: ExecutionBench) -> None:
    finished = bench.run("sh", "-c", 'ls -A "$HOME"; echo "$HOME"', strict=True)
    assert bench.log(finished).decode() == f"{bench.seen('a1')}/home\n"


def test_a_python_of_a_virtual_environment_works_strictly(bench: ExecutionBench) -> None:
    bench.machine["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    finished = bench.run("python", "-c", "import yaml, sys; print(sys.prefix)", strict=True)
    assert finished.outcome == "done", bench.log(finished)
    assert bench.log(finished).decode().strip() == sys.prefix


def test_a_failure_for_another_reason_is_not_blamed_on_strictness(bench: ExecutionBench) -> None:
    finished = bench.run("sh", "-c", "echo oops; exit 4", strict=True)
    assert finished.error == "exit status 4: oops"


def test_a_missing_command_is_still_told(bench: ExecutionBench) -> None:
    assert bench.run("./nothing", strict=True).error == "command not found: ./nothing"


def test_what_may_be_read_below_tmp_can_not_be_written_to(tmp_path: Path, bench: ExecutionBench) -> None:
    """Those of the step's own that lie over it may: Landlock lets it write below them, wherever that leads."""
    program = tmp_path / "tools/run.sh"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho more >> $0\n")
    program.chmod(0o755)
    finished = bench.run(str(program), strict=True)
    assert finished.outcome == "failed", bench.log(finished)
    assert program.read_text() == "#!/bin/sh\necho more >> $0\n"
