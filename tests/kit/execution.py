"""A real repository, a real store and a local executor to perform Tasks with."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gitml.core.model.action import Action, ActionInput, ActionOutput, CodeFile, Scalar, StepCommit
from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment, EnvironmentSource, EnvironmentSpec, environment_of
from gitml.core.model.protocols import Task, TaskEvent, TaskFinished
from gitml.core.model.resources import Resources
from gitml.execute.environments.environments import Environments
from gitml.execute.interfaces import WorkerServices
from gitml.execute.local_executor import LocalExecutor
from gitml.execute.sandbox.location import sandbox_roots
from gitml.execute.sandbox.namespace import MOUNTED, available
from gitml.git.lfs.pointer import local_lfs_object
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from gitml.store.local.store import LocalStore
from tests.kit.patience import PATIENCE

GIT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}
ON_HOST = EnvironmentSource(EnvironmentSpec())
HOST = environment_of(
    {"kind": "host", "platform": "test", "python": None, "distributions": [], "programs": {}}, ON_HOST
)


@cache
def mounts() -> bool:
    """Whether sandboxes are mounted at the fixed path on this machine."""
    return available()[0]


class MemoryFacts:
    """Facts of one process."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}
        self.asked = 0

    def fact(self, kind: str, id: str) -> Any | None:
        self.asked += 1
        return self.kept.get((kind, id))

    def remember(self, kind: str, id: str, value: Any) -> None:
        self.kept[kind, id] = value


