"""A hostile repository that somebody cloned: every command, and nothing that its files name is reached, read or started."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gitml.cli.main import gitml
from gitml.cli.session import ALWAYS
from gitml.cli.table import COMMANDS, LOOKING
from tests.kit.attacks.canaries import Listener, leaves_mark, listening
from tests.kit.projects.command_line import Done, Project
from tests.kit.projects.repository import Repository

pytestmark = pytest.mark.slow

# What each command is given. Where nothing can be named that is there, something that is not.
WORDS: dict[str, list[list[str]]] = {
    "run": [[], ["far"], ["stores"], ["-n"], ["-n", "far"], ["--detach"], ["modules"]],
    "submit": [["--on", "far"]],
    "collect": [[], ["--on", "far"]],
    "plan": [[], ["far"], ["stores"], ["lfs"], ["modules"], ["paths"], ["environments"], ["--at", "HEAD"]],
    "check": [[], ["pipelines/modules.yaml", "gitml.yaml"]],
    "explain": [
        ["environments", "u"],
        ["environments", "i"],
        ["far", "train"],
        ["stores", "train"],
        ["paths", "a"],
        ["modules", "m"],
    ],
    "status": [[], ["--json"]],
    "dag": [[], ["far"], ["modules"], ["environments"]],
    "targets": [[], ["far"]],
    "env show": [[], ["environments"], ["far"], ["stores"], ["paths"], ["modules"], ["--at", "HEAD"]],
    "env build": [[], ["environments"], ["far"], ["stores"], ["paths"]],
    "env explain": [[], ["environments"], ["far"], ["stores"], ["paths"]],
    "env lock": [["loose.in"], ["project/pyproject.toml"]],
    "env push": [[], ["far"], ["stores"], ["--to", "s3"]],
    "env diff": [[], ["HEAD", "-p", "far"], ["-p", "paths"]],
    "cancel": [["1234"], ["--on", "far"]],
    "wait": [[], ["latest"]],
    "shell": [
        ["train", "-p", "far"],
        ["latest:train"],
        ["a", "-p", "paths", "--", "true"],
        ["u", "-p", "environments", "--", "true"],
    ],
    "promote": [["latest"], ["latest", "--branch", "x"]],
    "rerun": [["latest"], ["latest", "-n"], ["latest", "--detach"]],
    "reproduce": [["latest"]],
    "log": [[], ["--on", "far"]],
    "show": [[], ["latest"], ["--on", "far"]],
    "logs": [[], ["--on", "far"]],
    "metrics show": [[]],
    "metrics diff": [["HEAD"]],
    "plots show": [[]],
    "plots diff": [["HEAD"]],
    "params show": [[]],
    "params diff": [["HEAD"]],
    "checkout": [["latest", "out"]],
    "ui": [["--help"]],
    "lineage up": [["pipelines/far.yaml"], ["count"]],
    "lineage down": [["pipelines/far.yaml"]],
    "lineage show": [["pipelines/far.yaml"]],
    "push": [[], ["-n"], ["--no-artifacts"]],
    "fetch": [[]],
    "pull": [[]],
    "lock": [[]],
    "module list": [[], ["--registry", "ssh"], ["--registry", "git"]],
    "module show": [["count"], ["ssh:count"]],
    "module versions": [["count"]],
    "module history": [["count"]],
    "module resolve": [["count@^1"], ["git:count@^1"]],
    "module diff": [["count", "1.0.0", "1.1.0"]],
    "module verify": [[]],
    "module get": [["count", "out"]],
    "module check": [["tool"]],
    "module init": [["another"]],
    "module run": [["tool"]],
    "module publish": [["tool"], ["tool", "--registry", "ssh"]],
    "module deprecate": [["count@1.0.0", "--reason", "x"]],
    "module disable": [["count@1.0.0", "--reason", "x"]],
    "module enable": [["count@1.0.0"]],
    "module set-default": [["count@1.0.0"]],
    "module pull": [[], ["--registry", "ssh"], ["--registry", "git"]],
    "module push": [[], ["--registry", "git"]],
    "module rebuild": [[]],
    "remotes": [[], ["--check"]],
    "du": [[]],
    "gc": [["-n"], ["--remote", "s3"]],
    "fsck": [[], ["--deep"], ["--repair"], ["--remote", "s3"]],
    "init": [[]],
    "clone": [["../hub.git", "../again"]],
    "demo": [["../demo"]],
    "doctor": [[]],
    "config": [[]],
    "trust list": [[], ["places"], ["run"]],
    "trust allow": [["places", "nothing"]],
    "trust revoke": [["places"], ["run"]],
    "hooks install": [[]],
    "hooks run": [["pre-commit"], ["post-checkout"], ["post-merge"], ["pre-push", "origin", "x"]],
    "hooks status": [[]],
    "hooks uninstall": [[]],
    "completion": [["bash"]],
    "schema": [["pipeline"]],
}
# What reaches the user's own Git remote, or makes a repository of its own, needs nothing of what the files name.
OWN = {"fetch", "clone", "demo", "init", "hooks install", "hooks uninstall", "module init", "module rebuild", "gc"}


def commands() -> Iterator[str]:
    for name in COMMANDS:
        command = gitml.get_command(click.Context(gitml), name)
        if isinstance(command, click.Group):
            yield from (f"{name} {below}" for below in command.list_commands(click.Context(command)))
        else:
            yield name


UV_LOCK = """\
version = 1
revision = 2
requires-python = ">=3.9"

