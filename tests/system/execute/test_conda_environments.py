"""Steps in environments of conda packages: installed exactly, once, complete or not there, and part of the key."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gitml.core.model.stop_signal import StopSignal
from gitml.errors import InputError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.conda.locks import read_lock
from gitml.execute.environments.conda.prefixes import PrefixRequest, build, prefix_of, run_rattler, write_alone
from gitml.execute.process import StopRequests
from gitml.platform.current import IS_LINUX, platform
from tests.kit.processes import forked, kill_forked, wait_until
from tests.kit.projects.project import Project, outcomes, reasons
from tests.kit.servers.conda_channel import PLACEHOLDER, CondaArchive, CondaChannel, Link
from tests.kit.servers.package_index import source

pytest.importorskip("rattler", reason="py-rattler is not installed: pip install 'gitml[conda]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.uname().machine != "x86_64", reason="its packages are for linux-64"
    ),
]

STEP = "environment: {}\nsteps:\n  a: {{shell: sh, run: '{} > ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n"


@pytest.fixture
def channel(tmp_path: Path) -> CondaChannel:
    return CondaChannel(tmp_path / "channel")


@pytest.fixture
def served(channel: CondaChannel) -> Iterator[CondaChannel]:
    with channel.served():
        yield channel


def greeter(channel: CondaChannel, word: str = "hello", **more: str) -> CondaArchive:
    """A package with the program ``greet``."""
    text = f"#!/bin/sh\ncat {PLACEHOLDER}/share/word\n"
    return channel.package("greet", {"bin/greet": text, "share/word": f"{word}\n"}, subdir="linux-64", **more)


def project(
    tmp_path: Path, lock: str, path: str = "pixi.lock", environment: str = "", command: str = "greet"
) -> Project:
    files = {path: lock, "pipelines/p.yaml": STEP.format(environment or path, command)}
    return Project(tmp_path / "r", files)


def said(run: object) -> str:
    """What a run gives as the reason why its step failed."""
    step = run.steps[0]  # type: ignore[attr-defined]
    return str(step.error)


def built(project: Project) -> list[str]:
    """What is in the folder of environments."""
    found = Path(project.repo.path).rglob("envs/*")
    return sorted(path.name for path in found if path.is_dir() and path.parent.name == "envs")


def test_a_step_runs_in_a_pixi_environment_which_is_part_of_its_key(tmp_path: Path, served: CondaChannel) -> None:
    first = project(tmp_path, served.pixi_lock(greeter(served)))
    run = first.run()
    assert first.output(run.steps[0]) == b"hello\n"
    assert outcomes(first.run()) == {"a": "reused"}
    assert len(served.requests) == 1
    first.repo.commit("another build", {"pixi.lock": served.pixi_lock(greeter(served, "hi", version="1.1"))})
    again = first.run()
    assert (outcomes(again), first.output(again.steps[0])) == ({"a": "executed"}, b"hi\n")
    assert reasons(again)["a"].startswith("package greet: 1.0 -> 1.1")


def test_what_does_not_count_does_not_build_again(tmp_path: Path, served: CondaChannel) -> None:
    lock = served.pixi_lock(greeter(served))
    made = project(tmp_path, lock)
    made.run()
    moved = lock.replace(served.url, "http://127.0.0.1:9/elsewhere")
    made.repo.commit("a comment, another mirror", {"pixi.lock": f"# mine\n{moved}"})
    assert outcomes(made.run()) == {"a": "reused"}


@pytest.mark.parametrize("kind", ["md5", "sha256"])
@pytest.mark.parametrize("environment", ["env/list.txt", "{conda: env/list.txt}"])
def test_an_explicit_list_is_known_by_its_content(
    tmp_path: Path, channel: CondaChannel, kind: str, environment: str
) -> None:
    lock = channel.explicit_list(greeter(channel, old=True), kind=kind)  # type: ignore[arg-type]
    made = project(tmp_path, lock, "env/list.txt", environment)
    assert made.output(made.run().steps[0]) == b"hello\n"


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_another_file_than_the_lock_has_is_refused_and_nothing_is_left(
    tmp_path: Path, channel: CondaChannel, kind: str
) -> None:
    lock = channel.explicit_list(greeter(channel), kind=kind)
    greeter(channel, "bye")  # under the same name
    made = project(tmp_path, lock, "list.txt")
    run = made.run()
    assert outcomes(run) == {"a": "failed"}
    assert f"greet-1.0-h0_0.conda: the lock has {kind} " in said(run)
    assert built(made) == []


def test_packages_of_one_name_do_not_stand_in_for_each_other(tmp_path: Path, channel: CondaChannel) -> None:
    made = project(tmp_path, channel.explicit_list(greeter(channel)), "list.txt")
    assert made.output(made.run().steps[0]) == b"hello\n"
    made.repo.commit("other bytes", {"list.txt": channel.explicit_list(greeter(channel, "bye"))})
    assert made.output(made.run().steps[0]) == b"bye\n"


def test_what_a_step_wrote_into_its_environment_is_in_no_other(tmp_path: Path, served: CondaChannel) -> None:
    shared = greeter(served)
    spoil = "(chmod u+w $CONDA_PREFIX/share/word; echo spoilt >> $CONDA_PREFIX/share/word; greet)"
    made = project(tmp_path, served.pixi_lock(shared), command=spoil)
    assert made.output(made.run().steps[0]) == b"hello\nspoilt\n"
    lock = served.pixi_lock(shared, served.package("more", {"share/more": "x"}))
    made.repo.commit("one more", {"pixi.lock": lock, "pipelines/p.yaml": STEP.format("pixi.lock", "greet")})
    assert made.output(made.run().steps[0]) == b"hello\n"


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_what_was_fetched_for_another_environment_is_used_again(
    tmp_path: Path, served: CondaChannel, kind: str
) -> None:
    shared = greeter(served)
    made = project(tmp_path, served.explicit_list(shared, kind=kind), "list.txt")
    made.run()
    more = served.package("more", {"share/more": "x"})
    made.repo.commit("one more", {"list.txt": served.explicit_list(shared, more, kind=kind)})
    assert made.output(made.run().steps[0]) == b"hello\n"
    assert served.requests == ["/linux-64/greet-1.0-h0_0.conda", "/noarch/more-1.0-h0_0.conda"]


def test_steps_that_need_it_at_once_wait_for_one_build(tmp_path: Path, served: CondaChannel) -> None:
    step = "{shell: sh, run: 'greet > ${{ outputs.o }}', outputs: {o: file}}"
    pipeline = f"environment: pixi.lock\nsteps:\n  a: {step}\n  b: {step}\n  c: {step}\n"
    files = {"pixi.lock": served.pixi_lock(greeter(served)), "pipelines/p.yaml": pipeline}
    made = Project(tmp_path / "r", files)
    assert set(outcomes(made.run()).values()) <= {"executed", "reused"}
    assert served.requests == ["/linux-64/greet-1.0-h0_0.conda"]


def test_a_server_that_hangs_up_leaves_nothing_and_the_next_run_builds(tmp_path: Path, served: CondaChannel) -> None:
    made = project(tmp_path, served.pixi_lock(greeter(served)))
    served.cut_after = 100
    run = made.run()
    assert outcomes(run) == {"a": "failed"}
    assert "rattler could not install: " in said(run)
    assert built(made) == []
    served.cut_after = None
    assert made.output(made.run().steps[0]) == b"hello\n"


def test_a_build_that_is_stopped_leaves_nothing(tmp_path: Path, served: CondaChannel) -> None:
    made = project(tmp_path, served.pixi_lock(greeter(served)))
    served.stalled = threading.Event()
    stop = StopSignal()

    def stop_when_asked() -> None:
        while not served.requests:
            time.sleep(0.01)
        stop.ask()

    threading.Thread(target=stop_when_asked, daemon=True).start()
    run = made.run(stop=stop)
    assert outcomes(run)["a"] in ("cancelled", "interrupted")
    assert built(made) == []


def test_a_build_whose_worker_is_killed_ends_and_the_next_one_is_whole(tmp_path: Path, served: CondaChannel) -> None:
    archive = greeter(served)
    lock = read_lock("pixi.lock", served.pixi_lock(archive).encode(), "linux-64")
    machine = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    place = str(tmp_path / "envs/a")

    def make() -> None:
        build(place, PrefixRequest(lock, "linux-64", machine, str(tmp_path)), BuildControl(StopRequests()))

    served.stalled = threading.Event()
    pid = forked(make)
    wait_until(lambda: served.requests)
    kill_forked(pid)
    served.stalled.set()
    served.stalled = None
    make()
    assert Path(prefix_of(place), "share/word").read_text() == "hello\n"


def test_a_package_that_the_channel_has_no_more_is_said(tmp_path: Path, served: CondaChannel) -> None:
    archive = greeter(served)
    made = project(tmp_path, served.pixi_lock(archive))
    archive.path.unlink()
    assert "the channel has the package no more" in said(made.run())


def test_post_link_scripts_are_not_run_and_variables_of_packages_are_set(tmp_path: Path, channel: CondaChannel) -> None:
    ran = tmp_path / "ran"
    tool = channel.package(
        "tool",
        {
            "bin/.tool-post-link.sh": f"#!/bin/sh\ntouch {ran}\n",
            "etc/conda/env_vars.d/tool.json": f'{{"TOOL_DATA": "{PLACEHOLDER}/share/tool", "PATH": "/evil", "HOME": "/evil"}}',
            "share/tool/x": "data of the tool\n",
        },
    )
    made = project(tmp_path, channel.pixi_lock(tool), command="(cat $TOOL_DATA/x; echo $PATH$HOME)")
    out = made.output(made.run().steps[0]).decode()
    assert out.startswith("data of the tool\n")
    assert "/evil" not in out
    assert not ran.exists()
    assert any("not run: post-link scripts of tool" in str(event) for event in made.events)


@pytest.mark.parametrize("named", ["../../../escaped", "share/../../../escaped", "/tmp/escaped"])
def test_a_package_with_a_file_outside_of_its_prefix_is_refused(
    tmp_path: Path, channel: CondaChannel, named: str
) -> None:
    evil = channel.package("evil", {"share/x": "x"}, named=[named])
    made = project(tmp_path, channel.pixi_lock(evil))
    run = made.run()
    assert "evil has a file outside the environment" in said(run)
    assert built(made) == []


def test_a_file_where_another_package_has_a_link_is_refused(tmp_path: Path, channel: CondaChannel) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = channel.package("link", {"share/there": Link(str(outside))})
    through = channel.package("through", {"share//there/x": "x"})
    assert "link to elsewhere" in said(project(tmp_path, channel.pixi_lock(link, through)).run())
    assert list(outside.iterdir()) == []


def test_no_package_of_python_goes_outside_of_its_prefix(tmp_path: Path, channel: CondaChannel) -> None:
    """A Python says where packages for any Python go, and may have a link there."""
    outside = tmp_path / "outside"
    above = "../" * 20 + str(outside)[1:]
    (outside / "python3.12/site-packages").mkdir(parents=True)
    pure = channel.package("pure", {"site-packages/pure.py": "word = 'pure'\n"}, noarch="python")
    for site, files, refusal in (
        (above, {"bin/python": "#!/bin/sh\n"}, "has its packages outside the environment"),
        ("d/site-packages", {"d": Link(str(outside))}, "has its packages outside the environment"),
        ("", {"lib": Link(str(outside))}, "link to elsewhere"),
    ):
        python = channel.package("python", files, "3.12.1", subdir="linux-64", build="h0_0_cpython", site=site)
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        assert refusal in said(project(tmp_path, channel.pixi_lock(python, pure)).run())
    assert [path for path in outside.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("old", "among"), [(False, "info"), (False, "pkg"), (True, "info")])
def test_a_list_of_files_that_another_one_hides_changes_nothing_outside(
    tmp_path: Path, channel: CondaChannel, old: bool, among: str
) -> None:
    """rattler takes the last list in an archive, and would write the prefix into a file of the user."""
    mine = tmp_path / "mine"
    mine.write_text(f"{PLACEHOLDER}\n")
    entry = {"_path": "../" * 30 + str(mine)[1:], "path_type": "hardlink"}
    entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
    files = {"share/word": "hello\n"}
    package = channel.package("greet", files, subdir="linux-64", hidden=[entry], old=old, among=among)
    assert "has two files info/paths.json" in said(project(tmp_path, channel.pixi_lock(package)).run())
    assert mine.read_text() == f"{PLACEHOLDER}\n"


def test_rattler_writes_nothing_outside_of_what_it_installs(tmp_path: Path) -> None:
    """Whatever a package does that nobody thought of."""
    inside, outside = tmp_path / "place", tmp_path / "outside"
    asked = {"prefix": f"{outside}/prefix", "archives": f"{inside}/a", "lock": f"{inside}/lock", "cache": f"{inside}/c"}
    inside.mkdir()
    asked |= {"subdir": "linux-64", "packages": []}
    confine = partial(write_alone, (str(inside),))
    request = str(tmp_path / "request.json")
    with pytest.raises(InputError, match="Permission denied"):
        run_rattler("install", asked, request, os.environ, BuildControl(StopRequests(), print), confine)
    assert not outside.exists()


def python_package(channel: CondaChannel) -> CondaArchive:
    """A Python for environments: this one, told by ``pyvenv.cfg`` that its packages are in the prefix."""
    version = ".".join(map(str, sys.version_info[:3]))
    real = os.path.realpath(sys.executable)
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    files = {
        "bin/python": Link(real),
        "bin/python3": Link(real),
        "pyvenv.cfg": f"home = {os.path.dirname(real)}\nversion = {version}\n",
        f"{site}/README.txt": "",
    }
    return channel.package("python", files, version, subdir="linux-64", build="h0_0_cpython")


def wheel(folder: Path, name: str, code: str) -> str:
    """The URL of a wheel with one module, its hash behind it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-2.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{name}-2.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
        archive.writestr(
            f"{name}-2.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-2.0.dist-info/RECORD", "")
    return f"{path.as_uri()}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_packages_of_python_come_from_conda_and_from_pypi(tmp_path: Path, channel: CondaChannel) -> None:
    pure = channel.package("pure", {"site-packages/pure.py": "word = 'pure'\n"}, noarch="python")
    lock = channel.pixi_lock(
        python_package(channel), pure, pypi=[wheel(tmp_path / "wheels", "wheely", "word = 'wheel'\n")]
    )
    command = 'python -c "import pure, wheely; print(pure.word, wheely.word, pure.__cached__)"'
    made = project(tmp_path, lock, command=command)
    first, second, cached = made.output(made.run().steps[0]).decode().split()
    assert (first, second) == ("pure", "wheel")
    assert Path(cached).is_file() is IS_LINUX  # where that Python can be confined, it compiles them


