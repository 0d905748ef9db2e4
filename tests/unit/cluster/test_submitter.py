"""Where attempts are sent and what they take along; and bringing what a machine lacks there once, from the nearest that has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gitml import __version__
from gitml.cluster.content import source
from gitml.cluster.content.messages import decode_request
from gitml.cluster.content.source import BlobSource
from gitml.cluster.driver import driver_state
from gitml.cluster.driver.attempt import AttemptState, ReservedBundle, TaskAttempt
from gitml.cluster.driver.results import ResultHandler
from gitml.cluster.driver.submitter import ContentProvider, Submitter
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.digest import Digest, digest_of, hex_of
from gitml.core.model.environment import environment_of
from gitml.core.model.resources import Resources
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import TreeEntry, encode_tree
from gitml.errors import GitmlError, IntegrityError, MachineError, RemoteError
from tests.kit.cluster.driver_session import RecordedCall, SessionBench, done, machine, reported
from tests.kit.execution import ON_HOST


class Remote:
    """`perform` as Ray knows it, that is only noted: (options, order, contents)."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, Any], Any, dict[str, bytes]]] = []
        self.futures: list[Future[Any]] = []

    def options(self, **options: Any) -> Any:
        def remote(order: bytes, contents: dict[str, bytes]) -> Any:
            self.sent.append((options, decode_request(order), dict(contents)))
            self.futures.append(Future())
            return _Ref(self.futures[-1])

        return type("Function", (), {"remote": staticmethod(remote)})


class _Ref:
    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def future(self) -> Future[Any]:
        return self._future


A, B, C = "aa" * 28, "bb" * 28, "cc" * 28  # as Ray names machines


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SessionBench]:
    bench = SessionBench(tmp_path, machine(A), machine(B))
    yield bench
    bench.close()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Remote:
    made = Remote()
    monkeypatch.setattr("gitml.cluster.driver.submitter._remote", lambda: made)
    return made


ENDED: list[tuple[TaskAttempt, Any]] = []


@pytest.fixture
def submitter(bench: SessionBench, remote: Remote) -> Submitter:
    ENDED.clear()
    return Submitter(bench.session, bench.state, lambda attempt, future: ENDED.append((attempt, future)))


def chosen(options: dict[str, Any]) -> str:
    """The machine that Ray is told to prefer."""
    return str(options["scheduling_strategy"].node_id)


def test_an_order_says_whose_and_which_it_is_and_ray_makes_no_attempts_of_its_own(
    bench: SessionBench, submitter: Submitter, remote: Remote
) -> None:
    task = bench.task("true", resources=Resources(1, 1))
    bench.state.pool.nodes[B].machine = machine(B, gpus=2)
    bench.state.pool.nodes[B].free = machine(B, gpus=2).total
    submitter.submit(task)
    ((options, order, contents),) = remote.sent
    assert (order.version, order.run, order.attempt, order.gpus) == (__version__, "r1", task.attempt, 1)
    assert contents == {}
    assert options["max_retries"] == 0
    assert options["name"].startswith("gitml run "), "as it is told where people look what runs"
    assert chosen(options) == B
    assert bench.state.attempts[task.attempt].node == B
    assert bench.state.pool.nodes[B].free.gpus == 1


def test_what_a_machine_is_known_to_hold_does_not_travel_again(
    bench: SessionBench, submitter: Submitter, remote: Remote
) -> None:
    bench.state.pool.update([machine(A)])
    tree = bench.tree({"a.py": "A", "deep/b.py": "B"})
    task = bench.task("true", code=[("src", "40000", tree)])
    submitter.submit(task)
    submitter.submit(bench.task("true", code=[("src", "40000", tree)]))
    assert [len(contents) for _, _, contents in remote.sent] == [4, 0]
    assert set(remote.sent[0][2]) >= {f"git-tree:{tree}"}


def test_an_attempt_is_told_ended_in_the_sessions_own_thread(
    bench: SessionBench, submitter: Submitter, remote: Remote
) -> None:
    submitter.submit(bench.task("true"))
    remote.futures[0].set_result("report")
    assert not ENDED
    bench.until(lambda: bool(ENDED))
    assert ENDED[0][1].result() == "report"


