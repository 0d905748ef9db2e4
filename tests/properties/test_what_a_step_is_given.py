"""All that a step's process is given is in its key, fixed, or listed as lent: the table of docs/concepts.md says which is which.

A real step writes down whatever its process has. It is called from two shells that differ in all that a shell can pass on, and
what the table calls fixed must be the same in both, what it calls absent must not be there, and nothing may be there that it
does not name.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitml.core.model.action import Action, ActionInput, ActionOutput
from gitml.core.model.digest import digest_of
from gitml.execute.environments.variables import variables_of
from gitml.platform.current import platform
from tests.kit.projects.repository import Repository, environment

DOCS = Path(__file__).parents[2] / "docs/concepts.md"
KEY, FIXED, ABSENT, LENT = "key", "fixed", "absent", "lent"

DUMP = """\
import json, locale, os, resource, signal, socket, stat, sys, time

def status(name):
    with open("/proc/self/status") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith(name + ":")), None)

def mask():
    now = os.umask(0)
    os.umask(now)
    return now

def terminal():
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True

def kind(fd):
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode):
        return "pipe"
    return os.readlink(f"/proc/self/fd/{fd}")

def opened():
    found = {}
    for fd in range(4096):
        try:
            found[fd] = kind(fd)
        except OSError:
            pass
    return found

def files():
    found = []
    for folder, names, inner in os.walk("."):
        for name in sorted(names + inner):
            at = os.path.join(folder, name)
            found.append([at, oct(os.lstat(at).st_mode), os.path.isfile(at) and os.lstat(at).st_mtime])
    return sorted(found)

with open("/proc/self/cmdline") as file:
    argv = file.read().split(chr(0))
first = opened()
locale.setlocale(locale.LC_ALL, "")
given = {
    "argv": argv,
    "variables": dict(os.environ),
    "working folder": os.getcwd(),
    "files in it": files(),
    "descriptors": {fd: to for fd, to in first.items() if fd > 2},
    "standard": [first[0], os.read(0, 10).decode(), first[1], first[2], os.fstat(1).st_ino == os.fstat(2).st_ino],
    "umask": mask(),
    "signals": [status("SigBlk"), status("SigIgn"), status("SigPnd"), status("ShdPnd")],
    "dispositions": sorted(n for n in signal.valid_signals() if signal.getsignal(n) not in
                           (signal.SIG_DFL, signal.default_int_handler) and n != signal.SIGPIPE and n != signal.SIGXFSZ),
    "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid(), terminal()],
    "zone": [time.tzname, time.timezone],
    "language": [locale.getlocale(category) for category in range(6)],
    "encoding": [sys.getfilesystemencoding(), sys.stdout.encoding],
    "import path": sys.path,
    "python": [sys.version_info[:3], sys.implementation.name, sys.hash_info.algorithm, hash("x")],
    "user": [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), sorted(os.getgroups())],
    "capabilities": [status(name) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")],
    "host": socket.gethostname(),
    "mounts": [line.split()[4] for line in open("/proc/self/mountinfo")],
    "namespaces": {name: os.readlink("/proc/self/ns/" + name) for name in sorted(os.listdir("/proc/self/ns"))},
    "control group": open("/proc/self/cgroup").read(),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")},
    "niceness": [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), open("/proc/self/oom_score_adj").read()],
    "processors": [sorted(os.sched_getaffinity(0)), os.cpu_count()],
    "GPUs": [name for name in ("nvidia0", "nvidiactl", "dri", "kfd") if os.path.exists("/dev/" + name)],
}
with open(sys.argv[1], "w") as file:
    json.dump(given, file)
"""
PIPELINE = """\
params: {rate: 0.5}
inputs: {raw: data/a.csv}
steps:
  make:
    shell: sh
    run: mkdir -p ${{ outputs.d }}/sub; echo x > ${{ outputs.d }}/sub/file; echo y > ${{ outputs.f }}
    outputs: {d: directory, f: file}
  dump:
    run: python3 src/dump.py ${{ outputs.o }} ${{ params.rate }} ${{ inputs.raw }} ${{ steps.make.outputs.d }} ${{ steps.make.outputs.f }}
    outputs: {o: file}
    env: {MINE: mine}
