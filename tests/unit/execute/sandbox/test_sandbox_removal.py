from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from gitml.execute.sandbox.removal import remove_tree


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    remove_tree(str(root))
    assert not root.exists()
    assert (outside / "kept").exists()
    top = tmp_path / "top"
    top.symlink_to(outside)
    remove_tree(str(top))
    assert (outside / "kept").exists()
    assert not top.is_symlink()


def test_what_is_not_there_is_removed_already(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "nothing"))


@pytest.mark.slow
@pytest.mark.needs_linux("removal by two processes: whether a process has one thread is known")
@pytest.mark.parametrize("killed", [False, True], ids=["by two", "whose child is killed"])
def test_thousands_of_files_are_removed_by_two_processes(tmp_path: Path, killed: bool) -> None:
    code = """
    import os, signal, sys
    from gitml.execute.sandbox import removal

    os.chdir(sys.argv[1])
    os.makedirs("root/sub")
    for n in range(5000):
        open(f"root/{n}", "w").close()
        open(f"root/sub/{n}", "w").close()
    forks = []
    os.register_at_fork(after_in_parent=lambda: forks.append(1))
    if sys.argv[2] == "True":
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGKILL))
    removal.remove_tree("root")
    assert not os.path.exists("root")
    assert bool(forks) == (len(os.sched_getaffinity(0)) > 1)
    """
    # a process of its own: one with threads, as a test's may be, forks nothing
    words = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(killed)]
    done = subprocess.run(words, cwd=Path(__file__).parents[3], text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_an_ordinary_user_removes_read_only_and_very_deep_directories() -> None:
    place = tempfile.mkdtemp()  # not tmp_path, which another user may not enter
    os.chmod(place, 0o777)
    root = place + "/root"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            os.mkdir(root)
            os.chdir(root)
            for _ in range(2500):
                os.mkdir("dd")
                os.chdir("dd")
            Path("file").touch()
            os.chmod(".", 0o500)
            os.chmod("..", 0o500)
            os.makedirs(root + "/a/b")
            os.chmod(root + "/a/b", 0)
            os.chmod(root + "/a", 0o500)
            os.chmod(root, 0o500)
            os.chdir("/")
            remove_tree(root)
            code = 0
        finally:
            os._exit(code)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert not os.path.exists(root)
    finally:
        remove_tree(place)