@pytest.mark.needs_linux("a strict sandbox")
def test_the_python_of_a_lock_does_nothing_outside_while_uv_installs_for_a_strict_step(
    tmp_path: Path, channel: CondaChannel
) -> None:
    """It is started to say what it is, where uv writes what it installs: both reach the environment alone."""
    version, real = ".".join(map(str, sys.version_info[:3])), os.path.realpath(sys.executable)
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    secret, outside = tmp_path / "secret", tmp_path / "outside"
    outside.mkdir()
    spy = f"""#!/bin/sh
cat {secret} >> {PLACEHOLDER}/spied; echo x > {outside}/spied
exec -a {PLACEHOLDER}/bin/python3 {real} "$@" | sed 's|{PLACEHOLDER}/{site}|{outside}|g'
""".replace("#!/bin/sh", "#!/bin/bash")
    files = {
        "bin/python": spy,
        "bin/python3": Link(real),
        "pyvenv.cfg": f"home = {os.path.dirname(real)}\nversion = {version}\n",
        f"{site}/README.txt": "",
    }
    python = channel.package("python", files, version, subdir="linux-64", build="h0_0_cpython")
    url = wheel(tmp_path / "wheels", "wheely", "word = 'wheel'\n")
    lock = channel.pixi_lock(python, pypi=[url])
    made = project(tmp_path, lock, environment="pixi.lock\nsandbox: strict", command="true")
    secret.write_text("secret\n")
    error = said(made.run())
    assert f"Failed to copy to `{outside}/wheely.py` cause: Permission denied" in error
    assert list(outside.iterdir()) == []
    project(
        tmp_path / "n", lock, command="echo y"
    ).run()  # in a normal sandbox all of it is done, so there is what is kept off
    assert sorted(path.name for path in outside.iterdir()) == ["spied", "wheely-2.0.dist-info", "wheely.py"]
    mild = channel.pixi_lock(python_package(channel), pypi=[url])
    command = "cat $CONDA_PREFIX/lib/*/site-packages/wheely.py"
    other = project(tmp_path / "o", mild, environment="pixi.lock\nsandbox: strict", command=command)
    assert other.output(other.run().steps[0]) == b"word = 'wheel'\n"