class ExecutionBench:
    """A repository at `root`, its store, and executors over them."""

    def __init__(self, root: Path, machine: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.repo = str(root / "repo")
        self.live = str(root / "repo/.git/gitml/live/run")
        apart = None if mounts() else sandbox_roots(self.live, os.environ).apart
        self.sandboxes = apart or self.live
        self.machine = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", **(machine or {})}
        os.mkdir(self.repo)
        self.git("init", "-q", "-b", "main")
        os.makedirs(self.live)
        self.store = LocalStore(self.repo + "/.git/gitml")
        self.executors: list[LocalExecutor] = []
        self.number = 0

    def git(self, *words: str, data: bytes | None = None) -> str:
        ran = subprocess.run(
            ["git", *words], cwd=self.repo, env={**os.environ, **GIT_ENV}, input=data, capture_output=True, check=True
        )
        return ran.stdout.decode().strip()

    def blob(self, content: bytes | str) -> str:
        data = content.encode() if isinstance(content, str) else content
        return self.git("hash-object", "-w", "--stdin", data=data)

    def tree(self, files: Mapping[str, bytes | str]) -> str:
        """A Git tree with these files; a name that ends in ``*`` is executable, in ``@`` a symbolic link."""
        lines = []
        below: dict[str, dict[str, bytes | str]] = {}
        for path, content in files.items():
            head, _, rest = path.partition("/")
            if rest:
                below.setdefault(head, {})[rest] = content
                continue
            mode = {"*": "100755", "@": "120000"}.get(path[-1], "100644")
            lines.append(f"{mode} blob {self.blob(content)}\t{path.rstrip('*@')}")
        lines += [f"040000 tree {self.tree(inner)}\t{name}" for name, inner in below.items()]
        return self.git("mktree", data="\n".join(lines).encode() + b"\n")

    def services(self) -> WorkerServices:
        location = discover(self.repo, {**os.environ, **GIT_ENV})
        return WorkerServices(
            LocalStore(self.repo + "/.git/gitml"),
            Objects(location).files,
            lambda digest: local_lfs_object(location, digest),
            Environments(MemoryFacts(), str(self.root / "cache"), self.machine),
        )

    def executor(self, slots: int = 2, capacity: Resources | None = None, **more: Any) -> LocalExecutor:
        executor = LocalExecutor(self.services, self.live, slots, capacity or Resources(2, 0, 2**32), **more)
        self.executors.append(executor)
        return executor

    def close(self) -> None:
        for executor in self.executors:
            executor.close()

    def task(self, *argv: str, **more: Any) -> Task:
        """A Task for this command; see `action_of` for what else may be said."""
        self.number += 1
        attempt = f"a{self.number}"
        said = {
            name: more.pop(name)
            for name in ("timeout", "strict", "network", "resources", "log", "environment", "caches", "caches_of")
            if name in more
        }
        return Task(
            attempt=attempt,
            action=action_of(argv, **more),
            environment=said.get("environment", HOST),
            resources=said.get("resources", Resources()),
            timeout=said.get("timeout"),
            strict=said.get("strict", False),
            log=said.get("log", f"{self.live}/{attempt}.log"),
            network=said.get("network", "full"),
            caches=said.get("caches", ()),
            caches_of=said.get("caches_of", "a-repository"),
        )

    def run(self, *argv: str, **more: Any) -> TaskFinished:
        """Performs one command alone."""
        if not self.executors:
            self.executor()
        return finish(self.executors[0], self.task(*argv, **more))

    def shell(self, script: str, **more: Any) -> TaskFinished:
        return self.run(script, shell="bash", **more)

    def stores(self) -> list[LocalStore]:
        """Every Store that a step's contents may be in."""
        return [self.store]

    def left(self) -> list[str]:
        """Sandboxes that are still there."""
        folders = [folder for folder in {self.live, self.sandboxes} if os.path.isdir(folder)]
        names = [name for folder in folders for name in os.listdir(folder)]
        return [name for name in names if name != "lock" and not name.endswith(".log")]

    def seen(self, attempt: str) -> str:
        """The sandbox of an attempt as its step sees it."""
        return MOUNTED if mounts() else f"{self.sandboxes}/{attempt}"

    def log(self, finished: TaskFinished) -> bytes:
        return self.store.read(finished.log.digest) if finished.log else b""

    def output(self, finished: TaskFinished, name: str) -> bytes:
        return self.store.read(next(ref.digest for ref in finished.outputs if ref.name == name))


def action_of(
    argv: Sequence[str],
    *,
    shell: str | None = None,
    params: Mapping[str, Scalar] | None = None,
    code: Sequence[tuple[str, str, str]] = (),
    inputs: Sequence[tuple[str, str, str, str]] = (),
    outputs: Sequence[tuple[str, str, str]] = (),
    env: Mapping[str, str | None] | None = None,
    environment: Digest = HOST.digest,
    repository: StepCommit | None = None,
) -> Action:
    return Action(
        argv=tuple(argv),
        shell=shell,
        params=tuple((params or {}).items()),
        code=tuple(CodeFile(*item) for item in code),
        inputs=tuple(ActionInput(*item) for item in inputs),
        outputs=tuple(ActionOutput(*item) for item in outputs),
        env=tuple((env or {}).items()),
        environment=environment,
        repository=repository,
    )


def finish(executor: LocalExecutor, task: Task, seconds: float = PATIENCE) -> TaskFinished:
    executor.submit(task)
    return until_finished(executor, task.attempt, seconds)[-1]  # type: ignore[return-value]


def until_finished(executor: LocalExecutor, attempt: str, seconds: float = PATIENCE) -> list[TaskEvent]:
    return until(executor, lambda event: isinstance(event, TaskFinished) and event.attempt == attempt, seconds)


def until(executor: LocalExecutor, wanted: Callable[[TaskEvent], bool], seconds: float = PATIENCE) -> list[TaskEvent]:
    """The events up to and with the first that is wanted."""
    events: list[TaskEvent] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in executor.wait(deadline - time.monotonic()):
            events.append(event)
            if wanted(event):
                return events
    raise AssertionError(f"not within {seconds} s: {events}")


def until_true(what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits for something to come true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def processes_with(mark: str) -> list[int]:
    """The processes whose command line or environment holds `mark`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in words:
                found.append(int(name))
    return found


def runs(pid: int) -> bool:
    """Whether a process is there; one that ended and waits for its parent to look is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rfind(b")") + 2 :][:1] not in (b"Z", b"X")


def gone(mark: str, seconds: float = 10.0) -> bool:
    """Whether no process with `mark` in its command line is left within `seconds`."""
    deadline = time.monotonic() + seconds
    while processes_with(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def environment(**description: Any) -> Environment:
    return environment_of(description, ON_HOST)
