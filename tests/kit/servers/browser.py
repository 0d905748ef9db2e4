"""A real browser without a window, driven by its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.kit.patience import PATIENCE

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
# Without 3D xterm.js draws its rows as text in the page, where they can be read.
_WORDS = "--headless --no-sandbox --disable-gpu --disable-3d-apis --no-first-run --disable-component-update".split()


class Browser:
    """A page. `asked` are the addresses that it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.asked: list[str] = []
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    async def do(self, method: str, **given: Any) -> Any:
        """A call of the protocol; its result."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": self._number, "method": method, "params": given})
        return await asyncio.wait_for(answer, 30)

    async def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives."""
        found = await self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def until(self, text: str, seconds: float = PATIENCE) -> str:
        """Waits until the page shows a text; all that it shows."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            shown = str(await self.value("document.body.innerText") or "").replace("\xa0", " ")
            if text in shown:
                return shown
            assert asyncio.get_running_loop().time() < end, f"{text!r} was never shown:\n{shown}"
            await asyncio.sleep(0.2)

    async def press(self, key: str, code: int = 0) -> None:
        """Presses a key."""
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        await self.value("document.querySelector('textarea')?.focus()")
        await self.do("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        await self.do("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def picture(self, path: Path) -> None:
        """Writes what is seen as PNG."""
        found = await self.do("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(found["data"]))

    async def listen(self) -> None:
        """Takes answers and events."""
        async for message in self.socket:
            data = json.loads(message.data)
            if "id" in data and (answer := self._answers.pop(data["id"], None)) is not None and not answer.done():
                if "error" in data:
                    answer.set_exception(RuntimeError(str(data["error"])))
                else:
                    answer.set_result(data["result"])
            elif data.get("method") == "Network.requestWillBeSent":
                self.asked.append(data["params"]["request"]["url"])
            elif data.get("method") == "Network.webSocketCreated":
                self.asked.append(data["params"]["url"])


@asynccontextmanager
async def opened(address: str, folder: Path) -> AsyncIterator[Browser]:
    """A browser that shows `address`; its files are in `folder`."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as temporary:
        async with _opened(address, folder, {**os.environ, "TMPDIR": temporary}) as browser:
            yield browser


@asynccontextmanager
async def _opened(address: str, folder: Path, environ: dict[str, str]) -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    process = subprocess.Popen(
        [
            CHROMIUM,
            *_WORDS,
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "--window-size=1200,700",
            "about:blank",
        ],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = folder / "DevToolsActivePort"
        for _ in range(300):
            if port.exists() and port.read_text().count("\n") >= 1:
                break
            await asyncio.sleep(0.1)
        base = f"http://127.0.0.1:{port.read_text().split()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/json") as answer:
                page = next(one for one in await answer.json() if one["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                browser = Browser(socket)
                listening = asyncio.create_task(browser.listen())
                await browser.do("Network.enable")
                await browser.do("Page.enable")
                await browser.do("Page.navigate", url=address)
                yield browser
                listening.cancel()
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
