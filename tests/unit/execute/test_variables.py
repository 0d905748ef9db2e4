"""The environment variables of a step: fixed values, what its `env` says, and little of the machine."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gitml.core.model.action import Action, ActionOutput
from gitml.core.model.digest import digest_of
from gitml.execute.environments.variables import FIXED, variables_of

MACHINE = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/ada",
    "TZ": "Asia/Tokyo",
    "LANG": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "LC_ALL": "de_DE.UTF-8",
    "LC_NUMERIC": "de_DE.UTF-8",
    "LD_LIBRARY_PATH": "/opt/cuda/lib",
    "LD_PRELOAD": "/opt/lib.so",
    "DYLD_LIBRARY_PATH": "/opt/lib",
    "PYTHONPATH": "/home/ada/lib",
    "PYTHONHOME": "/opt/python",
    "PYTHONHASHSEED": "random",
    "PYTHONSTARTUP": "/home/ada/.pythonrc",
    "OMP_NUM_THREADS": "3",
    "HTTPS_PROXY": "http://proxy.example:3128",
}


def given(env: Mapping[str, str | None], machine: Mapping[str, str] = MACHINE) -> dict[str, str]:
    action = Action(("true",), None, (), (), (), (), tuple(sorted(env.items())), digest_of(b"environment"))
    return variables_of(action, machine, path=machine["PATH"], tmp="/s/tmp", ceiling="/s")


def test_zone_language_loader_paths_and_pythons_settings_are_those_of_gitml_and_not_of_the_shell() -> None:
    assert given({}) == {
        **FIXED,
        "PATH": "/usr/bin:/bin",
        "TMPDIR": "/s/tmp",
        "GIT_CEILING_DIRECTORIES": "/s",
        "HOME": "/home/ada",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }
    assert (FIXED["TZ"], FIXED["LANG"], FIXED["PYTHONHASHSEED"]) == ("UTC", "C.UTF-8", "0")


@pytest.mark.parametrize("name", [*FIXED, "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "OMP_NUM_THREADS"])
def test_a_step_sets_or_passes_on_each_of_them_by_its_env(name: str) -> None:
    assert given({name: "mine"})[name] == "mine"
    assert given({name: None}, {**MACHINE, name: "of the machine"})[name] == "of the machine"


def test_names_that_fold_to_one_variable_keep_all_their_values() -> None:
    params = (("Rate", 1), ("rate", 2), ("rate-", 3), ("rate_2", 4))
    outputs = (ActionOutput("o-1", "a", "file"), ActionOutput("o_1", "b", "file"))
    action = Action(("true",), None, params, (), (), outputs, (), digest_of(b"environment"))
    env = variables_of(action, MACHINE, path=MACHINE["PATH"], tmp="/s/tmp", ceiling="/s")
    shown = {name: value for name, value in env.items() if name.startswith("GITML_")}
    assert shown == {
        "GITML_PARAM_RATE": "1",
        "GITML_PARAM_RATE_2": "2",
        "GITML_PARAM_RATE_": "3",
        "GITML_PARAM_RATE_2_2": "4",
        "GITML_OUTPUT_O_1": "a",
        "GITML_OUTPUT_O_1_2": "b",
    }
