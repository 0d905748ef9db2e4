"""A folder is built once, complete or not there, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.single_build import build_once, read_marker, write_marker
from gitml.execute.process import NOW, StoppedError, StopRequests
from tests.kit.processes import forked, kill_forked, wait_until


def built(place: Path) -> Callable[[], str | None]:
    def found() -> str | None:
        facts = read_marker(str(place))
        return None if facts is None else str(facts["by"])

    return found


def builder(place: Path, name: str, delay: float = 0.0) -> Callable[[], str]:
    def build() -> str:
        place.mkdir(parents=True)
        (place / "half").write_text(name)
        time.sleep(delay)
        write_marker(str(place), {"by": name})
        return name

    return build


def test_the_second_process_waits_for_the_first(tmp_path: Path) -> None:
    place, said = tmp_path / "envs/a", list[str]()
    pid = forked(
        lambda: build_once(str(place), built(place), builder(place, "first", 0.3), BuildControl(StopRequests()))
    )
    wait_until((place / "half").exists)
    assert (
        build_once(str(place), built(place), builder(place, "second"), BuildControl(StopRequests(), said.append))
        == "first"
    )
    assert said == ["waiting for another process that builds the environment"]
    assert os.waitpid(pid, 0)[1] == 0


def test_what_a_killed_build_left_is_removed_and_built_again(tmp_path: Path) -> None:
    place = tmp_path / "envs/a"
    pid = forked(
        lambda: build_once(str(place), built(place), builder(place, "first", 60), BuildControl(StopRequests()))
    )
    wait_until((place / "half").exists)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert read_marker(str(place)) is None
    assert build_once(str(place), built(place), builder(place, "second"), BuildControl(StopRequests())) == "second"
    assert (place / "half").read_text() == "second"


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "envs/a"

    def fail() -> str:
        builder(place, "first")()
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        build_once(str(place), lambda: None, fail, BuildControl(StopRequests()))
    assert not place.exists()


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    class Stopped(StopRequests):
        def requested(self) -> int:
            return NOW

    place = tmp_path / "envs/a"
    pid = forked(
        lambda: build_once(str(place), built(place), builder(place, "first", 60), BuildControl(StopRequests()))
    )
    try:
        wait_until((place / "half").exists)
        with pytest.raises(StoppedError):
            build_once(str(place), built(place), builder(place, "second"), BuildControl(Stopped()))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"'])
def test_a_marker_that_is_none_is_no_marker(tmp_path: Path, content: str) -> None:
    (tmp_path / "built.json").write_text(content)
    assert read_marker(str(tmp_path)) is None


def test_a_marker_that_is_a_pipe_or_leads_elsewhere_is_none_and_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/built.json").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b/built.json")
    assert read_marker(str(tmp_path / "a")) is None
    assert read_marker(str(tmp_path / "b")) is None


def test_what_a_build_runs_does_not_declare_it_complete(tmp_path: Path) -> None:
    place = tmp_path / "envs/a"

    def hostile() -> str:
        builder(place, "first")()
        (place / "forged").touch()
        time.sleep(60)
        return "first"

    pid = forked(lambda: build_once(str(place), built(place), hostile, BuildControl(StopRequests())))
    wait_until((place / "forged").exists)
    assert read_marker(str(place)) is None
    kill_forked(pid)
    assert read_marker(str(place)) is None
    again = build_once(str(place), built(place), builder(place, "second"), BuildControl(StopRequests()))
    assert again == "second"
    assert read_marker(str(place)) == {"by": "second"}
    assert sorted(os.listdir(tmp_path / "envs")) == ["a", "a.lock", "a.used"]


def test_what_filled_a_folder_can_lead_nothing_elsewhere_that_declares_it_complete(tmp_path: Path) -> None:
    place, victim = tmp_path / "place", tmp_path / "victim"
    place.mkdir()
    victim.write_text("the user's")
    (place / "built.json.part").symlink_to(victim)
    (place / "built.json").mkdir()
    write_marker(str(place), {"a": 1})
    assert victim.read_text() == "the user's"
    assert read_marker(str(place)) == {"a": 1}