[[package]]
name = "x"
version = "1"
source = {{ virtual = "." }}
dependencies = [{{ name = "pipe" }}]

[package.metadata]
requires-dist = [{{ name = "pipe", path = "pipe" }}]

[[package]]
name = "pipe"
version = "1"
source = {{ registry = "https://index.example/simple" }}
wheels = [{{ url = "file://{pipe}" }}]
"""


def _environments(here: str) -> str:
    """A step in an environment of each kind that fetches something."""
    kinds = {
        "u": "uv.lock",
        "p": "pylock.toml",
        "c": "{conda: explicit.txt}",
        "i": f"{{image: '{here}/team/tiny@sha256:{'0' * 64}'}}",
        "t": f"{{image: '{here}/team/tiny:1'}}",
        "b": f"{{image: '{here}/team/tiny@sha256:{'0' * 64}', pylock: pylock.toml, python: '3.12'}}",
        "n": "{install: project}",
        "v": "{venv: evil}",
    }
    return "steps:\n" + "".join(f"  {name}: {{run: 'true', environment: {kind}}}\n" for name, kind in kinds.items())


def hostile_files(port: int, top: Path) -> dict[str, str | bytes]:
    """A repository whose files name the listening port, a pipe that nobody writes to, and programs that leave a mark."""
    here = f"127.0.0.1:{port}"
    mark = leaves_mark(top / "mark")
    pipe = top / "pipe"
    stores = [
        f"{{url: 's3://bucket/p', endpoint: 'http://{here}'}}",
        f"'ssh://{here}/srv/store'",
        f"'file://{pipe}'",
        "lfs",
    ]
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 3000000\n"
    return {
        "gitml.yaml": f"""\
remotes: [{", ".join(stores)}]
registry: http://{here}/registry.git
registries: {{ssh: 'ssh://{here}/registry.git', git: 'git://{here}/registry.git', path: '{pipe}'}}
targets:
  far: {{ray: '{here}', token: '{top}/secret', dashboard: '{here}'}}
  client: {{ray: 'ray://{here}', token: '{top}/secret'}}
  auto: {{ray: auto, token: '{top}/secret'}}
