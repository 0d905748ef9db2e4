"""Nobody else of the user may look into gitml, its supervisor and its workers, and what they were given is not shown to root either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitml.platform.current import platform
from tests.kit.other_users import GROUP, as_user, open_python
from tests.kit.projects.command_line import Project
from tests.kit.user_settings import with_settings

DENY = """
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None); libc.getenv.restype = ctypes.c_char_p
os.environ["LATER"] = "set"; os.environ["CANARY_OVER"] = "set anew"; del os.environ["CANARY_GONE"]
from gitml.platform.kernel import deny_inspection
deny_inspection(); deny_inspection()
print(libc.prctl(3, 0, 0, 0, 0))
try:
    print(b"canary" in open("/proc/self/environ", "rb").read())
except PermissionError:  # its files are root's now
    print(False)
print(libc.getenv(b"CANARY"), libc.getenv(b"HOME"), libc.getenv(b"LATER"), libc.getenv(b"CANARY_GONE"))
os.putenv("AFTER", "after"); libc.unsetenv(b"CANARY_OVER")
print(subprocess.run("echo $CANARY $HOME $LATER $AFTER.$CANARY_OVER", shell=True, capture_output=True, text=True).stdout.strip())
child = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip())
if os.fork() == 0:
    print(libc.prctl(3, 0, 0, 0, 0), len(os.listdir("/proc/self/fd")) > 2, flush=True)
    os._exit(0)
os.wait()
"""


def test_who_called_gitml_may_allow_to_look_into_it() -> None:
    deny = "from gitml.platform.kernel import deny_inspection; deny_inspection()"
    look = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    for told, seen in (({}, "0"), ({"GITML_INSPECTION": "allow"}, "1")):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **told}
        ran = subprocess.run(
            [sys.executable, "-c", f"{deny}; {look}"], env=env, capture_output=True, text=True, check=True
        )
        assert ran.stdout.strip() == seen


def test_a_process_that_denies_inspection_goes_on_as_before_and_so_do_the_programs_it_starts() -> None:
    env = {**os.environ, "CANARY": "canary-1", "CANARY_OVER": "canary-2", "CANARY_GONE": "canary-3", "HOME": "/h"}
    env |= {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-u", "-c", DENY], env=env, capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines() == [
        "0",  # no core file, and nothing in /proc for others
        "False",
        "b'canary-1' b'/h' b'set' None",
        "canary-1 /h set after.",
        "1",  # a program that it starts can be debugged as any other
        "0 True",
    ], ran.stderr


LOOK = """
import json, os
def above(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[1]
worker = above("self")
supervisor = above(worker)
own = (worker, supervisor, above(supervisor))  # others on this machine are not gitml's
found = {}
for pid in os.listdir("/proc"):
    if not pid.isdigit() or int(pid) == os.getpid():
        continue
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if not file.read():
                continue
        name = open(f"/proc/{pid}/comm").read().strip()
        shown = open(f"/proc/{pid}/environ", "rb").read()
    except OSError:
        continue
    if b"CANARY-" in shown:
        found[pid] = name
    for part in ("mem", "maps", "cwd"):
        try:
            os.close(os.open(f"/proc/{pid}/{part}", os.O_RDONLY))
        except OSError:
            continue
        if os.getuid() != 0 and pid in own:
            found[f"{pid} {part}"] = name
print(json.dumps(found))
"""
MARK = f"canary-{os.urandom(8).hex()}-"  # tests that run beside this one have canaries of their own
PIPELINE = "steps:\n  look:\n    run: python3 look.py\n    sandbox: {}\n"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": f"{MARK}key",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "http.https://example.org/.extraHeader",
    "GIT_CONFIG_VALUE_0": f"Authorization: {MARK}header",
    "GIT_CONFIG_PARAMETERS": f"'http.extraheader={MARK}parameter' 'core.abbrev'='9'",
}
STRICT = pytest.param(
    "strict", marks=pytest.mark.skipif(platform.confinement_refusal() != "", reason=platform.confinement_refusal())
)


@pytest.mark.needs_linux("other processes can't look into gitml")
@pytest.mark.parametrize("sandbox", ["normal", STRICT])
def test_a_step_reads_no_variable_that_gitml_was_given_from_any_process(tmp_path: Path, sandbox: str) -> None:
    project = Project(
        tmp_path / "p", {"pipelines/p.yaml": PIPELINE.format(sandbox), "look.py": LOOK.replace("CANARY-", MARK)}
    )
    project.do("run", env=SECRETS)
    assert json.loads(project.do("logs", "latest", "look").out) == {}


@pytest.mark.needs_linux("other processes can't look into gitml")
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize("settings", ["", "sandboxes: {mount: false}\n"], ids=["mounted", "apart"])
@pytest.mark.parametrize("sandbox", ["normal", STRICT])
def test_a_step_of_an_ordinary_user_looks_into_nothing_of_gitml(tmp_path: Path, sandbox: str, settings: str) -> None:
    project = Project(
        tmp_path / "p", {"pipelines/p.yaml": PIPELINE.format(sandbox), "look.py": LOOK.replace("CANARY-", MARK)}
    )
    uid = 41_103
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(folder.stat().st_mode | 0o055)
    configured = with_settings(tmp_path, settings)
    subprocess.run(["chown", "-R", f"{uid}:{GROUP}", str(tmp_path)], check=True)
    (tmp_path / "python-at").mkdir()
    with open_python(tmp_path / "python-at") as python:
        env = {**python.env, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), **configured}

        def gitml(*words: str, **more: str) -> str:
            call = [*as_user(uid), python.program, "-m", "gitml", *words]
            ran = subprocess.run(
                call, cwd=project.path, env={**env, **more}, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, ran
            return ran.stdout

        gitml("run", **SECRETS)
        assert json.loads(gitml("logs", "latest", "look")) == {}