@pytest.mark.needs_linux("a strict sandbox")
def test_nothing_of_pypi_is_built_from_source_for_a_strict_step(tmp_path: Path, channel: CondaChannel) -> None:
    mark = tmp_path / "mark"
    path = source(tmp_path / "sources", "evil", "1.0", mark)
    url = f"{path.as_uri()}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
    lock = channel.pixi_lock(python_package(channel), pypi=[url])
    made = project(tmp_path, lock, environment="pixi.lock\nsandbox: strict", command="python --version")
    with pytest.raises(InputError, match="evil must be built from source"):
        made.run()
    assert not mark.exists()


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, channel: CondaChannel) -> None:
    url = wheel(tmp_path / "wheels", "wheely", "word = 'wheel'\n")
    lock = channel.pixi_lock(python_package(channel), pypi=[url])
    wheel(tmp_path / "wheels", "wheely", "word = 'another'\n")
    made = project(tmp_path, lock, command="python --version")
    assert "uv could not install the packages of PyPI" in said(made.run())
    assert built(made) == []


def test_a_step_that_calls_python_needs_a_lock_that_has_it(tmp_path: Path, channel: CondaChannel) -> None:
    made = project(tmp_path, channel.pixi_lock(greeter(channel)), command="python --version")
    made.repo.commit("no shell", {"pipelines/p.yaml": "environment: pixi.lock\nsteps:\n  a: {run: python --version}\n"})
    with pytest.raises(InputError, match="the step calls python, and the lock has no Python for linux-x86_64"):
        made.run()


