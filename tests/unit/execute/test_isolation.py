"""What a step is cut off from: the network, what others left in common folders, other processes, and root's ways back."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.model.guarantees import CUT, LOOPBACK, NETWORKS
from gitml.execute.sandbox import isolation
from gitml.platform import landlock
from gitml.platform.current import platform
from tests.kit.execution import ExecutionBench, finish, mounts
from tests.kit.user_settings import with_settings

needs_networks = pytest.mark.skipif(isolation.refusal(CUT) != "", reason="this machine gives no network namespaces")
needs_landlock = pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())
needs_folders = pytest.mark.skipif(not isolation.private_folders(), reason="this machine gives no mount namespaces")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root may do")


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder in one that all users share, and that strict steps don't see."""
    with tempfile.TemporaryDirectory(prefix="gitml-test-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(params=["mounted", "apart"])
def bench(request: pytest.FixtureRequest, common: Path) -> Iterator[ExecutionBench]:
    """A bench whose sandboxes are mounted at the fixed path, or lie in a folder that steps don't see otherwise."""
    if request.param == "mounted" and not mounts():
        pytest.skip("this machine gives no mount namespaces")
    (home := common / "home").mkdir()
    (root := common / "user").mkdir()
    settings = "" if request.param == "mounted" else "sandboxes: {mount: false}\n"
    machine = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        **with_settings(home, settings),
    }
    bench = ExecutionBench(root, machine)
    bench.executor(machine=machine)
    yield bench
    bench.close()
    assert bench.left() == []


def said(bench: ExecutionBench, script: str, *words: str, **more: object) -> list[str]:
    """What a Python program says, word by word, that must end well."""
    finished = bench.run("python", "-c", script, *words, **more)
    log = bench.log(finished).decode()
    assert finished.outcome == "done", (finished, log)
    return log.split()


REACH = """
import socket, sys
def tried(what):
    try:
        what()
        return "reached"
    except OSError:
        return "cut"
def own():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        socket.create_connection(listening.getsockname(), 5).close()
def abstract():
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\\0" + sys.argv[2])
print(tried(own), tried(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5).close()), tried(abstract))
"""


@needs_networks
@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=needs_landlock)])
def test_a_step_reaches_of_the_network_what_it_asks_for(bench: ExecutionBench, strict: bool) -> None:
    name = f"gitml-test-{os.getpid()}"
    with socket.socket() as listening, socket.socket(socket.AF_UNIX) as abstract:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        abstract.bind(f"\0{name}")
        abstract.listen()
        words = (REACH, str(listening.getsockname()[1]), name)
        found = {network: said(bench, *words, strict=strict, network=network) for network in NETWORKS}
    seen = "cut" if strict and landlock.scopes() else "reached"
    assert found == {
        "full": ["reached", "reached", seen],
        "loopback": ["reached", "cut", "cut"],
        "none": ["cut", "cut", "cut"],
    }


@needs_networks
def test_the_processes_of_a_gang_reach_each_other_by_the_loopback(bench: ExecutionBench) -> None:
    script = (
        "import os, socket\n"
        "rank, at = os.environ['RANK'], (os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']))\n"
        "if rank == '0':\n"
        "    server = socket.create_server(at); print('heard', server.accept()[0].recv(9).decode(), flush=True)\n"
        "else:\n"
        "    while True:\n"
        "        try: socket.create_connection(at).send(b'hello'); break\n"
        "        except ConnectionRefusedError: pass\n"
    )
    task = bench.task("python", "-c", script, network=LOOPBACK)
    finished = finish(bench.executors[0], task._replace(action=task.action._replace(settings=(("gang", (1, 2)),))))
    assert (finished.outcome, bench.log(finished)) == ("done", b"[0] heard hello\n")


@needs_networks
def test_a_step_that_is_cut_off_ends_as_any_other_and_leaves_nothing(bench: ExecutionBench) -> None:
    finished = bench.run("sh", "-c", "(setsid sleep 600 &) ; echo made > o; exit 3", network=CUT)
    assert (finished.outcome, finished.exit_code) == ("failed", 3)
    finished = bench.run("sleep", "600", network=CUT, timeout=0.2)
    assert finished.outcome == "timeout"
    finished = bench.run("./nothing", network=CUT)
    assert finished.error == "command not found: ./nothing"


LEAVE = """
import ctypes, os, sys
for folder in ("/tmp", "/var/tmp", "/dev/shm"):
    found = [name for name in os.listdir(folder) if name.startswith("gitml-left")]
    print("found" if found else "fresh")
    open(folder + "/gitml-left", "w").write("left")
libc = ctypes.CDLL(None, use_errno=True)
print("found" if libc.shmget(0x6717, 16, 0o600) >= 0 else "fresh")
libc.shmget(0x6717, 16, 0o1600)
"""


@needs_landlock
@needs_folders
def test_nothing_that_a_strict_step_left_is_found_by_a_later_one_or_outside(bench: ExecutionBench) -> None:
    for _ in range(2):
        assert said(bench, LEAVE, strict=True) == ["fresh"] * 4
    assert [folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.path.exists(f"{folder}/gitml-left")] == []


@needs_landlock
@needs_folders
def test_what_others_left_in_common_folders_is_not_there_for_a_strict_step(bench: ExecutionBench, common: Path) -> None:
    names = [common / "there", Path("/dev/shm") / f"gitml-there-{os.getpid()}"]
    for name in names:
        name.write_text("of another")
    try:
        script = "import os, sys; print(*[os.path.exists(name) for name in sys.argv[1:]])"
        assert said(bench, script, *map(str, names)) == ["True", "True"]
        assert said(bench, script, *map(str, names), strict=True) == ["False", "False"]
    finally:
        names[1].unlink()


