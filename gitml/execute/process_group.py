"""A step of several processes: starts those of one machine, sets the rank of each, and ends all when one fails.

The step's own process leads them. What each writes goes to the one log, every line with the rank of who wrote it in front.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from gitml.execute.log_text import last_line
from gitml.execute.process import signal_name, spawn
from gitml.files import write_all
from gitml.layout import GANG_VARIABLE
from gitml.platform.current import platform
from gitml.platform.interface import LOOK

GRACE = 5.0
_LONGEST = 1 << 16
_REMEMBERED = 4096


class Rendezvous(NamedTuple):
    """Who belongs to a gang: for each node its address and a port for each of its processes; `port` is for the rendezvous on the
    first node. `node` is the one that this is, None when all of them are here."""

    node: int | None
    nodes: tuple[tuple[str, tuple[int, ...]], ...]
    port: int


def decode_rendezvous(text: str) -> Rendezvous:
    """The Rendezvous that `encode_rendezvous` wrote."""
    node, nodes, port = json.loads(text)
    return Rendezvous(node, tuple((str(address), tuple(ports)) for address, ports in nodes), port)


def encode_rendezvous(rendezvous: Rendezvous) -> str:
    """A Rendezvous as the value of GANG_VARIABLE."""
    return json.dumps(rendezvous, separators=(",", ":"))


def local_rendezvous(nodes: int, processes: int) -> Rendezvous:
    """A gang that is on this machine altogether."""
    ports = free_ports(nodes * processes + 1)
    each = [tuple(ports[node * processes : (node + 1) * processes]) for node in range(nodes)]
    return Rendezvous(None, tuple(("127.0.0.1", own) for own in each), ports[-1])


def free_ports(count: int, address: str = "") -> list[int]:
    """Ports that nobody uses just now."""
    import socket

    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((address, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def variables(rendezvous: Rendezvous, environ: Mapping[str, str]) -> list[tuple[int, dict[str, str]]]:
    """(rank, environment) of each process that is to run here.

    The names are those of torchrun; of Open MPI, for programs that ask their environment; and TF_CONFIG of TensorFlow.
    """
    base = {name: value for name, value in environ.items() if name != GANG_VARIABLE}
    workers = [f"{address}:{port}" for address, ports in rendezvous.nodes for port in ports]
    processes = len(rendezvous.nodes[0][1])
    found = []
    for node in range(len(rendezvous.nodes)) if rendezvous.node is None else [rendezvous.node]:
        for local in range(processes):
            rank = node * processes + local
            own = {
                "RANK": rank,
                "WORLD_SIZE": len(workers),
                "LOCAL_RANK": local,
                "LOCAL_WORLD_SIZE": processes,
                "GROUP_RANK": node,
                "GROUP_WORLD_SIZE": len(rendezvous.nodes),
                "NODE_RANK": node,
                "NNODES": len(rendezvous.nodes),
                "MASTER_ADDR": rendezvous.nodes[0][0],
                "MASTER_PORT": rendezvous.port,
                "OMPI_COMM_WORLD_RANK": rank,
                "OMPI_COMM_WORLD_SIZE": len(workers),
                "OMPI_COMM_WORLD_LOCAL_RANK": local,
                "OMPI_COMM_WORLD_LOCAL_SIZE": processes,
                "TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}),
            }
            devices = _devices(environ, rendezvous, node)
            found.append((rank, {**base, **devices, **{name: str(value) for name, value in own.items()}}))
    return found


def _devices(environ: Mapping[str, str], rendezvous: Rendezvous, node: int) -> dict[str, str]:
    """Where all nodes are one machine, each gets its share of the GPUs."""
    given = environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    nodes = len(rendezvous.nodes)
    if rendezvous.node is not None or nodes == 1 or len(given) < nodes or not all(given):
        return {}
    share = len(given) // nodes
    return {"CUDA_VISIBLE_DEVICES": ",".join(given[node * share : (node + 1) * share])}


class _Member:
    """One process: what it wrote of a line that is not complete, and its last words."""

    def __init__(self, rank: int, pid: int, pipe: int) -> None:
        self.rank = rank
        self.pid = pid
        self.pipe = pipe
        self.rest = b""
        self.recent = b""
        self.running = True
        self.handle = platform.watch_child(pid)


def launch(path: str, argv: tuple[str, ...], members: Sequence[tuple[int, Mapping[str, str]]]) -> int:
    """Runs the program once for each member, to the end of the last; the exit status of the first that failed, else 0.

    To be called in a process of its own, whose standard output takes what they write. Who asks for an end by SIGTERM asks the
    whole group.
    """
    stop_requests: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop_requests.append(number))
    started: list[_Member] = []
    failed: _Member | None = None
    status = 0
    try:
        for rank, env in members:
            started.append(_start(rank, path, argv, env))
        deadline = 0.0
        while any(member.running for member in started):
            _forward_output(started)
            for member, code in _reap(started):
                if code and failed is None:
                    failed, status = member, code
                    deadline = time.monotonic() + GRACE
                    _send(started, signal.SIGTERM)
            if failed is not None and time.monotonic() > deadline:
                _send(started, signal.SIGKILL)
    except OSError as error:
        _send(started, signal.SIGKILL)
        write_all(1, f"gang: can't start a process: {error.strerror}\n".encode())
        return 127
    for member in started:
        _drain(member)
    if failed is not None:
        if stop_requests:
            return 128 + signal.SIGTERM
        last = last_line(failed.recent, limit=250)
        how = f"exit status {status}" if status > 0 else signal_name(-status)
        write_all(1, f"rank {failed.rank} failed first, with {how}{': ' + last if last else ''}\n".encode())
        return status if status > 0 else 128 - status
    return 0


def _start(rank: int, path: str, argv: tuple[str, ...], env: Mapping[str, str]) -> _Member:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        pid = spawn(path, argv, env, writer)
    finally:
        os.close(writer)
    return _Member(rank, pid, reader)


def _forward_output(members: Sequence[_Member]) -> None:
    """Passes on what members wrote, waiting a little for it."""
    poll = select.poll()
    of_pipe = {member.pipe: member for member in members if member.pipe >= 0}
    handles = [member.handle.fd for member in members if member.running]
    for fd in [*of_pipe, *(fd for fd in handles if fd >= 0)]:
        poll.register(fd, select.POLLIN)
    for fd, _ in poll.poll(200 if min(handles, default=0) >= 0 else LOOK * 1000):
        if fd in of_pipe:
            _read(of_pipe[fd])


def _read(member: _Member) -> bool:
    """Passes on what can be read now; False when there is nothing."""
    try:
        chunk = os.read(member.pipe, _LONGEST)
    except BlockingIOError:
        return False
    if not chunk:
        os.close(member.pipe)
        member.pipe = -1
    member.recent = (member.recent + chunk)[-_REMEMBERED:]
    *lines, member.rest = (member.rest + chunk).split(b"\n")
    if member.rest and (not chunk or len(member.rest) > _LONGEST):
        lines.append(member.rest)
        member.rest = b""
    sign = b"[%d] " % member.rank
    if lines:
        write_all(1, b"".join([sign + line + b"\n" for line in lines]))
    return bool(chunk)


def _drain(member: _Member) -> None:
    """The last of what a member wrote; a process that it left behind may hold its pipe."""
    while member.pipe >= 0 and _read(member):
        continue
    if member.rest:
        write_all(1, b"[%d] %s\n" % (member.rank, member.rest))


def _reap(members: Sequence[_Member]) -> list[tuple[_Member, int]]:
    """Members that have ended since, each with its exit status, negative for a signal."""
    found = []
    for member in members:
        if member.running and member.handle.ended():
            status, _ = member.handle.wait()
            member.running = False
            found.append((member, os.waitstatus_to_exitcode(status)))
    return found


def _send(members: Sequence[_Member], number: int) -> None:
    for member in members:
        if member.running:
            os.kill(member.pid, number)
