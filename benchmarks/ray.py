"""Steps on a cluster beside bare Ray: what a step costs over a Ray task that starts the same process, what the driver needs of
memory for many, and what moving a large file between two machines takes beside Ray's own stream."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import commit_all, environment, fresh, measured, program
from benchmarks.report import megabytes, save, seconds, table
from gitml.cluster.connect.cluster import connect
from gitml.cluster.content.blob_server import GROUPS, BlobServer
from gitml.cluster.content.piece_transfer import PIECE
from gitml.cluster.worker.folder import FolderSpec
from gitml.core.config.project import RayTarget

CPUS = 2
COMMANDS = {
    "sh": ["sh", "-c", 'echo "$1" > "$0"'],
    "python": [os.path.realpath(sys.executable), "-c", 'import sys; open(sys.argv[1], "w").write(sys.argv[2])'],
}


@contextmanager
def cluster(root: str) -> Iterator[Any]:
    """A Ray of gitml's own, joined by this process."""
    os.environ["PYTHONPATH"] = os.getcwd()
    environ = {**environment(), "PYTHONPATH": os.getcwd(), "XDG_CACHE_HOME": os.path.join(root, "cache")}
    found = connect(RayTarget("bench", "local", has={"cpus": CPUS}), environ)
    try:
        found.join()
        yield found
    finally:
        found.close()


def bare(command: list[str], count: int, folder: str) -> float:
    """Seconds for `count` Ray tasks that each run the command, all submitted at once."""
    import ray

    def perform(number: int) -> int:
        return subprocess.run([*command, os.path.join(folder, str(number)), str(number)], check=True).returncode

    work: Any = ray.remote(max_retries=0)(perform)
    ray.get([work.remote(number) for number in range(-8, 0)])  # workers start
    begin = time.perf_counter()
    ray.get([work.remote(number) for number in range(count)])
    return time.perf_counter() - begin


def gitml(root: str, found: Any, command: list[str], count: int, round: int) -> tuple[float, float, int]:
    """(seconds from the first step's start to the end of the run, of the whole command, peak bytes of the driver)."""
    target = f"targets: {{c: {{ray: '{found.address}', token: {found.target.token}}}}}\n"
    words = " ".join([json.dumps(word) if " " not in word else "'" + word + "'" for word in command])
    step = (
        f"name: p\nsteps:\n  s:\n    run: >-\n      {words} ${{{{ outputs.o }}}} ${{{{ matrix.n }}}}\n"
        f"    outputs: {{o: file}}\n    matrix: {{n: [{', '.join(str(round * 100_000 + n) for n in range(count))}]}}\n"
    )
    os.makedirs(os.path.join(root, "pipelines"), exist_ok=True)
    for path, text in {"gitml.yaml": target, "pipelines/p.yaml": step}.items():
        with open(os.path.join(root, path), "w") as file:
            file.write(text)
    commit_all(root, "a run")
    environ = {**environment(), "PYTHONPATH": os.getcwd(), "XDG_CACHE_HOME": os.path.join(root, "../cache")}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [program("gitml", "gitml") if "BENCH_GITML" in os.environ else f"{os.path.dirname(sys.executable)}/gitml",
         "run", "--json", "--on", "c", "--no-reuse"],
        cwd=root, env=environ, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    whole = time.perf_counter() - begin
    run = json.loads(out)
    if status or run["status"] != "succeeded":
        raise SystemExit(f"the run failed: {out[-2000:].decode()}")
    started = min(attempt["started"] for step in run["steps"] for attempt in step["attempts"])
    return run["ended"] - started, whole, usage.ru_maxrss * 1024


