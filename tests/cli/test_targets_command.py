"""`gitml targets`, on heads of Ray as far as their door: what is asked of them, and what they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.kit.commandline import Project

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