"""
CONFINED = PIPELINE + "    sandbox: strict\n"

# each thing that DUMP writes down, but for the variables, which the table names one by one: the row it is on
ROWS = {
    "argv": "the command",
    "working folder": "the working folder",
    "files in it": "the working folder",
    "descriptors": "other open files",
    "standard": "standard input, output and error",
    "umask": "the umask",
    "signals": "signals",
    "dispositions": "signals",
    "session": "session, process group, terminal",
    "zone": "`LANG`, `TZ`, `TERM`",
    "language": "`LANG`, `TZ`, `TERM`",
    "encoding": "`LANG`, `TZ`, `TERM`",
    "import path": "the program, and what Python imports",
    "python": "Python and its standard library",
    "user": "user, groups, capabilities",
    "capabilities": "user, groups, capabilities",
    "host": "host name, mounts, namespaces, control group",
    "mounts": "host name, mounts, namespaces, control group",
    "namespaces": "host name, mounts, namespaces, control group",
    "control group": "host name, mounts, namespaces, control group",
    "limits": "limits, niceness, scheduling",
    "niceness": "limits, niceness, scheduling",
    "processors": "processors, memory, GPUs, clock, network",
    "GPUs": "processors, memory, GPUs, clock, network",
}


def table() -> dict[str, tuple[str, str]]:
    """(how, which) by what, as docs/concepts.md lists it."""
    text = DOCS.read_text().partition("### What a step is given")[2].partition("\n\nWhat no sandbox hides")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {what: (how, which) for what, how, which in rows[2:]}


def variables() -> dict[str, tuple[str, str | None]]:
    """(how, the value that is documented) by pattern of a variable's name."""
    found: dict[str, tuple[str, str | None]] = {}
    for what, (how, which) in table().items():
        names, values = re.findall(r"`([^`]+)`", what), re.findall(r"`([^`]+)`", which)
        if what.startswith("variables under"):
            continue
        for number, name in enumerate(names):
            value = values[number] if how == FIXED and len(values) == len(names) else None
            found.setdefault(name, (how, value))
    return found


def how_of(name: str) -> tuple[str, str | None]:
    """How a variable of this name is given: the row with the name itself, else the one with a pattern that fits."""
    rows = variables()
    if name in rows:
        return rows[name]
    return next((row for pattern, row in rows.items() if fnmatch.fnmatchcase(name, pattern)), (ABSENT, None))


HOSTILE = {
    "TZ": "Asia/Tokyo",
    "LANG": "C",
    "LANGUAGE": "de",
    "LC_ALL": "POSIX",
    "LC_TIME": "C",
    "TERM": "xterm-256color",
    "LD_LIBRARY_PATH": "/tmp",
    "LD_BIND_NOW": "1",
    "DYLD_LIBRARY_PATH": "/tmp",
    "PYTHONPATH": "/tmp",
    "PYTHONUTF8": "0",
    "PYTHONWARNINGS": "ignore",
    "PYTHONOPTIMIZE": "2",
    "PYTHONNOUSERSITE": "1",
    "PYTHONSAFEPATH": "1",
    "OMP_NUM_THREADS": "3",
    "MKL_NUM_THREADS": "3",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.check=1",
    "CUBLAS_WORKSPACE_CONFIG": ":16:8",
    "BASH_ENV": "/tmp/x",
    "ENV": "/tmp/x",
    "IFS": ":",
    "CDPATH": "/tmp",
    "POSIXLY_CORRECT": "1",
    "EDITOR": "vi",
    "DISPLAY": ":7",
    "TMPDIR": "/var/tmp",
    "SOURCE_DATE_EPOCH": "1",
    "RAY_ADDRESS": "127.0.0.1:6379",
    "GITML_PARAM_RATE": "9",
    "GITML_PARAM_OTHER": "9",
    "_gitml_0": "9",
    "CUDA_VISIBLE_DEVICES": "",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "USER": "someone",
}


def hostile_shell() -> None:
    """What a shell can pass on beside variables, all of it other than usual."""
    os.umask(0o077)
    os.nice(3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 900), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGRTMIN, signal.SIGRTMAX - 1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN + 1})
    first = sorted(os.sched_getaffinity(0))[:1]
    os.sched_setaffinity(0, first)
    for fd in (300, 301):
        os.dup2(2, fd, inheritable=True)


