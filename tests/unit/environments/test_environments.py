from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gitml
from gitml.core.model.environment import REQUIREMENTS, EnvironmentSource, EnvironmentSpec
from gitml.errors import InputError
from gitml.execute.environments.environments import Environments
from tests.kit.execution import ON_HOST, ExecutionBench, MemoryFacts, finish
from tests.kit.patience import PATIENCE
from tests.kit.servers.package_index import wheel

OLD = time.time() - 1000


def requirements_at(path: str, content: bytes) -> EnvironmentSource:
    """A requirements file of a commit."""
    return EnvironmentSource(EnvironmentSpec(REQUIREMENTS, path), ((path, content),))


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment with one distribution, its times long past."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    install(place, "first", "1.0")
    return place


def site_of(venv: Path) -> Path:
    return next(venv.glob("lib/python3*/site-packages"))


def install(venv: Path, name: str, version: str, direct_url: str | None = None) -> None:
    info = site_of(venv) / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    if direct_url:
        (info / "direct_url.json").write_text(direct_url)
    os.utime(site_of(venv), (OLD, OLD))


def environments(tmp_path: Path, venv: Path, facts: MemoryFacts | None = None, **more: str) -> Environments:
    machine = {"PATH": f"{venv}/bin:/usr/bin:/bin", "HOME": str(tmp_path), **more}
    return Environments(facts or MemoryFacts(), str(tmp_path / "cache"), machine, str(tmp_path))


def test_the_host_is_named_by_the_python_of_its_path_and_what_is_installed(tmp_path: Path, venv: Path) -> None:
    environment = environments(tmp_path, venv).identify(ON_HOST)
    version = ".".join(map(str, sys.version_info[:3]))
    assert environment.description["python"] == f"CPython {version}"
    assert list(environment.description["distributions"]) == ["first 1.0"]
    assert environment.description["platform"] == f"linux-{os.uname().machine}"


def test_a_distribution_more_or_of_another_version_is_another_environment(tmp_path: Path, venv: Path) -> None:
    facts = MemoryFacts()
    names = {environments(tmp_path, venv, facts).identify(ON_HOST).digest}
    install(venv, "Second_Thing", "2.0")
    second = environments(tmp_path, venv, facts).identify(ON_HOST)
    assert list(second.description["distributions"]) == ["first 1.0", "second-thing 2.0"]
    names.add(second.digest)
    shutil.rmtree(site_of(venv) / "first-1.0.dist-info")
    install(venv, "first", "1.1")
    names.add(environments(tmp_path, venv, facts).identify(ON_HOST).digest)
    assert len(names) == 3


def test_gitml_itself_does_not_count(tmp_path: Path, venv: Path) -> None:
    before = environments(tmp_path, venv).identify(ON_HOST)
    install(venv, "gitml", "9.9")
    assert environments(tmp_path, venv).identify(ON_HOST) == before
    here = Path(gitml.__file__).parents[1]
    (site_of(venv) / "_editable_impl_gitml.pth").write_text(f"{here}\n")
    install(venv, "gitml", "9.10", f'{{"url": "file://{here}", "dir_info": {{"editable": true}}}}')
    assert environments(tmp_path, venv).identify(ON_HOST) == before


def test_the_code_of_an_editable_install_counts(tmp_path: Path, venv: Path) -> None:
    project = tmp_path / "my project"
    (project / "pkg").mkdir(parents=True)
    (project / "pkg/a.py").write_text("x = 1")
    url = f'{{"url": "file://{project}", "dir_info": {{"editable": true}}}}'.replace(" project", "%20project")
    install(venv, "mine", "0", url)
    first = environments(tmp_path, venv).identify(ON_HOST)
    assert list(first.description["distributions"]) == ["first 1.0", "mine 0"]
    assert list(first.description["contents"]["mine (editable)"]["files"]) == ["pkg/a.py"]
    assert environments(tmp_path, venv).identify(ON_HOST) == first
    (project / "pkg/a.py").write_text("x = 22")
    second = environments(tmp_path, venv).identify(ON_HOST)
    assert second.digest != first.digest
    (project / "notes.txt").write_text("not code")
    assert environments(tmp_path, venv).identify(ON_HOST) == second


def test_the_code_behind_a_pth_file_counts(tmp_path: Path, venv: Path) -> None:
    project = tmp_path / "src"
    project.mkdir()
    (project / "a.py").write_text("x = 1")
    (site_of(venv) / "mine.pth").write_text(f"{project}\nimport sys\n")
    os.utime(site_of(venv), (OLD, OLD))
    first = environments(tmp_path, venv).identify(ON_HOST)
    (project / "b.py").write_text("y = 1")
    assert environments(tmp_path, venv).identify(ON_HOST).digest != first.digest


