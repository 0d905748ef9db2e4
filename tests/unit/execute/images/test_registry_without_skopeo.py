"""Images fetched by gitml itself, where there is no skopeo: as whom, from where, and what a registry that means harm gets."""

from __future__ import annotations

import base64
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.kinds.image_names import ImageName, parse_image_name
from gitml.errors import GitmlError, InputError, IntegrityError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images.image_store import ImageStore
from gitml.execute.environments.images.own_registry import OwnRegistry, image_registry
from gitml.execute.environments.images.registry import ImageGoneError, Skopeo
from gitml.execute.environments.images.registry_process.client import is_loopback
from gitml.execute.environments.images.registry_process.credentials import credential_for
from gitml.execute.environments.images.registry_process.login import challenges_in, token_in
from gitml.execute.process import NOW, StoppedError, StopRequests
from gitml.files import PART
from tests.kit.patience import PATIENCE
from tests.kit.processes import forked, kill_forked, wait_until
from tests.kit.servers.image_registry import BuiltImage, Entry, Registry, image, registry

BIG = os.urandom(300_000)
LAYERS = [[Entry("x", BIG)], [Entry("y", b"second")]]
USER = base64.b64encode(b"ann:hunter2hunter2").decode()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Registry]:
    with registry(tmp_path / "home") as one:
        yield one


def named(text: str) -> ImageName:
    name, _ = parse_image_name(text)
    assert name is not None
    return name


class Place:
    """A folder of blobs, and who fills it."""

    def __init__(self, tmp_path: Path, served: Registry, built: BuiltImage) -> None:
        self.folder = tmp_path / "blobs"
        self.stage = tmp_path / "stage"
        self.stage.mkdir(exist_ok=True)
        self.machine = {"PATH": "/nowhere", **served.environ()}
        self.name = named(served.push(built))
        from gitml.execute.environments.images.manifests import decode_manifest

        self.manifest = decode_manifest(built.blobs[built.digest], built.digest, "x")
        self.said: list[str] = []

    def fetch(self, stop: StopRequests | None = None) -> None:
        OwnRegistry(self.machine).fetch(
            self.name,
            self.name.digest,
            self.manifest.layers,
            str(self.folder),
            str(self.stage),
            BuildControl(stop or StopRequests(), self.said.append),
        )

    def blobs(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "sha256").iterdir()}


def log_in(tmp_path: Path, settings: object, name: str = ".docker/config.json") -> None:
    path = tmp_path / "home" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))


def test_it_is_used_where_skopeo_is_not_on_path(tmp_path: Path) -> None:
    assert isinstance(image_registry({"PATH": str(tmp_path)}), OwnRegistry)
    (tmp_path / "skopeo").write_text("#!/bin/sh\n")
    (tmp_path / "skopeo").chmod(0o755)
    assert isinstance(image_registry({"PATH": str(tmp_path)}), Skopeo)


def test_layers_arrive_whole_under_their_digests(tmp_path: Path, served: Registry) -> None:
    place = Place(tmp_path, served, image(LAYERS))
    place.fetch()
    assert set(place.blobs()) == {layer.digest[7:] for layer in place.manifest.layers}
    served.requests.clear()
    place.fetch()
    assert served.requests == []
    assert any("0 of 0 MiB" in words for words in place.said)


@pytest.mark.slow
def test_a_fetch_goes_on_where_it_was_cut_off(tmp_path: Path, served: Registry) -> None:
    place = Place(tmp_path, served, image(LAYERS))
    served.cut = True
    with pytest.raises(InputError, match="can't be fetched"):
        place.fetch()
    parts = {name: content for name, content in place.blobs().items() if name.endswith(PART) and len(content) > 1000}
    ((name, half),) = parts.items()
    served.cut = False
    served.ranges.clear()
    place.fetch()
    assert served.ranges == [f"bytes={len(half)}-"]
    assert place.blobs()[name.removesuffix(PART)].startswith(half)


def test_a_part_with_other_bytes_is_thrown_away(tmp_path: Path, served: Registry) -> None:
    place = Place(tmp_path, served, image(LAYERS))
    digest = place.manifest.layers[0].digest
    (place.folder / "sha256").mkdir(parents=True)
    (place.folder / "sha256" / f"{digest[7:]}{PART}").write_bytes(b"x" * 1000)
    with pytest.raises(IntegrityError, match="other bytes arrived"):
        place.fetch()
    place.fetch()
    assert digest[7:] in place.blobs()


def test_other_and_more_bytes_than_the_digest_says_are_refused(tmp_path: Path, served: Registry) -> None:
    place = Place(tmp_path, served, image(LAYERS))
    digest = place.manifest.layers[0].digest
    right = served.blobs[digest]
    for content in (right[:-1] + bytes([right[-1] ^ 1]), right + b"more" * 1000):
        served.blobs[digest] = content
        with pytest.raises(IntegrityError, match="bytes arrived"):
            place.fetch()
        assert digest[7:] not in place.blobs()


