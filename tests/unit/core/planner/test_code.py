"""Which files of a commit a step's sandbox holds, and so which are in its key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gitml.core.model.action import ActionOutput
from gitml.core.model.graph import Binding, GraphStep
from gitml.core.planner.code import CodeFinder, Imports, why_code
from gitml.errors import InputError
from tests.kit.memory_source import Content, Link, MemoryFacts, MemorySource, Program, Submodule


def step(*argv: str, **more: Any) -> GraphStep:
    given: dict[str, Any] = {
        "shell": None, "params": (), "inputs": (), "outputs": (), "env": (), "code": (), "parents": (),
    }  # fmt: skip
    return GraphStep("s", "s", "", argv, **{**given, **more})


def code_of(files: Mapping[str, Content] | list[str], *argv: str, **more: Any) -> list[str]:
    source = MemorySource(files if isinstance(files, Mapping) else dict.fromkeys(files, "x = 1\n"))
    return [file.path for file in CodeFinder(source, MemoryFacts()).find(step(*argv, **more))]


def test_files_named_in_the_command_are_code() -> None:
    files = ["a.py", "b.sh", "conf/c.yaml", "d.txt"]
    assert code_of(files, "python", "a.py", "--conf", "conf/c.yaml", "d.md") == ["a.py", "conf/c.yaml"]


def test_a_file_may_stand_behind_an_equals_sign_or_dots() -> None:
    assert code_of(["a.py", "b.yaml"], "python", "./a.py", "--conf=b.yaml") == ["a.py", "b.yaml"]


def test_a_dot_an_input_and_an_output_are_no_code() -> None:
    files = ["in.csv", "out.csv", "a.py"]
    inputs = (Binding("i", "in.csv", "in.csv"),)
    outputs = (ActionOutput("o", "out.csv", "file"),)
    assert code_of(files, "python", "a.py", ".", "in.csv", "--o=out.csv", inputs=inputs, outputs=outputs) == ["a.py"]


@pytest.mark.parametrize(
    "word", ["/etc/passwd", "../x", "a/../../x", "", "~/x", ".git/config", "a\nb", "x" * 2000, "a\\b"]
)
def test_words_that_name_nothing_of_the_tree_are_no_code(word: str) -> None:
    assert code_of(["a"], "cat", word) == []


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("mkdir -p data", []),
        ("set -e\n  mkdir -p data/sub && python3 a.py", ["a.py"]),
        ("mkdir data; cat data/x", ["data/x"]),
        ("test -d data || mkdir data", []),
        ("[ -d data ] || mkdir -p ./data/\ncd data", []),
        ("if [ ! -d data ]; then mkdir data; fi", []),
        ("rm -rf data; touch conf.yaml; rmdir 'data'", []),
        ("cd data && ls", ["data"]),
        ("test -f conf.yaml && python3 a.py", ["a.py", "conf.yaml"]),
        ("mkdir out; cd data", ["data"]),
        ("python3 a.py mkdir data", ["a.py", "data"]),
    ],
)
def test_what_a_script_makes_or_removes_itself_is_no_code(script: str, found: list[str]) -> None:
    assert code_of(["data/x", "conf.yaml", "a.py"], script, shell="sh") == found


def test_modes_and_oids_are_those_of_git() -> None:
    source = MemorySource({"run.sh": Program("#!/bin/sh\n"), "lib/a": "a"})
    found = CodeFinder(source, MemoryFacts()).find(step("./run.sh", "lib"))
    assert [(file.path, file.mode) for file in found] == [("lib", "40000"), ("run.sh", "100755")]
    assert [file.oid for file in found] == [source.lookup("lib").oid, source.lookup("run.sh").oid]  # type: ignore[union-attr]


def test_a_directory_named_is_whole_and_what_lies_in_it_is_not_told_again() -> None:
    assert code_of(["src/a.py", "src/sub/b.py", "srcs/c.py"], "python", "src/a.py", "src", "srcs/c.py") == [
        "src",
        "srcs/c.py",
    ]


def test_words_of_a_script_are_code() -> None:
    script = "set -e; (python src/a.py>log)\n# python src/c.py\nif true; then sh 'b.sh'; fi && cat \"d.txt\"|wc"
    files = ["src/a.py", "b.sh", "src/c.py", "d.txt", "log"]
    found = code_of(files, script, shell="bash")
    assert found == ["b.sh", "d.txt", "log", "src/a.py"]
    assert code_of(files, "python src/a.py\nsh 'b.sh", shell="bash") == ["b.sh", "src/a.py"]
    assert code_of(files, "if [ $# = 0 ]; then cat ${x#y} src/a.py; fi", shell="sh") == ["src/a.py"]
    assert code_of(["a b.txt"], "cat 'a b.txt'", shell="sh") == ["a b.txt"]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (("bash", "-c", "python a.py"), ["a.py", "pkg/core.py"]),
        (("env", "A=b", "/bin/sh", "-e", "-c", "cat d.txt | my-run"), ["d.txt", "pkg/cli.py", "pkg/core.py"]),
        (("bash", "-o", "pipefail", "-ec", "python -m pkg.cli x"), ["pkg/cli.py", "pkg/core.py"]),
        (("bash", "go.sh", "-c", "cat d.txt"), ["go.sh", "pkg/cli.py", "pkg/core.py"]),
        (("./run",), ["pkg/cli.py", "pkg/core.py", "run"]),
        (("./binary",), ["binary"]),
        (("cat", "plain"), ["plain"]),
        (("echo", "-c", "python a.py"), []),
    ],
)
def test_what_a_script_of_a_shell_starts_is_code(command: tuple[str, ...], found: list[str]) -> None:
    files = {
        "a.py": "import pkg.core", "d.txt": "", "pkg/cli.py": "import pkg.core", "pkg/core.py": "",
        "go.sh": "# my-other\nset -e\n\"my-run\" \"$1\"\n", "run": Program("#!/usr/bin/env bash\npython3 -m pkg.cli"),
        "binary": Program("\x7fELF my-run"), "plain": "my-run", "other.py": "",
    }  # fmt: skip
    imports = Imports(("",), (), {"my-run": "pkg.cli", "my-other": "other"})
    source, facts = MemorySource(files), MemoryFacts()
    assert [file.path for file in CodeFinder(source, facts).find(step(*command), imports)] == found
    source.read_oids.clear()
    assert [file.path for file in CodeFinder(source, facts).find(step(*command), imports)] == found
    assert source.read_oids == [], "what was read of a file is known for good"


def test_imports_are_followed_from_file_to_file() -> None:
    files = {
        "src/train.py": "import model\nfrom pkg.sub import thing\nimport numpy",
        "src/model.py": "import layers",
        "src/layers.py": "",
        "src/pkg/__init__.py": "from . import base",
        "src/pkg/base.py": "",
        "src/pkg/sub/__init__.py": "",
        "src/pkg/sub/thing.py": "from ..other import x",
        "src/pkg/other.py": "",
        "src/pkg/unused.py": "",
        "src/unused.py": "",
    }
    assert code_of(files, "python", "src/train.py") == sorted(set(files) - {"src/pkg/unused.py", "src/unused.py"})


def test_a_module_of_a_package_finds_what_lies_beside_the_script() -> None:
    files = {
        "src/train.py": "import models.net",
        "src/models/__init__.py": "",
        "src/models/net.py": "from models.layers import Layer\nimport common",
        "src/models/layers.py": "",
        "src/common.py": "",
    }
    assert code_of(files, "python", "src/train.py") == sorted(files)


def test_what_lies_beside_the_script_comes_before_what_lies_beside_the_importer() -> None:
    files = {"src/a.py": "import p.b", "src/p/b.py": "import c", "src/p/c.py": "wrong", "src/c.py": "right"}
    assert code_of(files, "python", "src/a.py") == ["src/a.py", "src/c.py", "src/p/b.py"]


def test_with_dash_m_what_lies_where_it_was_started_comes_first() -> None:
    files = {"p/__init__.py": "", "p/b.py": "import c", "p/c.py": "wrong", "c.py": "right"}
    assert code_of(files, "python", "-m", "p.b") == ["c.py", "p/__init__.py", "p/b.py"]


def test_an_import_of_an_attribute_takes_its_module() -> None:
    files = {"a.py": "import pkg.value\nfrom mod import f", "pkg/__init__.py": "value = 1", "mod.py": "def f(): ..."}
    assert code_of(files, "python", "a.py") == ["a.py", "mod.py", "pkg/__init__.py"]


def test_namespace_packages_need_no_init() -> None:
    files = {"a.py": "import ns.deep.mod\nfrom ns import other", "ns/deep/mod.py": "", "ns/other.py": "", "ns/x.py": ""}
    assert code_of(files, "python", "a.py") == ["a.py", "ns/deep/mod.py", "ns/other.py"]


def test_a_package_wins_over_a_module_of_its_name() -> None:
    files = {"a.py": "import m", "m.py": "", "m/__init__.py": ""}
    assert code_of(files, "python", "a.py") == ["a.py", "m/__init__.py"]


def test_imports_in_a_circle_end() -> None:
    files = {"a.py": "import b", "b.py": "import c", "c.py": "import a, c"}
    assert code_of(files, "python", "a.py") == ["a.py", "b.py", "c.py"]


def test_a_source_that_does_not_parse_is_code_and_imports_nothing() -> None:
    assert code_of({"a.py": "import b\nprint 'x'", "b.py": ""}, "python", "a.py") == ["a.py"]


def test_a_long_chain_of_imports_is_followed() -> None:
    files: dict[str, Content] = {f"m{n}.py": f"import m{n + 1}" for n in range(3000)}
    assert len(code_of(files, "python", "m0.py")) == 3000


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("pkg", ["pkg"]),
        ("pkg.run", ["pkg/__init__.py", "pkg/run.py"]),
        ("tool", ["tool.py"]),
        ("pytest", []),
    ],
)
def test_a_module_run_by_python_dash_m_is_code(module: str, expected: list[str]) -> None:
    files = {"pkg/__init__.py": "", "pkg/__main__.py": "from pkg import run", "pkg/run.py": "", "tool.py": ""}
    assert code_of(files, "python", "-m", module) == expected


@pytest.mark.parametrize("path", ["lib", "lib/", "./lib", "x:lib", "lib:/usr/lib/python3", "../x:lib"])
def test_python_path_is_where_imports_are_found(path: str) -> None:
    files = {"a.py": "import m", "lib/m.py": "", "lib/run.py": "import m", "lib/pkg/__init__.py": ""}
    assert code_of(files, "python", "a.py", env=(("PYTHONPATH", path),)) == ["a.py", "lib/m.py"]
    assert code_of(files, "python", "-m", "run", env=(("PYTHONPATH", path),)) == ["lib/m.py", "lib/run.py"]
    assert code_of(files, "python", "a.py", env=(("PYTHONPATH", None),)) == ["a.py"]


def test_imports_of_a_whole_directory_are_followed_out_of_it() -> None:
    files = {"src/a.py": "import lib.b", "src/deep/c.py": "import d", "lib/b.py": "", "d.py": ""}
    assert code_of(files, "sh", "-c", "x", code=("src",)) == ["d.py", "lib/b.py", "src"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("conf", ["conf"]),
        ("conf/a.yaml", ["conf/a.yaml"]),
        ("conf/*.yaml", ["conf/a.yaml", "conf/b.yaml"]),
        ("conf/?.yaml", ["conf/a.yaml", "conf/b.yaml"]),
        ("conf/[!a].yaml", ["conf/b.yaml"]),
        ("*/a.yaml", ["conf/a.yaml"]),
        ("**/*.sql", ["conf/deep/q.sql", "conf/deep/er/r.sql", "top.sql"]),
        ("conf/**/*.sql", ["conf/deep/er/r.sql", "conf/deep/q.sql"]),
        ("conf/**", ["conf/a.yaml", "conf/b.yaml", "conf/deep"]),
        ("**/deep", ["conf/deep"]),
        ("**/deep/*.sql", ["conf/deep/q.sql"]),
        ("*.sql", ["top.sql"]),
        ("[[]odd].txt", ["[odd].txt"]),
    ],
)
def test_patterns_name_code(pattern: str, expected: list[str]) -> None:
    files = ["conf/a.yaml", "conf/b.yaml", "conf/deep/q.sql", "conf/deep/er/r.sql", "top.sql", "[odd].txt"]
    assert sorted(code_of(files, "true", code=(pattern,))) == sorted(expected)


def test_a_pattern_that_matches_nothing_is_an_error_that_says_so() -> None:
    for pattern in ("nothing.py", "conf/*.py", "no/where/*", "**/*.c"):
        with pytest.raises(InputError, match="matches no file") as caught:
            code_of(["conf/a.yaml"], "true", code=(pattern,))
        assert pattern in caught.value.message
        assert caught.value.hint


def test_a_link_is_code_with_what_it_leads_to() -> None:
    files = {"a.py": Link("src/b.py"), "src/b.py": "import c", "src/c.py": "", "data": Link("src")}
    assert code_of(files, "python", "a.py") == ["a.py", "src/b.py", "src/c.py"]
    assert code_of(files, "cat", "data") == ["data", "src"]


def test_the_imports_of_a_module_behind_a_link_are_followed() -> None:
    files = {"a.py": "import m", "m.py": Link("lib/real.py"), "lib/real.py": "import more", "lib/more.py": ""}
    assert code_of(files, "python", "a.py") == ["a.py", "lib/more.py", "lib/real.py", "m.py"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "../../x"])
def test_a_link_that_leads_out_is_an_error_that_names_it(target: str) -> None:
    with pytest.raises(InputError, match=r"link 'a\.py' leads out"):
        code_of({"a.py": Link(target)}, "python", "a.py")


def test_links_in_a_circle_are_an_error_that_names_them() -> None:
    with pytest.raises(InputError, match=r"link 'a\.py' forms a cycle"):
        code_of({"a.py": Link("a.py")}, "python", "a.py")
    with pytest.raises(InputError, match=r"link 'a/x' forms a cycle"):
        code_of({"a": Link("b"), "b": Link("a")}, "cat", "a/x")


def test_a_link_to_nothing_is_kept_as_it_is() -> None:
    assert code_of({"a": Link("gone")}, "cat", "a") == ["a"]
    assert code_of({"a": Link("gone")}, "cat", "a/x") == []


REAL = {"real/t.py": "import helper", "real/helper.py": "", "real/__init__.py": "", "link": Link("real")}


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (("python3", "link/t.py"), (), ["link", "real/helper.py", "real/t.py"]),
        (("python3", "-m", "link.t"), (), ["link", "real/__init__.py", "real/helper.py", "real/t.py"]),
        (("true",), ("link",), ["link", "real"]),
        (("true",), ("link/*.py",), ["link", "real/__init__.py", "real/helper.py", "real/t.py"]),
        (("cat", "link/gone.py"), (), []),
        (("python3", "main.py"), (), ["link", "main.py", "real/__init__.py", "real/helper.py", "real/t.py"]),
    ],
)
def test_a_path_through_a_link_to_a_folder_is_the_link_and_what_it_leads_to(
    words: tuple[str, ...], code: tuple[str, ...], found: list[str]
) -> None:
    files = {**REAL, "main.py": "from link import t"}
    assert code_of(files, *words, code=code) == found


def test_links_to_links_and_to_folders_above_are_followed_each() -> None:
    files = {"a/b/one": Link("../../two"), "two": Link("real/sub"), "real/sub/t.py": "", "here": Link(".")}
    assert code_of(files, "python3", "a/b/one/t.py") == ["a/b/one", "real/sub/t.py", "two"]
    assert code_of(files, "python3", "here/two/t.py") == ["here", "real/sub/t.py", "two"]


def test_a_folder_that_leads_out_is_an_error_where_it_is_named_and_nothing_where_it_is_imported() -> None:
    with pytest.raises(InputError, match=r"link 'data/x\.csv' leads out"):
        code_of({"data": Link("/mnt/data")}, "cat", "data/x.csv")
    assert code_of({"data": Link("/mnt/data"), "t.py": "import data.x"}, "python3", "t.py") == ["t.py"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../x", "../../.."])
def test_a_link_out_of_the_tree_is_an_error_within_a_directory_too(target: str) -> None:
    with pytest.raises(InputError, match=r"link 'lib/deep/l' leads out"):
        code_of({"lib/a.py": "", "lib/deep/l": Link(target)}, "ls", "lib")


def test_a_link_within_the_tree_stays_where_it_lies_in_a_directory() -> None:
    assert code_of({"lib/deep/l": Link("../../data/x"), "data/x": "x"}, "ls", "lib") == ["lib"]


def test_a_directory_with_a_submodule_in_it_is_an_error_that_names_it() -> None:
    files = {"lib/a.py": "", "lib/deep/sub": Submodule("1" * 40)}
    with pytest.raises(InputError, match="'lib/deep/sub' is a submodule"):
        code_of(files, "ls", "lib")
    with pytest.raises(InputError, match="'lib/deep/sub' is a submodule"):
        code_of(files, "true", code=("lib",))


def test_a_submodule_named_is_an_error_that_says_so() -> None:
    files = {"a.py": "", "vendor": Submodule("1" * 40)}
    for argv in (("cat", "vendor"), ("cat", "vendor/x.py")):
        with pytest.raises(InputError, match="submodule"):
            code_of(files, *argv)


def test_imports_of_a_blob_are_read_once_and_never_again_where_facts_are_kept() -> None:
    source, facts = MemorySource({"a.py": "import b", "b.py": "", "c.py": "import b"}), MemoryFacts()
    finder = CodeFinder(source, facts)
    finder.find(step("python", "a.py"))
    finder.find(step("python", "c.py"))
    assert len(source.read_oids) == len(set(source.read_oids)) == 2
    later = MemorySource({"a.py": "import b", "b.py": "", "c.py": "import b"})
    assert [file.path for file in CodeFinder(later, facts).find(step("python", "a.py"))] == ["a.py", "b.py"]
    assert later.read_oids == []


def test_names_that_are_no_utf_8_are_code() -> None:
    assert code_of(["caf\udce9.py"], "python", "caf\udce9.py") == ["caf\udce9.py"]
    assert code_of(["d/caf\udce9.py"], "true", code=("d/*",)) == ["d/caf\udce9.py"]


def test_each_file_of_the_code_is_told_with_why_it_is_code() -> None:
    files = {**REAL, "main.py": "import lib", "lib.py": "", "conf/a.yaml": "", "pkg/run.py": "", "data/x": ""}
    source = MemorySource(files)
    asked = step("python3", "./main.py", "link/t.py", "-m", "pkg.run", "--in=data", code=("conf/*.yaml",))
    code = CodeFinder(source, MemoryFacts()).find(asked)
    assert dict(why_code(asked, code)) == {
        "main.py": "named in the command as ./main.py",
        "data": "named in the command as data",
        "lib.py": "imported, or behind a link",
        "conf/a.yaml": "under code:",
        "pkg/run.py": "run by -m",
        "link": "a link on the way",
        "real/t.py": "imported, or behind a link",
        "real/helper.py": "imported, or behind a link",
    }


def notebook(*cells: str, **more: Any) -> str:
    """The text of a notebook with these code cells, and what else it has."""
    written = [{"cell_type": "code", "metadata": {}, "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": written, **more})


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (("python", "-c", "import two"), ["src/two.py"]),
        (("python", "-uc", "import two"), ["src/two.py"]),
        (("bash", "-c", "(python -c 'import two') && echo \"$(python3 -c 'import ns.mod')\""), ["ns/mod.py", "src/two.py"]),
        (("bash", "-c", 'python -c "from two import x; print(\\"x\\")"'), ["src/two.py"]),
        (("bash", "-c", "# python -c 'import two'"), []),
        (("bash", "-c", 'python -c "import $module"'), []),
        (("./go.sh",), ["go.sh", "ns/mod.py", "src/two.py"]),
        (("wc", "-c", "src/two.py"), ["src/two.py"]),
    ],
)  # fmt: skip
def test_programs_that_are_written_out_are_read_for_imports(command: tuple[str, ...], found: list[str]) -> None:
    files = {
        "src/two.py": "",
        "ns/mod.py": "",
        "go.sh": Program("#!/bin/sh\nx=$(python -c 'import two')\npython -c \"\nimport ns.mod\nprint('$x')\n\""),
    }
    assert code_of(files, *command, env=(("PYTHONPATH", "src"),)) == found


@pytest.mark.parametrize(
    "command",
    [
        ("papermill", "nb/a.ipynb", "-"),
        ("jupyter", "nbconvert", "--execute", "--to", "html", "nb/a.ipynb"),
        ("jupytext", "--to", "py", "--execute", "nb/a.ipynb"),
    ],
)
def test_a_notebook_named_is_code_with_what_its_cells_import(command: tuple[str, ...]) -> None:
    files = {
        "nb/a.ipynb": notebook("%matplotlib inline\nimport near\n!pip install x", "from lib.far import f", "def (:"),
        "nb/near.py": "import deep",
        "nb/deep.py": "",
        "lib/far.py": "",
        "lib/unused.py": "",
    }
    source, facts = MemorySource(files), MemoryFacts()
    found = [file.path for file in CodeFinder(source, facts).find(step(*command))]
    assert found == ["lib/far.py", "nb/a.ipynb", "nb/deep.py", "nb/near.py"]
    source.read_oids.clear()
    CodeFinder(source, facts).find(step(*command))
    assert source.read_oids == [], "what was read of a notebook is known for good"


@pytest.mark.parametrize("text", ["", "{}", "[]", "import two", '{"cells": 3}', "[" * 100_000, "9" * 5000, "\udcff"])
def test_a_notebook_that_is_none_is_code_that_imports_nothing(text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    assert code_of({"a.ipynb": content, "two.py": ""}, "papermill", "a.ipynb") == ["a.ipynb"]


def test_a_file_with_the_content_of_a_notebook_is_still_read_as_what_its_name_says() -> None:
    text = "import two"
    files = {"a.ipynb": text, "b.py": text, "two.py": ""}
    assert code_of(files, "run", "a.ipynb", "b.py") == ["a.ipynb", "b.py", "two.py"]
