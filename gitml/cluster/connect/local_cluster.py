"""A Ray of gitml's own on this machine: a head that nobody else can enter, and that ends wholly with who started it.

It lives in a folder of its own below /tmp, since the sockets in it must have short names. A supervisor process holds its lock
and ends every process of it as soon as its owner is gone. Should the supervisor be killed too, the next start finds a folder
whose lock is free, and ends and removes what belongs to it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from gitml.cluster.connect.connection import AUTH_MODE, QUICK, QUIET, TOKEN, TOKEN_PATH
from gitml.core.config.project import RayTarget, machine_resources
from gitml.core.model.resources import Machine, Resources
from gitml.errors import MachineError
from gitml.execute.capacity import machine_capacity
from gitml.execute.sandbox.removal import remove_tree
from gitml.platform.current import platform
from gitml.platform.interface import send

PATIENCE = 60.0  # seconds to start
_STORE = 200 << 20  # bytes of shared memory for objects; files go through it in pieces
_LEAST_STORE = 80 << 20


class LocalCluster:
    """A Ray that was started: where its head is and the file with its token."""

    def __init__(self, folder: str, supervisor: subprocess.Popen[bytes], address: str) -> None:
        self.folder = folder
        self.supervisor = supervisor
        self.address = address
        self.token_path = token_of(folder)
        self.ray_dir = ray_dir_of(folder)

    def close(self) -> None:
        """Ends every process of it and removes its files."""
        assert self.supervisor.stdin is not None
        self.supervisor.stdin.close()
        try:
            self.supervisor.wait(20)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()
        if self.supervisor.stdout is not None:
            self.supervisor.stdout.close()
        clear(self.folder)


def start_local_cluster(target: RayTarget, environ: Mapping[str, str]) -> LocalCluster:
    """Starts a head with what the target declares of this machine; ends first what killed owners left. May raise MachineError."""
    base = _base()
    reap(base)
    folder = os.path.join(base, secrets.token_hex(4))
    os.mkdir(folder, 0o700)
    os.mkdir(os.path.join(folder, "t"), 0o700)
    with open(os.open(token_of(folder), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # the supervisor has it from its first moment
    said = json.dumps({"folder": folder, "options": _options(target, environ)}).encode()
    log_path = os.path.join(folder, "log")
    with open(log_path, "wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "gitml.cluster.connect.local_cluster", str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(environ, folder),
            pass_fds=[lock],
            start_new_session=True,
            cwd="/",
        )
    os.close(lock)
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    address = ""
    try:
        supervisor.stdin.write(said + b"\n")
        supervisor.stdin.flush()
        address = _first_line(supervisor)
    finally:
        if not address:
            supervisor.kill()
            supervisor.communicate()
            with open(log_path, encoding="utf-8", errors="replace") as log_text:
                last = (log_text.read().strip().splitlines() or ["it said nothing"])[-1]
            clear(folder)
    if not address:
        raise MachineError(f"Ray did not start on this machine: {last[:300]}", where=f"target {target.name}")
    return LocalCluster(folder, supervisor, address)


def planned_machine(target: RayTarget, environ: Mapping[str, str]) -> Machine:
    """This machine as the Ray that `start_local_cluster` would start has it."""
    options = _options(target, environ)
    has = Resources(
        options["num_cpus"], options["num_gpus"], options["_memory"], options["labels"], options["resources"]
    )
    return Machine("", os.uname().nodename, "127.0.0.1", True, has, has)


def reap(base: str) -> int:
    """Ends and removes what owners that were killed with their supervisors left below `base`; how many there were."""
    count = 0
    for name in os.listdir(base):
        folder = os.path.join(base, name)
        try:
            lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # it is being made, or removed, just now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        finally:
            os.close(lock)
        clear(folder)
        count += 1
    return count


def clear(folder: str) -> None:
    """Ends what runs in a folder with all below it, as steps have folders of their own, and removes it."""
    strays = platform.strays_of(folder)
    send([other for pid in strays for other in platform.below(pid)], signal.SIGKILL)
    platform.end_strays(folder)
    remove_tree(folder)


def token_of(folder: str) -> str:
    """The file with the secret."""
    return os.path.join(folder, "token")


def ray_dir_of(folder: str) -> str:
    """Where Ray keeps its sockets and logs."""
    return os.path.join(folder, "r")


def _base() -> str:
    base = f"/tmp/gitml-ray-{os.getuid()}"  # noqa: S108  a socket's path has room for 107 bytes; the folder is checked below
    try:
        os.mkdir(base, 0o700)
    except FileExistsError:
        found = os.lstat(base)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise MachineError("it is not a folder of yours alone", where=base, hint="remove it") from None
    return base


def _options(target: RayTarget, environ: Mapping[str, str]) -> dict[str, Any]:
    has = machine_resources(target.has, machine_capacity(environ))
    shm = os.statvfs("/dev/shm")  # noqa: S108  where the kernel has shared memory
    room = shm.f_bavail * shm.f_frsize
    return {
        "num_cpus": max(has.cpus, 1.0),
        "num_gpus": has.gpus,
        "_memory": max(has.memory - _STORE, 1 << 28),
        "resources": dict(has.custom),
        "labels": dict(has.labels),
        "object_store_memory": max(_LEAST_STORE, min(_STORE, room // 2)),
    }


def _environment(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """The user's, with our settings; TMPDIR marks every process as this folder's."""
    kept = {name: value for name, value in environ.items() if name not in (TOKEN, "RAY_ADDRESS")}
    path = os.pathsep.join(dict.fromkeys([entry for entry in sys.path if entry]))
    own = {"TMPDIR": os.path.join(folder, "t"), "PYTHONPATH": path, AUTH_MODE: "token", TOKEN_PATH: token_of(folder)}
    return {**QUIET, **QUICK, **kept, **own}


def _first_line(supervisor: subprocess.Popen[bytes]) -> str:
    """The address that the supervisor writes; empty when it ends, or writes none in time."""
    assert supervisor.stdout is not None
    end = time.monotonic() + PATIENCE
    said = b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([supervisor.stdout], [], [], max(0.0, end - time.monotonic()))
        chunk = os.read(supervisor.stdout.fileno(), 4096) if ready else b""
        if not chunk:
            return ""
        said += chunk
    return said.decode().strip()


def supervise() -> None:
    """The supervisor of a local cluster: starts its head, and ends all of it when its owner hangs up.

    The owner writes a line of JSON and holds our standard input open for as long as the head is to run.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    said = sys.stdin.buffer.readline()
    if not said.endswith(b"\n"):
        return
    asked = json.loads(said)
    platform.adopt_orphans("gitml-ray", os.getppid(), 0)
    signal.signal(signal.SIGTERM, lambda _number, _frame: _end(asked["folder"]))
    try:
        address = _start_head(asked)
    except BaseException as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        _end(asked["folder"], keep=True)
    else:
        os.write(1, f"{address}\n".encode())
        hung_up = select.poll()
        hung_up.register(0, select.POLLIN | select.POLLHUP)
        while os.read(0, 1) if hung_up.poll() else True:
            continue
        _end(asked["folder"])


def _start_head(asked: dict[str, object]) -> str:
    """A head as `ray.init` starts it; this process is its first driver and asks nothing of it."""
    import ray

    options = asked["options"]
    assert isinstance(options, dict)
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        configure_logging=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=ray_dir_of(str(asked["folder"])),
        **options,
    )
    return str(ray.get_runtime_context().gcs_address)


def _end(folder: str, *, keep: bool = False) -> None:
    """Ends every process below this one, and this one. What Ray would tidy up lies in the folder, which goes."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    platform.end_all()
    if not keep:
        remove_tree(folder)
    os._exit(0)


if __name__ == "__main__":
    supervise()
