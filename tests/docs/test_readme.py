"""What the documents show is what happens: the README's shell blocks are run, the YAML of docs/pipelines.md is parsed.

``python tests/docs/test_readme.py`` prints the README's tour with what the commands really say.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

from gitml.core.config import parse as parseconfig
from gitml.core.config import user_settings
from gitml.core.kinds.step_kinds import step_keys
from gitml.core.language import keys, parse
from gitml.core.language.diagnostics import SpecError
from gitml.core.parameters.config_file import read_config_file

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PIPELINES = ROOT / "docs" / "pipelines.md"
HOOKS = ROOT / "docs" / "hooks.md"
DOCUMENTS = [
    *[ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")],
    *[ROOT / "examples" / name / "README.md" for name in ("biopsies", "digits")],
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "=====gitml-readme====="


class Command(NamedTuple):
    """A command of a console block with the output that the document shows, and the line it stands on."""

    text: str
    shown: tuple[str, ...]
    line: int


def commands_in(document: str) -> Iterator[Command]:
    """Every ``$ `` command of the ``console`` blocks, ``> `` lines continuing it."""
    for block in FENCE.finditer(document):
        if block[1] != "console":
            continue
        line = document.count("\n", 0, block.start()) + 2
        text: list[str] = []
        shown: list[str] = []
        start = line
        for number, content in enumerate(block[2].splitlines(), line):
            if content.startswith("$ "):
                if text:
                    yield Command("\n".join(text), tuple(shown), start)
                text, shown, start = [content[2:]], [], number
            elif text and not shown and (content == ">" or content.startswith("> ")):
                text.append(content[2:])
            else:
                shown.append(content)
        if text:
            yield Command("\n".join(text), tuple(shown), start)


def run_in_one_shell(commands: list[Command], folder: Path, env: Mapping[str, str]) -> list[tuple[int, str]]:
    """Exit code and output (both streams) of each command, run one after the other by one bash."""
    script = "exec 2>&1\n" + "".join(f"{command.text}\nprintf '\\n%s %s\\n' {MARK} $?\n" for command in commands)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    pieces = re.split(rf"\n{MARK} (\d+)\n", done.stdout)
    return [(int(code), output) for output, code in zip(pieces[::2], pieces[1::2], strict=False)]


def differs(shown: tuple[str, ...], output: str) -> str | None:
    """The first shown line that no line of the output, in order, holds; ``...`` stands for anything, blanks count as one."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        parts = [re.escape(" ".join(part.split())) for part in line.split("...")]
        pattern = re.compile(".*".join(parts))
        if not any(pattern.search(candidate) for candidate in lines):
            return line
    return None


