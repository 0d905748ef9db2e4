"""A Git LFS server that means harm: it gets no credentials of ours elsewhere, sends us nowhere near, and ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gitml.core.config.remotes import RemoteSpec, StoredObject
from gitml.core.model.digest import digest_of
from gitml.errors import GitmlError, RemoteError, TrustError
from gitml.git.lfs.client import LfsClient
from gitml.git.lfs.endpoint import Endpoint
from gitml.git.repository import discover
from gitml.http.limits import LOOPBACK, PRIVATE, PUBLIC, SPECIAL, AddressPolicy, rank
from tests.kit.projects.repository import Repository, isolate
from tests.kit.servers.hostile_server import (
    ENDS,
    Behaviour,
    Connection,
    HostileServer,
    Request,
    answer,
    batch,
)

CONTENT = b"content " * 1000
ITEM = StoredObject(digest_of(CONTENT), len(CONTENT))


@pytest.fixture
def servers() -> Iterator[Callable[[Behaviour], HostileServer]]:
    started: list[HostileServer] = []

    def start(behaviour: Behaviour) -> HostileServer:
        started.append(HostileServer(behaviour))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    isolate(monkeypatch)
    made = Repository(tmp_path / "repo")
    made.git("config", "lfs.activitytimeout", "2")
    return made


def opened(repo: Repository, url: str) -> LfsClient:
    return LfsClient(RemoteSpec("lfs", "lfs"), discover(repo.path, dict(os.environ)), Endpoint(url))


def fetched(lfs: LfsClient) -> bytes:
    return b"".join(lfs.get(ITEM).chunks)


def good(request: Request, connection: Connection) -> None:
    """An object store."""
    connection.send(answer(200, CONTENT))


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("8.8.8.8", PUBLIC),
        ("2606:4700::1111", PUBLIC),
        ("10.1.2.3", PRIVATE),
        ("192.168.0.1", PRIVATE),
        ("100.64.1.1", PRIVATE),
        ("fd12::1", PRIVATE),
        ("127.0.0.1", LOOPBACK),
        ("::1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("64:ff9b::7f00:1", LOOPBACK),
        ("2002:7f00:1::", LOOPBACK),
        ("0.0.0.0", SPECIAL),
        ("0.1.2.3", SPECIAL),
        ("::", SPECIAL),
        ("169.254.169.254", SPECIAL),
        ("::ffff:169.254.169.254", SPECIAL),
        ("fd00:ec2::254", SPECIAL),
        ("fe80::1%eth0", SPECIAL),
        ("168.63.129.16", SPECIAL),
        ("100.100.100.200", SPECIAL),
        ("224.0.0.1", SPECIAL),
    ],
)
def test_addresses_are_as_near_as_they_are(address: str, near: int) -> None:
    assert rank(address) == near


@pytest.mark.parametrize(
    ("home", "address", "allowed"),
    [
        ("8.8.8.8", "1.1.1.1", True),
        ("8.8.8.8", "10.0.0.1", False),
        ("8.8.8.8", "127.0.0.1", False),
        ("10.0.0.1", "10.0.0.2", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "10.0.0.1", True),
        ("127.0.0.1", "169.254.169.254", False),
        ("10.0.0.1", "fd00:ec2::254", False),
    ],
)
def test_a_server_sends_us_no_nearer_than_it_is(home: str, address: str, allowed: bool) -> None:
    reach = AddressPolicy(home)
    if allowed:
        reach.check("store.example", [address])
    else:
        with pytest.raises(TrustError, match="address that only this machine"):
            reach.check("store.example", [address])
    AddressPolicy(home, ["*.example"]).check("store.example", [address])


@pytest.mark.parametrize(
    "href",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest",
        "http://[::ffff:169.254.169.254]/x",
        "http://0.0.0.0:1/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "http://[::1",
        "http://a b/",
        "http://h:99999999/",
        "http://h/\r\nX: y",
        "//",
        "",
        None,
        7,
        ["http://h"],
    ],
)
@pytest.mark.parametrize("way", ["href", "redirect"])
def test_it_sends_us_to_no_such_address(
    repo: Repository, servers: Callable[[Behaviour], HostileServer], href: object, way: str
) -> None:
    def behave(request: Request, connection: Connection) -> None:
        if request.path.endswith("/objects/batch"):
            connection.send(batch(request, lambda oid: href if way == "href" else f"{server.url}/{oid}"))  # type: ignore[arg-type, return-value]
        else:
            connection.send(answer(302, headers={"Location": str(href).replace("\r\n", "\r\n ")}))

    server = servers(behave)
    begun = time.monotonic()
    with pytest.raises(GitmlError):
        fetched(opened(repo, server.url))
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("way", ["href", "redirect"])
def test_no_credential_of_ours_goes_to_another_host(
    repo: Repository, servers: Callable[[Behaviour], HostileServer], way: str
) -> None:
    store = servers(good)

    def behave(request: Request, connection: Connection) -> None:
        if request.path.endswith("/objects/batch"):
            if "authorization" not in request.headers:
                connection.send(answer(401, headers={"WWW-Authenticate": "Basic"}))
                return
            place = store.url if way == "href" else server.url
            connection.send(batch(request, lambda oid: f"{place}/{oid}", {"x-of-the-answer": "1"}))
        else:
            connection.send(answer(307, headers={"Location": f"{store.url}/x", "Set-Cookie": "a=b"}))

    server = servers(behave)
    repo.git("config", f"http.{server.url}/.extraHeader", "X-Secret: of-the-user")
    repo.git("config", "credential.helper", "!f() { echo username=ann; echo password=s3cret; }; f")
    assert fetched(opened(repo, server.url)) == CONTENT
    asked = store.asked[-1]
    assert not {"authorization", "cookie", "x-secret"} & asked.headers.keys()
    assert ("x-of-the-answer" in asked.headers) is (way == "href")
    assert all("x-secret" in request.headers for request in server.asked)


def test_a_server_with_https_sends_us_to_nothing_less(repo: Repository) -> None:
    lfs = opened(repo, "https://example.invalid/x")
    http = lfs._open()
    with pytest.raises(TrustError, match="speaks https"):
        http.request("GET", "http://example.invalid/x", {})


@pytest.mark.parametrize(
    "header",
    [
        {"X-A": "b\r\nX-C: d"},
        {"X-A\r\nX-B": "c"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": ["b"]},
        {"X-A": None},
        {f"X-{n}": "b" for n in range(1000)},
        {"X-A": "b" * 100_000},
        ["X-A"],
        {"X-A": "\ud800"},
    ],
)
def test_headers_that_are_none_are_refused(
    repo: Repository, servers: Callable[[Behaviour], HostileServer], header: object
) -> None:
    server = servers(lambda request, connection: connection.send(batch(request, lambda _: "http://x/", header)))  # type: ignore[arg-type]
    with pytest.raises(RemoteError, match="can't be read"):
        fetched(opened(repo, server.url))


def test_what_says_where_a_request_goes_stays_ours(
    repo: Repository, servers: Callable[[Behaviour], HostileServer]
) -> None:
    def behave(request: Request, connection: Connection) -> None:
        if request.path.endswith("/objects/batch"):
            header = {
                "HOST": "evil",
                "content-length": "9",
                "Transfer-Encoding": "chunked",
                "proxy-authorization": "x",
                "x": "y",
            }
            connection.send(batch(request, lambda oid: f"{server.url}/{oid}", header))
        else:
            good(request, connection)

    server = servers(behave)
    assert fetched(opened(repo, server.url)) == CONTENT
    headers = server.asked[-1].headers
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["x"] == "y"
    assert not {"content-length", "transfer-encoding", "proxy-authorization"} & headers.keys()


@pytest.mark.parametrize("kind", ENDS)
def test_an_answer_to_a_question_ends(
    repo: Repository, servers: Callable[[Behaviour], HostileServer], kind: str
) -> None:
    server = servers(ENDS[kind])
    begun = time.monotonic()
    with pytest.raises(GitmlError) as caught:
        opened(repo, server.url).present([ITEM])
    assert time.monotonic() - begun < 15
    assert len(str(caught.value.message)) < 400


@pytest.mark.parametrize(
    "kind", [kind for kind in ENDS if kind not in ("an endless body", "endless chunks", "no HTTP")]
)
def test_an_object_ends(repo: Repository, servers: Callable[[Behaviour], HostileServer], kind: str) -> None:
    def behave(request: Request, connection: Connection) -> None:
        if request.path.endswith("/objects/batch"):
            connection.send(batch(request, lambda oid: f"{server.url}/{oid}"))
        else:
            ENDS[kind](request, connection)

    server = servers(behave)
    begun = time.monotonic()
    with suppress(GitmlError):  # or it ends with other bytes, as whoever receives it sees
        assert len(fetched(opened(repo, server.url))) < 10 << 20
    assert time.monotonic() - begun < 15
