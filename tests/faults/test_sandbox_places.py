"""Above a sandbox there is nothing of the user's: not where it is mounted at the fixed path, and not where it lies in a folder apart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.errors import InputError
from gitml.execute.sandbox import namespace
from gitml.execute.sandbox.location import MARKS, clear_root, lock_root, mark_above, remove_abandoned, sandbox_roots
from gitml.platform.current import platform
from gitml.platform.linux import form
from tests.kit.execution import ExecutionBench, mounts, until_true
from tests.kit.projects.command_line import Project
from tests.kit.user_settings import with_settings

needs_mounts = pytest.mark.skipif(not mounts(), reason="this machine gives no mount namespaces")

WALK = f"""
import os
place, found = os.getcwd(), []
while True:
    found += [os.path.join(place, name) for name in {MARKS!r} if os.path.lexists(os.path.join(place, name))]
    if place == "/":
        break
    place = os.path.dirname(place)
print(found)
"""


@pytest.fixture(params=[pytest.param("mounted", marks=needs_mounts), "apart"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(mode: str, tmp_path: Path) -> dict[str, str]:
    """The user's variables: their folder is no project, and their settings say whether sandboxes may be mounted."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        **with_settings(home, "sandboxes: {mount: false}\n" if mode == "apart" else ""),
    }


@pytest.fixture
def bench(machine: dict[str, str], tmp_path: Path) -> Iterator[ExecutionBench]:
    bench = ExecutionBench(tmp_path / "user", machine) if (tmp_path / "user").mkdir() is None else None
    assert bench is not None
    for mark in MARKS:
        if mark != ".git":
            (Path(bench.repo) / mark).write_text("")
    bench.executor(machine=bench.machine)
    yield bench
    bench.close()
    place = sandbox_roots(bench.live, machine).apart
    assert place is not None
    assert not os.path.lexists(place), "nothing is left"


def test_a_step_that_walks_upwards_finds_no_mark_of_a_project(bench: ExecutionBench) -> None:
    assert bench.log(bench.run("python", "-c", WALK)).decode() == "[]\n"


@pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())
def test_a_strict_step_that_walks_upwards_finds_no_mark_of_a_project(bench: ExecutionBench) -> None:
    assert bench.log(bench.run("python", "-c", WALK, strict=True)).decode() == "[]\n"


