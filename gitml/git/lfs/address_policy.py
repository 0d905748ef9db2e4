"""How far a server may send us: to the public network, not to addresses that only this machine or its network reaches."""

from __future__ import annotations

import fnmatch
import ipaddress
import socket
import threading
from collections.abc import Iterable, Sequence

from gitml.errors import TrustError

PUBLIC, PRIVATE, LOOPBACK, SPECIAL = range(4)
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Where clouds tell a machine its own credentials: some of these addresses look like any other.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    )
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # of providers
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def rank(address: str) -> int:
    """How near an address is: `PUBLIC`, `PRIVATE`, `LOOPBACK`, or `SPECIAL` (link-local, metadata of clouds, no host's)."""
    found = _plain(ipaddress.ip_address(address.partition("%")[0]))
    if found in _METADATA or found.is_unspecified or found.is_link_local or found.is_multicast:
        return SPECIAL
    if found.is_loopback:
        return LOOPBACK
    if found.version == 4 and found in ipaddress.ip_network("0.0.0.0/8"):
        return SPECIAL
    if found.is_private or found in _SHARED:
        return PRIVATE
    return SPECIAL if found.is_reserved else PUBLIC


def _plain(found: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found in _NAT64:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else found)


def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a host; socket.gaierror or UnicodeError when it has none."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found[:8]]


class Reach:
    """Where the server `home`, which the user or a trusted place named, may send us: as near as it is, and to hosts allowed.

    `allowed` are hosts, with ``*`` for any part of a name (``*.example.org``).
    """

    def __init__(self, home: str, allowed: Iterable[str] = ()) -> None:
        self._home = home.strip("[]").lower()
        self._allowed = tuple(pattern.strip().lower() for pattern in allowed)
        self._rank: int | None = None
        self._lock = threading.Lock()

    def check(self, host: str, addresses: Sequence[str]) -> None:
        """TrustError when one of the addresses of `host` is nearer than the server is."""
        name = host.strip("[]").lower().rstrip(".")
        if name == self._home or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._allowed):
            return
        nearest = max(map(rank, addresses), default=PUBLIC)
        if nearest > PUBLIC and nearest > self._rank_of_home():
            raise TrustError(
                "the server sends us to an address that only this machine or its network reaches",
                where=host[:100],
                hint=f"if that is right: git config --add gitml.allowHref {host[:100]}",
            )

    def check_name(self, host: str) -> None:
        """`check` of a host that a proxy will look up: TrustError for what is such an address as far as can be told here."""
        try:
            found = addresses_of(host, 0)
        except (OSError, UnicodeError):
            return
        self.check(host, found)

    def _rank_of_home(self) -> int:
        with self._lock:
            if self._rank is None:
                try:
                    # The farthest counts: whoever owns a name may give it any address.
                    self._rank = min(map(rank, addresses_of(self._home, 0)), default=PUBLIC)
                except (OSError, UnicodeError):
                    self._rank = PUBLIC
            return self._rank
