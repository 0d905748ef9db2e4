"""Whether machines can ever fulfil a wish, and how it is told what is missing and what there is."""

from __future__ import annotations

import pytest

from gitml.cluster.connect.machines import (
    ACCELERATOR,
    Machine,
    carries,
    label_selector,
    resources_of,
    unsatisfiable,
)
from gitml.core.model.resources import Resources

GIB = 1 << 30


def machine(name: str, cpus: float = 4, gpus: float = 0, memory: int = 8 * GIB, **more: object) -> Machine:
    has = Resources(cpus, gpus, memory, **more)  # type: ignore[arg-type]
    return Machine(name, name, f"10.0.0.{len(name)}", name == "head", has, has)


HEAD = machine("head")
BIG = machine("big", 16, 2, 64 * GIB, labels={"zone": "a"}, custom={"licence": 1})
FAR = machine("far", 8, 0, labels={"zone": "b"})


@pytest.mark.parametrize(
    ("asked", "nodes", "missing"),
    [
        (Resources(), 1, None),
        (Resources(16, 2, 64 * GIB, {"zone": "a"}, {"licence": 1}), 1, None),
        (Resources(0.5, 0.5), 1, None),
        (Resources(), 3, None),
        (Resources(32), 1, "32 cpus (the most on one machine is 16)"),
        (Resources(gpus=4), 1, "4 gpus (the most on one machine is 2)"),
        (Resources(memory=65 * GIB), 1, "65 GiB memory (the most on one machine is 64 GiB)"),
        (Resources(custom={"seat": 1}), 1, "1 seat (there are none)"),
        (Resources(custom={"licence": 2}), 1, "2 licence (the most on one machine is 1)"),
        (Resources(labels={"zone": "c"}), 1, "label zone=c (there is a, b)"),
        (Resources(labels={"disk": "ssd"}), 1, "label disk=ssd (no machine has that label)"),
        (Resources(32, 4), 1, "32 cpus (the most on one machine is 16), 4 gpus (the most on one machine is 2)"),
        (
            Resources(4, 1, labels={"zone": "b"}),
            1,
            "4 cpus, 1 gpu, label zone=b on one machine (the nearest, big, lacks label zone=b)",
        ),
        (Resources(), 4, "4 machines with 1 cpu (there are 3)"),
        (Resources(8), 3, "3 machines with 8 cpus (there are 2)"),
    ],
)
def test_what_is_missing_is_told_with_what_there_is(asked: Resources, nodes: int, missing: str | None) -> None:
    assert unsatisfiable(asked, nodes, [HEAD, BIG, FAR]) == missing


def test_a_cluster_without_machines_fulfils_nothing() -> None:
    assert unsatisfiable(Resources(), 1, []) == "a machine (there is none)"


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [("a", "a"), ("!a", "b-"), ("in(a,b)", "ab"), ("in( a , c )", "a"), ("!in(a,b)", "-"), ("b", "b")],
)
def test_labels_are_compared_as_ray_does(wanted: str, fitting: str) -> None:
    labels = {"a": {"zone": "a"}, "b": {"zone": "b"}, "-": {}}
    assert "".join(name for name, has in labels.items() if carries(has, "zone", wanted)) == fitting


def test_an_accelerator_means_the_type_that_ray_found_unless_machines_have_that_label() -> None:
    found = machine("gpu", gpus=1, labels={ACCELERATOR: "H100"})
    assert label_selector({"accelerator": "h100", "zone": "a"}, [HEAD, found]) == {"zone": "a", ACCELERATOR: "H100"}
    assert unsatisfiable(Resources(labels={"accelerator": "h100"}), 1, [HEAD, found]) is None
    labelled = machine("gpu", gpus=1, labels={"accelerator": "h100"})
    assert label_selector({"accelerator": "h100"}, [found, labelled]) == {"accelerator": "h100"}
    assert unsatisfiable(Resources(labels={"accelerator": "a100"}), 1, [found]) is not None


def test_what_ray_keeps_its_own_books_by_is_no_resource() -> None:
    raw = {
        "CPU": 4.0,
        "GPU": 1.0,
        "memory": 8.0 * GIB,
        "object_store_memory": 5.0,
        "node:10.0.0.1": 1.0,
        "node:__internal_head__": 1.0,
        "accelerator_type:H100": 1.0,
        "licence": 2.0,
        "CPU_group_0_0123456789abcdef0123456789abcdef": 1.0,
        "bundle_group_0123456789abcdef": 1000.0,
    }
    assert resources_of(raw, {"zone": "a"}) == Resources(
        4, 1, 8 * GIB, {"zone": "a", ACCELERATOR: "H100"}, {"licence": 2}
    )