def test_git_and_uv_find_no_project_above_a_step_and_leave_the_work_tree_alone(bench: ExecutionBench) -> None:
    (Path(bench.repo) / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\ndependencies = []\n')
    before = sorted(os.listdir(bench.repo))
    finished = bench.run("uv", "run", "--offline", "python", "-c", "print('ran')")
    assert bench.log(finished).endswith(b"ran\n"), bench.log(finished)
    assert bench.shell("env -u GIT_CEILING_DIRECTORIES git rev-parse --git-dir").exit_code == 128
    assert sorted(os.listdir(bench.repo)) == before


def test_what_a_step_makes_and_gets_is_the_same_in_both_places(bench: ExecutionBench) -> None:
    made = bench.shell("mkdir d; seq 300000 > d/x; ln -s x d/l", outputs=[("d", "d", "directory")]).outputs[0]
    finished = bench.shell(
        "cmp in/x in/l; mv $(mktemp) empty; sha256sum < in/x > o",
        inputs=[("d", "in", "directory", made.digest)],
        outputs=[("o", "o", "file"), ("e", "empty", "file")],
    )
    assert finished.outcome == "done", (finished, bench.log(finished))
    assert finished.bad_inputs == ()


@needs_mounts
@pytest.mark.parametrize("mode", ["mounted"], indirect=True)
def test_a_mounted_sandbox_has_one_path_in_each_of_many_that_run_at_once(bench: ExecutionBench) -> None:
    outputs = {bench.log(bench.shell("pwd; echo $TMPDIR")) for _ in range(2)}
    assert outputs == {b"/gitml-sandbox/work\n/gitml-sandbox/tmp\n"}


def test_an_old_commit_is_run_without_a_look_at_the_files_of_now(machine: dict[str, str], tmp_path: Path) -> None:
    search = (
        "import os\nplace = os.getcwd()\n"
        "while place != '/' and not os.path.exists(place + '/params.toml'): place = os.path.dirname(place)\n"
        "print(open(place + '/params.toml').read() if place != '/' else 'none')\n"
    )
    pipeline = "steps:\n  t:\n    run: python3 s.py\n"
    project = Project(tmp_path / "repo", {"s.py": search, "pipelines/p.yaml": pipeline, "params.toml": "old"})
    project.repo.commit("next", {"params.toml": "new"})
    (project.path / "params.toml").write_text("newest")
    project.do("run", "--at", "HEAD~1", env=machine)
    run = project.do("log", "--json", env=machine).json[0]["run"]
    assert project.do("logs", run, "t", env=machine).out == "none\n"
    assert "sandbox" in project.do("doctor", env=machine).out


def test_a_home_that_is_a_repository_holds_no_sandboxes(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    places = sandbox_roots(str(tmp_path / "live"), {"HOME": str(tmp_path)})
    assert places.apart is not None
    assert not places.apart.startswith(str(tmp_path))
    assert mark_above(places.apart) is None


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("sandboxes: {top}/repo/deep\n", "config.yaml", "{top}/repo/.git"),
        ("sandboxes: scratch\n", "config.yaml:1:12", "full path"),
        ("sandboxs: /scratch\n", "config.yaml:1:1", "did you mean 'sandboxes'?"),
        ("sandboxes: {{mount: 3}}\n", "config.yaml:1:20", "true or false"),
        ("sandboxes: {top}/file\n", "config.yaml", "can't be written to"),
    ],
)
def test_a_bad_setting_is_named_with_its_file(tmp_path: Path, text: str, where: str, told: str) -> None:
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    machine = with_settings(tmp_path, text.format(top=tmp_path))
    with pytest.raises(InputError) as raised:
        sandbox_roots(str(tmp_path), machine)
    assert (raised.value.where or "").endswith(where)
    assert told.format(top=tmp_path) in raised.value.message