def test_machines_that_refuse_an_environment_are_not_asked_for_it_again(
    bench: SessionBench, submitter: Submitter, remote: Remote
) -> None:
    task = bench.task("true")
    bench.state.pool.nodes[B].refuses[task.environment.digest] = "another python"
    submitter.submit(task)
    other = environment_of({"kind": "host", "python": "3.12"}, ON_HOST)
    submitter.submit(bench.task("true", environment=other))
    first, second = (options for options, _, _ in remote.sent)
    assert first["label_selector"] == {"ray.io/node-id": f"!in({B})"}
    assert chosen(first) == A
    assert "label_selector" not in second


def test_a_step_waits_for_the_machine_that_takes_it_though_one_that_refuses_it_is_idle(tmp_path: Path) -> None:
    bench = SessionBench(tmp_path, machine(A, 1), machine(B, 1))
    node_pool, task = bench.state.pool, bench.task("true")
    node_pool.acquire(node_pool.nodes[A], task.resources)
    node_pool.nodes[B].refuses[task.environment.digest] = "machine b: another python"
    assert bench.state.takes(task.resources, 1, None)
    assert not bench.state.takes(task.resources, 1, task.environment.digest)
    assert not bench.state.takes(task.resources, 2, None), "not both"
    node_pool.nodes[A].refuses[task.environment.digest] = "machine a: another python"
    assert bench.state.takes(task.resources, 1, task.environment.digest), "to fail at once, with the reason"
    results = ResultHandler(bench.session, bench.state)
    try:
        with pytest.raises(MachineError, match="machine a: another python; machine b: another python"):
            results.submitter.submit(task)
    finally:
        bench.state.closed = True
        results.close()
        bench.close()


def test_a_reserved_place_is_where_an_attempt_goes_also_when_it_goes_again(
    bench: SessionBench, submitter: Submitter, remote: Remote
) -> None:
    task = bench.task("true")
    submitter.submit(task, reserved=ReservedBundle(B, "there"))
    submitter.submit(task, bench.state.attempts[task.attempt])
    assert [options["scheduling_strategy"] for options, _, _ in remote.sent] == ["there", "there"]
    with pytest.raises(RemoteError, match="its machine was lost"):
        submitter.submit(bench.task("true"), reserved=ReservedBundle("gone", "there"))


def test_where_an_autoscaler_may_add_machines_a_few_more_wait_at_ray_and_are_booked_where_they_come_to(
    bench: SessionBench, submitter: Submitter, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_state, "MAX_PENDING", 2)
    state, big, larger = bench.state, Resources(8, 1), Resources(8, 2)
    assert not state.takes(larger, 1, None)
    with pytest.raises(RemoteError, match="the machines that could take it were lost"):
        submitter.submit(bench.task("true", resources=larger))
    bench.cluster.scales = True
    assert not state.takes(larger, 1, None), "the cluster is asked once"
    tasks = []
    while state.takes(big, 1, None):
        tasks.append(bench.task("true", resources=big))
        submitter.submit(tasks[-1])
    assert len(tasks) == 2
    assert all("scheduling_strategy" not in options for options, _, _ in remote.sent), "Ray chooses"
    attempt = state.attempts[tasks[0].attempt]
    assert attempt.state is AttemptState.PENDING
    bench.cluster.declared.append(machine(C, cpus=8, gpus=1))
    state.place(attempt, C, "node-c")
    assert (attempt.node, attempt.host, attempt.state) == (C, "node-c", AttemptState.SUBMITTED)
    assert state.pool.nodes[C].free == Resources(0, 0, 1 << 30)
    assert state.takes(big, 1, None), "one less waits"


def test_what_an_autoscaler_can_never_add_is_waited_for_no_longer(bench: SessionBench, remote: Remote) -> None:
    state, big, other = bench.state, Resources(8, 1), Resources(9, 1)
    bench.cluster.scales = True
    results = ResultHandler(bench.session, state)
    waits = [bench.task("true", resources=asked) for asked in (big, other)]
    for task in waits:
        results.submitter.submit(task)
    state.attempts[waits[0].attempt].call = call = RecordedCall()
    results.give_up_waiting([big])
    finished = bench.finished()
    assert (finished.attempt, finished.outcome) == (waits[0].attempt, "failed")
    assert finished.error == "no machine has, and the autoscaler can add none with 8 cpus, 1 gpu"
    assert call.cancels == [False]
    assert list(state.attempts) == [waits[1].attempt]
    assert not state.takes(big, 1, None)
    results.close()
    state.closed = True