@needs_landlock
def test_shared_memory_and_semaphores_work_in_a_strict_step(bench: ExecutionBench) -> None:
    script = (
        "import multiprocessing as m\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "def work(lock, name):\n"
        "    shared = SharedMemory(name)\n"
        "    with lock: shared.buf[:2] = b'ok'\n"
        "    shared.close()\n"
        "shared = SharedMemory(create=True, size=2); context = m.get_context('fork')\n"
        "one = context.Process(target=work, args=(context.Lock(), shared.name)); one.start(); one.join()\n"
        "print(bytes(shared.buf[:2]).decode()); shared.close(); shared.unlink()\n"
    )
    assert said(bench, script, strict=True) == ["ok"]


@needs_landlock
@needs_folders
def test_an_environment_below_a_common_folder_is_still_there_for_a_strict_step(
    bench: ExecutionBench, common: Path
) -> None:
    venv = common / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (next(venv.glob("lib/python*/site-packages")) / "inside.py").write_text("print('inside')\n")
    bench.machine["PATH"] = f"{venv}/bin:/usr/bin:/bin"
    assert said(bench, "import inside, os; print(sorted(os.listdir('/tmp')))", strict=True)[0] == "inside"


@needs_landlock
@needs_folders
def test_a_socket_in_a_common_folder_answers_a_normal_step_and_not_a_strict_one(
    bench: ExecutionBench, common: Path
) -> None:
    at = common / "agent"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(at))
        listening.listen()
        script = (
            "import socket, sys\n"
            "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('reached')\n"
            "except OSError: print('cut')\n"
        )
        assert said(bench, script, str(at)) == ["reached"]
        assert said(bench, script, str(at), strict=True) == ["cut"]
        if not isolation.refusal(CUT):  # a name in the file system is no network: the documentation says so
            assert said(bench, script, str(at), network=CUT) == ["reached"]


@pytest.mark.root
@needs_landlock
@needs_folders
@as_root
@pytest.mark.skipif(not os.path.isdir("/run"), reason="this machine has no /run")
def test_sockets_of_the_machines_services_are_out_of_a_strict_steps_reach(bench: ExecutionBench) -> None:
    at = f"/run/gitml-test-{os.getpid()}"
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(at)
            listening.listen()
            script = f"import socket; socket.socket(socket.AF_UNIX).connect({at!r})"
            assert bench.run("python", "-c", script).outcome == "done"
            assert bench.run("python", "-c", script, strict=True).outcome == "failed"
    finally:
        os.unlink(at)


LOOK = """
import os, sys
found = []
for pid in os.listdir("/proc"):
    if not pid.isdigit() or int(pid) == os.getpid():
        continue
    try:
        if not open(f"/proc/{pid}/cmdline").read():  # a thread of the kernel
            continue
    except OSError:
        continue
    for name in ("environ", "mem", "maps", "cwd", "root", "ns/net", "ns/mnt"):
        path = f"/proc/{pid}/{name}"
        try:
            os.close(os.open(path, os.O_RDONLY))
            found.append(path)
        except OSError:
            pass
print(*found)
"""


@needs_landlock
def test_a_strict_step_looks_into_no_other_process(bench: ExecutionBench) -> None:
    """As root too, to which Linux since 6.17 gives the memory of every process with CAP_PERFMON or CAP_SYS_ADMIN."""
    env = {**os.environ, "CANARY": "a secret"}
    with subprocess.Popen(["cat"], env=env, stdin=subprocess.PIPE) as other:
        try:
            assert said(bench, LOOK, strict=True) == []
        finally:
            other.kill()


@pytest.mark.root
@as_root
@needs_networks
@pytest.mark.parametrize("confined", [{"network": CUT}, pytest.param({"strict": True}, marks=needs_landlock)])
def test_root_has_no_way_back(bench: ExecutionBench, confined: dict[str, object]) -> None:
    script = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def tried(call, *words):\n"
        "    try: return 'done' if call(*words) in (0, None) else 'denied'\n"
        "    except OSError: return 'denied'\n"
        f"print(tried(lambda: libc.setns(os.open('/proc/{os.getpid()}/ns/net', os.O_RDONLY), 0)),\n"
        "      tried(libc.mount, b'none', b'/mnt', b'tmpfs', 0, None),\n"
        "      tried(os.mknod, 'disk', 0o060600, os.makedev(7, 0)),\n"
        "      tried(libc.unshare, 0x40000000))\n"
        "os.chown('.', 1, 1); os.setgid(1); os.setuid(1); print(os.getuid())\n"
    )
    assert said(bench, script, **confined) == ["denied"] * 4 + ["1"]


@pytest.mark.needs_linux("namespaces of networks")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_machine_that_can_make_no_network_says_why() -> None:
    """A user namespace in which no network namespace may be made stands for it."""
    script = "from gitml.execute.sandbox.isolation import refusal; print(refusal('none'), '|', refusal('full'))"
    words = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$0" -c "$1"'
    ran = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", words, sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        pytest.skip(f"no user namespaces here: {ran.stderr[-200:]}")
    assert ran.stdout == "no more namespaces may be made (sysctl user.max_net_namespaces) | \n"


def test_what_a_machine_can_do_is_found_out_in_a_process_with_threads_too() -> None:
    script = (
        "import threading\n"
        "done = threading.Event(); one = threading.Thread(target=done.wait); one.start()\n"
        "from gitml.execute.sandbox.isolation import private_folders, refusal\n"
        "print(repr((refusal('none'), private_folders()))); done.set()\n"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == repr((isolation.refusal(CUT), isolation.private_folders()))