@pytest.fixture(
    scope="module",
    params=[pytest.param(PIPELINE, id="normal"), pytest.param(CONFINED, id="strict", marks=pytest.mark.slow)],
)
def dumps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, Any], str]]:
    """(what a step was given, its ActionKey) from a plain shell and from a hostile one."""
    if request.param is CONFINED and platform.confinement_refusal() != "":
        pytest.skip(platform.confinement_refusal())
    repo = Repository(tmp_path_factory.mktemp("given") / "r")
    repo.commit("a step", {"src/dump.py": DUMP, "data/a.csv": "1\n", "pipelines/p.yaml": request.param})
    found = []
    shells: list[tuple[Mapping[str, str], Callable[[], None] | None]] = [({}, None), (HOSTILE, hostile_shell)]
    for more, before in shells:
        environ = {**environment(), "HOME": os.path.join(repo.path, ".git"), **more}

        def gitml(*words: str, before: Any = before, environ: Any = environ) -> str:
            argv = (sys.executable, "-m", "gitml", *words)
            # what the interpreter that calls gitml must not see is for the step alone
            text = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
            ran = subprocess.Popen(
                argv,
                cwd=repo.path,
                env=text,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                preexec_fn=before,
                close_fds=before is None,
            )
            out, _ = ran.communicate(b"typed in\n", timeout=120)
            assert ran.returncode == 0, out[-800:]
            return out.decode()

        run = json.loads(gitml("run", "--no-reuse", "--json"))
        gitml("checkout", "-q", "latest:dump.o", "../given.json")
        with open(os.path.join(os.path.dirname(repo.path), "given.json")) as file:
            found.append((json.load(file), run["steps"][-1]["key"]))
        os.unlink(file.name)
    return found


def without_sandbox(value: Any, sandbox: str) -> Any:
    return json.loads(json.dumps(value).replace(sandbox, "<sandbox>"))


def test_everything_a_step_is_given_is_on_a_row_of_the_table(dumps: list[tuple[dict[str, Any], str]]) -> None:
    rows = table()
    assert {how for how, _ in rows.values()} == {KEY, FIXED, ABSENT, LENT}
    for given_, _ in dumps:
        assert set(given_) - {"variables"} == set(ROWS)
        assert set(ROWS.values()) <= set(rows)
        names = set(given_["variables"]) - {"MINE", "LC_CTYPE"}  # Python sets the last one where it coerces the locale
        assert {name: how_of(name)[0] for name in names if how_of(name)[0] == ABSENT} == {}
        for name in names:
            how, value = how_of(name)
            assert value is None or given_["variables"][name] == value, (name, how)


def test_what_is_fixed_or_in_an_equal_key_is_the_same_from_any_shell(dumps: list[tuple[dict[str, Any], str]]) -> None:
    (plain, key), (hostile, other_key) = (
        (without_sandbox(given_, os.path.dirname(given_["working folder"])), key) for given_, key in dumps
    )
    assert key == other_key
    rows = table()
    for item, row in ROWS.items():
        if rows[row][0] != LENT:
            assert hostile[item] == plain[item], item
    names = {*plain["variables"], *hostile["variables"]}
    for name in names:
        if name == "MINE" or how_of(name)[0] != LENT:
            assert hostile["variables"].get(name) == plain["variables"].get(name), name
    assert plain["descriptors"] == {}
    assert plain["standard"] == ["/dev/null", "", "pipe", "pipe", True]
    # SIGPIPE and SIGXFSZ are ignored by Python itself, the two of the C library's own (32, 33) by its posix_spawn
    blocked, ignored = (int(text, 16) for text in plain["signals"][:2])
    assert (plain["umask"], blocked, ignored & ~(1 << 12 | 1 << 24 | 3 << 31)) == (0o022, 0, 0)
    assert plain["dispositions"] == []
    assert plain["session"] == [True, True, False]
    assert plain["zone"] == [["UTC", "UTC"], 0]


def test_the_hostile_shell_differs_in_what_is_lent(dumps: list[tuple[dict[str, Any], str]]) -> None:
    (plain, _), (hostile, _) = dumps
    assert hostile["limits"] != plain["limits"]
    assert hostile["niceness"] != plain["niceness"]
    assert hostile["variables"]["HTTPS_PROXY"] == HOSTILE["HTTPS_PROXY"]


NAMES = st.sampled_from(
    [name for name in (*variables(), *HOSTILE) if "*" not in name]
    + [name.replace("*", "X") for name in variables() if "*" in name]
) | st.text("ABCXYZ_abc", min_size=1, max_size=12)
ACTION = Action(
    ("true",), None, (("rate", 0.5),), (), (ActionInput("raw", "data/a.csv", "file", "git:100644:" + "1" * 40),),
    (ActionOutput("o", ".gitml/out/o", "file"),), (("MINE", "mine"),), digest_of(b"environment"),
)  # fmt: skip


@given(st.dictionaries(NAMES, st.text(max_size=8)))
def test_no_variable_of_any_machine_reaches_a_step_unless_the_table_lends_it(machine: dict[str, str]) -> None:
    def given_by(machine: Mapping[str, str]) -> dict[str, str]:
        return variables_of(ACTION, machine, path="/bin", tmp="/s/tmp", ceiling="/s")

    alone, with_it = given_by({}), given_by(machine)
    lent = {name: value for name, value in machine.items() if how_of(name)[0] == LENT and name != "PATH"}
    assert with_it == {**alone, **lent}