# -- what a machine lacks


@pytest.fixture
def small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has more than ten bytes travels by itself."""
    monkeypatch.setattr(source, "INLINE_EACH", 10)


def named(digest: Digest, kind: str = "blob") -> str:
    return f"{kind}:{hex_of(digest)}"


def test_small_contents_go_by_the_hub_large_ones_are_brought_and_missing_ones_are_told(
    bench: SessionBench, small_ones: None
) -> None:
    small, large = bench.store.put(b"small"), bench.store.put(b"large" * 10)
    missing = digest_of(b"nobody has it")
    attempt = bench.attempt(node=A)
    bench.state.pool.nodes[B].holds.add(named(large))
    ContentProvider(bench.session, bench.state).provide(attempt, A, [named(small), named(large), named(missing)])
    assert bench.messages(attempt) == [("keep", {named(small): b"small"}), ("without", [named(missing)])]
    assert bench.transfers.uploaded == [(A, named(large), 50, [B])], "from the machine that has it"


def test_a_step_goes_elsewhere_when_its_machine_has_no_room_for_what_it_needs(
    bench: SessionBench, small_ones: None, remote: Remote
) -> None:
    results = ResultHandler(bench.session, bench.state)
    name = named(bench.store.put(b"large" * 10))
    full = MachineError("the disk refused: No space left on device")
    first = bench.attempt(node=A)
    results.provider.provide(first, A, [name])
    bench.transfers.ends[0](full)
    bench.until(lambda: first.state is AttemptState.MOVING)
    assert isinstance(first.call, RecordedCall)
    assert first.call.cancels == [False]
    results.task_ended(first, reported(done(first, outcome="cancelled", exit_code=None), node=A))
    second = bench.state.attempts[first.task.attempt]
    assert (second.node, bench.events) == (B, [])
    second.call = RecordedCall()
    results.provider.provide(second, B, [name])
    bench.transfers.ends[1](full)
    bench.until(lambda: second.error is not None)
    results.task_ended(second, reported(done(second, outcome="cancelled", exit_code=None), node=B))
    finished = bench.finished()
    assert finished.outcome == "failed"
    assert "No space left" in (finished.error or "")
    bench.state.closed = True
    results.close()


def test_what_two_attempts_wait_for_is_brought_once_and_both_hear_when_it_fails(
    bench: SessionBench, small_ones: None
) -> None:
    large = bench.store.put(b"large" * 10)
    provider = ContentProvider(bench.session, bench.state)
    one, two, elsewhere = bench.attempt(node=A), bench.attempt(node=A), bench.attempt(node=B)
    for attempt, node in ((one, A), (two, A), (elsewhere, B)):
        provider.provide(attempt, node, [named(large)])
    assert [node for node, *_ in bench.transfers.uploaded] == [A, B]
    bench.transfers.ends[0](RemoteError("the network was cut"))
    bench.until(lambda: two.error is not None)
    assert isinstance(one.call, RecordedCall)
    assert one.error is two.error
    assert one.call.cancels
    assert elsewhere.error is None
    bench.transfers.ends[1](None)
    bench.until(lambda: named(large) in bench.state.pool.nodes[B].holds)
    provider.provide(one, A, [named(large)])
    assert len(bench.transfers.uploaded) == 3, "one that failed is tried again when it is lacking again"
    assert bench.transfers.uploaded[-1][3] == [B]


def test_an_attempt_whose_input_is_damaged_here_fails_and_says_so(bench: SessionBench) -> None:
    digest = bench.store.put(b"an input")
    path = f"{bench.repo}/.git/gitml/objects/{hex_of(digest)[:2]}/{hex_of(digest)[2:]}"
    os.chmod(path, 0o644)
    Path(path).write_bytes(b"ANOTHER!")
    listing = encode_tree([TreeEntry(b"f", "f", digest, 8)])
    tree = bench.store.put(listing)
    attempt = bench.attempt(node=A)
    ContentProvider(bench.session, bench.state).provide(attempt, A, [named(tree, "tree")])
    # the file counts as missing: the machine is told, and the step says which input it lacks
    assert ("without", [named(digest)]) in bench.messages(attempt)
    os.remove(f"{bench.repo}/.git/gitml/objects/{hex_of(tree)[:2]}/{hex_of(tree)[2:]}")
    ContentProvider(bench.session, bench.state).provide(attempt, A, [named(tree, "tree")])
    assert isinstance(attempt.error, GitmlError)


# -- what the driver has


def test_a_tree_stands_for_all_below_it_and_what_is_known_is_left_out(bench: SessionBench) -> None:
    tree = bench.tree({"a": "A", "deep/b": "B", "deep/same": "A"})
    store = BlobSource(bench.services())
    all_of_it = store.select([f"git-tree:{tree}"], set())
    assert len(all_of_it.inline) == 4, "two trees, and two contents, one of which is there twice"
    deep = bench.git("rev-parse", f"{tree}:deep")
    rest = store.select([f"git-tree:{tree}"], {f"git-tree:{deep}"})
    assert set(rest.inline) == {f"git-tree:{tree}", f"git-blob:{bench.blob('A')}"}


def test_no_more_rides_along_than_there_is_room_for(bench: SessionBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "INLINE_TOTAL", 12)
    names = [named(bench.store.put(b"%d" % n * 5)) for n in range(5)]
    inputs = BlobSource(bench.services()).select(names, set())
    assert list(inputs.inline) == names[:2]
    assert inputs.large == dict.fromkeys(names[2:], 5)
    assert [*inputs.inline, *inputs.large] == names


def test_an_lfs_pointer_brings_its_content_along(bench: SessionBench) -> None:
    content = b"the large file"
    digest = digest_of(content)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hex_of(digest)}\nsize {len(content)}\n"
    oid = bench.blob(pointer)
    lacking = BlobSource(bench.services()).select([f"git-blob:{oid}"], set())
    assert lacking.unavailable == [named(digest)]
    bench.store.put(content)
    assert BlobSource(bench.services()).select([f"git-blob:{oid}"], set()).inline[named(digest)] == content


@pytest.mark.parametrize("start", [0, 7, 40])
def test_pieces_go_on_where_a_transfer_was_cut(bench: SessionBench, start: int) -> None:
    content = bytes(range(256)) * 4
    oid = bench.blob(content)
    store = BlobSource(bench.services())
    for name, whole in (
        (named(bench.store.put(content)), content),
        (f"git-blob:{oid}", b"blob %d\0" % len(content) + content),
    ):
        pieces = list(store.pieces(name, start, 100))
        assert b"".join(pieces) == whole[start:]
        assert max(map(len, pieces)) <= 100


def test_a_damaged_content_is_never_given(bench: SessionBench) -> None:
    digest = bench.store.put(b"an input")
    path = f"{bench.repo}/.git/gitml/objects/{hex_of(digest)[:2]}/{hex_of(digest)[2:]}"
    os.chmod(path, 0o644)
    Path(path).write_bytes(b"ANOTHER!")
    with pytest.raises(IntegrityError):
        BlobSource(bench.services()).read(named(digest))


def test_inputs_that_a_remote_store_has_are_told_and_not_taken_along_unless_they_are_small_and_here(
    bench: SessionBench, remote: Remote
) -> None:
    store = bench.session.own.services.store
    small = OutputRef("s", "file", store.put(b"small"), 5)
    large = OutputRef("l", "file", store.put(b"l" * 2**20), 2**20)
    gone = OutputRef("g", "file", digest_of(b"not here"), 8)
    spec = RemoteSpec("lab", "s3://lab/x")
    session = bench.session._replace(own=bench.session.own._replace(stores=(spec,)))
    submitter = Submitter(session, bench.state, lambda attempt, future: None)
    inputs = [
        (name, "file", f".gitml/in/{name}", output.digest) for name, output in (("s", small), ("l", large), ("g", gone))
    ]
    submitter.submit(bench.task("true", inputs=inputs)._replace(stored=(small, large, gone)))
    ((_, order, contents),) = remote.sent
    assert order.stored == ((large, True), (gone, False))
    assert order.stores == (spec,)
    assert list(contents) == [f"blob:{hex_of(small.digest)}"]
    assert bench.state.pool._sizes[f"blob:{hex_of(large.digest)}"] == 2**20
