"""The same screens in a browser, on this machine only, for who has the token.

textual-serve starts one gitml for each browser and carries its screen over a websocket. A guard checks every
request, the websocket included: it must use this machine's own address and carry the token that this process generated at its
start, in the address once and in a cookie from then on. The page names nothing outside: fonts come with textual-serve.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files

from aiohttp import web
from textual_serve.server import Server

from gitml.errors import MachineError

HOST = "127.0.0.1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class WebServer(Server):
    """Serves ``gitml ui WORDS`` on a port of the loopback interface; 0 means any that is free."""

    def __init__(self, words: Sequence[str], port: int) -> None:
        try:
            self.listening = socket.create_server((HOST, port))
        except OSError as error:
            raise MachineError(
                f"port {port} of {HOST} can't be listened on: {error.strerror}", hint="--port names another, 0 any"
            ) from error
        found = self.listening.getsockname()[1]
        super().__init__(
            shlex.join([sys.executable, "-m", "gitml", "ui", *words]), host=HOST, port=found, title="gitml"
        )
        self.token = secrets.token_urlsafe(32)
        self.cookie = f"gitml-{found}"

    @property
    def address(self) -> str:
        """What to open, with the token."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def serve(self, debug: bool = False) -> None:
        """Serves until it is interrupted."""
        logging.getLogger("aiohttp").setLevel(logging.ERROR)
        web.run_app(self._make_app(), sock=self.listening, print=None, access_log=None, shutdown_timeout=2.0)

    async def on_startup(self, app: web.Application) -> None:
        """The caller prints the address."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self.guard)
        return app

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets through who comes to this address with the token, and nobody else."""
        own = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        origin = request.headers.get("Origin")
        if request.host not in own or (origin is not None and origin.removeprefix("http://") not in own):
            return _refused("this is not the address that gitml serves")
        given = request.query.get("token")
        if given is not None and request.path == "/":
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                return _refused("wrong token: open the address that `gitml ui --web` printed")
            entered = web.HTTPFound("/")
            entered.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict")
            return entered
        if not hmac.compare_digest(request.cookies.get(self.cookie, "").encode(), self.token.encode()):
            return _refused("no token: open the address that `gitml ui --web` printed")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page with the terminal in it."""
        text = files("gitml.tui").joinpath("page.html").read_text(encoding="utf-8")
        return web.Response(text=text.replace("{websocket}", f"ws://{request.host}/ws"), content_type="text/html")


def _refused(why: str) -> web.Response:
    return web.Response(status=403, text=f"gitml: {why}\n")
