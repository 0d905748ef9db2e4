"""Connections that end: an answer that does not come, or drips, is cut off, and only allowed addresses are connected to."""

from __future__ import annotations

import os
import socket
import threading
import time

import urllib3
from urllib3.exceptions import LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from gitml.git.lfs.address_policy import Reach, addresses_of

SLOWEST = 1024
"""Bytes a second, over `Watchdog.idle` seconds; what comes more slowly is cut off."""
_CONNECTING = 30.0


class Handle:
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
        self._ends: dict[Handle, float] = {}
        self._come: dict[Handle, int] = {}
        self._changed = threading.Condition()
        self._runs = False
        self._wakes = 0.0

    def arm(self, handle: Handle, seconds: float) -> None:
        """Gives it so many seconds from now on."""
        with self._changed:
            self._come[handle] = 0
            self._set(handle, seconds)

    def heard(self, handle: Handle, count: int) -> float:
        """So many bytes came; the seconds that it has left for more. It is not watched until `go_on`."""
        with self._changed:
            self._come[handle] = self._come.get(handle, 0) + count
            left = self._ends.pop(handle, 0.0) - time.monotonic()
            if self._come[handle] >= SLOWEST * self.idle:
                self._come[handle] = 0
                left = self.idle
            return left

    def go_on(self, handle: Handle, seconds: float) -> None:
        """More is waited for, so many seconds."""
        with self._changed:
            self._set(handle, seconds)

    def disarm(self, handle: Handle | None) -> None:
        """Watches it no more."""
        with self._changed:
            if handle is not None:
                self._ends.pop(handle, None)
                self._come.pop(handle, None)

    def _set(self, handle: Handle, seconds: float) -> None:
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

    reach: Reach
    watchdog: Watchdog
    handle: Handle | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn() if self.proxy is not None else self._checked_conn()
        self.handle = Handle(sock, self.watchdog)
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


def bound(manager: urllib3.PoolManager, reach: Reach, watchdog: Watchdog) -> None:
    """Has a pool manager make such connections only."""
    given = {"reach": reach, "watchdog": watchdog}
    plain = type("Plain", (_Bounded,), given)
    secure = type("Secure", (_Bounded, urllib3.connection.HTTPSConnection), given)
    manager.pool_classes_by_scheme = {
        "http": type("PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
