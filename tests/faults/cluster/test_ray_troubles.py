"""More that goes wrong on a cluster, each for real: what only one machine has, full memory and disks, clocks, cuts, impatience."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.cluster.test_ray_machines import (
    HEAD,
    MAKE,
    MIB,
    TWO,
    USE,
    attempts,
    begin,
    ended,
    held,
    hold,
    release,
)
from tests.kit.cluster.cluster_project import ClusterProject, cluster_project, step_of, until
from tests.kit.cluster.machines import machines, why_not
from tests.kit.cluster.ray_cluster import MachineOffer, RayCluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.cluster,
]

ZONES = (
    HEAD,
    MachineOffer(cpus=2, labels={"zone": "a"}),
    MachineOffer(cpus=2, labels={"zone": "b"}, custom={"licence": 1}),
)
BIG = bytes(range(256)) * 4096 * 24


@pytest.fixture
def lab() -> Iterator[ClusterProject]:
    """A cluster that may be broken."""
    with cluster_project(*ZONES) as lab:
        yield lab


# -- a machine that alone has something is lost

FIRST_MAKE = """
import sys
open(sys.argv[1], "wb").write(bytes(range(256)) * 4096 * 24)
"""
THEN_MAKE = """
import os, subprocess, sys, time
data = open(sys.argv[1], "rb").read()
sleeper = subprocess.Popen(["sleep", "4321"])
while os.path.exists("/root/hold"):
    time.sleep(0.1)
sleeper.kill()
open(sys.argv[2], "wb").write(data[::-1])
"""
CHAIN = """
steps:
  first:
    run: python3 src/first.py ${{ outputs.o }}
    outputs: {o: file}
    resources: {labels: {zone: "in(a,b)"}}
  then:
    run: python3 src/then.py ${{ steps.first.outputs.o }} ${{ outputs.o }}
    outputs: {o: file}
    resources: {labels: {zone: "in(a,b)"}}
"""


def test_a_machine_lost_with_the_only_copy_of_what_it_made_has_it_made_again_elsewhere(lab: ClusterProject) -> None:
    lab.project({"pipelines/p.yaml": CHAIN, "src/first.py": FIRST_MAKE, "src/then.py": THEN_MAKE})
    hold(lab, 2, 3)
    process = lab.start("run", "--json", "--on", "c")
    number = held(lab)
    # From now on nothing comes home from there, as if the network were slow …
    for pid in lab[number].processes("ray::BlobServer"):
        os.kill(pid, signal.SIGSTOP)
    release(lab, 2, 3)
    made = hashlib.sha256(BIG[::-1]).hexdigest()
    until("it is made", lambda: (lab.worker(number) / "objects" / made[:2] / made[2:]).exists(), 120)
    until("and reported", lambda: not lab[number].processes("sleep\x004321"), 60)
    assert process.poll() is None, "but not finished: it is not at home"
    # … and then the machine is gone, with what `first` made there too, which is at home
    lab.cluster.lab.kill(number)
    code, out, err = ended(process)
    assert code == 0, err
    run = json.loads(out)
    assert attempts(run, "first") == [(f"node{number}", "done")]
    assert attempts(run, "then") == [(f"node{number}", "lost"), (f"node{5 - number}", "done")]
    assert step_of(run, "then")["outputs"]["o"]["digest"] == f"sha256:{made}"
    lab.do("fsck")


HOLDER = """
import os, sys, subprocess, time
sleeper = subprocess.Popen(["sleep", "4321"])
while os.path.exists("/root/hold"):
    time.sleep(0.1)
