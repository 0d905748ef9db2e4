"""What ``environment:`` is refused for: files that are no lock of their kind, images without the word, values that are none."""

from __future__ import annotations

import pytest

from gitml.core.kinds.environment_kinds import meant_instead
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.environment import EnvironmentSpec
from gitml.core.model.step_settings import USUAL

DIGEST = "sha256:" + "a" * 64


def environment(written: str) -> EnvironmentSpec:
    text = f"environment: {written}\nsteps:\n  a: {{run: x}}\n"
    return parse_pipeline(text.encode(), "p.yaml", USUAL).steps["a"].settings.environment


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{uv: requirements.txt}", "'requirements.txt' is no lock of uv, which is called uv.lock"),
        ("{uv: pyproject.toml}", "'pyproject.toml' is a project, which does not lock its packages: gitml env lock"),
        ("{pylock: uv.lock}", "'uv.lock' is a file of kind uv, not pylock: {uv: uv.lock}"),
        ("{requirements: sub/pixi.lock}", "'sub/pixi.lock' is a file of kind pixi, not requirements"),
        ("{venv: uv.lock}", "'uv.lock' is a file of kind uv, not venv"),
        ("{conda: environment.yml}", "is a conda environment, which does not lock its packages: gitml env lock"),
        ("{pixi: pixi.toml}", "is a project of pixi, which does not lock its packages: gitml env lock pixi.toml"),
        ("{image: Dockerfile}", "is a recipe of an image: build and push the image"),
        ('"python:3.12-slim"', 'looks like an image: {image: "python:3.12-slim"}'),
        (f"ghcr.io/team/train@{DIGEST}", "looks like an image: {image: "),
        ('"localhost:5000/team/train:1"', "looks like an image: {image: "),
        ("https://e.com/requirements.txt", "is an address: commit the file and write its path"),
        ("", "environment must be text, as uv.lock, or a mapping of one kind"),
        ("[uv.lock]", "environment must be text, as uv.lock, or a mapping of one kind"),
        ("true", "environment must be text, as uv.lock, or a mapping of one kind"),
    ],
)
def test_what_is_no_environment_is_one_mistake_with_what_to_write(written: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        environment(written)
    (line,) = map(str, caught.value.diagnostics)
    assert line.startswith("p.yaml:1:")
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("written", "kind", "name"),
    [
        ("env/gpu:1.txt", "requirements", "env/gpu:1.txt"),
        ("{pylock: locks/gpu.toml}", "pylock", "locks/gpu.toml"),
        ("{conda: environment-lock.yml}", "conda", "environment-lock.yml"),
        ("{uv: sub/uv.lock}", "uv", "sub/uv.lock"),
        ("{uv: locks/gpu.lock}", "uv", "locks/gpu.lock"),
        ("{script: tools/train}", "script", "tools/train"),
        ("3", "requirements", "3"),
    ],
)
def test_a_file_whose_name_says_nothing_is_of_the_kind_that_is_written(written: str, kind: str, name: str) -> None:
    assert environment(written)[:2] == (kind, name)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Host", "host"),
        ("local", "host"),
        ("venv", "{venv: .venv}"),
        (".venv", "{venv: .venv}"),
        ("env/venv/", "{venv: env/venv}"),
        ("uv", "uv.lock"),
        ("Script", "script"),
        ("env/requirements.txt", None),
        ("hostile", None),
    ],
)
def test_a_word_that_names_no_file_is_read_as_the_kind_it_is_like(text: str, meant: str | None) -> None:
    assert meant_instead(text) == meant
