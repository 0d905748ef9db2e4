"""Cluster: a Ray cluster that lets us in and speaks our version, what it has, and whether it can ever do what is asked."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from gitml.cluster.connect import machines as matching
from gitml.cluster.connect.connection import Connection, apply_settings, open_connection
from gitml.cluster.connect.head_client import (
    AutoscalerCapacity,
    HeadClient,
    InfeasibleRequest,
    Question,
    ask_through_task,
)
from gitml.cluster.connect.machines import NODE_ID
from gitml.core.config.project import RayTarget
from gitml.core.model.resources import Machine, Resources
from gitml.errors import RemoteError

CLIENT_PORT = 10001
_SLOW = "Starting Ray client server failed"  # in the words of the head
_COARSE = 1e-4  # what Ray counts in


def connect(target: RayTarget, environ: Mapping[str, str]) -> Cluster:
    """The cluster of a target, found in seconds; one that is to be started on this machine is started.

    RemoteError when it can't be reached or speaks another version, TrustError when it doesn't let us in or lets everybody in.
    """
    own = None
    if target.address == "local":
        from gitml.cluster.connect.local_cluster import start_local_cluster

        own = start_local_cluster(target, environ)
        target = target._replace(address=own.address, token=own.token_path)
    try:
        connection = open_connection(target, environ)
        apply_settings(environ, connection.authentication())
        cluster = Cluster(connection, own)
        cluster.check_versions()
    except BaseException:
        if own is not None:
            own.close()
        raise
    return cluster


class Shortage(NamedTuple):
    """What is missing for a request, and what there is, for people; `may_be_added` when an autoscaler may add it."""

    words: str
    may_be_added: bool


class Cluster:
    """One cluster. A process can have joined one at a time."""

    def __init__(self, connection: Connection, local: Any = None) -> None:
        self.connection = connection
        self.target = connection.target
        self.address = connection.address
        self.local = local
        self.head = None if connection.client else HeadClient(connection)
        self.joined = False
        self.version = ""

    def check_versions(self) -> None:
        """RemoteError unless the head runs our Ray and our Python, but for its last number."""
        if self.head is None:
            return  # Ray's client compares them when it joins
        from ray import __version__ as ours

        theirs, python = self.head.versions()
        self.version = theirs
        if theirs != ours:
            hint = f"install ray=={theirs} here, or ray=={ours} on the cluster"
            raise RemoteError(f"the cluster runs Ray {theirs}, this is Ray {ours}", where=self.where, hint=hint)
        own = ".".join(map(str, sys.version_info[:2]))
        if python != "?" and ".".join(python.split(".")[:2]) != own:
            hint = f"run gitml with Python {'.'.join(python.split('.')[:2])}"
            raise RemoteError(f"the cluster runs Python {python}, this is Python {own}", where=self.where, hint=hint)

    @property
    def where(self) -> str:
        """What errors name."""
        return f"target {self.target.name}, {self.address}"

    def machines(self) -> list[Machine]:
        """The machines that are alive, the head first."""
        if self.head is not None:
            return self.head.machines()
        self.join()
        return _client_machines()

    def look(self) -> tuple[list[Machine], bool]:
        """The machines with what is free and what runs there; False when that could not be found out, and totals stand for it."""
        found = self._ask("look")
        return (_client_machines(), False) if found is None else (found, True)

    def shortage(self, asked: Resources, nodes: int, machines: list[Machine]) -> Shortage | None:
        """What is missing for a request that `machines` do not satisfy even when idle; None when they do."""
        missing = matching.unsatisfiable(asked, nodes, machines)
        return None if missing is None else Shortage(missing, self.can_scale_up(asked))

    def can_scale_up(self, asked: Resources) -> bool:
        """Whether an autoscaler may add a machine that fulfils `asked` (its labels aside, which it does not report)."""
        capacity = self._autoscaler_capacity
        if capacity is None:
            return False
        plain = asked._replace(labels={})
        return capacity.kinds is None or any(plain.missing_from(kind) is None for kind in capacity.kinds)

    def infeasible(self, requests: Iterable[Resources]) -> list[Resources]:
        """Of `requests` that wait for a machine, those that the autoscaler has found infeasible."""
        reported = self._ask("infeasible") or ()
        return [asked for asked in requests if any(self._means(one, asked) for one in reported)] if reported else []

    def _means(self, reported: InfeasibleRequest, asked: Resources) -> bool:
        options = self.options(asked)
        raw = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **options.get("resources", {})}
        plain = matching.resources_of({**raw, "memory": options.get("memory", 0)}, {})
        return plain == reported.asked and set(options.get("label_selector", ())) == reported.labels - {NODE_ID}

    @cached_property
    def _autoscaler_capacity(self) -> AutoscalerCapacity | None:
        found: AutoscalerCapacity | None = self._ask("autoscaler_capacity")
        return found

    def _ask(self, question: Question) -> Any:
        """What the head answers, asked through a task where Ray's client leads to it; None when no task can ask."""
        if self.head is not None:
            return getattr(self.head, question)()
        self.join()
        return ask_through_task(question)

    def options(self, asked: Resources, known: list[Machine] | None = None) -> dict[str, Any]:
        """A request as the options of a Ray task; `known` are the machines, when they were asked for just now."""
        labels = matching.label_selector(asked.labels, known if known is not None else self.machines())
        gpus = asked.gpus if asked.gpus <= 1 else math.ceil(asked.gpus - _COARSE)  # Ray shares one GPU, never several
        options: dict[str, Any] = {"num_cpus": _counted(asked.cpus), "num_gpus": _counted(gpus)}
        if asked.memory:
            options["memory"] = asked.memory
        if asked.custom:
            options["resources"] = {name: _counted(count) for name, count in asked.custom.items() if count}
        if labels:
            options["label_selector"] = labels
        return options

    def join(self, *, from_outside: bool = False) -> None:
        """Makes this process a driver of the cluster; RemoteError when it can't be one.

        `from_outside` tries Ray's client at its usual port where this machine is no part of the cluster.
        """
        if self.joined:
            return
        import ray

        client = self.connection.client
        address = self.address
        # a driver needs a machine of the cluster under it
        if not client and not any(_is_here(machine.address) for machine in self.machines()):
            if not from_outside:
                raise self._no_part()
            client, address = True, f"{self.address.rpartition(':')[0]}:{CLIENT_PORT}"
        terminated = signal.getsignal(signal.SIGTERM)
        try:
            if client:
                _init_client(address)
            else:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level="error",
                    configure_logging=False,
                    **({"_temp_dir": self.local.ray_dir} if self.local is not None else {}),
                )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            message = " ".join(str(error).split())[:300]
            raise RemoteError(f"can't join the cluster: {message}", where=self.where) from error
        _silence()
        if terminated is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)  # Ray has put its own in its place, which ends the process
        self.joined = True

    def _no_part(self) -> RemoteError:
        client = f"ray://{self.address.rpartition(':')[0]}:{CLIENT_PORT}"
        return RemoteError(
            "this machine is no part of the cluster, so it can't drive it",
            where=self.where,
            hint=f"gitml submit hands a run to it; or say ray: {client}; or ray start --address={self.address}",
        )

    def close(self) -> None:
        """Leaves the cluster, and ends the one that was started for us."""
        if self.joined:
            import ray

            ray.shutdown()
            self.joined = False
        if self.head is not None:
            self.head.close()
        if self.local is not None:
            self.local.close()