sleeper.kill()
"""


def test_a_step_whose_machine_is_lost_while_all_others_are_full_waits_for_its_turn(lab: ClusterProject) -> None:
    step = "  {0}: {{run: python3 src/hold.py {0}, resources: {{cpus: 2, labels: {{zone: 'in(a,b)'}}}}}}\n"
    lab.project({"pipelines/p.yaml": "steps:\n" + step.format("one") + step.format("two"), "src/hold.py": HOLDER})
    hold(lab, 2, 3)
    process = lab.start("run", "--json", "--on", "c")
    for number in (2, 3):
        until("both run", lambda n=number: lab[n].processes("sleep\x004321"), 120)  # type: ignore[misc]
    lab.cluster.lab.kill(2)
    until("it is known", lambda: lab.cluster.alive() == 2, 120)
    time.sleep(3)  # and to the run
    assert process.poll() is None
    release(lab, 3)
    code, out, err = ended(process)
    assert code == 0, err
    run = json.loads(out)
    tries = sorted(attempts(run, name) for name in ("one", "two"))
    assert tries == [[("node2", "lost"), ("node3", "done")], [("node3", "done")]], out


# -- the network


def test_a_network_that_is_cut_for_a_moment_costs_nothing(lab: ClusterProject) -> None:
    lab.project({"pipelines/p.yaml": CHAIN, "src/first.py": FIRST_MAKE, "src/then.py": THEN_MAKE})
    hold(lab, 2, 3)
    process = lab.start("run", "--json", "--on", "c")
    number = held(lab)
    lab.cluster.lab.cut(number)
    time.sleep(2)
    lab.cluster.lab.heal(number)
    release(lab, 2, 3)
    code, out, err = ended(process)
    assert code == 0, err
    assert attempts(json.loads(out), "then") == [(f"node{number}", "done")]


def test_a_machine_that_was_cut_off_serves_again_when_it_is_started_again(lab: ClusterProject) -> None:
    process = begin(lab)
    number = held(lab)
    release(lab, 2, 3)
    lab.cluster.lab.cut(number)
    code, _, err = ended(process, 240)
    assert code == 0, err
    lab.cluster.lab.heal(number)
    node = lab.cluster.nodes[number]
    with suppress(subprocess.TimeoutExpired):  # Ray ends itself there once it is told that it was given up
        node.wait(60)
    until("the step there ends too", lambda: not lab[number].processes("sleep\x004321"), 90)
    lab.cluster.end(number)
    lab.cluster.start(number)
    until("it is back", lambda: lab.cluster.alive() == 3, 120)
    zone = "a" if number == 2 else "b"
    lab.project({"pipelines/p.yaml": f"steps:\n  s: {{run: sh -c true, resources: {{labels: {{zone: {zone}}}}}}}\n"})
    assert attempts(lab.run(), "s") == [(f"node{number}", "done")]


# -- full memory, full disks

HOG = """
import pickle, time
import ray
ray.init(address="auto", log_to_driver=False)
held = []
while True:
    try:
        held.append(ray.get(ray.put(pickle.PickleBuffer(bytearray(4 << 20)))))  # in use, so Ray can't move it
    except ray.exceptions.ObjectStoreFullError:
        break
    if len(held) * 4 >= 92:   # of 95 MiB
        break