def test_a_lock_for_other_platforms_is_said_before_anything_runs(tmp_path: Path, channel: CondaChannel) -> None:
    made = project(tmp_path, channel.pixi_lock(greeter(channel), platform="win-64"))
    with pytest.raises(InputError, match="the lock is for win-64, and not for linux-64"):
        made.run()


@pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())
def test_a_strict_step_sees_its_environment_and_no_other(tmp_path: Path, channel: CondaChannel) -> None:
    made = project(tmp_path, channel.pixi_lock(greeter(channel)))
    made.run()
    (folder,) = {path.parent for path in Path(made.repo.path).rglob("envs/*") if path.parent.name == "envs"}
    other = folder / "other"
    other.mkdir()
    (other / "secret").write_text("secret\n")
    look = "(greet; cat $CONDA_PREFIX/../../other/secret 2>&1 || true)"
    made.repo.commit("strict", {"pipelines/p.yaml": "sandbox: strict\n" + STEP.format("pixi.lock", look)})
    word, seen = made.output(made.run().steps[0]).decode().split("\n", 1)
    assert word == "hello"
    assert "other/secret" in seen  # as cat says it of what it can't read
    assert seen != "secret\n"


def test_without_rattler_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rattler", None)
    with pytest.raises(InputError) as caught:
        run_rattler("install", {}, str(tmp_path / "request.json"), {}, BuildControl(StopRequests()))
    assert caught.value.message == "py-rattler is not installed; it installs conda packages"
    assert str(caught.value.hint).startswith("pip install 'gitml[conda]'")


