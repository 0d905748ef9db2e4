"""Asking the head of a cluster what there is, each question with an answer or an error in ten seconds."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Literal, NamedTuple

from gitml.cluster.connect.connection import Connection, channel_to, open_connection, unreachable
from gitml.cluster.connect.machines import NODE_ID, resources_of
from gitml.core.config.project import RayTarget
from gitml.core.model.resources import Machine, Resources
from gitml.errors import GitmlError, RemoteError, TrustError

PATIENCE = 10.0  # seconds for the head to answer, which may stand still for some
TASK_PATIENCE = 30.0  # seconds; a worker may have to start
_MOST_TASKS = 10_000
_ONE_MACHINE = re.compile(r"node_[0-9a-f]{56}\Z")

Question = Literal["look", "autoscaler_capacity", "infeasible"]


class AutoscalerCapacity(NamedTuple):
    """What an autoscaler may add: the resources of a machine of each kind that it can start, None when it reports none."""

    kinds: tuple[Resources, ...] | None


class InfeasibleRequest(NamedTuple):
    """A request, without the values of its labels, that an autoscaler reports as infeasible."""

    asked: Resources
    labels: frozenset[str]


def versions_in(content: bytes) -> tuple[str, str]:
    """The versions of Ray and of Python in what a head keeps of its cluster; ``?`` for what is not there."""
    metadata = _mapping(content)
    return str(metadata.get("ray_version", "?"))[:100], str(metadata.get("python_version", "?"))[:100]


def grows_the_old_way(content: bytes) -> bool:
    """Whether Ray's first autoscaler is at work, by its report: it says neither what it can add nor what it never will.

    It also reports where nothing is ever added; there it calls each machine's kind by that machine's id.
    """
    report = _mapping(content).get("autoscaler_report")
    if not isinstance(report, dict):
        return False
    kinds = [kind for part in ("active_nodes", "pending_launches") for kind in _listed(report.get(part))]
    return any(_ONE_MACHINE.match(str(kind)) is None for kind in kinds)


def _listed(raw: Any) -> Any:
    return raw if isinstance(raw, (list, dict)) else ()


def _mapping(content: bytes) -> dict[str, Any]:
    """The JSON object that a head keeps, an empty one where it keeps none."""
    try:
        raw = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


class HeadClient:
    """A connection to the head that `connection` leads to. Errors are RemoteError, or TrustError when it no longer lets us in."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channel = channel_to(connection.address)

    def close(self) -> None:
        """Hangs up."""
        self.channel.close()

    def versions(self) -> tuple[str, str]:
        """The versions of Ray and of Python that the head runs."""
        return versions_in(self.kept("CLUSTER_METADATA", "cluster") or b"")

    def dashboard(self) -> str | None:
        """host:port of its dashboard, which takes submissions; None when there is none."""
        return (
            self.kept("dashboard:address", "dashboard") or self.kept("dashboard", "dashboard") or b""
        ).decode() or None

    def machines(self) -> list[Machine]:
        """The machines that are alive, the head first, then by name."""
        from ray.core.generated import autoscaler_pb2, gcs_service_pb2

        nodes = self.ask("NodeInfoGcsService/GetAllNodeInfo", None, gcs_service_pb2.GetAllNodeInfoReply)
        alive = {node.node_id: node for node in nodes.node_info_list if node.state == 0}
        state = self.ask(
            "autoscaler.AutoscalerStateService/GetClusterResourceState",
            autoscaler_pb2.GetClusterResourceStateRequest(),
            autoscaler_pb2.GetClusterResourceStateReply,
        )
        free = {node.node_id: node.available_resources for node in state.cluster_resource_state.node_states}
        found = []
        for id, node in alive.items():
            labels = {name: value for name, value in node.labels.items() if name != NODE_ID}
            total = resources_of(node.resources_total, labels)
            found.append(
                Machine(
                    id.hex(),
                    node.node_manager_hostname or node.node_name,
                    node.node_manager_address,
                    node.is_head_node,
                    total,
                    resources_of(free.get(id, {}), labels) if id in free else total,
                )
            )
        return sorted(found, key=lambda machine: (not machine.head, machine.name, machine.id))

    def look(self) -> list[Machine]:
        """The machines with what runs on each."""
        running = self.running()
        return [machine._replace(running=tuple(running.get(machine.id, ()))) for machine in self.machines()]

    def running(self) -> dict[str, list[str]]:
        """The names of tasks that run and of actors that live, by the hex id of their machine.

        The head looks through all the tasks that it remembers for this, ten milliseconds for a thousand.
        """
        from ray.core.generated import common_pb2, gcs_service_pb2

        found: dict[str, list[str]] = {}
        request = gcs_service_pb2.GetTaskEventsRequest(limit=_MOST_TASKS)
        request.filters.exclude_driver = True
        request.filters.state_filters.add().state = "RUNNING"
        tasks = self.ask("TaskInfoGcsService/GetTaskEvents", request, gcs_service_pb2.GetTaskEventsReply)
        for task in tasks.events_by_task:
            if task.task_info.type == common_pb2.ACTOR_TASK:
                continue  # its actor is listed
            name = task.task_info.name or task.task_info.func_or_class_name
            found.setdefault(task.state_updates.node_id.hex(), []).append(name)
        actors = self.ask(
            "ActorInfoGcsService/GetAllActorInfo",
            gcs_service_pb2.GetAllActorInfoRequest(),
            gcs_service_pb2.GetAllActorInfoReply,
        )
        for actor in actors.actor_table_data:
            if actor.state == 2:  # alive
                found.setdefault(actor.address.node_id.hex(), []).append(actor.name or actor.class_name)
        return found

    def autoscaler_capacity(self) -> AutoscalerCapacity | None:
        """What an autoscaler may add; None when there is no autoscaler."""
        from ray.core.generated import autoscaler_pb2

        content = self.kept("__autoscaler_cluster_config", "__autoscaler")
        if content:
            groups = autoscaler_pb2.ClusterConfig.FromString(content).node_group_configs
            return AutoscalerCapacity(
                tuple(resources_of(group.resources, {}) for group in groups if group.max_count != 0)
            )
        grows = self._autoscaling().autoscaler_state_version > 0 or grows_the_old_way(
            self.kept("__autoscaling_status", "") or b""
        )
        return AutoscalerCapacity(None) if grows else None

    def infeasible(self) -> list[InfeasibleRequest]:
        """What waits although no machine that the autoscaler can start would have it."""
        state = self._autoscaling()
        requests = [*state.infeasible_resource_requests]
        for gang in state.infeasible_gang_resource_requests:
            requests += gang.requests
        return [
            InfeasibleRequest(
                resources_of(request.resources_bundle, {}),
                frozenset(part.label_key for one in request.label_selectors for part in one.label_constraints),
            )
            for request in requests
        ]

    def _autoscaling(self) -> Any:
        from ray.core.generated import autoscaler_pb2

        return self.ask(
            "autoscaler.AutoscalerStateService/GetClusterStatus",
            autoscaler_pb2.GetClusterStatusRequest(),
            autoscaler_pb2.GetClusterStatusReply,
        ).autoscaling_state

    def kept(self, key: str, namespace: str) -> bytes | None:
        """A value that the head keeps."""
        from ray.core.generated import gcs_service_pb2

        request = gcs_service_pb2.InternalKVGetRequest(key=key.encode(), namespace=namespace.encode())
        reply = self.ask("InternalKVGcsService/InternalKVGet", request, gcs_service_pb2.InternalKVGetReply)
        return bytes(reply.value) or None

    def ask(self, method: str, request: Any, reply: Any) -> Any:
        """One call with a message, None for an empty one; `reply` is the type of its answer."""
        import grpc

        call = self.channel.unary_unary(f"/ray.rpc.{method}", response_deserializer=reply.FromString)
        try:
            sent = b"" if request is None else request.SerializeToString()
            return call(sent, timeout=PATIENCE, metadata=self.connection.metadata())
        except grpc.RpcError as error:
            raise self.error(error.code().name.lower(), error.code() == grpc.StatusCode.UNAUTHENTICATED) from None

    def error(self, why: str, trust: bool) -> GitmlError:
        """What a call that failed means."""
        if trust:
            where = f"target {self.connection.target.name}"
            return TrustError("the cluster no longer takes the token", where=where, hint="was it started again?")
        if why in ("unavailable", "deadline_exceeded"):
            return unreachable(self.connection.target, self.connection.address, "it stopped answering")
        return RemoteError(f"the head of the cluster failed: {why}", where=f"target {self.connection.target.name}")


def ask_through_task(question: Question) -> Any:
    """The answer of HeadClient's method `question`; None when no task can ask it, as where gitml is not installed there."""
    import ray

    call = ray.remote(num_cpus=0, max_retries=1)(_ask)
    try:
        return ray.get(call.options(name="gitml looks").remote(question), timeout=TASK_PATIENCE)
    except ray.exceptions.RayError:
        return None


def _ask(question: Question) -> Any:
    import ray

    here = RayTarget("inside", ray.get_runtime_context().gcs_address, insecure=True)
    head = HeadClient(open_connection(here, os.environ))
    try:
        return getattr(head, question)()
    finally:
        head.close()