def test_an_image_that_is_not_there_is_said_to_be_gone(tmp_path: Path, served: Registry) -> None:
    name = named(f"{served.host}/team/tiny@{image(LAYERS).digest}")
    with pytest.raises(ImageGoneError, match=r"is gone.*manifest unknown"):
        OwnRegistry(served.environ()).manifest(name, name.digest)


def test_a_stop_ends_it_at_once_and_keeps_what_has_come(tmp_path: Path, served: Registry) -> None:
    place = Place(tmp_path, served, image(LAYERS))
    served.pause = 60.0
    reader, writer = os.pipe()

    class Stop(StopRequests):
        fd = reader

        def requested(self) -> int:
            return NOW if any("/blobs/" in path for path in served.requests) else 0

    def press() -> None:
        until = time.monotonic() + PATIENCE
        while not any("/blobs/" in path for path in served.requests) and time.monotonic() < until:
            time.sleep(0.02)
        os.write(writer, b"x")

    threading.Thread(target=press, daemon=True).start()
    begun = time.monotonic()
    with pytest.raises(StoppedError):
        place.fetch(Stop())
    assert time.monotonic() - begun < PATIENCE / 2
    os.close(reader)
    os.close(writer)


def test_it_ends_with_the_process_that_asked(tmp_path: Path, served: Registry) -> None:
    place = Place(tmp_path, served, image(LAYERS))
    served.pause = 60.0
    pid = forked(place.fetch)
    wait_until(lambda: any("/blobs/" in path for path in served.requests))
    kill_forked(pid)
    served.pause = 0.0
    place.fetch()  # the part is not locked any more
    assert not any(name.endswith(PART) for name in place.blobs())


# As whom


def test_a_password_is_sent_where_it_is_asked_for(tmp_path: Path, served: Registry) -> None:
    served.password = USER
    place = Place(tmp_path, served, image(LAYERS))
    with pytest.raises(InputError, match="authentication required") as refused:
        place.fetch()
    assert "login" in (refused.value.hint or "")
    log_in(tmp_path, {"auths": {served.host: {"auth": USER}}})
    place.fetch()
    assert served.authorizations[0] == ""


def test_a_refused_password_is_shown_nowhere(tmp_path: Path, served: Registry) -> None:
    served.password = "another"
    log_in(tmp_path, {"auths": {served.host: {"auth": USER}}})
    place = Place(tmp_path, served, image(LAYERS))
    with pytest.raises(InputError, match="refuses the user and password") as refused:
        place.fetch()
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"
    assert USER not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("user", ["", USER])
def test_a_token_is_got_for_reading_alone(tmp_path: Path, served: Registry, user: str) -> None:
    served.bearer, served.password = "t" * 40, user
    if user:
        log_in(tmp_path, {"auths": {served.host: {"auth": user}}}, ".config/containers/auth.json")
    place = Place(tmp_path, served, image(LAYERS))
    place.fetch()
    asked = {path for path in served.requests if path.startswith("/token")}
    assert asked == {"/token?scope=repository%3Ateam%2Ftiny%3Apull&service=tests"}
    assert f"Bearer {served.bearer}" in served.authorizations


def test_an_identity_token_is_exchanged(tmp_path: Path, served: Registry) -> None:
    served.bearer = "t" * 40
    log_in(tmp_path, {"auths": {served.host: {"identitytoken": "refresh-me-123"}}})
    Place(tmp_path, served, image(LAYERS)).fetch()
    assert b"refresh_token=refresh-me-123" in served.posted[0]


