"""The words of files that say how a step is confined: `sandbox` and `network`."""

from __future__ import annotations

from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node
from gitml.core.model.guarantees import NETWORKS, Network, network_of


def sandbox_in(fields: Fields, node: Node) -> bool:
    """Whether the sandbox asked for is a strict one."""
    return fields.one_of(node, "sandbox", ("strict", "normal")) == "strict"


def network_in(fields: Fields, node: Node) -> Network:
    """How much of the network is asked for."""
    return network_of(fields.one_of(node, "network", NETWORKS) or "")