def moved(size: int, root: str) -> dict[str, list[float]]:
    """MB/s of moving a file from one Ray node to another: Ray's own stream, the same written to a file, and depots."""
    import ray
    from ray.cluster_utils import Cluster
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    os.environ["RAY_TMPDIR"] = "/tmp/gitml-bench"  # the names of its sockets must be short
    memory = 512 << 20
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    nodes.add_node(num_cpus=1, object_store_memory=memory)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="error")
    first, second = [
        NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in ray.nodes() if node["Alive"]
    ]
    places = [FolderSpec(os.path.join(root, name)) for name in ("one", "two")]
    name = _make(places[0], size)
    actor = ray.remote(num_cpus=0, concurrency_groups=GROUPS)(BlobServer)
    one = actor.options(scheduling_strategy=first).remote(places[0])
    two = actor.options(scheduling_strategy=second).remote(places[1])
    source = places[0].open(os.environ).open(name).name

    def read() -> Iterator[bytes]:
        with open(source, "rb", buffering=0) as file:
            while piece := file.read(PIECE):
                yield piece

    give: Any = ray.remote(num_cpus=0, num_returns="streaming", _generator_backpressure_num_objects=8)(read)

    def receive(path: str | None) -> int:
        count = 0
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if path else -1
        for ref in give.options(scheduling_strategy=first).remote():
            piece = ray.get(ref)
            count += len(piece)
            if fd >= 0:
                os.write(fd, piece)
        if fd >= 0:
            os.fsync(fd)
        return count

    take: Any = ray.remote(num_cpus=0)(receive)

    def fetched() -> None:
        ray.get(two.copy_from.remote(one, name, size))

    ways: dict[str, Callable[[], Any]] = {
        "Ray's stream": lambda: ray.get(take.options(scheduling_strategy=second).remote(None)),
        "Ray's stream into a file, synced": lambda: ray.get(
            take.options(scheduling_strategy=second).remote(os.path.join(root, "file"))
        ),
        "gitml, verified and kept": fetched,
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for number in range(4):
            for way, move in ways.items():
                begin = time.perf_counter()
                move()
                if number:
                    speeds[way].append(size / 1e6 / (time.perf_counter() - begin))
                if move is fetched:
                    os.unlink(places[1].open(os.environ).open(name).name)
    finally:
        ray.shutdown()
        nodes.shutdown()
    return speeds


def _make(place: FolderSpec, size: int) -> str:
    """Puts a Blob of that many random bytes into the folder of a machine; its name."""
    import hashlib

    block = os.urandom(1 << 20)
    hasher = hashlib.sha256()
    for _ in range(size >> 20):
        hasher.update(block)
    name = f"blob:{hasher.hexdigest()}"
    arriving = place.open(os.environ).open_writer(name, size)
    for _ in range(size >> 20):
        arriving.write(block)
    arriving.commit()
    return name


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=2 << 30)
    parser.add_argument("--disk", help="where the two nodes keep contents: a folder in memory leaves the disk out")
    parser.add_argument("--only", choices=("steps", "many", "cached", "moving"))
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS))
    options = parser.parse_args()
    results: dict[str, Any] = {}
    root = fresh("ray")
    if options.only != "moving":
        with cluster(root) as found:
            if options.only in (None, "steps"):
                results["steps"] = steps(root, found, options)
            if options.only in (None, "many"):
                results["many"] = many(root, found, options.steps, options.many)
            if options.only in (None, "cached"):
                results["cached"] = cached(root, found, options.rounds)
    if options.only in (None, "moving"):
        results["moving"] = speeds = moved(options.size, options.disk or root)
        alone, *_ = speeds.values()
        rows = [
            [
                way,
                f"{statistics.median(values):.0f}",
                f"{statistics.median(one / other for one, other in zip(values, alone, strict=True)):.2f}x",
            ]
            for way, values in speeds.items()
        ]
        print(table([f"moving {options.size >> 20} MiB between two nodes", "MB/s", "of Ray's stream"], rows))
    print(save("ray", results))
    return 0


def steps(root: str, found: Any, options: argparse.Namespace) -> dict[str, Any]:
    """The cost of a step, by command."""
    rows, results, count = [], {}, options.steps
    for name in options.commands:
        command = COMMANDS[name]
        pairs = []
        for number in range(options.rounds):
            folder = os.path.join(root, f"bare-{name}-{number}")
            os.makedirs(folder)
            alone = bare(command, count, folder)
            ours, _, _ = gitml(os.path.join(root, name), found, command, count, number)
            pairs.append((alone, ours))
        results[name] = pairs
        alone, ours = (statistics.median(pair[which] for pair in pairs) for which in (0, 1))
        ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
        rows.append([name, seconds(alone / count * 1000), seconds(ours / count * 1000), f"{ratio:.2f}x"])
    print(table([f"{count} steps, {CPUS} at once", "bare Ray task, ms", "step, ms", "ratio"], rows))
    return results


def cached(root: str, found: Any, rounds: int) -> dict[str, list[float]]:
    """Seconds of a run that reuses all of its ten steps, on the cluster and on this machine, in turn."""
    place = os.path.join(root, "cached")
    gitml(place, found, COMMANDS["sh"], 10, 0)
    environ = {**environment(), "PYTHONPATH": os.getcwd(), "XDG_CACHE_HOME": os.path.join(root, "cache")}
    command = [f"{os.path.dirname(sys.executable)}/gitml", "run"]
    ways = {"--on c": [*command, "--on", "c"], "on this machine": command}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(5 * rounds + 1):
        for way, words in ways.items():
            sample = measured(words, place, environ)
            if number:
                spent[way].append(sample.wall)
    there, here = spent.values()
    ratio = statistics.median(one / other for one, other in zip(there, here, strict=True))
    rows = [[way, seconds(statistics.median(values))] for way, values in spent.items()]
    print(table([f"cached run of ten steps (ratio {ratio:.2f}x)", "s"], rows))
    return spent


def many(root: str, found: Any, few: int, count: int) -> dict[str, Any]:
    """What many steps cost each, and of the driver's memory."""
    rows, results = [], {}
    for number in (few // 10, few, count):
        spent, _, peak = gitml(os.path.join(root, f"many-{number}"), found, COMMANDS["sh"], number, 0)
        results[str(number)] = [spent, peak]
        rows.append([str(number), seconds(spent), seconds(spent / number * 1000), megabytes(peak)])
    print(table(["steps", "s", "ms each", "driver's peak MB"], rows))
    return results


if __name__ == "__main__":
    sys.exit(main())
