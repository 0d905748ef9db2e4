"""Fifty secrets in all places where people keep them, and steps that print each of them in many forms: none is found afterwards.

Looked at are stdout and stderr of every command, and all that lasts: the Git folder with every object unpacked, the index, logs,
caches, the remote store, the bare remote and a clone of it.
"""

from __future__ import annotations

import json
import os
import random
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gitml.cli.table import COMMANDS
from tests.kit.attacks.leaks import forms, holders, shown
from tests.kit.projects.command_line import Done, Project

NOWHERE = "127.0.0.1:9"  # nobody answers there
_DRAWN = random.Random(20261129)


def _word(size: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "c4N" + "".join(_DRAWN.choices(letters, k=size - 3))


BY_NAME = {  # variables that are masked because of what they are called
    **{
        name: _word(40, string.ascii_letters + string.digits + "/+")
        for name in ("AWS_SECRET_ACCESS_KEY", "MINIO_SECRET_KEY")
    },
    "AWS_SESSION_TOKEN": _word(300),
    **{
        name: _word(24 + number)
        for number, name in enumerate(
            "HF_TOKEN GITHUB_TOKEN GITLAB_TOKEN CI_JOB_TOKEN VAULT_TOKEN NPM_TOKEN SLACK_BOT_TOKEN RAY_AUTH_TOKEN SENTRY_AUTH_TOKEN"
            " OPENAI_API_KEY ANTHROPIC_API_KEY WANDB_API_KEY GOOGLE_API_KEY COMET_APIKEY JWT_SECRET DJANGO_SECRET_KEY OAUTH_CLIENT_SECRET"
            " AZURE_STORAGE_KEY AZURE_CLIENT_SECRET SIGNING_KEY DEPLOY_KEY PGPASSWORD DB_PASSWORD MYSQL_PWD TWINE_PASSWORD SMTP_PASSWD"
            " SSH_PASSPHRASE REGISTRY_CREDENTIAL".split()
        )
    },
    "QUOTED_PASSWORD": 'c4N "quoted" \\ and & spaced, ümlaut?',
}
BY_URL = {name: _word(20) for name in ("HTTPS_PROXY", "http_proxy", "DATABASE_URL", "REDIS_URL", "BROKER_URL")}
PASSED = {name: _word(18) for name in ("PLAIN_ONE", "ANOTHER_NAME", "SERVICE_LOGIN")}
SECRET_PARAMS = {
    "GITML_SECRET_TOKEN": _word(22),
    "GITML_SECRET_PIN": _word(8),
    "GITML_SECRET_MULTI": f"{_word(30)}\n{_word(40)}",
}
BY_SHAPE = {  # in no variable: the step has them from elsewhere
    "github": "ghp_" + _word(36),
    "fine-grained": f"github_pat_{_word(22)}_{_word(59)}",
    "huggingface": "hf_" + _word(34),
    "gitlab": "glpat-" + _word(20),
    "openai": "sk-proj-" + _word(40),
}
FILES = {name: _word(32) for name in ("~/.ray/auth_token", "~/cluster.token")}
GIT = {name: _word(21) for name in ("remote", "lfs", "clone")}  # in URLs of .git/config and of a command line

KNOWN = [*BY_NAME.values(), *BY_URL.values(), *PASSED.values(), *SECRET_PARAMS.values(), *FILES.values()]
AS_THEY_ARE = [*BY_SHAPE.values(), *(f"https://user:{value}@{NOWHERE}/x.git" for value in GIT.values())]
"""What no gitml knows, and masks for its looks: found only as it is."""
ALL = [*KNOWN, *BY_SHAPE.values(), *GIT.values()]
LINES = [line for value in ALL for line in value.split("\n")]

PIPELINE = f"""
params:
  token: {{secret: true}}
  pin: {{secret: true}}
  multi: {{secret: true}}
  exit: 0
steps:
  told:
    shell: bash
    env: {{{", ".join(f"{name}: " for name in PASSED)}, TOKEN: "${{{{ params.token }}}}", MULTI: "x ${{{{ params.multi }}}}"}}
    run: |
      set -x
      true "$TOKEN $MULTI $PLAIN_ONE" ${{{{ params.pin }}}}
      python3 src/tell.py FOLDER ${{{{ params.exit }}}} ${{{{ outputs.m }}}}
    outputs: {{m: metrics}}
  after:
    run: python3 src/after.py ${{{{ steps.told.outputs.m }}}} ${{{{ outputs.o }}}}
    outputs: {{o: file}}
"""
TELL = """
import base64, json, os, sys, urllib.parse
known, plain = json.load(open(sys.argv[1] + "/canaries.json"))
values = known + plain
values += [value for name, value in os.environ.items() if value.startswith(("c4N", "x c4N"))]
for number, value in enumerate(values):
    stream = sys.stdout if number % 2 else sys.stderr
    data = value.encode()
    encoded = [base64.b64encode(before + data + b" end").decode() for before in (b"", b"u", b"u:", b"use:")]
    forms = (json.dumps({"v": value}), urllib.parse.quote(value, safe=""), repr([value]), *encoded)
    for text in (value, *(() if value in plain else forms)):
        line = f"value {number} is {text}, they say\\n"
        for place in range(0, len(line), 7):
            stream.write(line[place : place + 7])
            if number % 5 == 0:
                stream.flush()
    stream.flush()
json.dump({"n": len(values)}, open(sys.argv[3], "w"))
if sys.argv[2] == "1":
    raise SystemExit(values[3] + " was wrong")
if sys.argv[2] == "2":
    os.kill(os.getpid(), 11)
"""
BUILT = {
    "pipelines/main.yaml": PIPELINE,
    "pipelines/far.yaml": PIPELINE.replace("steps:", "target: big\nsteps:"),
    "src/tell.py": TELL,
    "src/after.py": "import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read() * 2)\n",
}


class Hoard:
    """A project with all canaries around it, and what its commands said."""

    def __init__(self, folder: Path) -> None:
        self.home, self.store, self.bare = (folder / name for name in ("home", "store", "bare.git"))
        self.folder = folder
        self.store.mkdir()
        for name, value in FILES.items():
            path = self.home / name.removeprefix("~/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value + "\n")
            path.chmod(0o600)
        (self.home / "canaries.json").write_text(json.dumps([KNOWN, AS_THEY_ARE]))
        config = (
            f'targets: {{big: {{ray: "{NOWHERE}", token: ~/cluster.token}}}}\n'
            f"remotes: ['file://{self.store}']\nrecords: {{inline_file: 100, inline_run: 4000}}\n"
        )
        files = {name: text.replace("FOLDER", str(self.home)) for name, text in BUILT.items()}
        self.project = Project(folder / "project", {**files, "gitml.yaml": config, "defaults": ""})
        urls = {name: f"http://user:{value}@{NOWHERE}/{name}" for name, value in BY_URL.items()}
        self.project.env |= {
            **BY_NAME,
            **urls,
            **PASSED,
            **SECRET_PARAMS,
            "HOME": str(self.home),
            "GITML_TRUST": "places,run",
        }
        git = self.project.repo.git
        git("init", "-q", "--bare", "--initial-branch=main", str(self.bare))
        git("remote", "add", "origin", str(self.bare))
        git("remote", "add", "far", f"https://user:{GIT['remote']}@{NOWHERE}/far.git")
        git("config", "lfs.url", f"https://user:{GIT['lfs']}@{NOWHERE}/lfs")
        self.said: list[tuple[str, Done]] = []
        self.used: set[str] = set()

    def do(self, *words: str, cwd: Path | None = None) -> Done:
        """Calls a command and looks at what it says."""
        done = self.project.do(*words, code=None, cwd=cwd)
        name = " ".join(words)
        self.used.add(next(word for word in words if not word.startswith("-")))
        assert shown(LINES, done.out) == [], f"{name}: on stdout"
        assert shown(LINES, done.err) == [], f"{name}: on stderr"
        assert done.code != 70, f"{name}: {done.err}"
        if "-v" not in words:
            assert "Traceback" not in done.err, f"{name}: {done.err}"
        self.said.append((name, done))
        return done

    def look(self) -> None:
        """Finds no canary in anything that lasts, but for the files that the user keeps them in."""
        kept = (*(name.removeprefix("~") for name in FILES), "/home/canaries.json", "project/.git/config")
        assert holders(LINES, self.folder, without=kept) == {}


@pytest.fixture
def hoard(tmp_path: Path) -> Iterator[Hoard]:
    made = Hoard(tmp_path)
    yield made
    assert made.said


def test_there_are_fifty_canaries_and_a_step_does_print_them(tmp_path: Path) -> None:
    assert len(set(ALL)) >= 50
    (tmp_path / "canaries.json").write_text(json.dumps([KNOWN, AS_THEY_ARE]))
    (tmp_path / "tell.py").write_text(TELL)
    said = os.popen(f"python3 {tmp_path}/tell.py {tmp_path} 0 {tmp_path}/m 2>&1").read()
    assert set(shown(LINES, said)) == set(LINES)
    assert all(len(forms(line)) >= 2 for line in LINES)


RUNS: Sequence[Sequence[str]] = (
    ("run", "main"),
    ("logs", "latest"),
    ("run", "main", "-S", "exit=1"),
    ("show", "latest"),
    ("-v", "run", "main", "-S", "exit=2", "--json"),
)


def test_none_is_found_after_runs_that_print_them_all(hoard: Hoard) -> None:
    for words in RUNS:
        hoard.do(*words)
    assert hoard.said[0][1].code == 0, hoard.said[0][1].err
    assert hoard.said[1][1].out.count("***") > 8 * 50
    assert hoard.said[2][1].code == 1
    assert "keeps no secrets" in hoard.do("submit", "far").err
    for words in (
        ("push", "origin"),
        ("push", "far"),
        ("-v", "fetch", "far"),
        ("status",),
        ("remotes",),
        ("log", "--json"),
    ):
        hoard.do(*words)
    hoard.look()


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_none_is_found_after_every_command(hoard: Hoard) -> None:
    for words in RUNS:
        hoard.do(*words)
    run = hoard.do("log", "--json").json[-1]["run"]
    clone = hoard.folder / "clone"
    module = {
        "module.yaml": "name: lab/tell\nversion: 1.0.0\nrun: python3 tell.py\ncode: [tell.py]\n",
        "tell.py": "print(1)\n",
    }
    hoard.project.repo.commit("a module", {f"mod/{name}": text for name, text in module.items()})
    hoard.project.repo.git("push", "-q", "origin", "main")
    url = f"https://user:{GIT['clone']}@{NOWHERE}/x.git"
    commands: Sequence[Sequence[str]] = (
        *((word, "main") for word in ("plan", "status", "dag")), ("check",), ("check", "pipelines/main.yaml", "--json"),
        *(("explain", "main", "told", *more) for more in ((), ("--diff",), ("--json",))),
        *(("run", "main", *more) for more in (("-n",), ("--no-reuse",), ("--detach", "--no-reuse"), ("-S", "exit=x"), ("-S", "no=1"))),
        *(("run", "main", option, BY_NAME["GITHUB_TOKEN"]) for option in ("-m", "--tag", "--experiment")),
        *(("run", "main", "-S", f"exit={value}") for value in (*BY_NAME.values(), *BY_URL.values(), *BY_SHAPE.values())),
        ("run", "main", "-S", f"token={SECRET_PARAMS['GITML_SECRET_TOKEN']}"),
        ("run", "main", "--secret", f"token={SECRET_PARAMS['GITML_SECRET_TOKEN']}"),
        ("run", "main", "--secret", "token"), ("run", "far"), ("run", "main", "--on", "big"), ("-v", "submit", "far"),
        ("submit", "main", "--on", "big", "--json"), ("collect",), ("collect", run), ("cancel", run), ("wait", run), ("rerun", run), ("promote", run), ("shell", "told", "-p", "main", "--", "true"), ("shell", f"{run}:told", "--", "true"), ("rerun", run, "-f", "-S", "exit=x"), ("targets",), ("targets", "--json"),
        ("reproduce", run), ("reproduce", run, "--json"), ("log",), ("log", "--on", "big"), ("show", run), ("show", run, "--json"),
        ("logs", run), ("logs", "latest", "told"), ("logs", "nothing"), ("metrics", "show"), ("metrics", "diff"), ("plots", "show"), ("plots", "diff"), ("params", "show"), ("params", "diff"),
        ("params", "show", "--json"), ("env", "show", "main", "--json"), ("-v", "env", "show", "main"), ("env", "explain", "main"), ("env", "diff", run), ("env", "build", "main"), ("env", "push", "main"), ("env", "lock", "mod/module.yaml"), ("checkout", f"{run}:after.o", "--force"), ("checkout", "latest", "--failed"), ("lineage", "show", "told"),
        ("lineage", "up", f"{run}:after.o"), ("lineage", "down", "src/tell.py"), ("ui",), ("lock",),
        ("push", "origin"), ("push", "far"), ("push", url), ("-v", "push", url, "--json"), ("fetch", "origin"), ("fetch", "far"), ("fetch", url), ("pull", "origin"),
        ("pull", "far"), ("-v", "pull", url), ("module", "publish", "mod"), ("module", "list"), ("module", "show", "lab/tell"), ("module", "push"),
        ("module", "run", "mod", "--out", str(hoard.folder / "out")), ("module", "pull"), ("remotes",), ("remotes", "--json"), ("trust", "list"), ("trust", "list", "--json"), ("trust", "allow", "places"),
        ("du",), ("gc", "-n"), ("gc",), ("fsck",), ("fsck", "--deep"), ("fsck", "--repair"), ("fsck", "--remote", "file"), ("init",), ("init", "--remote", "far"), ("init", "--remote", url),
        ("clone", url, str(hoard.folder / "no")), ("clone", str(hoard.bare), str(clone)), ("doctor",), ("doctor", "--json"), ("config",), ("config", "--json"),
        ("hooks", "status"), ("hooks", "install"), ("hooks", "run", "pre-commit"), ("hooks", "run", "post-merge", "0"), ("hooks", "uninstall"), ("completion", "bash"), ("schema", "pipeline"),
        ("demo", str(hoard.folder / "demo")), ("-v", "nonsense"), ("nonsense", "--json"),
    )  # fmt: skip
    for words in commands:
        hoard.do(*words)
    for words in (("run", "main"), ("plan", "main"), ("show", run), ("logs", run), ("pull",), ("fsck", "--deep")):
        hoard.do(*words, cwd=clone)
    assert set(COMMANDS) - hoard.used == set()
    hoard.look()
