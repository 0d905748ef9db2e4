"""The tables of keys: the schemas made from them take what the parsers take, and the documentation lists them as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gitml.core.config.parse import parse_config, project_schema
from gitml.core.kinds.port_kinds import PORT_KINDS
from gitml.core.kinds.step_kinds import COMMAND, STEP_KEYS
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.keys import MACHINE_KEYS, PARAM_KEYS, PIPELINE_KEYS
from gitml.core.language.parse import parse_pipeline, pipeline_schema
from gitml.core.language.yaml_document import Node, read_yaml
from gitml.core.model.step_settings import StepSettings
from gitml.modules.spec import module_schema, parse_module

jsonschema: Any = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/pipelines.md").read_text()
PIPELINES = sorted(ROOT.glob("examples/*/pipelines/*.yaml"))
MODULES = sorted(ROOT.glob("examples/**/module.yaml"))
PROJECTS = sorted(ROOT.glob("examples/*/gitml.yaml"))


def data_of(text: str | bytes) -> Any:
    """The YAML as plain data, read as gitml reads it."""

    def plain(node: Node) -> Any:
        if node.is_mapping:
            return {name: plain(value) for name, (_, value) in node.value.items()}
        return [plain(item) for item in node.value] if node.is_list else node.value

    return plain(read_yaml(text if isinstance(text, bytes) else text.encode(), "f.yaml")[0])


@cache
def validator(schema: Callable[[], dict[str, Any]]) -> Any:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def is_valid(schema: Callable[[], dict[str, Any]], text: str | bytes) -> bool:
    return bool(validator(schema).is_valid(data_of(text)))


@pytest.mark.parametrize("path", PIPELINES + MODULES + PROJECTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_of_the_examples_are_valid(path: Path) -> None:
    makes = {"module.yaml": module_schema, "gitml.yaml": project_schema}
    assert is_valid(makes.get(path.name, pipeline_schema), path.read_bytes())


def test_every_whole_pipeline_of_the_documentation_is_valid_where_the_parser_takes_it() -> None:
    shown = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "\nsteps:" in "\n" + text]
    taken = 0
    for text in shown:
        try:
            parse_pipeline(text.encode(), "pipelines/example.yaml")
        except SpecError:
            continue
        taken += 1
        assert is_valid(pipeline_schema, text), text
    assert taken > 10


def test_every_environment_of_the_documentation_is_valid_and_taken() -> None:
    page = (ROOT / "docs/environments.md").read_text()
    written = [text for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for text in re.findall(r"`(.+?)`", row)]
    written += re.findall(r"^ *(?:# )?(?:environment: )?(\{.*?\})(?: *#.*)?$", page, re.MULTILINE)
    assert len(written) > 15
    for text in written:
        pipeline = f"environment: {text.replace('sha256:…', 'sha256:' + 'a' * 64)}\nsteps: {{a: {{run: x}}}}\n"
        assert str(parse_pipeline(pipeline.encode(), "p.yaml").steps["a"].settings.environment), text
        assert is_valid(pipeline_schema, pipeline), text


@pytest.mark.parametrize(
    "text",
    [
        "steps: {}",
        "params: {a: 1}",
        "step: {a: {run: x}}",
        "steps: {a: {run: x, retires: 1}}",
        "steps: {a: {run: x, retries: -1}}",
        "steps: {a: {run: x, timeout: soon}}",
        "steps: {a: {run: x, sandbox: loose}}",
        "steps: {a: {run: x, outputs: {o: fiel}}}",
        "steps: {a: {run: x, inputs: {i: {path: x}}}}",
        "steps: {a: {module: m, run: x}}",
        "steps: {a: {module: m, outputs: {o: file}}}",
        "steps: {a: {help: nothing runs}}",
        "steps: {a b: {run: x}}",
        "steps: {a: {run: x, resources: {cpu: 1}}}",
        "params: {a: {default: 1, least: 0}}\nsteps: {a: {run: x}}",
        *(
            f"environment: {written}\nsteps: {{a: {{run: x}}}}"
            for written in (
                "{}",
                "[uv.lock]",
                "{uvx: uv.lock}",
                "{uv: uv.lock, venv: .venv}",
                "{uv: uv.lock, group: [train]}",
                "{uv: uv.lock, python: 3.10}",
                "{pixi: pixi.lock, groups: [gpu]}",
                "{host: [numpy], python: '3.12'}",
                "{python: '3.12'}",
            )
        ),
    ],
)
def test_a_pipeline_that_the_parser_refuses_is_not_valid(text: str) -> None:
    with pytest.raises(SpecError):
        parse_pipeline(text.encode(), "pipelines/p.yaml")
    assert not is_valid(pipeline_schema, text)


@pytest.mark.parametrize(
    "text",
    [
        "default: {}",
        "defaults: {network: off}",
        "targets: {big: {memory: 8GiB}}",
        "targets: {local: {ray: auto}}",
        "records: {inline_file: much}",
        "hooks: {gate: sometimes}",
        "remotes: [{name: x}]",
    ],
)
def test_a_project_that_the_parser_refuses_is_not_valid(text: str) -> None:
    with pytest.raises(SpecError):
        parse_config(text.encode())
    assert not is_valid(project_schema, text)


@pytest.mark.parametrize(
    "text", ["run: x", "name: m", "name: m\nrun: x\ninputs: {a: {optional: true}}", "name: m\nrun: x\nafter: b"]
)
def test_a_module_that_the_parser_refuses_is_not_valid(text: str) -> None:
    with pytest.raises(SpecError):
        parse_module(text.encode())
    assert not is_valid(module_schema, text)


def rows(title: str) -> dict[str, list[str]]:
    """The table below a heading of the page, by key: what it is, up to the link, and the column after it."""
    body = PAGE.split(f"\n{title}\n", 1)[1].split("\n#", 1)[0]
    found = {}
    for line in re.findall(r"^\| (`.*) \|$", body, re.MULTILINE):
        keys, what, *more = (cell.strip() for cell in re.split(r"(?<!\\)\|", line))
        for key in keys.split(", "):
            found[key.strip("`")] = [re.split(r"\. \[", what)[0], *more]
    return found


def test_the_page_lists_exactly_the_keys_of_steps_with_their_sentences_and_defaults() -> None:
    keys = {**COMMAND.keys, **STEP_KEYS}
    assert rows("## Steps") == {key.name: [key.help, key.default] for key in keys.values()}


@pytest.mark.parametrize(
    ("title", "keys"),
    [("## The whole file", PIPELINE_KEYS), ("## Parameters", PARAM_KEYS), ("### Resources", MACHINE_KEYS)],
)
def test_the_page_lists_exactly_the_keys_with_their_sentences(title: str, keys: Any) -> None:
    assert rows(title) == {key.name: [key.help] for key in keys.values()}


def test_the_page_lists_exactly_the_kinds_of_outputs() -> None:
    shown = {name: what for name, (what, *_) in rows("### Outputs").items()}
    assert shown.keys() == PORT_KINDS.keys()
    assert all(what.startswith(PORT_KINDS[name].help) for name, what in shown.items())


def test_every_setting_of_a_step_has_a_key() -> None:
    keys = [*COMMAND.keys.values(), *STEP_KEYS.values()]
    assert {key.setting or key.name for key in keys if key.read} == set(StepSettings._fields)
