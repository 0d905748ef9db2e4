"""The UI in a real browser, behind its token."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project, alive, wait_until
from tests.kit.servers.browser import opened


class Served(NamedTuple):
    address: str
    port: int
    process: subprocess.Popen[bytes]


@pytest.fixture
def served(ran: Project) -> Iterator[Served]:
    process = ran.start("ui", "--web", "--", "runs")
    assert process.stdout is not None
    address = process.stdout.readline().decode().strip()
    found = re.search(r":(\d+)/\?token=(\S{40,})", address)
    assert found, address
    try:
        yield Served(address, int(found[1]), process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()


def status(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


def test_nothing_is_answered_without_the_token(served: Served) -> None:
    place = f"http://127.0.0.1:{served.port}"
    token = served.address.partition("token=")[2]
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    }
    for path in (
        "/",
        "/ws",
        "/static/js/textual.js",
        "/static/",
        "/download/x",
        "/?token=wrong",
        f"/static/js/textual.js?token={token}",
    ):
        assert status(place + path) == 403, path
    assert status(f"{place}/ws", **upgrade) == 403
    assert status(served.address) == 302
    cookie = f"gitml-{served.port}={token}"
    assert status(f"{place}/", Cookie=cookie) == 200
    assert status(f"{place}/", Cookie=cookie[:-1]) == 403
    assert status(f"{place}/static/js/textual.js", Cookie=cookie) == 200
    assert status(f"{place}/", Cookie=cookie, Host="evil.example") == 403
    assert status(f"{place}/ws", Cookie=cookie, Origin="http://evil.example", **upgrade) == 403


def test_it_listens_on_this_machine_only(served: Served) -> None:
    here = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"}
    assert f"0100007F:{served.port:04X}" in here
    assert f"00000000:{served.port:04X}" not in here


@pytest.mark.slow
@pytest.mark.needs("chromium")
async def test_a_browser_shows_the_runs_and_asks_nothing_from_outside(
    served: Served, ran: Project, tmp_path: Path
) -> None:
    run = ran.do("log", "--json").json[0]["run"]
    async with opened(served.address, tmp_path / "chrome") as browser:
        shown = await browser.until(run[:8])
        assert "models" in shown
        await browser.press("Enter", 13)
        await browser.until("= prepare")
        assert {urlsplit(url).netloc for url in browser.asked if not url.startswith("data:")} == {
            f"127.0.0.1:{served.port}"
        }
        assert "token" not in await browser.value("location.href")


@pytest.mark.slow
@pytest.mark.needs("chromium")
async def test_a_browser_without_the_token_is_shown_nothing(served: Served, tmp_path: Path) -> None:
    async with opened(f"http://127.0.0.1:{served.port}/", tmp_path / "chrome") as browser:
        shown = await browser.until("gitml")
        assert "no token" in shown
        assert "models" not in shown


@pytest.mark.slow
def test_an_interrupt_ends_it_and_all_it_started(ran: Project) -> None:
    process = ran.start("ui", "--web", "--theme", "light")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) in (0, 130)
    process.communicate()
    wait_until(lambda: not alive(f"{sys.executable} -m gitml ui --theme light"))
