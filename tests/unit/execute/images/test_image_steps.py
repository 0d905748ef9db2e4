"""Steps in an image: what they see and may do, and that they end as all others do."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitml.core.kinds.cache_kinds import StepCache
from gitml.core.kinds.environment_kinds import IMAGE
from gitml.core.kinds.image_names import parse_image_name
from gitml.core.model.environment import Environment, EnvironmentSource, EnvironmentSpec, environment_of
from gitml.core.model.protocols import TaskFinished, TaskStarted
from gitml.core.model.step_settings import GANG
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images.image_store import ImageStore
from gitml.execute.environments.images.root import ImageRoot
from gitml.execute.process import NotConfinedError, StopRequests, run
from gitml.execute.sandbox.gpu_libraries import GpuLibrary
from gitml.execute.sandbox.image_view import ShownFolder
from gitml.execute.sandbox.isolation import Isolation, refusal
from gitml.platform.current import platform
from gitml.platform.linux import MOUNTED
from tests.kit.execution import ExecutionBench, finish, gone, until, until_finished, until_true
from tests.kit.servers.image_registry import Entry, busybox, image, link, needs_images, registry
from tests.kit.user_settings import with_settings

FILE = (("o", "out/o", "file"),)
MARK = "54321.98765"


class ImageBench(ExecutionBench):
    """A bench whose steps run in a tiny image."""

    environment: Environment

    def sh(self, script: str, **more: object) -> TaskFinished:
        return self.run(script, shell="sh", environment=self.environment, **more)

    def said(self, script: str, **more: object) -> str:
        finished = self.sh(script, **more)
        text = self.log(finished).decode()
        assert finished.outcome == "done", (finished, text)
        return text


@contextmanager
def bench_at(place: Path, home: Path) -> Iterator[ImageBench]:
    needs_images()
    with registry(home) as served:
        layers = [[*busybox(), Entry("etc/of-image", b"image\n"), link("etc/out", "/root")]]
        built = image(layers, ["PATH=/bin:/opt/bin", "OF_IMAGE=yes", "TZ=Mars", "OF_STEP=image"])
        made = ImageBench(place, {"PATH": os.environ["PATH"], "SSL_CERT_FILE": "/x", **served.environ()})
        source = EnvironmentSource(EnvironmentSpec(IMAGE, served.push(built)))
        made.environment = environment_of({"kind": IMAGE, "image": built.digest}, source)
        yield made
        made.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ImageBench]:
    with bench_at(tmp_path, tmp_path / "home") as made:
        yield made


def test_folders_that_links_lead_to_are_found(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    with bench_at(tmp_path / "link", tmp_path / "home") as bench:
        assert bench.said("pwd; cat /etc/of-image") == "/gitml-sandbox/work\nimage\n"


def test_where_sandboxes_are_not_mounted_a_step_in_an_image_has_its_own_at_the_fixed_path(
    bench: ImageBench, tmp_path: Path
) -> None:
    settings = with_settings(tmp_path / "settings", "sandboxes: {mount: false}\n")
    executor = bench.executor(machine={**os.environ, **settings})
    task = bench.task("pwd; echo x > out/o", shell="sh", outputs=FILE, environment=bench.environment)
    finished = finish(executor, task)
    assert (finished.outcome, bench.log(finished)) == ("done", b"/gitml-sandbox/work\n"), finished
    assert bench.output(finished, "o") == b"x\n"


@pytest.mark.parametrize("strict", [False, True], ids=["normal", "strict"])
def test_caches_are_seen_at_the_fixed_path_and_what_is_read_only_stays_as_it_is(
    bench: ImageBench, strict: bool
) -> None:
    kept, own = StepCache("kept", ("KEPT",), "data/kept"), StepCache("own", ("OWN",))
    said = bench.said("echo $KEPT; echo x > $KEPT/f; cat data/kept/f; echo z > $OWN/f", caches=(kept, own))
    assert said == "/gitml-sandbox/cache/kept\nx\n"
    fixed = kept._replace(readonly=True)
    assert (
        bench.said("cat $KEPT/f data/kept/f; ls cache 2>/dev/null || true", caches=(fixed,), strict=strict) == "x\nx\n"
    )
    for script in ("echo y >> $KEPT/f", "rm data/kept/f", "echo y > $KEPT/new"):
        finished = bench.sh(script, caches=(fixed,), strict=strict)
        assert finished.outcome == "failed", script
        assert "Read-only file system" in bench.log(finished).decode(), script
    place = bench.root / "cache/caches/a-repository"
    assert bench.sh(f"cat {place}/own/files/f", caches=(fixed,)).outcome == "failed", "it sees its own alone"
    assert bench.said("ls $KEPT; echo y > $KEPT/f", caches=(kept,), caches_of="") == "", (
        "empty ones go with the sandbox"
    )
    assert (place / "kept/files/f").read_text() == "x\n"


def test_processes_of_a_gang_run_in_the_image(bench: ImageBench) -> None:
    # the first that fails ends the others: it waits until the other has said its line
    work = "echo $RANK of $WORLD_SIZE; [ $RANK = 1 ] || { : > said; exit 0; }; until [ -e said ]; do :; done; exit 1"
    task = bench.task(work, shell="sh", environment=bench.environment)
    finished = finish(bench.executor(), task._replace(action=task.action._replace(settings=((GANG.name, (1, 2)),))))
    assert sorted(bench.log(finished).splitlines()[:2]) == [b"[0] 0 of 2", b"[1] 1 of 2"]
    assert finished.exit_code == 1


def test_code_inputs_and_outputs_lie_where_they_do_in_every_environment(bench: ImageBench) -> None:
    code = [("src/x.sh", "100755", bench.blob("#!/bin/sh\ncat data/in.txt\n"))]
    inputs = [("i", "data/in.txt", "file", f"git:100644:{bench.blob('input')}")]
    finished = bench.sh("pwd; ./src/x.sh; ./src/x.sh > out/o", code=code, inputs=inputs, outputs=FILE)
    assert finished.outcome == "done", finished
    assert bench.log(finished) == b"/gitml-sandbox/work\ninput"
    assert bench.output(finished, "o") == b"input"
    until_true("its sandbox is removed", lambda: not bench.left())


def test_nothing_of_the_machine_is_seen_but_what_every_step_needs(bench: ImageBench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    seen = bench.said("ls /; echo; ls /run; cat /etc/of-image; ls /etc/out || true").split("\n\n")
    assert seen[0].split() == "bin dev etc gitml-sandbox proc run sys tmp var".split()
    assert seen[1].splitlines()[0] == "image"
    assert "/etc/out: No such file" in seen[1]
    finished = bench.sh(f"cat {tmp_path}/secret")
    assert finished.outcome == "failed"
    assert "No such file" in (finished.error or "")
    assert Path("/etc/hosts").read_text() in bench.said("cat /etc/hosts")


def test_the_image_its_links_and_the_machines_files_of_names_cannot_be_changed(bench: ImageBench) -> None:
    for path in ("/bin/x", "/etc/hosts", "/etc/of-image", "/x", "/sys/x"):
        finished = bench.sh(f"echo x > {path}")
        assert finished.outcome == "failed", path
        assert "Read-only file system" in bench.log(finished).decode(), path


def test_nothing_by_which_the_machine_is_steered_can_be_opened_to_write(bench: ImageBench) -> None:
    """Nor what is mounted below a folder that is read-only, each a file system of its own: control groups lie so below /sys."""
    look = "for f in $(find {} -type f 2>/dev/null); do (: >> $f) 2>/dev/null && echo $f; done; true"
    places = "/sys/fs/cgroup -maxdepth 2 -name cgroup.procs", "/proc/sys/kernel /proc/sys/vm -maxdepth 1"
    for place in places:
        assert bench.said(look.format(place)) == ""
    assert bench.said("for f in /proc/sysrq-trigger /proc/mtrr; do (: >> $f) 2>/dev/null && echo $f; done; true") == ""
    assert bench.said("cat /proc/sys/kernel/ostype; echo x > /proc/self/comm") == "Linux\n"


def test_folders_for_what_is_temporary_are_the_steps_own_and_go_with_it(bench: ImageBench) -> None:
    write = "for d in /tmp /var/tmp /dev/shm /run $HOME $TMPDIR; do echo x > $d/mine || exit 1; done; echo $HOME"
    assert bench.said(write) == "/gitml-sandbox/home\n"
    assert bench.said("ls /tmp /var/tmp /dev/shm /run") == "/dev/shm:\n\n/run:\n\n/tmp:\n\n/var/tmp:\n"
    until_true("its sandbox is removed", lambda: not bench.left())


def test_devices_are_there_and_terminals_can_be_made(bench: ImageBench) -> None:
    script = (
        "echo x > /dev/null; cat /dev/zero | (read -n 1 x; true); : <> /dev/ptmx; echo out > /dev/stdout; ls /dev/pts"
    )
    assert bench.said(script) == "out\nptmx\n"


def test_variables_of_the_image_are_below_those_of_gitml_and_of_the_step(bench: ImageBench) -> None:
    said = bench.said("echo $PATH $OF_IMAGE $TZ $OF_STEP ${SSL_CERT_FILE-none}", env={"OF_STEP": "step"})
    assert said == "/bin:/opt/bin yes UTC step none\n"


def test_the_step_runs_as_the_user_who_calls_with_a_name_and_a_home(bench: ImageBench) -> None:
    said = bench.said("id -u; id -g; id -un")
    assert said.split() == [str(os.geteuid()), str(os.getegid()), said.split()[2]]
    assert not said.split()[2].isdigit()


def test_exit_codes_and_signals_pass(bench: ImageBench) -> None:
    assert bench.sh("exit 7").exit_code == 7
    killed = bench.sh("kill -9 $$")
    assert killed.exit_code == -signal.SIGKILL
    assert "killed by SIGKILL" in (killed.error or "")


def test_a_program_that_the_image_lacks_is_not_taken_from_the_machine(bench: ImageBench) -> None:
    finished = bench.run("git", "--version", environment=bench.environment)
    assert finished.error == "command not found: git"
    assert "the image has no such program" in (finished.hint or "")
    within = bench.sh("git --version")
    assert within.exit_code == 127
    assert "the image has no such program" in (within.hint or "")


def test_a_program_runs_without_a_shell_by_its_name_and_by_its_path(bench: ImageBench) -> None:
    for words in (("id", "-u"), ("/bin/id", "-u")):
        finished = bench.run(*words, environment=bench.environment)
        assert bench.log(finished) == f"{os.geteuid()}\n".encode()


def test_a_timeout_ends_all_of_its_processes(bench: ImageBench) -> None:
    finished = bench.sh(f"sleep {MARK} & sleep {MARK}", timeout=0.5)
    assert finished.outcome == "timeout"
    assert gone(MARK)
    until_true("its sandbox is removed", lambda: not bench.left())


def test_a_cancelled_step_gets_its_signal_and_what_left_its_group_ends_too(bench: ImageBench) -> None:
    executor = bench.executor()
    task = bench.task(
        f"trap 'echo asked; exit 3' TERM; setsid sleep {MARK} & sleep {MARK} & wait",
        shell="sh",
        environment=bench.environment,
    )
    executor.submit(task)
    until(executor, lambda event: isinstance(event, TaskStarted))
    time.sleep(0.3)
    executor.cancel(task.attempt, now=False)
    finished = until_finished(executor, task.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "cancelled"
    assert gone(MARK)


def test_a_strict_step_may_write_to_its_own_folders_alone(bench: ImageBench) -> None:
    if platform.confinement_refusal():
        pytest.skip("this kernel can't confine a step")
    said = bench.said("echo x > /tmp/x; echo x > $HOME/x; echo x > /run/x || echo no; cat /etc/of-image", strict=True)
    assert said.splitlines()[-2:] == ["no", "image"]


@pytest.mark.parametrize("strict", [False, True])
def test_the_network_can_be_denied(bench: ImageBench, strict: bool) -> None:
    if refusal("none") or (strict and platform.confinement_refusal()):
        pytest.skip("no network can be denied here")
    said = bench.said("cat /proc/net/dev | grep -c :", network="none", strict=strict)
    assert said == "1\n"
    assert bench.said("cat /proc/net/dev | grep -c :", network="loopback", strict=strict) == "1\n"


def test_a_step_that_is_root_has_no_rights_over_the_machine(bench: ImageBench) -> None:
    finished = bench.sh(
        "mkdir /tmp/m; mount -t tmpfs none /tmp/m && echo mounted; mount -o remount,rw / && echo remounted; true"
    )
    assert b"mounted" not in bench.log(finished)
    assert finished.outcome == "done"


@pytest.mark.slow
def test_an_image_that_is_here_costs_a_step_little(bench: ImageBench) -> None:
    """In processor time: how long the kernel waits for others, at each unmount, is theirs. Wall time: `benchmarks.environments`."""
    bench.sh("true")
    bench.run("true")

    def seconds(*, image: bool) -> float:
        finished = bench.run("true", **({"environment": bench.environment} if image else {}))
        assert finished.outcome == "done"
        return finished.cost.cpu

    pairs = [(seconds(image=True), seconds(image=False)) for _ in range(15)]
    assert min(inside for inside, _ in pairs) - min(bare for _, bare in pairs) < 0.05


def test_files_of_the_machine_that_are_shown_are_seen_read_only(bench: ImageBench, tmp_path: Path) -> None:
    """As the libraries of a GPU driver are."""
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries/libx.so.1.2").write_text("library")
    os.symlink(tmp_path / "libraries/libx.so.1.2", tmp_path / "libx.so.1")
    root = root_of(bench)
    shown = root.with_gpu_libraries([GpuLibrary("libx.so.1", str(tmp_path / "libx.so.1"))])
    sandbox = sandbox_at(tmp_path)
    said = bytearray()
    script = "cat gpu-libraries/libx.so.1; echo x > gpu-libraries/libx.so.1 || echo denied"
    enter = Isolation(
        False, "full", seen="/gitml-sandbox", folder=str(sandbox), root=root.folder, shown=shown.shown
    ).enter
    words = ("sh", "-c", f"cd /gitml-sandbox; {script}")
    ended = run("/bin/sh", words, {"PATH": "/bin"}, said.extend, StopRequests(), confine=enter)
    assert ended.code == 0
    assert said.startswith(b"library")
    assert said.endswith(b"denied\n")


def root_of(bench: ImageBench) -> ImageRoot:
    """The image of a bench, unpacked."""
    parsed, _ = parse_image_name(bench.environment.source.spec.name)
    assert parsed is not None
    store = ImageStore(str(bench.root / "cache/images"), bench.machine)
    return store.build(parsed, bench.environment.description["image"], BuildControl(StopRequests()))


def sandbox_at(place: Path) -> Path:
    """An empty sandbox."""
    for name in ("work", "home", "tmp"):
        (place / "sandbox" / name).mkdir(parents=True)
    return place / "sandbox"


@pytest.mark.parametrize("left", ["private-tmp", "private-var-tmp", "shown", "home/shown", "home"])
@pytest.mark.parametrize("target", ["../secret", "../none"])
def test_what_ran_in_a_sandbox_before_leads_the_next_to_nothing_of_the_machine(
    bench: ImageBench, tmp_path: Path, left: str, target: str
) -> None:
    """As of a gang, or of the programs that make an environment of the image's Python, which is anybody's."""
    (tmp_path / "secret").mkdir(mode=0o700)
    (tmp_path / "secret/key").write_text("secret")
    (tmp_path / "show").mkdir()
    sandbox = sandbox_at(tmp_path)
    shown = tuple([ShownFolder(str(tmp_path / "show"), name, writable=True) for name in ("shown", "home/shown/deep")])
    isolation = Isolation(False, "full", seen=MOUNTED, folder=str(sandbox), root=root_of(bench).folder)

    def tried(script: str) -> bytes:
        said = bytearray()
        enter = isolation.enter
        run("/bin/sh", ("sh", "-c", script), {"PATH": "/bin"}, said.extend, StopRequests(), confine=enter)
        return bytes(said)

    up = "../" * left.count("/") + target
    assert tried(f"cd {MOUNTED}; busybox rm -rf {left}; busybox ln -s {up} {left} && echo made") == b"made\n"
    isolation = isolation._replace(shown=shown)
    with pytest.raises(NotConfinedError, match=r"the image can't be entered here: its (own folders|sandbox)"):
        tried(f"cat /tmp/key /var/tmp/key; echo x > /tmp/x; cat {MOUNTED}/{left}/key")
    assert sorted(path.name for path in tmp_path.glob("secret/**/*")) == ["key"]
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o700
    assert not (tmp_path / "none").exists()
