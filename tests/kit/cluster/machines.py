"""Machines: isolated ones on this one, each with a network address, processes, host name and files of its own; they share no disk.

The kernel's namespaces make them: a *lab* holds a bridge, and each machine is a network, process, host-name and mount namespace
whose root is an overlay of this machine's, with /tmp, /dev/shm, /run and a home of its own, in memory. Everything ends with the lab,
and the lab with whoever made it. What a machine shall see of this one below /tmp is bound into it read-only (`shared`).
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.kit.patience import PATIENCE

ROOT = Path(__file__).parents[3]
NETWORK = "10.77.0"
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
_LAB = ("unshare", "-n", "-m", "-u", "-p", "-f", "--mount-proc", "--kill-child", "--propagation", "private")


@cache
def why_not() -> str | None:
    """Why no machines can be made here, None when they can."""
    for program, package in (("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")):
        if shutil.which(program) is None:
            return f"{program} is missing: install {package}"
    test = "mount -t tmpfs x /mnt && mkdir -p /mnt/u /mnt/w /mnt/r && ip link add br9 type bridge && "
    test += "mount -t overlay x -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r"
    tried = subprocess.run([*_LAB, "sh", "-c", test], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()[-200:]}"


class Machine:
    """One machine of a lab. `pid` is its first process, as this machine counts."""

    def __init__(self, number: int, holder: subprocess.Popen[bytes], pid: int) -> None:
        self.number = number
        self.name = f"node{number}"
        self.address = f"{NETWORK}.{number}"
        self.holder = holder
        self.pid = pid
        self.home = f"/root/{self.name}"

    @property
    def root(self) -> Path:
        """Its files, as this machine sees them."""
        return Path(f"/proc/{self.pid}/root")

    def words(self, command: Sequence[str], env: Mapping[str, str], cwd: str | None) -> list[str]:
        """The command line that runs `command` within."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-i", "-p", "-r", "-w"]
        settings = [f"{name}={value}" for name, value in self.environ(env).items()]
        inside = f"cd {shlex.quote(cwd or self.home)} && exec {shlex.join(command)}"
        return [*enter, *_DIE_WITH_PARENT, "env", "-i", *settings, "sh", "-c", inside]

    def environ(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        """What programs within see: nothing of the tests' own environment but where Python is."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        own = {
            "HOME": self.home,
            "PATH": path,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**own, "RAY_USAGE_STATS_ENABLED": "0", "HOSTNAME": self.name, **more}

    def start(
        self, *command: str, env: Mapping[str, str] = {}, cwd: str | None = None, log: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """A program that goes on; it dies with this process. What it says goes to `log`, or to pipes."""
        words = self.words(command, env, cwd)
        if log is None:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(log, "ab") as file:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def do(
        self,
        *command: str,
        env: Mapping[str, str] = {},
        cwd: str | None = None,
        code: int | None = 0,
        timeout: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """A program to its end, which must be with `code` unless that is None."""
        done = subprocess.run(
            self.words(command, env, cwd), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
        assert code is None or done.returncode == code, (
            f"{self.name}: {shlex.join(command)} gave {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
        return done

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """A file within, `path` relative to the machine's home or absolute."""
        full = self.root / os.path.join(self.home, path).lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(content)
        full.chmod(mode)

    def small_disk(self, path: str, size: str) -> None:
        """Mounts an empty disk of `size` (``10m``) at `path`."""
        self.do("mkdir", "-p", path)
        self.do("mount", "-t", "tmpfs", "-o", f"size={size}", "small", path)

    def processes(self, marker: str) -> list[int]:
        """Processes within whose command line holds `marker`, numbered as outside."""
        within = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                inside = os.readlink(f"/proc/{name}/ns/pid") == within
                if inside and marker.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
        return found


class Machines:
    """A lab with machines 1 to `count`; `host` is the lab's own place on their network, where no overlay is."""

    def __init__(self, count: int, shared: Sequence[str] = (), shm: str = "2g") -> None:
        self.count = count
        self.shm = shm
        self.shared = list(dict.fromkeys((sys.prefix, str(ROOT), *shared)))
        self.holder = subprocess.Popen([*_DIE_WITH_PARENT, *_LAB, "sleep", "infinity"], stderr=subprocess.DEVNULL)
        self.machines: dict[int, Machine] = {}
        try:
            self.pid = _only_child(self.holder.pid)
            self._prepare()
            for number in range(1, count + 1):
                self.boot(number)
        except BaseException:
            self.close()
            raise

    def __getitem__(self, number: int) -> Machine:
        return self.machines[number]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines.values())

    def boot(self, number: int) -> Machine:
        """Starts machine `number`, new or after it was killed, with empty disks."""
        place = f"/mnt/{number}.{time.monotonic_ns()}"
        root = f"{place}/root"
        hosts = "\n".join(f"{NETWORK}.{other} node{other}" for other in range(1, self.count + 1))
        lines = [
            f"mkdir -p {place}/up {place}/work {root}",
            f"mount -t overlay overlay -o lowerdir=/,upperdir={place}/up,workdir={place}/work {root}",
            f"mount --rbind /dev {root}/dev",
            f"mount -t sysfs sysfs {root}/sys",
            *(f"mount -t tmpfs {name} {root}/{name}" for name in ("tmp", "run")),
            f"mount -t tmpfs -o size={self.shm} shm {root}/dev/shm",
            f"mkdir -p {root}/root/node{number} {root}/proc",
            f"printf '127.0.0.1 localhost\\n{hosts}\\n' > {root}/etc/hosts",
        ]
        for path in map(shlex.quote, self.shared):
            lines += [f"mkdir -p {root}{path}", f"mount --rbind {path} {root}{path}"]
            lines += [f"mount -o remount,bind,ro {root}{path}"]
        self._inside("\n".join(lines))
        holder = subprocess.Popen(
            [
                *_DIE_WITH_PARENT, "nsenter", "-t", str(self.pid), "-m", "-p", "--wd=/",
                "unshare", "-n", "-m", "-u", "-i", "-p", "-f", "--kill-child", f"--root={root}", "--mount-proc",
                "sh", "-c", f"hostname node{number}; exec sleep infinity",
            ],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        pid = _innermost(holder.pid)
        link = f"v{number}"
        self._network(f"link add {link} type veth peer name eth0 netns {pid}", f"link set {link} master br0 up")
        own = ["link set lo up", f"addr add {NETWORK}.{number}/24 dev eth0", "link set eth0 up"]
        for words in (*own, f"route add default via {NETWORK}.254"):
            _checked(["nsenter", "-t", str(pid), "-n", "ip", *words.split()])
        machine = self.machines[number] = Machine(number, holder, pid)
        return machine

    def cut(self, number: int) -> None:
        """Takes the machine off the network: nothing goes in or out, and nobody is told."""
        self._network(f"link set v{number} down")

    def heal(self, number: int) -> None:
        """Puts it back."""
        self._network(f"link set v{number} up")

    def kill(self, number: int, *, silent: bool = True) -> None:
        """Ends all that runs on the machine at once; `silent` as a power cut does it: its connections aren't closed either."""
        machine = self.machines.pop(number)
        if silent:
            self.cut(number)
        os.kill(machine.pid, signal.SIGKILL)
        machine.holder.wait(PATIENCE)
        self._network(f"link del v{number}", optional=True)

    def start_outside(self, *command: str, env: Mapping[str, str] = {}) -> subprocess.Popen[bytes]:
        """A program of this machine's own files and processes that reaches the machines' network."""
        words = [*_DIE_WITH_PARENT, "nsenter", "-t", str(self.pid), "-n", "-w", *command]
        return subprocess.Popen(
            words, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def close(self) -> None:
        """Ends everything: killing the lab's first process ends all below it."""
        with suppress(ProcessLookupError):
            os.kill(getattr(self, "pid", self.holder.pid), signal.SIGKILL)
        self.holder.wait(PATIENCE)
        for machine in self.machines.values():
            machine.holder.wait(PATIENCE)
        self.machines.clear()

    def _prepare(self) -> None:
        self._inside("mount -t tmpfs mnt /mnt")
        self._network(
            "link set lo up", "link add br0 type bridge", f"addr add {NETWORK}.254/24 dev br0", "link set br0 up"
        )

    def _inside(self, script: str) -> None:
        _checked(["nsenter", "-t", str(self.pid), "-m", "-p", "--wd=/", "sh", "-euc", script])

    def _network(self, *lines: str, optional: bool = False) -> None:
        for words in lines:
            command = ["nsenter", "-t", str(self.pid), "-n", "ip", *words.split()]
            if optional:
                subprocess.run(command, capture_output=True)
            else:
                _checked(command)


@contextmanager
def machines(count: int, shared: Sequence[str] = ()) -> Iterator[Machines]:
    """Machines that end with the block."""
    lab = Machines(count, shared)
    try:
        yield lab
    finally:
        lab.close()


def _checked(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} gave {done.returncode}: {done.stderr.strip()}")


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _only_child(pid: int) -> int:
    """The process that `pid` has begun, once it has."""
    end = time.monotonic() + PATIENCE
    while not (found := _children(pid)):
        assert time.monotonic() < end, f"process {pid} begins nothing"
        time.sleep(0.02)
    return found[0]


def _innermost(pid: int) -> int:
    """The last of the processes that begin one another below `pid`, once it sleeps."""
    end = time.monotonic() + PATIENCE
    while True:
        last = pid
        while found := _children(last):
            last = found[0]
        try:
            if Path(f"/proc/{last}/cmdline").read_bytes().startswith(b"sleep"):
                return last
        except OSError:
            pass
        assert time.monotonic() < end, f"process {pid} begins no machine"
        time.sleep(0.02)
