"""`gitml targets`, on heads of Ray as far as their door: what is asked of them, and what they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.kit.projects.command_line import Project

PIPELINE = {"pipelines/main.yaml": "steps: {a: {run: sh src/a.sh}}\n", "src/a.sh": "echo\n"}


class AskedWho(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Lets in who brings a token, whichever, and remembers what was brought; beyond its door is nothing."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def service(self, details: Any) -> Any:
        """Answers any question."""

        def answer(_: bytes, context: Any) -> bytes:
            shown = dict(context.invocation_metadata()).get("authorization")
            if shown is None:
                context.set_code(grpc.StatusCode.UNAUTHENTICATED)
            else:
                self.shown.append(shown)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def head_at_the_door() -> Iterator[tuple[AskedWho, str]]:
    """Such a head and its address."""
    handler = AskedWho()
    server = grpc.server(ThreadPoolExecutor(2), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield handler, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.mark.slow
def test_the_token_of_one_cluster_is_not_shown_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-secret-of-one\n")
    with head_at_the_door() as (one, first), head_at_the_door() as (two, second):
        targets = f"targets: {{one: {{ray: '{first}', token: {tmp_path}/token}}, two: {{ray: '{second}'}}}}\n"
        project = Project(tmp_path / "p", {"gitml.yaml": targets, **PIPELINE})
        done = project.do("targets", "one", "two", env={"HOME": str(tmp_path)}, code=None)
        assert set(one.shown) == {"Bearer a-secret-of-one"}
        assert two.shown == []
        assert "the cluster asks for a token, and there is none" in done.out


def test_a_token_that_is_not_there_and_a_port_of_another_kind_are_told_with_the_place_and_the_mend(
    tmp_path: Path,
) -> None:
    server = grpc.server(
        ThreadPoolExecutor(2)
    )  # speaks as Ray's client server does to who asks for the head: not at all
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with head_at_the_door() as (_, address):
            targets = (
                f"targets: {{one: {{ray: '{address}', token: {tmp_path}/none}}, two: {{ray: '127.0.0.1:{port}'}}}}\n"
            )
            project = Project(tmp_path / "p", {"gitml.yaml": targets, **PIPELINE})
            assert f"No such file or directory ({tmp_path}/none)" in project.do("targets", "one", code=7).out
            told = project.do("run", "--on", "one", code=7).err
            assert f"No such file or directory (target one: {tmp_path}/none)" in told
            told = project.do("targets", "two", code=6).out
            assert "what answers is no head of Ray" in told
            assert "ray://HOST:PORT that of Ray's client, 10001" in told
    finally:
        server.stop(None).wait()