def environment(folder: Path) -> dict[str, str]:
    """A shell's variables with `gitml` on PATH, and a Git that knows nothing of the user, not even a name."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "gitml").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitml "$@"\n')
    (programs / "gitml").chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }


def blocks(path: Path) -> list[tuple[str, str]]:
    """(language, content) of every block of a document."""
    return [(match[1], match[2]) for match in FENCE.finditer(path.read_text())]


def file_shown(path: str) -> bytes:
    """A file that the page on pipelines shows."""
    return next(content for _, content in blocks(PIPELINES) if content.startswith(f"# {path}\n")).encode()


def mistakes_in(yaml: str) -> str:
    """What the parser says of a block: one line a mistake."""
    try:
        if yaml.startswith("# gitml.yaml"):
            parseconfig.parse_config(yaml.encode())
        elif yaml.startswith("# ~/.config/gitml/config.yaml"):
            user_settings.parse_settings(yaml.encode(), "config.yaml")
        elif yaml.startswith("# params.yaml"):
            read_config_file(yaml.encode(), "params.yaml")
        else:
            parse.parse_pipeline(yaml.encode(), "pipelines/example.yaml", read_file=file_shown)
    except SpecError as error:
        return "".join(f"{diagnostic}\n" for diagnostic in error.diagnostics)
    return ""


@pytest.mark.slow
def test_the_readmes_tour_works_as_it_is_shown(tmp_path: Path) -> None:
    commands = list(commands_in(README.read_text()))
    assert len(commands) > 20
    results = run_in_one_shell(commands, tmp_path, environment(tmp_path))
    for command, (code, output) in zip(commands, results, strict=False):
        place = f"README.md:{command.line}: $ {command.text}\n{output}"
        assert code == 0, f"{place}\nexit code {code}"
        missing = differs(command.shown, output)
        assert missing is None, f"{place}\nthe README shows: {missing}"
    assert len(results) == len(commands), f"the shell ended at {commands[len(results)].text!r}"


@pytest.mark.parametrize(
    ("shown", "output", "missing"),
    [
        (("clean ... executed",), "  clean    executed  0.1 s\n", None),
        (("clean ... reused",), "clean executed\n", "clean ... reused"),
        (("one", "two"), "one\nelse\ntwo\n", None),
        (("one", "two"), "two\none\n", "two"),
        (("a.b",), "axb\n", "a.b"),
        ((), "anything", None),
    ],
)
def test_shown_output_is_compared_in_order_with_wildcards(
    shown: tuple[str, ...], output: str, missing: str | None
) -> None:
    assert differs(shown, output) == missing


def test_commands_of_one_shell_keep_variables_folders_and_exit_codes(tmp_path: Path) -> None:
    document = (
        "```console\n$ X=$(echo 1)\n$ mkdir a && cd a\n$ cat > f <<'END'\n> $X\n>\n> END\n$ cat f; pwd\n$ false\n```\n"
    )
    commands = list(commands_in(document))
    results = run_in_one_shell(commands, tmp_path, {"PATH": os.environ["PATH"]})
    assert [code for code, _ in results] == [0, 0, 0, 0, 1]
    assert results[3][1].split() == ["$X", str(tmp_path / "a")]


def test_every_pipeline_in_the_docs_is_valid_or_has_exactly_the_mistakes_shown() -> None:
    found = blocks(PIPELINES)
    shown_mistakes = 0
    for (language, yaml), (next_language, next_content) in zip(found, [*found[1:], ("", "")], strict=True):
        if language != "yaml":
            continue
        expected = next_content if next_language == "text" else ""
        assert mistakes_in(yaml) == expected
        shown_mistakes += len(expected.splitlines())
    assert shown_mistakes > 10


def test_every_key_that_the_parser_knows_is_in_the_docs() -> None:
    text = PIPELINES.read_text()
    known = [keys.PIPELINE_KEYS, step_keys(), keys.PARAM_KEYS, keys.PORT_KEYS, keys.MACHINE_KEYS]
    assert [key for key in sorted({*chain(*known)}) if f"`{key}`" not in text] == []
    known = [
        parseconfig._KEYS,
        parseconfig._DEFAULT_KEYS,
        keys.MACHINE_KEYS,
        parseconfig._CLUSTER_KEYS,
        parseconfig._RECORD_KEYS,
    ]
    assert [key for key in sorted({*chain(*known)}) if f"{key}:" not in text] == []


def test_the_page_about_hooks_shows_every_setting_of_theirs() -> None:
    shown = [yaml for language, yaml in blocks(HOOKS) if language == "yaml" and yaml.startswith("# gitml.yaml")]
    assert [mistakes_in(yaml) for yaml in shown] == [""]
    assert [key for key in sorted(parseconfig._HOOK_KEYS) if f"  {key}:" not in shown[0]] == []


def test_the_readmes_pipeline_has_no_mistakes() -> None:
    here = [command.text for command in commands_in(README.read_text()) if "pipelines/" in command.text]
    files = [text.partition("\n")[2].removesuffix("END") for text in here if text.startswith("cat > pipelines/")]
    assert len(files) == 2
    assert [mistakes_in(content) for content in files] == ["", ""]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text())
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = (document.parent / name).resolve() if name else document
        if not place.exists() or (anchor and anchor not in anchors(place)):
            missing.append(target)
    assert missing == []


def anchors(document: Path) -> set[str]:
    """The names that a document's headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        tour = list(commands_in(README.read_text()))
        for command, (code, output) in zip(
            tour, run_in_one_shell(tour, Path(place), environment(Path(place))), strict=False
        ):
            print(
                "\n".join(("$ " if not index else "> ") + line for index, line in enumerate(command.text.split("\n")))
            )
            print(output.strip("\n") + (f"\n[exit code {code}]" if code else ""))