def test_a_folder_of_the_users_choice_holds_the_sandboxes(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    bench = ExecutionBench(tmp_path / "user") if (tmp_path / "user").mkdir() is None else None
    assert bench is not None
    bench.executor(machine={**bench.machine, **with_settings(tmp_path, f"sandboxes: {scratch}\n")})
    flag = tmp_path / "flag"
    bench.executors[0].submit(bench.task("sh", "-c", f"until [ -e {flag} ]; do sleep 0.02; done"))
    until_true("the sandbox is there", lambda: scratch.is_dir() and any(scratch.glob("*/a1/work")))
    assert not os.path.exists(f"{bench.live}/a1")
    flag.write_text("")
    bench.close()
    assert os.listdir(scratch) == []


@pytest.mark.needs_linux("what a crash of gitml left running is found")
def test_what_a_killed_executor_left_is_removed_by_others_and_what_is_used_is_not(tmp_path: Path) -> None:
    machine = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    dead, used = (sandbox_roots(str(tmp_path / name), machine).apart for name in ("dead", "used"))
    assert dead is not None
    assert used is not None
    os.close(lock_root(dead))
    (Path(dead) / "a1/work").mkdir(parents=True)
    stray = subprocess.Popen(["sleep", "600"], cwd=f"{dead}/a1/work", start_new_session=True)
    lock = lock_root(used)
    try:
        shutil.rmtree(tmp_path / "repository", ignore_errors=True)
        assert remove_abandoned(machine) == 1
        assert stray.wait() < 0
        assert os.path.isdir(used)
        assert not os.path.exists(dead)
        clear_root(sandbox_roots(str(tmp_path / "used"), machine))
        assert os.path.isdir(used)
    finally:
        os.close(lock)
    clear_root(sandbox_roots(str(tmp_path / "used"), machine))
    assert not os.path.exists(used)


@pytest.mark.needs_linux("what a crash of gitml left running is found")
@needs_mounts
def test_a_stray_that_hides_is_known_by_the_sandbox_that_it_sees(tmp_path: Path) -> None:
    attempt = tmp_path / "live/a1"
    attempt.mkdir(parents=True)
    pid = os.fork()
    if pid == 0:
        try:
            if not namespace.enter(str(tmp_path), ()):
                namespace.mount_sandbox(str(attempt))
                os.chdir("/")
                os.execve("/bin/sleep", ["sleep", "600"], {})
        finally:
            os._exit(1)
    until_true("it is seen", lambda: form.strays_of(str(tmp_path / "live")) == [pid])
    killed = os.fork()
    if killed == 0:
        form.end_strays(str(tmp_path / "live"))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
    os.waitpid(killed, 0)


@pytest.mark.root
@needs_mounts
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_without_rights_sees_a_sandbox_at_the_fixed_path(tmp_path: Path) -> None:
    script = (
        "import ctypes, os, sys\n"
        f"sys.path.insert(0, {os.getcwd()!r})\n"
        "from gitml.execute.sandbox import namespace as n\n"
        "os.setgroups([4243]); os.setgid(4242); os.setuid(4242)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"  # a process that changed its user must not look at itself
        f"refused = n.enter({str(tmp_path)!r}, ())\n"
        "if refused: print(refused.why); sys.exit()\n"
        f"n.leave_shared(); n.mount_sandbox({str(tmp_path)!r}); os.chdir(n.MOUNTED)\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')], flush=True)\n"
        "os.system('pwd; id -u; cat group; grep CapEff /proc/self/status')\n"
    )
    group = tmp_path / "group"
    group.write_text("read by its group\n")
    os.chown(group, 0, 4243)
    group.chmod(0o640)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(folder.stat().st_mode | 0o055)
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd="/")
    if "Operation not permitted" in seen.stdout or "Permission denied" in seen.stdout:
        pytest.skip(f"users can't make namespaces here: {seen.stdout}")
    # of all the capabilities of its namespace only the one to mount: a file's permissions count
    assert (
        seen.stdout == "['0000000000201000']\n/gitml-sandbox\n4242\nread by its group\nCapEff:\t0000000000000000\n"
    ), seen.stderr


@pytest.mark.root
@needs_mounts
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a chroot")
def test_a_machine_that_is_a_chroot_is_the_one_that_steps_see(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    build = f"""
        mount -t tmpfs top {top}
        for at in /*; do
            if [ -L $at ]; then cp -P $at {top}; elif [ -d $at ]; then mkdir {top}$at; mount --rbind $at {top}$at; fi
        done
        mkdir -p {top}/only-here/sandbox
        exec {sys.executable} -c "$1"
    """
    script = (
        "import os, sys\n"
        f"sys.path.insert(0, {os.getcwd()!r})\n"
        "from gitml.execute.sandbox import namespace as n\n"
        f"os.chroot({str(top)!r}); os.chdir('/')\n"
        "refused = n.enter('/only-here', ())\n"
        "if refused: print(refused.why); sys.exit()\n"
        "n.leave_shared(); n.mount_sandbox('/only-here/sandbox')\n"
        "open('/gitml-sandbox/made', 'w').close(); print(os.listdir('/only-here/sandbox'))\n"
    )
    inside = ["unshare", "-m", "sh", "-ec", build, "sh", script]
    seen = subprocess.run(inside, capture_output=True, text=True, check=False)
    assert seen.stdout == "['made']\n", seen.stderr


@needs_mounts
@pytest.mark.skipif(os.geteuid() == 0, reason="for root no permissions count")
def test_permissions_count_in_a_view_of_ones_own(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    pid = os.fork()
    if pid == 0:
        try:
            assert not namespace.enter(str(tmp_path), ())
            namespace.leave_shared()
            namespace.mount_sandbox(str(closed))
            try:
                os.mkdir(closed / "made")
            except PermissionError:
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
