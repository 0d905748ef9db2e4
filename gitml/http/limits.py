"""What an HTTP connection to a server that a repository names may do: how long it lasts, where it leads, what it may answer.

A response that does not come, or comes too slowly, is cut off, and only allowed addresses are connected to.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from gitml.errors import TrustError

SLOWEST = 1024
"""Bytes a second, over `Watchdog.idle` seconds; what comes more slowly is cut off."""
_CONNECTING = 30.0


class LimitedSocket:
    """A connection that another thread may cut, whatever became of the socket that it was made with."""

    def __init__(self, sock: socket.socket, watchdog: Watchdog) -> None:
        self.watchdog = watchdog
        self._fd = os.dup(sock.fileno())
        self.was_cut = False

    def cut(self) -> None:
        """Ends it because its time is over."""
        self.was_cut = True
        self.end()

    def end(self) -> None:
        """Ends it for both sides."""
        sock = socket.socket(fileno=self._fd)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster
        finally:
            sock.detach()

    def __del__(self) -> None:
        os.close(self._fd)


class Watchdog:
    """Cuts connections whose time is over. `idle` is how many seconds nothing, or next to nothing, may come."""

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self._ends: dict[LimitedSocket, float] = {}
        self._come: dict[LimitedSocket, int] = {}
        self._changed = threading.Condition()
        self._runs = False
        self._wakes = 0.0

    def arm(self, handle: LimitedSocket, seconds: float) -> None:
        """Gives it so many seconds from now on."""
        with self._changed:
            self._come[handle] = 0
            self._set(handle, seconds)

    def heard(self, handle: LimitedSocket, count: int) -> float:
        """So many bytes came; the seconds that it has left for more. It is not watched until `go_on`."""
        with self._changed:
            self._come[handle] = self._come.get(handle, 0) + count
            left = self._ends.pop(handle, 0.0) - time.monotonic()
            if self._come[handle] >= SLOWEST * self.idle:
                self._come[handle] = 0
                left = self.idle
            return left

    def go_on(self, handle: LimitedSocket, seconds: float) -> None:
        """More is waited for, so many seconds."""
        with self._changed:
            self._set(handle, seconds)

    def disarm(self, handle: LimitedSocket | None) -> None:
        """Watches it no more."""
        with self._changed:
            if handle is not None:
                self._ends.pop(handle, None)
                self._come.pop(handle, None)

    def _set(self, handle: LimitedSocket, seconds: float) -> None:
        end = self._ends[handle] = time.monotonic() + seconds
        if not self._runs:
            self._runs = True
            self._wakes = end
            threading.Thread(target=self._watch, daemon=True).start()
        elif end < self._wakes:
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while self._ends:
                now = time.monotonic()
                for handle in [handle for handle, end in self._ends.items() if end <= now]:
                    del self._ends[handle]
                    handle.cut()
                if self._ends:
                    self._wakes = min(self._ends.values())
                    self._changed.wait(self._wakes - now)
            self._runs = False


class _Bounded(urllib3.connection.HTTPConnection):
    """A connection of urllib3 that goes to allowed addresses, and ends."""

    reach: AddressPolicy
    watchdog: Watchdog
    handle: LimitedSocket | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn() if self.proxy is not None else self._checked_conn()
        self.handle = LimitedSocket(sock, self.watchdog)
        self.watchdog.arm(self.handle, _CONNECTING)
        return sock

    def _checked_conn(self) -> socket.socket:
        try:
            addresses = addresses_of(self._dns_host, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError as error:
            raise LocationParseError(self.host) from error
        self.reach.check(self.host, addresses)
        for number, address in enumerate(addresses):
            try:
                return create_connection(
                    (address, self.port), self.timeout, self.source_address, socket_options=self.socket_options
                )
            except OSError as error:
                if number == len(addresses) - 1:
                    raise NewConnectionError(self, f"no connection: {error}") from error
        raise NewConnectionError(self, "it has no address")

    def connect(self) -> None:
        try:
            super().connect()
        except BaseException:
            if self.handle is not None:
                self.handle.end()
            raise
        finally:
            self.watchdog.disarm(self.handle)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        """The status and headers of an answer, which must come in twice the idle time in all; its `handle` goes along."""
        handle = self.handle
        assert handle is not None
        self.watchdog.arm(handle, 2 * self.watchdog.idle)
        try:
            response = super().getresponse()
        except BaseException:
            handle.end()
            raise
        finally:
            self.watchdog.disarm(handle)
        response.handle = handle  # type: ignore[attr-defined]
        return response


def bound(manager: urllib3.PoolManager, reach: AddressPolicy, watchdog: Watchdog) -> None:
    """Has a pool manager make such connections only."""
    given = {"reach": reach, "watchdog": watchdog}
    plain = type("Plain", (_Bounded,), given)
    secure = type("Secure", (_Bounded, urllib3.connection.HTTPSConnection), given)
    manager.pool_classes_by_scheme = {
        "http": type("PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


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


class AddressPolicy:
    """Where the server `home`, which the user or a trusted place named, may send us: as near as it is, and to hosts allowed.

    `allowed` are hosts, with ``*`` for any part of a name (``*.example.org``). `hint` says how another one is allowed, with
    ``{host}`` for its name.
    """

    def __init__(
        self,
        home: str,
        allowed: Iterable[str] = (),
        hint: str = "if that is right: git config --add gitml.allowHref {host}",
    ) -> None:
        self._hint = hint
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
                hint=self._hint.format(host=host[:100]),
            )

    def check_name(self, host: str) -> None:
        """`check` of a host that a proxy will look up: TrustError for what is such an address as far as its name shows."""
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


_LONGEST = 16 << 10  # characters of an address, and of all headers of one
_OURS = frozenset(("Host", "Content-Length", "Transfer-Encoding", "Connection", "Te", "Trailer", "Upgrade", "Expect"))
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]{0,16000}\Z")


def headers_in(raw: object) -> dict[str, str]:
    """The headers that an answer has us send, by their usual names; ValueError for what can be none.

    What says where a request goes or how long it is stays ours.
    """
    if raw is None:
        return {}
    if not isinstance(raw, Mapping) or len(raw) > 100:
        raise ValueError("headers that are none")
    found: dict[str, str] = {}
    for name, value in raw.items():
        if not _TOKEN.match(str(name)) or not isinstance(value, (str, int)) or not _VALUE.match(str(value)):
            raise ValueError("a header that is none")
        usual = "-".join(part.capitalize() for part in str(name).split("-"))
        if usual not in _OURS and not usual.startswith("Proxy-"):
            found[usual] = str(value)
    if sum(map(len, found.values())) > _LONGEST:
        raise ValueError("headers that are too long")
    return found


def address_in(raw: object, base: str) -> str:
    """The address that an answer gives, relative to `base`; ValueError for what can be none."""
    if not isinstance(raw, str) or len(raw) > _LONGEST or any(ord(char) <= 32 or ord(char) == 127 for char in raw):
        raise ValueError("an address that is none")
    found = urljoin(base, raw)
    origin_of(found)
    return found


def origin_of(url: str) -> tuple[str, str]:
    """(scheme, host and port) of a URL; the port that goes without saying is left out. ValueError for what is none."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, host if parts.port in (None, usual) else f"{host}:{parts.port}"