def test_the_interpreter_is_started_once_and_remembered(
    tmp_path: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = MemoryFacts()
    first = environments(tmp_path, venv, facts).identify(ON_HOST, ("sh",))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process is started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert environments(tmp_path, venv, facts).identify(ON_HOST, ("sh",)) == first


def test_programs_count_by_content(tmp_path: Path, venv: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "tool").write_text("#!/bin/sh\necho 1\n")
    (tools / "tool").chmod(0o755)
    facts = MemoryFacts()

    def look() -> Environments:
        return environments(tmp_path, venv, facts, PATH=f"{tools}:{venv}/bin:/usr/bin:/bin")

    first = look().identify(ON_HOST, ("tool",))
    assert first.description["programs"]["tool"].startswith("sha256:")
    (tools / "tool").write_text("#!/bin/sh\necho 2\n")
    assert look().identify(ON_HOST, ("tool",)).digest != first.digest
    assert look().identify(ON_HOST, ("./run.sh",)) == look().identify(ON_HOST, ())


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path, venv: Path) -> None:
    with pytest.raises(InputError, match="command not found: nothing-like-it"):
        environments(tmp_path, venv).identify(ON_HOST, ("nothing-like-it",))


def test_another_python_brings_its_own_distributions(tmp_path: Path, venv: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    install(other, "elsewhere", "3")
    look = environments(tmp_path, venv)
    described = look.identify(ON_HOST, (str(other / "bin/python"),)).description["programs"]
    assert list(described[str(other / "bin/python")]["distributions"]) == ["elsewhere 3"]
    assert look.identify(ON_HOST, ("python3", "python")).description["programs"] == {}


def test_a_script_that_chooses_a_python_is_replaced_by_what_it_chooses(tmp_path: Path, venv: Path) -> None:
    manager = tmp_path / "manager"
    (manager / "shims").mkdir(parents=True)
    (manager / "shims/python").write_text(f'#!/bin/sh\nexec $(cat {manager}/version)/bin/python "$@"\n')
    (manager / "shims/python").chmod(0o755)
    (manager / "version").write_text(str(venv))
    facts = MemoryFacts()

    def look() -> Environments:
        return environments(tmp_path, venv, facts, PATH=f"{manager}/shims:/usr/bin:/bin")

    first = look().identify(ON_HOST)
    assert list(first.description["distributions"]) == ["first 1.0"]
    assert look().realize(first).path_prepend == (str(venv / "bin"),)
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    (manager / "version").write_text(str(other))
    assert look().realize(first).path_prepend == (str(other / "bin"),)
    assert look().identify(ON_HOST).digest != first.digest


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    wheel(tmp_path / "wheels", "leaf", "1.0")
    wheel(tmp_path / "wheels", "tree", "2.0", "leaf==1.0")
    return {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(tmp_path / "wheels"), "UV_CACHE_DIR": str(tmp_path / "uv")}


@pytest.fixture
def only_python3(tmp_path: Path) -> Path:
    """A folder of programs as stock Debian has them: python3, a shell, and no python."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "bash", "env"):
        (folder / name).symlink_to(shutil.which(name, path="/usr/bin:/bin") or "")
    (folder / "python3").symlink_to(sys.executable)
    return folder


def test_python_where_only_python3_is_gets_a_hint_that_says_so(tmp_path: Path, only_python3: Path) -> None:
    look = Environments(MemoryFacts(), str(tmp_path), {"PATH": str(only_python3)}, str(tmp_path))
    assert look.identify(ON_HOST, ("python3",)).description["programs"] == {}
    with pytest.raises(InputError, match=r"command not found: python$") as caught:
        look.identify(ON_HOST, ("python",))
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(
        "this machine has python3: write python3, or give the step a locked environment"
    )
    (only_python3 / "python3").rename(only_python3 / "python")
    with pytest.raises(InputError, match=r"command not found: python3$") as caught:
        Environments(MemoryFacts(), str(tmp_path), {"PATH": str(only_python3)}, str(tmp_path)).identify(
            ON_HOST, ("python3",)
        )
    assert (caught.value.hint or "").startswith("this machine has python: ")


@pytest.mark.parametrize("shell", ["bash", "sh", None])
def test_a_script_that_looks_for_python_where_only_python3_is_gets_the_hint_too(
    tmp_path: Path, only_python3: Path, shell: str | None
) -> None:
    (tmp_path / "bench").mkdir()
    bench = ExecutionBench(tmp_path / "bench", {"PATH": str(only_python3)})
    try:
        if shell:
            finished = bench.run("python -c pass", shell=shell)
        else:
            oid = bench.blob("#!/usr/bin/env python\n")
            finished = bench.run("./go", code=[("go", "100755", oid)])
        assert finished.exit_code == 127, bench.log(finished)
        assert (finished.hint or "").startswith("this machine has python3: "), finished
        failed = bench.run("nothing-like-it", shell=shell or "sh")
        assert (failed.exit_code, failed.hint) == (127, None)
    finally:
        bench.close()


def test_a_locked_environment_has_python_where_the_machine_has_only_python3(
    tmp_path: Path, only_python3: Path, offline: dict[str, str]
) -> None:
    (tmp_path / "bench").mkdir()
    bench = ExecutionBench(tmp_path / "bench", {**offline, "PATH": str(only_python3)})
    try:
        locked = bench.services().environments.identify(requirements_at("r.txt", b"leaf==1.0\n"), ("python",))
        for program in ("python", "python3"):
            done = finish(bench.executor(), bench.task(program, "-c", "import leaf", environment=locked))
            assert done.outcome == "done", bench.log(done)
    finally:
        bench.close()


def test_a_locked_environment_is_named_by_its_requirements_and_python(tmp_path: Path, venv: Path) -> None:
    look = environments(tmp_path, venv)
    one = look.identify(requirements_at("r.txt", b"leaf==1.0\ntree==2.0\n"))
    assert one.digest == look.identify(requirements_at("elsewhere.txt", b"# c\ntree==2.0\nleaf==1.0")).digest
    assert one.digest != look.identify(requirements_at("r.txt", b"leaf==1.1\ntree==2.0\n")).digest
    assert one.described()["distributions"] == ("leaf 1.0", "tree 2.0")
    assert "distributions" not in one.description
    assert one.description["python"] == "CPython {}.{}".format(*sys.version_info[:2])
    assert (
        look.identify(requirements_at("r.txt", b"leaf==1.0"), ("bash",)).digest
        != look.identify(requirements_at("r.txt", b"leaf==1.0")).digest
    )


def test_steps_run_in_the_environment_that_is_built_once(tmp_path: Path, venv: Path, offline: dict[str, str]) -> None:
    (tmp_path / "bench").mkdir()
    bench = ExecutionBench(tmp_path / "bench", {**offline, "PATH": f"{venv}/bin:/usr/bin:/bin"})
    try:
        look = bench.services().environments
        locked = look.identify(requirements_at("r.txt", b"tree==2.0\nleaf==1.0\n"))
        assert look.path_of(locked) is None
        executor = bench.executor()
        script = "import leaf, tree, sys; print(leaf.VERSION, tree.VERSION, sys.prefix)"
        tasks = [bench.task("python", "-c", script, environment=locked) for _ in range(2)]
        first = finish(executor, tasks[0])
        second = finish(executor, tasks[1])
        assert first.outcome == "done", first
        assert bench.log(first).startswith(b"1.0 2.0 ")
        assert bench.log(first) == bench.log(second)
        assert look.path_of(locked) is not None
        assert (
            len([name for name in os.listdir(bench.root / "cache/envs") if not name.endswith((".lock", ".used"))]) == 1
        )
    finally:
        bench.close()


@pytest.mark.needs_linux("sandbox: strict")
def test_a_strict_step_may_read_its_environment(tmp_path: Path, venv: Path, offline: dict[str, str]) -> None:
    (tmp_path / "bench").mkdir()
    bench = ExecutionBench(tmp_path / "bench", {**offline, "PATH": f"{venv}/bin:/usr/bin:/bin"})
    try:
        locked = bench.services().environments.identify(requirements_at("r.txt", b"leaf==1.0\n"))
        strict = finish(bench.executor(), bench.task("python", "-c", "import leaf", environment=locked, strict=True))
        assert strict.outcome == "done", bench.log(strict)
    finally:
        bench.close()


def test_two_tasks_that_need_one_environment_build_it_once(tmp_path: Path, venv: Path, offline: dict[str, str]) -> None:
    (tmp_path / "bench").mkdir()
    bench = ExecutionBench(tmp_path / "bench", {**offline, "PATH": f"{venv}/bin:/usr/bin:/bin"})
    try:
        locked = bench.services().environments.identify(requirements_at("r.txt", b"leaf==1.0\n"))
        executor = bench.executor()
        tasks = [bench.task("python", "-c", "import leaf", environment=locked) for _ in range(2)]
        for task in tasks:
            executor.submit(task)
        outcomes: list[str] = []
        while len(outcomes) < 2:
            outcomes += [event.outcome for event in executor.wait(PATIENCE) if hasattr(event, "outcome")]
        assert outcomes == ["done", "done"]
    finally:
        bench.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"absent==1.0\n", "absent"),
        (b"tree==2.0\n", "r.txt is not fully locked: what it lists needs leaf, which it does not list"),
        (b"leaf==7.7\n", "leaf"),
    ],
)
def test_what_cannot_be_built_is_told_and_leaves_nothing(
    tmp_path: Path, venv: Path, offline: dict[str, str], text: bytes, words: str
) -> None:
    (tmp_path / "bench").mkdir()
    bench = ExecutionBench(tmp_path / "bench", {**offline, "PATH": f"{venv}/bin:/usr/bin:/bin"})
    try:
        locked = bench.services().environments.identify(requirements_at("r.txt", text))
        finished = bench.run("true", environment=locked)
        assert finished.outcome == "failed"
        assert words in (finished.error or "")
        assert "\n" not in (finished.error or "")
        assert [name for name in os.listdir(bench.root / "cache/envs") if not name.endswith((".lock", ".used"))] == []
    finally:
        bench.close()
