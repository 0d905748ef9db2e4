"""Locks of Python packages as environments of steps: uv.lock, scripts, pylock.toml; indexes that are private, cut or yanked."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.analysis.reproduce import reproduce
from gitml.core.model.stop_signal import StopSignal
from gitml.engine.planning.load import load
from gitml.engine.planning.request import RunRequest
from gitml.engine.run import run_pipeline
from gitml.errors import InputError
from gitml.execute.environments.uv_commands import uv_program
from tests.kit.patience import PATIENCE
from tests.kit.projects.project import Project, outcomes, reasons
from tests.kit.servers.package_index import PackageIndex, package_index, source, wheel

pytestmark = pytest.mark.slow
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
SAY = "run: 'python say.py ${{ outputs.o }}', outputs: {o: file}"
SCRIPT = "import leaf, sys\nopen(sys.argv[1], 'w').write(leaf.VERSION)\n"
INLINE = '# /// script\n# requires-python = ">=3.9"\n# dependencies = ["leaf<2"]\n# ///\n' + SCRIPT
PYPROJECT = """[project]
name = "p"
version = "1"
requires-python = ">=3.9"
dependencies = ["leaf<2"]
[project.optional-dependencies]
more = ["extra-one"]
[dependency-groups]
dev = ["tool"]
train = ["tree"]
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    folder = tmp_path / "wheels"
    wheel(folder, "leaf", "1.0")
    wheel(folder, "tree", "2.0", "leaf")
    wheel(folder, "tool", "1.0")
    wheel(folder, "extra_one", "1.0")
    with package_index(folder) as served:
        yield served


