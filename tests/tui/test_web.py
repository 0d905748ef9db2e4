"""The UI in a real browser, behind its token."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.commandline import Project, alive, wait_until

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


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
            process.communicate(timeout=20)
        finally:
            process.kill()


def status(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=10) as response:
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
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: install chromium")
def test_a_browser_shows_the_runs_and_asks_nothing_from_outside(served: Served, ran: Project, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    picture, log = tmp_path / "page.png", tmp_path / "net.json"
    words = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/chrome",
        f"--log-net-log={log}",
    ]
    words += ["--disable-component-update", "--disable-background-networking", "--no-first-run"]
    words += ["--window-size=1200,700", "--virtual-time-budget=15000", "--run-all-compositor-stages-before-draw"]
    done = subprocess.run([*words, "--dump-dom", served.address], capture_output=True, text=True, timeout=120)
    assert "xterm-rows" in done.stdout, done.stderr[-2000:]
    run = ran.do("log", "--json").json[0]["run"]
    subprocess.run([*words, f"--screenshot={picture}", served.address], capture_output=True, timeout=120, check=True)
    shown = re.sub(r"<[^>]+>", "", done.stdout)
    assert run[:8] in shown or picture.stat().st_size > 20_000
    asked = set(re.findall(r'"url":"(https?://[^"/]+)', log.read_text(errors="replace")))
    assert {place for place in asked if "127.0.0.1" not in place} == set()


@pytest.mark.slow
def test_an_interrupt_ends_it_and_all_it_started(ran: Project) -> None:
    process = ran.start("ui", "--web", "--theme", "light")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) in (0, 130)
    process.communicate()
    wait_until(lambda: not alive(f"{sys.executable} -m gitml ui --theme light"))
