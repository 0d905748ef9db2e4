"""A gang from the wish for its places to one verdict and one log, whatever becomes of its members."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gitml.cluster.driver import gang as gangs
from gitml.cluster.driver.attempt import ReservedBundle
from gitml.cluster.driver.gang import GangNode, GangScheduler, RayPlacementGroup, bundle_resources
from gitml.cluster.driver.node_pool import NodePool
from gitml.core.model.protocols import Task, TaskEvent, TaskFinished, TaskOutput, TaskStarted
from gitml.core.model.result import Cost
from gitml.errors import InputError
from gitml.execute.process_group import decode_rendezvous
from gitml.layout import GANG_VARIABLE
from gitml.store.local.store import LocalStore
from tests.kit.cluster.driver_session import machine
from tests.kit.execution import HOST, action_of


class DeclaredGroup(RayPlacementGroup):
    """Bundles that are there when they are declared."""

    def __init__(self) -> None:
        self.declared: list[GangNode] | Exception | None = None
        self.removed = 0

    def nodes(self) -> Sequence[GangNode] | None:
        if isinstance(self.declared, Exception):
            raise self.declared
        return self.declared

    def remove(self) -> None:
        self.removed += 1


class RecordedExecutor:
    """Notes what a gang asks of single attempts."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Task, ReservedBundle | None]] = []
        self.cancelled: list[tuple[str, bool]] = []
        self.fails_at: str | None = None

    def submit(self, task: Task, reserved: ReservedBundle | None = None) -> None:
        if task.attempt == self.fails_at:
            raise ValueError("no machine has room")
        self.submitted.append((task, reserved))

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        self.cancelled.append((attempt, now))


class Play:
    """One gang of two nodes on machines a and b."""

    def __init__(self, root: Path) -> None:
        self.node_pool = NodePool()
        self.node_pool.update([machine("a"), machine("b")])
        self.executor = RecordedExecutor()
        self.grows = False
        self.store = LocalStore(str(root / "store"))
        self.gangs = GangScheduler(
            self.executor.submit, self.executor.cancel, self.node_pool, self.store, lambda asked: self.grows
        )
        self.group = DeclaredGroup()
        action = action_of(["train"])._replace(settings=(("gang", (2, 2)),))
        asked = machine("a").total._replace(cpus=1, memory=0)
        self.task = Task("0-1", action, HOST, asked, None, False, str(root / "log"))
        self.gangs.submit(self.task, self.group)

    def get_nodes(self) -> None:
        self.group.declared = [
            GangNode(ReservedBundle(node, None), f"10.0.0.{number}", [number * 100, number * 100 + 1, number * 100 + 2])
            for number, node in enumerate("ab", 1)
        ]

    def poll(self) -> list[TaskEvent]:
        """What the scheduler has of a look at the gang."""
        self.gangs.poll()
        return self.gangs.translate([])

    def ended(self, node: int, outcome: str = "done", error: str | None = None, log: bytes = b"") -> list[TaskEvent]:
        """What the scheduler has of the end of one member."""
        kept = None
        if log:
            from gitml.core.records.record import LogRef

            kept = LogRef(self.store.put(log), len(log), len(log))
        cost = Cost(1.0 + node, 2.0, 100 * (node + 1))
        return self.gangs.translate(
            [TaskFinished(f"0-1.{node}", outcome, None if error else 0, error, None, (), {}, cost, kept)]
        )


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def test_nothing_begins_before_all_places_are_had_and_they_are_booked_meanwhile(play: Play) -> None:
    assert play.poll() == []
    assert not play.executor.submitted
    assert [play.node_pool.nodes[id].free.cpus for id in "ab"] == [1, 1]
    play.get_nodes()
    play.poll()
    assert [(task.attempt, reserved.node) for task, reserved in play.executor.submitted if reserved] == [
        ("0-1.0", "a"),
        ("0-1.1", "b"),
    ]
    assert [play.node_pool.nodes[id].free.cpus for id in "ab"] == [2, 2], "each member books for itself"


def test_each_node_is_told_of_all_and_which_it_is(play: Play) -> None:
    play.get_nodes()
    play.poll()
    for node, (task, _) in enumerate(play.executor.submitted):
        roster = decode_rendezvous(task.lent[GANG_VARIABLE])
        assert roster.node == node
        assert roster.nodes == (("10.0.0.1", (101, 102)), ("10.0.0.2", (201, 202)))
        assert roster.port == 100, "of the first node, and no process's own"


def test_members_stand_for_one_attempt_that_begins_once_and_is_done_when_all_are(play: Play) -> None:
    play.get_nodes()
    play.poll()
    assert play.gangs.translate([TaskStarted("0-1.0"), TaskStarted("0-1.1"), TaskStarted("9-1")]) == [
        TaskStarted("0-1"),
        TaskStarted("9-1"),
    ]
    assert play.gangs.translate([TaskOutput("0-1.1", "x")]) == [TaskOutput("0-1", "x")]
    assert play.ended(1, log=b"[2] two\n[3] no end of line") == []
    (finished,) = play.ended(0, log=b"[0] zero\n")
    assert isinstance(finished, TaskFinished)
    assert (finished.attempt, finished.outcome, finished.exit_code) == ("0-1", "done", 0)
    assert finished.cost == Cost(2.0, 4.0, 200), "the longest, the sum, the largest"
    assert finished.log is not None
    assert play.store.read(finished.log.digest) == b"[2] two\n[3] no end of line\n[0] zero\n"
    assert play.group.removed == 1
    assert not play.gangs


