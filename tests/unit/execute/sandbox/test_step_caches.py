"""Caches of steps: where they lie and who may use them, how a step sees them in each kind of sandbox, and how unused ones go."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.kinds.cache_kinds import StepCache
from gitml.errors import InputError, MachineError
from gitml.execute.messages import decode_task, encode_task
from gitml.execute.sandbox.caches import kept_caches, open_cache, remove_unused, repository_name
from gitml.execute.sandbox.isolation import image_refusal
from gitml.platform.current import platform
from tests.kit.execution import ExecutionBench, finish, mounts
from tests.kit.user_settings import with_settings

ANY = StepCache("pip", ("PIP_CACHE_DIR",))
PLACED = StepCache("d", ("D",), "data/c")
FIXED = PLACED._replace(readonly=True)
DAY = 86400.0
needs_strict = pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())
needs_mounts = pytest.mark.skipif(image_refusal() != "", reason=image_refusal())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ExecutionBench]:
    bench = ExecutionBench(tmp_path)
    yield bench
    bench.close()


def files(bench: ExecutionBench, name: str = "d") -> Path:
    return bench.root / "cache/caches/a-repository" / name / "files"


@pytest.fixture(params=[pytest.param(False, id="mounted"), pytest.param(True, id="apart")])
def apart(request: pytest.FixtureRequest, bench: ExecutionBench, tmp_path: Path) -> bool:
    """Whether sandboxes are not mounted, in the executor that the bench has."""
    if not request.param and not mounts():
        pytest.skip("no sandbox is mounted on this machine")
    more = with_settings(tmp_path / "settings", "sandboxes: {mount: false}\n") if request.param else {}
    bench.executor(machine={**os.environ, **more})
    return bool(request.param)


def test_a_step_sees_what_another_left_by_variable_and_by_place_in_every_kind_of_sandbox(
    bench: ExecutionBench, apart: bool
) -> None:
    first = bench.run(
        "sh", "-c", "echo $PIP_CACHE_DIR; echo x > $PIP_CACHE_DIR/f; echo y > data/c/g", caches=(ANY, PLACED)
    )
    assert first.outcome == "done", first
    seen = bench.log(first).decode().strip()
    assert seen == (str(files(bench, "pip")) if apart else "/gitml-sandbox/cache/pip")
    second = bench.run("sh", "-c", "cat $PIP_CACHE_DIR/f $D/g data/c/g", caches=(ANY, PLACED))
    assert bench.log(second) == b"x\ny\ny\n", "and its sandbox led there too"
    assert first.left == second.left == ()
    assert (
        bench.run(
            "sh", "-c", "cd data; cat c/g; cd ..; rm data/c; mkdir data/c; rmdir data/c", caches=(PLACED,)
        ).outcome
        == "done"
    )
    assert (files(bench) / "g").read_text() == "y\n", "a step that removes the link removes no more"
    other = bench.run("ls", "data/c", caches=(PLACED,), caches_of="another")
    assert bench.log(other) == b"", "each repository has its own"


@needs_mounts
def test_what_is_read_only_can_be_read_and_not_written_to(bench: ExecutionBench, apart: bool) -> None:
    assert bench.run("sh", "-c", "echo x > data/c/f; mkdir data/c/in", caches=(PLACED,)).outcome == "done"
    assert bench.log(bench.run("sh", "-c", "cat data/c/f $D/f", caches=(FIXED,))) == b"x\nx\n"
    for script in (
        "echo y >> $D/f",
        "echo y > data/c/new",
        "rm data/c/f",
        "touch $(readlink -f $D)/in/new",
        "chmod 700 $D/f",
    ):
        finished = bench.run("sh", "-c", script, caches=(FIXED,))
        assert finished.outcome == "failed", script
        assert b"Read-only file system" in bench.log(finished), script
    assert bench.run("sh", "-c", "echo y >> $D/f", caches=(PLACED,)).outcome == "done", "others still may"
    assert (files(bench) / "f").read_text() == "x\ny\n"


@needs_strict
def test_a_strict_step_reads_a_read_only_one_and_no_other(bench: ExecutionBench, apart: bool) -> None:
    assert bench.run("sh", "-c", "echo x > data/c/f; echo z > $PIP_CACHE_DIR/z", caches=(PLACED, ANY)).outcome == "done"
    assert bench.log(bench.run("cat", "data/c/f", caches=(FIXED,), strict=True)) == b"x\n"
    assert bench.run("sh", "-c", "cat $D/f > copy", caches=(FIXED,), strict=True).outcome == "done"
    for script in ("echo y >> $D/f", "echo y > data/c/new", "rm data/c/f", f"cat {files(bench, 'pip')}/z"):
        assert bench.run("sh", "-c", script, caches=(FIXED,), strict=True).outcome == "failed", script
    assert os.listdir(files(bench)) == ["f"]
    assert (files(bench) / "f").read_text() == "x\n"


def test_without_a_repository_a_step_begins_with_empty_ones_that_go_with_its_sandbox(
    bench: ExecutionBench, apart: bool
) -> None:
    bench.run("sh", "-c", "echo x > data/c/f", caches=(PLACED,))
    look = "ls data/c $PIP_CACHE_DIR; echo y > data/c/f; cat $D/f"
    for _ in range(2):
        finished = bench.run("sh", "-c", look, caches=(PLACED, ANY), caches_of="")
        assert finished.outcome == "done", finished
        assert b"f\n" not in bench.log(finished)
    assert (files(bench) / "f").read_text() == "x\n"


def test_two_steps_use_one_at_once(bench: ExecutionBench) -> None:
    executor = bench.executor()
    meet = "touch data/c/$0; until [ -e data/c/$1 ]; do sleep 0.01; done"
    tasks = [bench.task("sh", "-c", meet, *names, caches=(PLACED,)) for names in (("a", "b"), ("b", "a"))]
    executor.submit(tasks[0])
    assert finish(executor, tasks[1]).outcome == "done"
    assert sorted(os.listdir(files(bench))) == ["a", "b"]


def test_what_lies_at_its_place_in_the_sandbox_is_an_error_and_is_not_hidden(bench: ExecutionBench) -> None:
    code = [("data/c/x", "100644", bench.blob("x"))]
    finished = bench.run("true", code=code, caches=(PLACED,))
    assert (finished.outcome, finished.error) == ("failed", "the cache d lies on something else (data/c)")
    link = [("data", "120000", bench.blob("other"))]
    finished = bench.run("true", code=link, caches=(PLACED,))
    assert finished.error == "a path of the step leads through a symbolic link (data)"


def test_they_reach_a_worker_as_they_are_and_nothing_else_does(bench: ExecutionBench) -> None:
    task = bench.task("true", caches=(ANY, FIXED), caches_of="r-1")
    message = encode_task(task, with_environment=True)
    read = decode_task(message, {})
    assert (read.caches, read.caches_of) == (task.caches, "r-1")
    for bad in ([["../x", [], "", False]], [1], 1):
        with pytest.raises((ValueError, TypeError)):
            decode_task({**message, "caches": bad}, {})


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(os.stat(path).st_mode) for path in [folder, *folder.rglob("*")] if path.is_dir()}


def test_only_their_user_may_look_into_them(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened = open_cache(str(tmp_path / "made/caches"), "r", ANY)
    finally:
        os.umask(before)
    assert opened.folder == str(tmp_path / "made/caches/r/pip/files")
    assert modes(tmp_path / "made/caches") == {0o700}
    opened.close()


@pytest.mark.parametrize("at", ["caches", "caches/r", "caches/r/pip"])
def test_what_others_could_have_filled_is_used_by_nobody(tmp_path: Path, at: str) -> None:
    open_cache(str(tmp_path / "caches"), "r", ANY).close()
    (tmp_path / at).chmod(0o777)
    with pytest.raises(MachineError, match="others can write to a folder of caches"):
        open_cache(str(tmp_path / "caches"), "r", ANY)


@pytest.mark.parametrize("at", ["caches/r", "caches/r/pip", "caches/r/pip/files"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path, at: str) -> None:
    place = tmp_path / at
    place.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", place)
    with pytest.raises(MachineError, match="a folder of caches is another user's, or none") as caught:
        open_cache(str(tmp_path / "caches"), "r", ANY)
    assert caught.value.where == str(place)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_link_of_the_user_leads_all_of_them_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    os.symlink(tmp_path / "disk", tmp_path / "caches")
    opened = open_cache(str(tmp_path / "caches"), "r", ANY)
    opened.close()
    assert opened.folder == str(tmp_path / "disk/r/pip/files")


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "a b", "a\0b", "a\nb"])
def test_no_name_of_a_repository_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no repository can be called so"):
        open_cache(str(tmp_path / "caches"), name, ANY)
    assert not (tmp_path / "caches").exists()


def test_a_disk_that_refuses_is_an_error_of_the_machine_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="a cache can't be used: "):
        open_cache(str(tmp_path / "file/caches"), "r", ANY)


def test_the_folder_of_a_repository_is_called_as_it_is_and_by_its_salt() -> None:
    name = repository_name("/home/me/my project", b"salt")
    assert name.startswith("my-project-")
    assert name != repository_name("/home/me/my project", b"other")
    assert repository_name("/", b"x").startswith("repository-")
    assert repository_name("/x/" + "ü" * 300, b"x").startswith("repository-")
    assert len(repository_name("/x/" + "u" * 300, b"x")) < 64


def test_what_no_step_used_for_long_goes_and_what_one_uses_stays(tmp_path: Path) -> None:
    place = str(tmp_path / "caches")
    for repository, name in (("r", "old"), ("r", "used"), ("r", "new"), ("s", "old")):
        opened = open_cache(place, repository, StepCache(name, (name,)))
        Path(opened.folder, "f").write_text("four")
        opened.close()
    held = open_cache(place, "r", StepCache("used", ("used",)))
    now = os.stat(f"{place}/r/new/used").st_mtime
    for at in ("r/old", "r/used", "s/old"):
        os.utime(f"{place}/{at}/used", (now - 3 * DAY, now - 3 * DAY))
    assert [(one.repository, one.name, one.bytes) for one in kept_caches(place, "s")] == [("s", "old", 4)]
    for dry_run in (True, False):
        gone = remove_unused(place, 2 * DAY, now, dry_run=dry_run)
        assert [(one.repository, one.name) for one in gone] == [("r", "old"), ("s", "old")]
    assert [one.name for one in kept_caches(place)] == ["new", "used"]
    assert os.listdir(place) == ["r"]
    held.close()
    assert [one.name for one in remove_unused(place, 0, now + DAY)] == ["new", "used"]
    assert os.listdir(place) == []
    assert remove_unused(str(tmp_path / "none"), 0, now) == []


def test_a_step_that_begins_while_one_is_removed_has_a_new_one_and_what_a_killed_process_left_goes(
    tmp_path: Path,
) -> None:
    place = str(tmp_path / "caches")
    opened = open_cache(place, "r", ANY)
    os.rename(f"{place}/r/pip", f"{place}/r/pip.removed-1234")  # as a process that was killed then
    again = open_cache(place, "r", ANY)
    assert again.folder == opened.folder
    assert os.listdir(again.folder) == []
    with pytest.raises(BlockingIOError):
        fcntl.flock(os.open(f"{place}/r/pip/used", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [one.name for one in remove_unused(place, DAY, 2 * DAY)] == ["pip"]
    assert os.listdir(f"{place}/r") == ["pip"]
    opened.close()
    again.close()