def test_a_program_of_the_machine_does_not_stand_in_for_a_package_that_is_called_so(
    tmp_path: Path, channel: CondaChannel
) -> None:
    lacking = channel.package("greet", {"share/word": "hello\n"}, subdir="linux-64")
    one = project(tmp_path, channel.pixi_lock(lacking))
    one.repo.commit("no shell", {"pipelines/p.yaml": "environment: pixi.lock\nsteps:\n  a: {run: greet}\n"})
    greet = tmp_path / "machine/greet"
    greet.parent.mkdir()
    greet.write_text("#!/bin/sh\necho the machine's\n")
    greet.chmod(0o755)
    one.environ["PATH"] = f"{greet.parent}:{os.environ['PATH']}"
    assert "greet is no program of the environment, although a package is called so" in said(one.run())


@pytest.mark.needs_linux("the Python of a lock is confined while it compiles")
def test_the_python_of_a_lock_compiles_without_the_files_of_the_user(tmp_path: Path, channel: CondaChannel) -> None:
    secret, mark = tmp_path / "secret", tmp_path / "mark"
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    spy = f"#!/bin/sh\ncat {secret} > {PLACEHOLDER}/spied\necho $? >> {PLACEHOLDER}/spied\ntouch {mark}\n"
    files = {"bin/python": spy, f"{site}/README.txt": ""}
    python = channel.package("python", files, "3.12.1", subdir="linux-64", build="h0_0_cpython")
    made = project(tmp_path, channel.pixi_lock(python, greeter(channel)))
    secret.write_text("secret\n")
    try:
        assert outcomes(made.run()) == {"a": "executed"}
    finally:
        secret.unlink()
    (spied,) = Path(made.repo.path).rglob("envs/*/prefix/spied")
    assert spied.read_text() == "1\n"
    assert not mark.exists()