def test_the_first_that_fails_ends_the_others_and_is_the_verdict(play: Play) -> None:
    play.get_nodes()
    play.poll()
    assert play.ended(1, "failed", "exit status 3") == []
    assert play.executor.cancelled == [("0-1.0", False)]
    (finished,) = play.ended(0, "cancelled", "cancelled")
    assert isinstance(finished, TaskFinished)
    assert (finished.outcome, finished.error) == ("failed", "exit status 3")


def test_a_lost_member_is_a_lost_gang_and_its_node_is_named(play: Play) -> None:
    play.get_nodes()
    play.poll()
    play.ended(1, "lost", "its machine was lost")
    (finished,) = play.ended(0, "cancelled", "cancelled")
    assert isinstance(finished, TaskFinished)
    assert (finished.outcome, finished.error) == ("lost", "node 1 of its gang: its machine was lost")


def test_a_member_that_cannot_be_submitted_ends_the_gang(play: Play) -> None:
    play.executor.fails_at = "0-1.1"
    play.get_nodes()
    assert play.poll() == []
    assert play.executor.cancelled == [("0-1.0", True)], "the one that was"
    (finished,) = play.ended(0, "cancelled", "cancelled")
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "lost"
    assert "no machine has room" in (finished.error or "")


def test_places_that_cannot_be_had_are_a_loss(play: Play) -> None:
    play.group.declared = InputError("the group is gone")
    (finished,) = play.poll()
    assert isinstance(finished, TaskFinished)
    assert (finished.outcome, finished.error) == ("lost", "its machines could not be had: the group is gone")
    assert [play.node_pool.nodes[id].free.cpus for id in "ab"] == [2, 2]
    assert play.group.removed == 1


def test_a_gang_that_lacks_a_machine_for_long_is_lost(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.node_pool.update([machine("a")])
    assert play.poll() == [], "it may come back"
    monkeypatch.setattr(gangs, "PATIENCE", -1.0)
    (finished,) = play.poll()
    assert isinstance(finished, TaskFinished)
    assert "of 2 that it needs there is 1" in (finished.error or "")


def test_a_gang_waits_for_machines_that_an_autoscaler_may_add(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gangs, "PATIENCE", -1.0)
    play.grows = True
    play.node_pool.update([machine("a")])
    assert play.poll() == []
    assert play.gangs


def test_a_machine_that_refuses_its_environment_is_lacking(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gangs, "PATIENCE", -1.0)
    assert play.poll() == []
    play.node_pool.nodes["b"].refuses[HOST.digest] = "another python"
    (finished,) = play.poll()
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "lost"


def test_cancelling_before_and_after_it_began(play: Play) -> None:
    assert not play.gangs.cancel("other", now=True)
    assert play.gangs.cancel("0-1", now=False)
    (finished,) = play.poll()
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "cancelled"

    play.gangs.submit(play.task, play.group)
    play.get_nodes()
    play.poll()
    play.gangs.cancel("0-1", now=True)
    assert play.executor.cancelled == [("0-1.0", True), ("0-1.1", True)]
    assert play.ended(0, "cancelled", "cancelled") == []
    (finished,) = play.ended(1, "cancelled", "cancelled")
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "cancelled"


def test_the_log_grows_in_whole_lines_while_members_write(play: Play) -> None:
    play.get_nodes()
    play.poll()
    one, two = (Path(task.log) for task, _ in play.executor.submitted)
    one.write_bytes(b"[0] a\n[0] b")
    two.write_bytes(b"[2] c\n")
    play.poll()
    assert Path(play.task.log).read_bytes() == b"[0] a\n[2] c\n"
    with open(one, "ab") as file:
        file.write(b"b\n")
    play.poll()
    assert Path(play.task.log).read_bytes() == b"[0] a\n[2] c\n[0] bb\n"
    play.ended(0, log=b"[0] a\n[0] bb\n[0] end\n")
    (finished,) = play.ended(1, log=b"[2] c\n")
    assert isinstance(finished, TaskFinished)
    assert finished.log is not None
    assert play.store.read(finished.log.digest) == b"[0] a\n[2] c\n[0] bb\n[0] end\n"
    assert not one.exists()
    assert not two.exists()


@pytest.mark.parametrize(
    ("options", "bundle"),
    [
        ({"num_cpus": 0.0, "num_gpus": 0.0}, {"CPU": 0.001}),
        (
            {"num_cpus": 2.0, "num_gpus": 1.0, "memory": 7, "resources": {"licence": 1}},
            {"CPU": 2.0, "GPU": 1.0, "memory": 7, "licence": 1},
        ),
    ],
)
def test_a_place_holds_all_that_a_step_asks_for_and_something_at_least(
    options: dict[str, float], bundle: dict[str, float]
) -> None:
    assert bundle_resources(options) == bundle