class LockedProject(Project):
    """A project whose packages come from an index on loopback."""

    def __init__(self, tmp_path: Path, index: PackageIndex, environment: str, files: dict[str, str]) -> None:
        super().__init__(tmp_path / "r")
        self.tmp = tmp_path
        self.environ |= {
            "UV_DEFAULT_INDEX": index.url,
            "UV_CACHE_DIR": str(tmp_path / "uv"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin",
        }
        self.files = {
            "pipelines/p.yaml": f"environment: {environment}\nsteps:\n  a: {{{SAY}}}\n",
            "say.py": SCRIPT,
            **files,
        }

    def uv(self, *words: str) -> None:
        """Calls uv at the top of the project."""
        for name, text in self.files.items():
            path = Path(self.repo.path, name)
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        ran = subprocess.run(
            [uv_program(os.environ), *words],
            cwd=self.repo.path,
            env=self.environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr

    def keep(self, *names: str) -> None:
        """Commits the files, and those of the work tree that uv made."""
        made = {name: Path(self.repo.path, name).read_text() for name in names}
        self.repo.commit("x", {**self.files, **made})

    def built(self) -> list[str]:
        """The environments there are."""
        folder = self.tmp / "cache/gitml/envs"
        return [name for name in os.listdir(folder) if not name.endswith((".lock", ".used"))] if folder.exists() else []


@pytest.fixture
def project(tmp_path: Path, index: PackageIndex) -> LockedProject:
    made = LockedProject(tmp_path, index, "uv.lock", {"pyproject.toml": PYPROJECT})
    made.uv("lock")
    made.keep("uv.lock")
    return made


def test_a_step_has_what_its_uv_lock_says_and_runs_again_for_that_alone(
    project: LockedProject, index: PackageIndex
) -> None:
    first = project.run()
    assert project.output(first.steps[0]) == b"1.0"
    assert outcomes(project.run()) == {"a": "reused"}
    lock = Path(project.repo.path, "uv.lock")
    project.repo.commit("a comment", {"uv.lock": "# why\n" + lock.read_text()})
    assert outcomes(project.run()) == {"a": "reused"}
    wheel(index.folder, "tool", "1.1")  # of the group dev alone
    project.uv("lock", "--upgrade")
    project.keep("uv.lock")
    assert "1.1" in lock.read_text()
    assert outcomes(project.run()) == {"a": "reused"}
    wheel(index.folder, "leaf", "1.5")
    project.uv("lock", "--upgrade")
    project.keep("uv.lock")
    third = project.run()
    assert (project.output(third.steps[0]), reasons(third)) == (b"1.5", {"a": "package leaf: 1.0 -> 1.5"})


def test_groups_and_extras_add_to_a_project(project: LockedProject) -> None:
    project.files["say.py"] = "import leaf, tree, extra_one\n" + SCRIPT
    project.files["pipelines/p.yaml"] = project.files["pipelines/p.yaml"].replace(
        "uv.lock", "{uv: uv.lock, groups: [train], extras: [more]}"
    )
    project.keep("uv.lock")
    assert outcomes(project.run()) == {"a": "executed"}
    for wrong, message in (
        ("groups: [no]", "pyproject.toml has no group 'no'"),
        ("extras: [no]", "pyproject.toml has no extra 'no'"),
    ):
        project.repo.commit(
            "x", {"pipelines/p.yaml": f"environment: {{uv: uv.lock, {wrong}}}\nsteps:\n  a: {{{SAY}}}\n"}
        )
        with pytest.raises(InputError, match=message):
            project.run()


def test_a_lock_that_is_out_of_date_is_refused_with_the_command(project: LockedProject) -> None:
    project.repo.commit("more", {"pyproject.toml": PYPROJECT.replace('"tree"', '"tree>1", "tool"')})
    with pytest.raises(InputError, match=r"out of date: pyproject\.toml changed after it was made") as refused:
        project.run()
    assert "(tool was added to group train, tree became tree>1 in group train)" in refused.value.message
    assert refused.value.hint == "gitml env lock pyproject.toml, and commit uv.lock"
    for text, change in (
        (PYPROJECT.replace('"tool"', '"tool", "mypy"'), "mypy was added to group dev"),
        (PYPROJECT.replace('["tool"]', "[]"), "tool was removed from group dev"),
        (PYPROJECT.replace('"leaf<2"', '"leaf[a]"'), "leaf<2 became leaf[a]"),
        (PYPROJECT.replace('"leaf<2"', ""), "leaf was removed"),
    ):
        project.repo.commit("other", {"pyproject.toml": text})
        with pytest.raises(InputError, match=re.escape(f"({change})")):
            project.run()
    project.repo.commit(
        "words", {"pyproject.toml": "# a comment\n" + PYPROJECT.replace("leaf<2", "leaf < 2.0").replace("2.0", "2")}
    )
    assert outcomes(project.run()) == {"a": "executed"}


def test_a_script_has_the_packages_of_its_own_lock(tmp_path: Path, index: PackageIndex) -> None:
    project = LockedProject(tmp_path, index, "script", {"say.py": INLINE})
    project.repo.commit("no lock", project.files)
    with pytest.raises(InputError, match=r"the script say\.py has no lock, say\.py\.lock"):
        project.run()
    project.uv("lock", "--script", "say.py")
    project.keep("say.py.lock")
    first = project.run()
    assert project.output(first.steps[0]) == b"1.0"
    project.repo.commit("more", {"say.py": INLINE.replace('"leaf<2"', '"leaf<2", "tree"')})
    with pytest.raises(InputError, match=r"say\.py changed after it was made \(tree was added\)"):
        project.run()


def test_the_same_packages_are_the_same_environment_in_whichever_lock(project: LockedProject) -> None:
    done = project.run()
    project.uv("export", "--frozen", "--no-emit-project", "--no-dev", "-o", "pylock.toml", "--format", "pylock.toml")
    project.files["pipelines/p.yaml"] = project.files["pipelines/p.yaml"].replace("uv.lock", "pylock.toml")
    project.keep("uv.lock", "pylock.toml")
    again = project.run()
    assert (outcomes(again), again.steps[0].key) == ({"a": "reused"}, done.steps[0].key)


def test_credentials_of_an_index_are_the_users_and_kept_nowhere(
    project: LockedProject, index: PackageIndex, tmp_path: Path
) -> None:
    index.password = "hunter22"
    failed = project.run()
    assert outcomes(failed) == {"a": "failed"}
    project.environ["UV_DEFAULT_INDEX"] = index.url.replace("://", "://u:hunter22@")
    done = project.run()
    assert project.output(done.steps[0]) == b"1.0"
    for place, _, names in [*os.walk(Path(project.repo.path)), *os.walk(tmp_path / "cache")]:
        for name in names:
            assert b"hunter22" not in Path(place, name).read_bytes(), os.path.join(place, name)


def test_no_password_goes_where_the_index_of_a_lock_leads(
    project: LockedProject, index: PackageIndex, tmp_path: Path
) -> None:
    """uv looks for the password of each host that it is led to; the user's own index is another."""
    (tmp_path / "netrc").write_text("machine localhost login u password hunter22\ndefault login u password hunter23\n")
    project.environ["NETRC"] = str(tmp_path / "netrc")
    lock = Path(project.repo.path, "uv.lock")
    with package_index(tmp_path) as evil, package_index(tmp_path) as inner:
        evil.elsewhere = inner.url.removesuffix("/simple/").replace("127.0.0.1", "localhost")
        inner.password = "hunter22"
        lock.write_text(lock.read_text().replace(index.url.rstrip("/"), evil.url.rstrip("/")))
        project.keep("uv.lock")
        project.run()
        assert {*evil.given, *inner.given} == {""}
        assert inner.given  # it was led there
        shutil.rmtree(tmp_path / "cache")
        project.repo.commit("x", {"say.py": f"{SCRIPT}# again\n"})
        project.environ["UV_INDEX"] = inner.url.replace("127.0.0.1", "localhost")
        project.run()
        assert set(evil.given) == {""} < set(inner.given)  # which the user's settings name
    assert not list(tmp_path.rglob("*.stage"))


def test_a_run_whose_environment_is_gone_is_not_said_to_differ(project: LockedProject, index: PackageIndex) -> None:
    with project.workspace() as ws:
        done = run_pipeline(ws, load(ws, None, None), RunRequest(), lambda event: None, StopSignal())
        same = reproduce(ws, done, lambda event: None, StopSignal())
        assert (same.identical, same.unmade) == (True, ())
    shutil.rmtree(project.tmp / "cache")
    shutil.rmtree(project.tmp / "uv")
    (index.folder / "leaf-1.0-py3-none-any.whl").unlink()
    with project.workspace() as ws:
        gone = reproduce(ws, done, lambda event: None, StopSignal())
        assert (gone.identical, gone.differences, [step for step, _ in gone.unmade]) == (False, (), ["a"])
        assert "leaf" in gone.unmade[0][1]
    ran = subprocess.run(
        [sys.executable, "-m", "gitml", "reproduce", done.id[:8]], cwd=project.repo.path, env=project.environ, capture_output=True, text=True
    )  # fmt: skip
    assert ran.returncode == 1
    assert "its environment can't be made any more: uv could not install" in ran.stdout
    assert "differs" not in ran.stdout.replace("nothing differs", "")


def test_a_wheel_that_was_yanked_since_is_still_installed(project: LockedProject, index: PackageIndex) -> None:
    index.yanked.add("leaf-1.0-py3-none-any.whl")
    assert project.output(project.run().steps[0]) == b"1.0"


def test_an_index_that_cuts_off_fails_the_step_and_leaves_nothing_half(
    project: LockedProject, index: PackageIndex
) -> None:
    index.cut.add("leaf-1.0-py3-none-any.whl")
    project.environ["UV_HTTP_RETRIES"] = "0"
    failed = project.run()
    assert outcomes(failed) == {"a": "failed"}
    assert "uv could not install the requirements" in (failed.steps[0].error or "")
    assert project.built() == []
    index.cut.clear()
    assert outcomes(project.run()) == {"a": "executed"}


def test_where_the_index_of_a_lock_is_gone_the_users_own_serves_the_same_bytes(
    project: LockedProject, index: PackageIndex
) -> None:
    lock = Path(project.repo.path, "uv.lock")
    lock.write_text(lock.read_text().replace(index.url.rstrip("/"), "http://127.0.0.1:9/simple"))
    project.keep("uv.lock")
    project.environ["UV_HTTP_RETRIES"] = "0"
    done = project.run()
    assert project.output(done.steps[0]) == b"1.0"


def test_a_wheel_with_other_bytes_than_the_lock_says_is_refused(project: LockedProject, index: PackageIndex) -> None:
    wheel(index.folder, "leaf", "1.0", files={"more.py": "x = 1\n"})
    failed = project.run()
    assert outcomes(failed) == {"a": "failed"}
    assert "hash" in (failed.steps[0].error or "").lower()


def test_a_build_that_is_killed_is_begun_again(project: LockedProject, index: PackageIndex) -> None:
    index.delay = 3600.0
    words = [sys.executable, "-m", "gitml", "run", "-q"]
    running = subprocess.Popen(words, cwd=project.repo.path, env=project.environ, start_new_session=True)
    asked = time.monotonic()
    while not any(path.startswith("/files/") for path in index.asked):
        assert time.monotonic() - asked < PATIENCE
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    index.delay = 0.0
    assert outcomes(project.run()) == {"a": "executed"}
    assert len(project.built()) == 1


def test_a_python_that_is_not_here_is_told_with_the_way_to_get_it(project: LockedProject) -> None:
    project.files["pipelines/p.yaml"] = project.files["pipelines/p.yaml"].replace(
        "uv.lock", "{uv: uv.lock, python: '3.99'}"
    )
    project.keep("uv.lock")
    with pytest.raises(InputError, match=r"this machine has no Python 3\.99, which the environment is for") as caught:
        project.run()  # before anything else runs
    assert "python install 3.99, or put it on PATH" in str(caught.value.hint)
    project.repo.commit(
        "x",
        {".python-version": f"{PYTHON}\n", "pipelines/p.yaml": "environment: uv.lock\nsteps:\n  a: {" + SAY + "}\n"},
    )
    assert outcomes(project.run()) == {"a": "executed"}


@pytest.mark.needs_linux("a strict sandbox")
@pytest.mark.parametrize("no_cache", ["", "1", "uv.toml"])
def test_nothing_of_a_package_is_run_while_it_is_installed(tmp_path: Path, index: PackageIndex, no_cache: str) -> None:
    """What a wheel has for the start of Python would act outside of the sandbox of the strict step that needs it."""
    mark = tmp_path / "mark"
    line = f"import os; open({str(mark)!r}, 'w')\n"
    wheel(index.folder, "evil", "1.0", files={"evil.pth": line, "sitecustomize.py": line})
    digest = hashlib.sha256(next(index.folder.glob("evil-*")).read_bytes()).hexdigest()
    files = {
        "r.txt": f"evil==1.0 --hash=sha256:{digest}\n",
        "say.py": "import evil, sys\nopen(sys.argv[1], 'w').write('y')\n",
    }
    project = LockedProject(tmp_path, index, "r.txt\nsandbox: strict", files)
    project.environ["UV_NO_CACHE"] = no_cache.removesuffix("uv.toml")
    if no_cache == "uv.toml":
        (tmp_path / "settings/uv").mkdir(parents=True)
        (tmp_path / "settings/uv/uv.toml").write_text("no-cache = true\n")
        project.environ["XDG_CONFIG_HOME"] = str(tmp_path / "settings")
    project.repo.commit("x", project.files)
    run = project.run()
    assert outcomes(run) == {"a": "executed"}, run.steps[0].error
    assert not mark.exists()


@pytest.mark.needs_linux("a strict sandbox")
def test_nothing_is_built_from_source_for_a_strict_step_but_what_its_user_builds(
    tmp_path: Path, index: PackageIndex
) -> None:
    mark = tmp_path / "mark"
    digest = hashlib.sha256(source(index.folder, "evil", "1.0", mark).read_bytes()).hexdigest()
    at = f"{index.url.removesuffix('/simple/')}/files/evil-1.0"
    head = 'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "evil"\nversion = "1.0"\n'
    hashes = f'hashes = {{sha256 = "{digest}"}}\n'
    locks = {
        "pylock.toml": f'{head}[packages.sdist]\nurl = "{at}.tar.gz"\n{hashes}',
        "pylock.lies.toml": f'{head}[[packages.wheels]]\nurl = "{at}-py3-none-any.whl"\n{hashes}',
        "r.txt": f"evil==1.0 --hash=sha256:{digest}\n",
        "r.at.txt": f"evil @ {at}.tar.gz --hash=sha256:{digest}\n",
        "r.git.txt": f"evil @ git+https://127.0.0.1:9/evil@{'cd' * 20}\n",
    }
    say = "import evil, sys\nopen(sys.argv[1], 'w').write(evil.VERSION)\n"
    seen = {}
    for name in locks:
        project = LockedProject(tmp_path, index, f"{name}\nsandbox: strict", {**locks, "say.py": say})
        project.repo.commit("x", project.files)
        try:
            seen[name] = str(project.run().steps[0].error)
        except InputError as error:  # before anything runs
            seen[name] = f"{error.message}: {error.hint}"
    assert not mark.exists()
    told = "evil must be built from source, which runs its author's code outside of the strict sandbox"
    for name in ("pylock.toml", "r.at.txt", "r.git.txt"):
        assert told in seen[name]
        assert "gitml env build" in seen[name]
    assert all("building from source is disabled" in seen[name] for name in ("pylock.lies.toml", "r.txt"))
    project.files["pipelines/p.yaml"] = project.files["pipelines/p.yaml"].replace("r.git.txt", "pylock.toml")
    project.repo.commit("x", project.files)
    built = subprocess.run([sys.executable, "-m", "gitml", "env", "build"], cwd=project.repo.path, env=project.environ, capture_output=True)  # fmt: skip
    assert (built.returncode, mark.exists()) == (0, True)
    assert outcomes(project.run()) == {"a": "executed"}