def test_what_lets_us_in_goes_to_no_other_host(tmp_path: Path, served: Registry) -> None:
    """A blob is often sent from elsewhere; there nothing of the user's is sent along."""
    seen: list[str | None] = []
    place = Place(tmp_path, served, image([[Entry("x", b"1")]]))
    digest = place.manifest.layers[0].digest
    content = served.blobs[digest]

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is logged."""

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
    try:
        served.redirects[digest] = f"http://127.0.0.1:{other.server_address[1]}/there"
        served.password = USER
        log_in(tmp_path, {"auths": {served.host: {"auth": USER}}})
        place.fetch()
    finally:
        other.shutdown()
        other.server_close()
    assert seen == [None]


@pytest.mark.parametrize(
    "realm", ["file:///etc/passwd", "http://[bad", "gopher://x/", "\\\\x", "http://169.254.169.254/"]
)
def test_a_realm_that_is_none_gets_nothing(tmp_path: Path, served: Registry, realm: str) -> None:
    served.bearer, served.realm = "t" * 40, realm
    log_in(tmp_path, {"auths": {served.host: {"auth": USER}}})
    place = Place(tmp_path, served, image(LAYERS))
    with pytest.raises(GitmlError) as refused:
        place.fetch()
    assert "hunter2" not in str(refused.value)
    assert not any(USER in given for given in served.authorizations)


def test_credentials_are_looked_up_as_other_programs_do(tmp_path: Path) -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    home = tmp_path / "home"
    helpers = tmp_path / "bin"
    helpers.mkdir()
    program = helpers / "docker-credential-test"
    program.write_text(
        '#!/bin/sh\nread server\ncase "$server" in\n'
        'https://index.docker.io/v1/|helped.example) echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"$server-t\\"}";;\n'
        "*) exit 1;;\nesac\n"
    )
    program.chmod(0o755)
    machine = {"HOME": str(home), "PATH": f"{helpers}:/usr/bin:/bin"}
    log_in(
        tmp_path,
        {
            "auths": {
                "one.example": {"auth": encoded("a:docker")},
                "https://two.example/v1/": {"auth": encoded("b:c:d")},
                "broken.example": {"auth": "!!"},
            },
            "credsStore": "test",
            "credHelpers": {"helped.example": "test"},
        },
    )
    log_in(
        tmp_path,
        {"auths": {"one.example/team": {"auth": encoded("t:team")}, "one.example/other": {"auth": encoded("o:o")}}},
        ".config/containers/auth.json",
    )
    found = {
        (host, path): credential_for(host, path, machine)
        for host, path in [
            ("one.example", "team/x"),
            ("one.example", "x"),
            ("two.example", "x"),
            ("broken.example", "x"),
            ("helped.example", "x"),
            ("docker.io", "library/x"),
            ("unknown.example", "x"),
        ]
    }
    shown = {
        host: None if one is None else (one.username, one.password, one.identity_token) for host, one in found.items()
    }
    assert shown == {
        ("one.example", "team/x"): ("t", "team", ""),
        ("one.example", "x"): ("a", "docker", ""),
        ("two.example", "x"): ("b", "c:d", ""),
        ("broken.example", "x"): None,
        ("helped.example", "x"): ("", "", "helped.example-t"),
        ("docker.io", "library/x"): ("", "", "https://index.docker.io/v1/-t"),
        ("unknown.example", "x"): None,
    }
    assert "docker" not in repr(found[("one.example", "x")])


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"[" * 99999, b'{"auths": 1, "credHelpers": [], "credsStore": 3}']
)
def test_a_file_of_credentials_that_is_none_has_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_bytes(content)
    assert credential_for("x.example", "y", {"HOME": str(tmp_path), "PATH": ""}) is None


@pytest.mark.parametrize("name", ["../../bin/sh", "x y", "", "-x"])
def test_a_program_of_another_kind_is_not_run(tmp_path: Path, name: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"credHelpers": {"x.example": name}}))
    with pytest.raises(GitmlError, match="is not there"):
        credential_for("x.example", "y", {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ('Bearer realm="https://a/t",service="s"', ["bearer"]),
        ('Basic realm="x", Bearer realm="https://a/t" , service=s', ["basic", "bearer"]),
        ("Negotiate, Basic", ["basic"]),
        ("Bearer", []),
        ("", []),
        ('Bearer realm="a\\"b"', ["bearer"]),
        ("Basic " * 5000, []),
        ("=,=,=", []),
    ],
)
def test_challenges_are_read_as_they_are_written(header: str, schemes: list[str]) -> None:
    assert [one.scheme for one in challenges_in(header)] == schemes


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"token": ""}, {"token": 1}, {"token": "a\r\nX: y"}, {"token": "x" * 99999}]
)
def test_a_token_that_no_header_can_hold_is_none(answer: object) -> None:
    assert token_in(answer) is None


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.8.8.8:1", True),
        ("[::1]:5000", True),
        ("localhost.example.org", False),
        ("127.0.0.1.nip.io", False),
        ("10.0.0.1", False),
    ],
)
def test_only_this_machine_is_spoken_to_without_encryption(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one


def test_parts_that_nobody_works_on_are_removed_with_the_images(tmp_path: Path, served: Registry) -> None:
    store = ImageStore(str(tmp_path / "images"), {})
    folder = tmp_path / "images/blobs/sha256"
    folder.mkdir(parents=True)
    part = folder / ("0" * 64 + PART)
    part.write_bytes(b"half")
    from gitml.files import locked_part

    fd = locked_part(str(folder / ("0" * 64)))
    assert fd is not None
    assert store.remove_unused(0.0, time.time() + 10).bytes == 0
    assert part.exists()
    os.close(fd)
    assert store.remove_unused(0.0, time.time() + 10).bytes == 4
    assert not part.exists()