def _init_client(address: str) -> None:
    """Joins by Ray's client: once more when the server that the head starts for us took longer than the head waits."""
    import ray

    for last in (False, True):
        try:
            ray.init(address=f"ray://{address}", log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError) as error:
            if last or _SLOW not in str(error):
                raise
        else:
            return


def _silence() -> None:
    """Keeps the output of machines in their logs: Ray would print it among a command's results."""
    import ray._private.worker as worker

    worker.print_to_stdstream = lambda *_, **__: None


def _counted(count: float) -> float:
    """A count in the steps that Ray knows; never nothing where something is asked for."""
    return max(round(count, 4), _COARSE) if count > 0 else 0.0


def _is_here(address: str) -> bool:
    """Whether `address` is one of this machine's: only those can be bound."""
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _client_machines() -> list[Machine]:
    """The machines that Ray's client lists: what is free is known of all together only, so totals stand for it."""
    import ray

    found = []
    for node in ray.nodes():
        if node["Alive"]:
            labels = {name: value for name, value in node["Labels"].items() if name != NODE_ID}
            total = matching.resources_of(node["Resources"], labels)
            head = "node:__internal_head__" in node["Resources"]
            name = node["NodeManagerHostname"] or node["NodeName"]
            found.append(Machine(node["NodeID"], name, node["NodeManagerAddress"], head, total, total))
    return sorted(found, key=lambda machine: (not machine.head, machine.name, machine.id))
