"""Which machine a step is meant for, and when no more is submitted."""

from __future__ import annotations

from gitml.cluster.driver.attempt import LogAssembler
from gitml.cluster.driver.node_pool import NodePool
from gitml.core.model.digest import digest_of
from gitml.core.model.resources import Machine, Resources


def machine(id: str, cpus: float = 2, gpus: float = 0, **labels: str) -> Machine:
    has = Resources(cpus, gpus, 1 << 30, labels)
    return Machine(id, id, "127.0.0.1", False, has, has)


def node_pool(*machines: Machine) -> NodePool:
    made = NodePool()
    made.update(machines)
    return made


def test_a_step_goes_to_a_machine_that_has_what_it_asks_for() -> None:
    made = node_pool(machine("a", zone="x"), machine("b", gpus=1, zone="y"))
    for asked, id in (
        (Resources(gpus=1), "b"),
        (Resources(labels={"zone": "x"}), "a"),
        (Resources(labels={"zone": "!x"}), "b"),
    ):
        node = made.select(asked)
        assert node is not None
        assert node.machine.id == id
    assert made.select(Resources(gpus=2)) is None
    assert made.select(Resources(labels={"zone": "z"})) is None


def test_large_inputs_draw_a_step_and_else_the_freest_machine_does() -> None:
    made = node_pool(machine("a"), machine("b", cpus=8))
    made.nodes["a"].holds.add("tree:1")
    free = made.select(Resources(), None, ["tree:1"])
    made.add_sizes({"tree:1": 1 << 20})
    near = made.select(Resources(), None, ["tree:1"])
    assert near is not None
    assert free is not None
    assert (near.machine.id, free.machine.id) == ("a", "b")


def test_no_more_is_taken_than_there_is_unless_steps_are_short() -> None:
    made = node_pool(machine("a"))
    taken = 0
    while (node := made.select(Resources())) is not None:
        made.acquire(node, Resources())
        taken += 1
    assert taken == 2
    for _ in range(20):
        made.release("a", Resources(), False, 0.01)
        node = made.select(Resources())
        assert node is not None
        made.acquire(node, Resources())
    ahead = 0
    while (node := made.select(Resources())) is not None:
        assert made.acquire(node, Resources())
        ahead += 1
    assert ahead == 4, "two more than it has CPUs"


def test_a_machine_that_refused_an_environment_is_passed_over_for_it_alone() -> None:
    made = node_pool(machine("a", cpus=8), machine("b"))
    one, other = digest_of(b"1"), digest_of(b"2")
    made.nodes["a"].refuses[one] = "another python"
    places = [made.select(Resources(), environment) for environment in (one, other)]
    assert [place and place.machine.id for place in places] == ["b", "a"]
    assert (made.refusing(one), made.refusing(other)) == (frozenset("a"), frozenset())
    assert [node.machine.id for node in made.with_room(Resources(), one)] == ["b"]
    assert (made.why_refused(Resources(8), one), made.why_refused(Resources(8), other)) == ("another python", None)


def test_a_machine_that_went_and_came_back_holds_nothing_that_is_known() -> None:
    made = node_pool(machine("a"), machine("b"))
    made.nodes["a"].holds.add("blob:1")
    assert made.update([machine("b")]) == ["a"]
    assert made.update([machine("a"), machine("b")]) == []
    assert made.nodes["a"].holds == set()


def test_pieces_of_a_log_make_one_whole_in_whatever_order_they_come(tmp_path: object) -> None:
    log = LogAssembler(f"{tmp_path}/logs/1.log")
    for position, piece in ((3, b"def"), (0, b"abc"), (0, b"abc"), (2, b"cdefgh"), (8, b"")):
        log.write(position, piece)
    log.close()
    log.write(8, b"i")
    log.close()
    assert log.size == 9
    with open(log.path, "rb") as file:
        assert file.read() == b"abcdefghi"
