"""The places of a gang: Ray keeps one on each of several machines (a placement group), all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gitml.execute.process_group import free_ports

_LEAST = 0.001  # CPUs: a bundle must ask for something


class ReservedBundle(NamedTuple):
    """A place that Ray keeps: the machine's id, and how a Ray task is sent to it."""

    node: str
    strategy: Any


class GangPlacement(NamedTuple):
    """A place with its machine's address and ports that are free there."""

    reserved: ReservedBundle
    address: str
    ports: Sequence[int]


class RayPlacementGroup:
    """Asks Ray for `count` places on as many machines, each as `options` (of a Ray task) say, with so many free ports."""

    def __init__(self, name: str, options: Mapping[str, Any], count: int, ports: int) -> None:
        from ray.util import placement_group

        more: dict[str, Any] = {}
        if options.get("label_selector"):
            more["bundle_label_selector"] = [options["label_selector"]] * count
        bundles = [bundle_resources(options)] * count
        self._group = placement_group(bundles, strategy="STRICT_SPREAD", name=name, **more)
        self._ready = self._group.ready()
        self._count = count
        self._ports = ports
        self._muster: list[Any] = []

    def had(self) -> Sequence[GangPlacement] | None:
        """All of them, once Ray has them and each machine has told its address; None before. RayError when one was lost since."""
        import ray

        if not self._muster:
            if not ray.wait([self._ready], timeout=0)[0]:
                return None
            ray.get(self._ready)
            call = ray.remote(num_cpus=0, max_retries=0)(_describe_node)
            there = [call.options(scheduling_strategy=self._at(node)) for node in range(self._count)]
            self._muster = [one.remote(self._ports) for one in there]
        if len(ray.wait(self._muster, num_returns=self._count, timeout=0)[0]) < self._count:
            return None
        return [
            GangPlacement(ReservedBundle(id, self._at(node)), address, ports)
            for node, (id, address, ports) in enumerate(ray.get(self._muster))
        ]

    def give_back(self) -> None:
        """Ray needs to keep them no more."""
        import ray

        with suppress(ray.exceptions.RayError):  # the head is lost: the group with it
            ray.util.remove_placement_group(self._group)

    def _at(self, node: int) -> Any:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        return PlacementGroupSchedulingStrategy(self._group, node)


def bundle_resources(options: Mapping[str, Any]) -> dict[str, float]:
    """What a place of a placement group holds for a Ray task with `options`."""
    bundle: dict[str, float] = {"CPU": options["num_cpus"] or _LEAST, **options.get("resources", {})}
    if options["num_gpus"]:
        bundle["GPU"] = options["num_gpus"]
    if options.get("memory"):
        bundle["memory"] = options["memory"]
    return bundle


def _describe_node(count: int) -> tuple[str, str, list[int]]:
    """On a machine of a gang: its id, its address and ports that are free there."""
    import ray

    address = str(ray.util.get_node_ip_address())
    return ray.get_runtime_context().get_node_id(), address, free_ports(count, address)
