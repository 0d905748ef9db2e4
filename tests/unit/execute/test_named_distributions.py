"""``host: [names]``: these distributions and what they need count, by content; nothing else that is installed does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitml.core.model.environment import HOST, PACKAGES, EnvironmentSource, EnvironmentSpec
from gitml.errors import InputError
from gitml.execute.environments.environments import Environments
from tests.kit.execution import MemoryFacts

OLD = time.time() - 1000


class Installed:
    """A virtual environment first on PATH, with distributions that are only descriptions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.venv = path / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.venv)], check=True)
        self.site = next(self.venv.glob("lib/python3*/site-packages"))
        self.facts = MemoryFacts()

    def add(self, name: str, *requires: str, content: str = "1") -> None:
        info = self.site / f"{name}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        lines = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{lines}\nRequires-Dist: text\n"
        )
        (info / "RECORD").write_text(f"{name}.py,sha256={content},\n{info.name}/METADATA,sha256={len(lines)},\n")
        os.utime(info / "RECORD", (OLD, OLD))
        os.utime(self.site, (OLD, OLD))

    def settle(self) -> None:
        """Waits until what was just written may be remembered by its times."""
        time.sleep(2.2)

    def identify(self, *names: str, facts: MemoryFacts | None = None):
        machine = {"PATH": f"{self.venv}/bin:/usr/bin:/bin", "HOME": str(self.path)}
        here = Environments(self.facts if facts is None else facts, str(self.path / "cache"), machine, str(self.path))
        options = ((PACKAGES, names),) if names else ()
        return here.identify(EnvironmentSource(EnvironmentSpec(HOST, "", options)))

    def distributions(self, *names: str) -> list[str]:
        return list(self.identify(*names).description["distributions"])


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def test_a_named_distribution_counts_with_all_that_it_needs_and_nothing_else(installed: Installed) -> None:
    installed.add("Top_Level", "middle>=1", "only-on-mars; sys_platform == 'mars'", "absent")
    installed.add("middle", "leaf[fast] (>=0.5)", "top.level")
    installed.add("leaf", "plain-extra; extra == 'slow'", "quick; extra == 'fast'")
    for name in ("quick", "plain-extra", "only-on-mars", "beside", "text"):
        installed.add(name)
    (installed.site / "loose.py").write_text("")
    found = installed.identify("top-level")
    assert list(found.description["distributions"]) == ["leaf 1.0", "middle 1.0", "quick 1.0", "top-level 1.0"]
    assert set(found.description["contents"]) == set(found.description["distributions"])


def test_the_key_changes_by_their_content_alone(installed: Installed) -> None:
    installed.add("used", "needed")
    installed.add("needed")
    installed.add("beside")
    before = installed.identify("used")
    installed.add("beside", "more", content="2")
    installed.add("more")
    assert installed.identify("used") == before
    installed.add("needed", content="2")
    after = installed.identify("used")
    assert after.digest != before.digest
    installed.add("needed", "more", content="2")
    assert "more 1.0" in installed.identify("used").description["distributions"]
    assert installed.identify("used").digest != installed.identify().digest


def test_markers_are_asked_of_the_steps_python_and_not_of_gitmls(installed: Installed) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    installed.add("used", f"now; python_version == '{version}'", f"never; python_version != '{version}'")
    installed.add("now")
    installed.add("never")
    assert installed.distributions("used") == ["now 1.0", "used 1.0"]


def test_a_requirement_that_cannot_be_read_counts_by_its_name(installed: Installed) -> None:
    installed.add("used", "odd >=1.*.x; whatever(")
    installed.add("odd")
    assert installed.distributions("used") == ["odd 1.0", "used 1.0"]


def test_the_requirements_of_an_egg_are_followed(installed: Installed) -> None:
    egg = installed.site / "old-1.0.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 1.0\n")
    (egg / "requires.txt").write_text("first\n\n[extra]\nsecond\n\n[:sys_platform == 'linux']\nthird\n")
    for name in ("first", "second", "third"):
        installed.add(name)
    assert installed.distributions("old") == ["first 1.0", "old 1.0", "third 1.0"]


def test_one_that_is_not_installed_is_an_error_with_its_name(installed: Installed) -> None:
    installed.add("used")
    (installed.site / "loose.py").write_text("")
    with pytest.raises(
        InputError, match=r"environment host names loose-py, torch, which are not installed for CPython"
    ):
        installed.identify("used", "torch", "loose-py")


@pytest.mark.slow
def test_what_is_remembered_is_not_read_again(installed: Installed) -> None:
    installed.add("used", "needed")
    installed.add("needed")
    installed.settle()
    first = installed.identify("used")
    metadata = installed.site / "used-1.0.dist-info/METADATA"
    metadata.write_text("Name: used\nVersion: 1.0\n")  # without its RECORD nothing says so
    assert installed.identify("used") == first
    assert "needed 1.0" not in installed.identify("used", facts=MemoryFacts()).description["distributions"]


@pytest.mark.slow
def test_nothing_of_it_is_loaded_when_it_is_remembered(installed: Installed) -> None:
    installed.add("used", "needed")
    installed.add("needed")
    installed.settle()
    installed.identify("used")
    program = (
        "import sys\n"
        "from gitml.core.model.environment import EnvironmentSource, EnvironmentSpec\n"
        "from gitml.execute.environments.environments import Environments\n"
        "from tests.kit.execution import MemoryFacts\n"
        "facts = MemoryFacts(); facts.kept = eval(sys.stdin.read())\n"
        f"machine = {{'PATH': {str(installed.venv / 'bin')!r} + ':/usr/bin:/bin', 'HOME': {str(installed.path)!r}}}\n"
        f"here = Environments(facts, '', machine, {str(installed.path)!r})\n"
        "here.identify(EnvironmentSource(EnvironmentSpec('host', '', (('packages', ('used',)),))))\n"
        "print(sorted({'packaging', 'email', 'csv'} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], input=repr(installed.facts.kept), capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
