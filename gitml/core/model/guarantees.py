"""Guarantees: under what confinement a result was made, and whether that is enough for a step that asks for one.

They are no part of a key: the same Action gives the same result, and who asks for more wants to know that nothing else went in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

from gitml.core.kinds.cache_kinds import StepCache, in_words, names_in

Network = Literal["full", "loopback", "none"]

FULL: Final = "full"
LOOPBACK: Final = "loopback"
CUT: Final = "none"
CACHE: Final = "cache"
NETWORKS: tuple[Network, ...] = (FULL, LOOPBACK, CUT)
"""How much of the network a step sees, each stricter than the one before: all, this machine's own processes, nothing."""


def network_of(text: str) -> Network:
    """The Network called so; what another version of gitml may call otherwise guarantees nothing."""
    return next((network for network in NETWORKS if network == text), FULL)


def stricter(one: Network, other: Network) -> Network:
    """The stricter of two networks."""
    return max(one, other, key=NETWORKS.index)


def guarantees(*, strict: bool, network: Network, caches: Iterable[StepCache] = ()) -> dict[str, str]:
    """What the record says of a result that was made so; nothing of what every step is given.

    ``cache`` lists the names of the `caches` that the step could read.
    """
    found = {"sandbox": "strict"} if strict else {}
    found |= {} if network == FULL else {"network": network}
    return {**found, CACHE: words} if (words := in_words(caches)) else found


def shortfall(
    given: Mapping[str, str], *, strict: bool, network: Network, caches: Collection[StepCache] = ()
) -> str | None:
    """How a result made under the guarantees `given` falls short of what is asked, in words; None when it does not.

    A strict step takes no result that could read other caches than its own.
    """
    if strict and given.get("sandbox") != "strict":
        return "in a normal sandbox, and the step asks for a strict one"
    if strict and (others := names_in(given.get(CACHE, "")) - {cache.name for cache in caches}):
        return f"with the cache {min(others)}, and the step asks for a strict sandbox without it"
    had = network_of(given.get("network", FULL))
    if stricter(had, network) != had:
        return f"with network: {had}, and the step asks for network: {network}"
    return None