open("/root/full", "w").write(str(len(held)))
time.sleep(3600)
"""


def test_contents_go_through_machines_whose_object_stores_are_full(lab: ClusterProject) -> None:
    hogs = []
    for number in (1, 2, 3):
        hogs.append(
            lab[number].start(
                "python", "-c", HOG, env=lab.cluster.environ(), log=Path(f"{lab[number].root}/root/hog.log")
            )
        )
    for number in (1, 2, 3):
        until("it is full", Path(f"{lab[number].root}/root/full").exists, 120)
    try:
        lab.project({"pipelines/p.yaml": TWO.replace(", gpus: 0.5", ""), "src/make.py": MAKE, "src/use.py": USE})
        run = lab.run()
        assert [attempts(run, name) for name in ("make", "use")] == [[("node2", "done")], [("node3", "done")]]
        assert step_of(run, "use")["metrics"] == {"size": 24 * MIB}
        assert all(hog.poll() is None for hog in hogs), "they were full to the end"
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_a_step_that_finds_no_room_on_a_disk_goes_to_another_machine(lab: ClusterProject) -> None:
    place = f"{lab[3].home}/.cache/gitml/worker"
    lab[3].small_disk(place, "1m")
    lab[3].do("sh", "-c", f"head -c 1m /dev/zero > {place}/fill || true")
    steps = "".join(
        f"  s{n}: {{run: 'sh src/s.sh ${{{{ outputs.o }}}} {n}', outputs: {{o: file}}, "
        "resources: {labels: {zone: 'in(a,b)'}}}\n"
        for n in range(4)
    )
    lab.project({"pipelines/p.yaml": "steps:\n" + steps, "src/s.sh": "echo $2 > $1\n" + "# long\n" * 1000})
    run = lab.run()
    assert {attempts(run, f"s{n}")[-1] for n in range(4)} == {("node2", "done")}


# -- clocks

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long skew(void) { const char *s = getenv("CLOCK_SKEW"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, t);
    if (!code && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += skew();
    return code;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""
TELL_TIME = """
import json, sys, time
json.dump({"now": time.time()}, open(sys.argv[1], "w"))
"""
CLOCKS = """
steps:
  ahead:
    run: python3 src/tell.py ${{ outputs.m }}
    outputs: {m: metrics}
    env: {LD_PRELOAD: null, CLOCK_SKEW: null}  # as they are on its machine
    resources: {labels: {zone: a}}
  behind:
    run: python3 src/tell.py ${{ outputs.m }} behind
    after: [ahead]
    outputs: {m: metrics}
    env: {LD_PRELOAD: null, CLOCK_SKEW: null}  # as they are on its machine
    resources: {labels: {zone: b}}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: install gcc")
def test_machines_whose_clocks_are_days_apart_work_together(tmp_path: Path) -> None:
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    days = 86400.0
    with machines(3, [str(tmp_path)]) as isolated:
        cluster = RayCluster(isolated, ZONES)
        cluster.own[2] = {"LD_PRELOAD": str(library), "CLOCK_SKEW": str(int(2 * days))}
        cluster.own[3] = {"LD_PRELOAD": str(library), "CLOCK_SKEW": str(int(-2 * days))}
        cluster.start_all()
        lab = ClusterProject(cluster)
        lab.project({"pipelines/p.yaml": CLOCKS, "src/tell.py": TELL_TIME})
        run = lab.run()
        told = [step_of(run, name)["metrics"]["now"] for name in ("ahead", "behind")]
        assert told[0] - told[1] > 3.9 * days, "the clocks were apart"
        for name in ("ahead", "behind"):
            assert 0 <= step_of(run, name)["cost"]["wall"] < 600
            assert 0 <= step_of(run, name)["seconds"] < 600
        assert {step["outcome"] for step in lab.run()["steps"]} == {"reused"}
        lab.project({"pipelines/p.yaml": TWO.replace(", gpus: 0.5", ""), "src/make.py": MAKE, "src/use.py": USE})
        assert step_of(lab.run(), "use")["metrics"] == {"size": 24 * MIB}


# -- who can't wait

DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: open("/root/heard", "w"))
subprocess.Popen(["setsid", "sleep", "4321"], preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
print("held", flush=True)
while True:
    time.sleep(1)
"""


def test_interrupting_twice_kills_what_does_not_heed_the_first(lab: ClusterProject) -> None:
    text = "steps:\n  deaf: {run: python3 src/deaf.py, resources: {labels: {zone: 'in(a,b)'}}}\n"
    lab.project({"pipelines/p.yaml": text, "src/deaf.py": DEAF})
    process = lab.start("run", "--json", "--on", "c")
    number = held(lab)
    (gitml,) = [pid for pid in lab[1].processes("gitml\x00run") if b"nsenter" not in _command(pid)][:1]
    os.kill(gitml, signal.SIGINT)
    until("it was asked", Path(f"{lab[number].root}/root/heard").exists, 60)
    os.kill(gitml, signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, err
    run = json.loads(out)
    assert (run["status"], step_of(run, "deaf")["outcome"]) == ("cancelled", "cancelled")
    assert not lab[number].processes("sleep\x004321")
    assert not lab[number].processes("deaf.py")
    assert lab.do("logs", run["run"], "deaf").stdout == "held\n"


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