defaults: {{pipeline: stores}}
records: {{inline_file: 0}}
""",
        ".lfsconfig": f"[lfs]\n\turl = http://{here}/lfs\n",
        ".gitattributes": "*.bin filter=lfs\n* filter=evil diff=evil merge=evil\n",
        ".gitconfig": f"[core]\n\tfsmonitor = {top}/evil.sh\n",
        ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = http://{here}/x.git\n',
        ".envrc": f"touch {top}/mark\n",
        ".python-version": "../../../evil\n",
        ".tool-versions": "python path:./evil\n",
        "evil/python3": mark,
        "evil/tool": mark,
        "data.bin": pointer,
        "pipelines/far.yaml": "target: far\nsteps:\n  train:\n    run: python3 x.py ${{ outputs.o }}\n    outputs: {o: file}\n",
        "pipelines/client.yaml": "target: client\nsteps:\n  train: {run: 'python3 x.py'}\n",
        "pipelines/auto.yaml": "target: auto\nsteps:\n  train: {run: 'python3 x.py'}\n",
        "pipelines/stores.yaml": "steps:\n  train:\n    run: ./evil/tool ${{ outputs.o }}\n    outputs: {o: file}\n",
        "pipelines/lfs.yaml": "inputs: {d: data.bin}\nsteps:\n  train: {run: 'cat ${{ inputs.d }}'}\n",
        "pipelines/modules.yaml": "steps:\n  m: {module: 'count@^1'}\n  g: {module: 'git:count'}\n",
        "pipelines/paths.yaml": f"steps:\n  a: {{run: '/proc/self/cwd/evil/python3 x'}}\n  b: {{run: '{pipe} x'}}\n"
        f"  c: {{run: '/proc/self/cwd/evil/tool x'}}\n  d: {{run: python3 x.py, environment: env.txt}}\n",
        "env.txt": f"evil @ http://{here}/evil-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n",
        "pipelines/environments.yaml": _environments(here),
        "uv.lock": UV_LOCK.format(pipe=f"{top}/pipe-1-py3-none-any.whl"),
        "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = ['pipe']\n"
        f"[tool.uv]\ncache-dir = '{top}/mark'\nindex-url = 'http://{here}/'\n[tool.uv.sources]\npipe = {{path = '{top}/pipe'}}\n",
        "pylock.toml": f"lock-version = '1.0'\ncreated-by = 't'\n[[packages]]\nname = 'a'\nversion = '1'\n"
        f"index = 'http://{here}/simple'\n[[packages.wheels]]\nurl = 'http://{here}/a-1-py3-none-any.whl'\n"
        f"hashes = {{sha256 = '{'0' * 64}'}}\n",
        "explicit.txt": f"@EXPLICIT\nhttp://{here}/linux-64/a-1-0.conda#sha256:{'0' * 64}\n",
        "loose.in": f"--index-url http://{here}/simple\nevil\n",
        "project/pyproject.toml": "[project]\nname = 'evil'\ndynamic = ['version']\ndependencies = ['evil2']\n"
        f"[build-system]\nrequires = []\nbuild-backend = 'evil'\nbackend-path = ['.']\n[tool.uv]\nindex-url = 'http://{here}/'\n",
        "project/evil.py": f"open('{top}/mark', 'w')\n",
        "x.py": "print(1)\n",
        "tool/module.yaml": "name: tool\nversion: 0.1.0\nrun: ./evil.sh\n",
        "tool/evil.sh": mark,
        "evil.sh": mark,
    }


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[tuple[Project, Listener]]:
    """A victim's fresh clone of a hostile repository, and the port of its author."""
    with listening() as listener:
        os.mkfifo(tmp_path / "pipe")
        os.mkfifo(tmp_path / "pipe-1-py3-none-any.whl")
        (tmp_path / "secret").write_text("very-secret-token\n")
        author = Project(tmp_path / "author", hostile_files(listener.port, tmp_path))
        author.repo.git("update-index", "--chmod=+x", "evil/python3", "evil/tool", "evil.sh", "tool/evil.sh")
        author.repo.git("commit", "-qm", "executable")
        hub = Repository(tmp_path / "hub.git", bare=True)
        author.repo.git("push", "-q", hub.path, "main")
        author.repo.git("clone", "-q", hub.path, str(tmp_path / "victim"))
        victim = Project(tmp_path / "victim")
        victim.forks = False  # what Python does when it starts is looked at too
        home = tmp_path / "home"
        home.mkdir()
        kept = {name: value for name, value in victim.env.items() if not name.startswith(("GITML_", "RAY_"))}
        secrets = {
            "RAY_AUTH_TOKEN": "ray-secret-token",
            "AWS_ACCESS_KEY_ID": "AKIA0",
            "AWS_SECRET_ACCESS_KEY": "aws-secret",
        }
        victim.env = {**kept, **secrets, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
        yield victim, listener


def cases(names: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    for name in names:
        for words in WORDS[name]:
            yield name, words


def done(victim: Project, name: str, words: list[str]) -> Done:
    """A command that must end by itself, soon and without a traceback."""
    before = time.monotonic()
    ended = victim.do(*name.split(), *words, code=None)
    assert time.monotonic() - before < 60
    assert "Traceback" not in ended.err
    assert ended.code != 70, (name, words, ended.err)
    return ended


def test_every_command_has_its_words_here() -> None:
    assert set(WORDS) == set(commands())


def test_no_command_reaches_reads_or_starts_what_a_clone_names_before_it_is_allowed(
    hostile: tuple[Project, Listener], tmp_path: Path
) -> None:
    victim, listener = hostile
    for name, words in cases(commands()):
        ended = done(victim, name, words)
        assert listener.heard == [], (name, words, ended)
        assert not (tmp_path / "mark").exists(), (name, words, ended)
        if _reaches(name) == ALWAYS and name not in OWN and ended.code == 0:
            assert name in ("pull", "push", "collect", "logs", "lock") or words == ["-n"], (name, words, ended)


def test_a_command_that_only_looks_reaches_nothing_when_everything_is_allowed_either(
    hostile: tuple[Project, Listener], tmp_path: Path
) -> None:
    victim, listener = hostile
    victim.env["GITML_TRUST"] = "places"
    for name, words in cases(name for name in commands() if name in LOOKING and not _reaches(name)):
        ended = done(victim, name, words)
        assert listener.heard == [], (name, words, ended)
        assert not (tmp_path / "mark").exists(), (name, words, ended)


def test_the_port_hears_of_a_command_that_reaches_once_it_is_allowed(hostile: tuple[Project, Listener]) -> None:
    """What the tests above rest on: the port is there, and would have heard."""
    victim, listener = hostile
    for name, words in (("targets", ["far"]), ("module pull", ["--registry", "git"]), ("remotes", ["--check"])):
        heard = len(listener.heard)
        victim.do(*name.split(), *words, "--trust", code=None)
        assert len(listener.heard) > heard, name


def _reaches(name: str) -> str:
    group, _, below = name.partition(" ")
    command = gitml.get_command(click.Context(gitml), group)
    if below and isinstance(command, click.Group):
        command = command.get_command(click.Context(command), below)
    return str(getattr(command, "reaches", ""))
