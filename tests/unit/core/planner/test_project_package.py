"""Where the modules of a project's own package lie, its name, version and commands: by each way in which projects say it."""

from __future__ import annotations

import json

import pytest

from gitml.cluster.environment_probe import description_in
from gitml.core.model.environment import ON_HOST, EnvironmentSource, decode_description, encode_description
from gitml.core.planner.project_package import decode_package, package_in, project_package
from gitml.errors import InputError, RemoteError
from tests.kit.memory_source import Link, MemoryFacts, MemorySource

BACKEND = '[build-system]\nrequires = []\nbuild-backend = "{}"\n'
PROJECT = '[project]\nname = "The.Name"\nversion = "1.0"\n'


def package(files, folder="."):
    return project_package(MemorySource(files), folder, MemoryFacts())


def imports(pyproject, *files, backend=""):
    text = (BACKEND.format(backend) if backend else "") + pyproject
    return list(package({"pyproject.toml": text, **dict.fromkeys(files, "")}).imports)


@pytest.mark.parametrize(
    ("backend", "settings", "files", "root"),
    [
        ("", "", ["src/a/__init__.py"], "src"),
        ("", "", ["src/__init__.py"], "."),
        ("", "", ["the_name/__init__.py"], "."),
        ("", "", ["the_name/__init__.py", "src/data.c"], "."),
        ("", "", ["the_name.py"], "."),
        ("setuptools.build_meta", "[tool.setuptools.packages.find]\nwhere = ['lib']\n", ["lib/a/b.py"], "lib"),
        ("setuptools.build_meta", "[tool.setuptools.package-dir]\n'' = 'py'\n", ["py/a.py"], "py"),
        ("hatchling.build", "", ["src/the_name/__init__.py"], "src"),
        ("hatchling.build", "[tool.hatch.build]\ndev-mode-dirs = ['x']\n", ["x/a.py", "src/a.py"], "x"),
        ("hatchling.build", "[tool.hatch.build.targets.wheel]\npackages = ['lib/a', 'lib/b']\n", ["lib/a/c.py", "lib/b/c.py"], "lib"),
        ("hatchling.build", "[tool.hatch.build.targets.wheel]\nsources = ['lib']\n", ["lib/a.py"], "lib"),
        ("poetry.core.masonry.api", "[tool.poetry]\npackages = [{include = 'a', from = 'lib'}]\n", ["lib/a/b.py"], "lib"),
        ("poetry.core.masonry.api", "[tool.poetry]\nname = 'a'\n", ["a/b.py"], "."),
        ("pdm.backend", "[tool.pdm.build]\npackage-dir = 'lib'\n", ["lib/a.py"], "lib"),
        ("flit_core.buildapi", "[tool.flit.module]\nname = 'a'\n", ["a.py"], "."),
        ("flit_core.buildapi", "[tool.flit.module]\nname = 'a'\n", ["src/a/__init__.py"], "src"),
        ("uv_build", "", ["src/the_name/__init__.py"], "src"),
        ("uv_build", "[tool.uv.build-backend]\nmodule-root = ''\n", ["the_name/__init__.py"], "."),
        ("maturin", "[tool.maturin]\npython-source = 'python'\n", ["python/a/__init__.py"], "python"),
        ("scikit_build_core.build", "[tool.scikit-build]\nwheel.packages = ['py/a']\n", ["py/a/__init__.py"], "py"),
    ],
)  # fmt: skip
def test_the_folder_of_its_modules_is_found_as_the_projects_backend_would(backend, settings, files, root):
    assert imports(PROJECT + settings, *files, backend=backend) == [("", root)]


def test_several_folders_and_one_of_another_name():
    text = PROJECT + "[tool.setuptools.package-dir]\n'' = 'src'\nother = 'lib/that'\n"
    assert imports(text, "src/a.py", "lib/that/b.py") == [("", "src"), ("other", "lib/that")]


def test_a_folder_within_the_commit_counts_from_its_top():
    files = {"libs/core/pyproject.toml": PROJECT, "libs/core/src/a/__init__.py": "", "libs/core/the_name.py": ""}
    assert package(files, "libs/core").imports == (("", "libs/core"),)
    del files["libs/core/the_name.py"]
    assert package(files, "libs/core").imports == (("", "libs/core/src"),)


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"pyproject.toml": PROJECT}, "1.0"),
        ({"pyproject.toml": "[project]\nname = 'a'\ndynamic = ['version']\n[tool.setuptools.dynamic]\nversion = {attr = 'a.VERSION'}\n",
          "src/a/__init__.py": "X = 'no'\nVERSION: str = '2.1'\n"}, "2.1"),
        ({"pyproject.toml": "[project]\nname = 'a'\n[tool.setuptools.dynamic]\nversion = {file = 'VERSION'}\n", "VERSION": "3.0rc1\n"}, "3.0rc1"),
        ({"pyproject.toml": BACKEND.format("hatchling.build") + "[project]\nname = 'a'\n[tool.hatch.version]\npath = 'a/about.py'\n",
          "a/about.py": "__version__ = '4.5'\n"}, "4.5"),
        ({"pyproject.toml": BACKEND.format("flit_core.buildapi") + "[project]\nname = 'a'\n", "a.py": "__version__ = \"0.2\"\n"}, "0.2"),
        ({"setup.cfg": "[metadata]\nname = a\nversion = attr: a.__version__\n", "a/__init__.py": "__version__ = '5'\n"}, "5"),
        ({"setup.py": "from setuptools import setup\nsetup(name='a', version='6.1')\n"}, "6.1"),
        ({"setup.py": "from setuptools import setup\nsetup(name='a', version=compute())\n"}, "0"),
        ({"pyproject.toml": "[project]\nname = 'a'\ndynamic = ['version']\n[tool.setuptools_scm]\n"}, "0"),
        ({"pyproject.toml": "[project]\nname = 'a'\nversion = '../../x'\n"}, "0"),
        ({"pyproject.toml": "[project]\nname = 'a'\n[tool.setuptools.dynamic]\nversion = {file = '../x'}\n"}, "0"),
    ],
)  # fmt: skip
def test_the_version_is_read_and_never_computed(files, version):
    assert package(files).version == version


def test_commands_and_other_entry_points_are_read_from_each_file():
    text = PROJECT + (
        "[project.scripts]\none = 'a.b:main'\n[project.gui-scripts]\ntwo = 'a : c.d [extra]'\n"
        "[project.entry-points.plug]\nx = 'a.b'\n"
    )
    found = package({"pyproject.toml": text})
    assert found.commands() == {"one": "a.b", "two": "a"}
    assert found.entry_points == {
        "console_scripts": {"one": "a.b:main"}, "gui_scripts": {"two": "a:c.d"}, "plug": {"x": "a.b"}
    }  # fmt: skip
    setup = "setup(name='a', entry_points='''\n[console_scripts]\nthree = a:b\n''')\n"
    assert package({"setup.py": setup}).commands() == {"three": "a"}
    poetry = (
        "[tool.poetry]\nname = 'a'\n[tool.poetry.scripts]\nfour = 'a:b'\nfive = {reference = 'c:d', type = 'console'}\n"
    )
    assert package({"pyproject.toml": BACKEND.format("poetry.core") + poetry}).commands() == {"four": "a", "five": "c"}


def test_modules_that_are_its_own_are_named_where_others_lie_beside_them():
    assert package({"pyproject.toml": PROJECT, "the_name/a.py": ""}).modules == ("The_Name", "the_name")
    assert package({"pyproject.toml": PROJECT, "src/the_name/a.py": ""}).modules == ()
    said = PROJECT + "[tool.setuptools]\npackages = ['a', 'a.b']\npy-modules = ['c']\n"
    assert package({"pyproject.toml": said, "a/b/d.py": ""}).modules == ("a", "c")


def test_what_is_remembered_is_by_content_and_reads_nothing_again():
    files = {"pyproject.toml": PROJECT + "[project.scripts]\none = 'a.b:main'\n", "src/a/b.py": ""}
    source, facts = MemorySource(files), MemoryFacts()
    first = project_package(source, ".", facts)
    source.read_oids.clear()
    assert project_package(source, ".", facts) == first
    assert source.read_oids == []
    changed = MemorySource({**files, "pyproject.toml": PROJECT})
    assert project_package(changed, ".", facts).commands() == {}


def test_it_is_the_same_from_a_description_and_no_other_machine_can_give_one_that_is_none():
    first = package({"pyproject.toml": PROJECT + "[project.scripts]\none = 'a.b:main'\n", "src/a/b.py": ""})
    assert decode_package(first.encoded()) == first
    described = {"kind": "host", "distributions": [], "project": {**first._asdict(), "imports": [["", "src"]]}}
    assert package_in(decode_description(encode_description(described))) == first
    for part, value in (
        ("imports", [["a"]]),
        ("imports", "ab"),
        ("modules", "x"),
        ("entry_points", {"a": "b"}),
        ("name", 1),
    ):
        bad = {**described, "project": {**described["project"], part: value}}
        with pytest.raises(ValueError, match="description of an environment"):
            decode_description(encode_description(bad))


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": Link("../x")},
        {"pyproject.toml/x": ""},
        {"pyproject.toml": b"\xff\xfe"},
        {"pyproject.toml": "[tool.hatch.build]\ndev-mode-dirs = ['/etc']\n" + BACKEND.format("hatchling.build")},
        {"pyproject.toml": "[tool.hatch.build]\ndev-mode-dirs = ['.git/hooks']\n" + BACKEND.format("hatchling.build")},
        {"pyproject.toml": "[project.scripts]\n" + "".join(f"s{n} = 'a:b'\n" for n in range(1001))},
    ],
)
def test_what_is_hostile_is_an_error(files):
    with pytest.raises(InputError):
        package(files)


def test_types_that_no_setting_has_are_passed_over():
    text = (
        "project = 1\n[build-system]\nbuild-backend = ['x']\n[tool.setuptools]\npackage-dir = 3\npackages = {find = {where = 7}}\n"
        "dynamic = {version = 'x'}\n"
    )
    found = package(
        {"pyproject.toml": text, "setup.py": "setup(package_dir={1: 2}, entry_points={3: 4}, packages=5)\n"}
    )
    assert (found.name, found.version, found.imports) == ("unknown", "0", (("", "."),))


TRUE = {
    "name": "x",
    "version": "1",
    "imports": [["", "src"]],
    "modules": [],
    "entry_points": {"console_scripts": {"t": "m:f"}},
}


@pytest.mark.parametrize(
    "part",
    [
        {"name": "../../x"},
        {"name": "x\nRequires-Dist: y"},
        {"version": "/../../x"},
        {"imports": [["", "/etc"]]},
        {"imports": [["", "../.."]]},
        {"imports": [["a b", "src"]]},
        {"imports": [["", 1]]},
        {"modules": ["a\nb"]},
        {"entry_points": {"console_scripts": {"../t": "m:f"}}},
        {"entry_points": {"console_scripts": {"t": "m\nimport os\n:f"}}},
        {"entry_points": {"console_scripts": {"t": "m:f()"}}},
        {"entry_points": {"console_scripts": {"t": "m"}}},
        {"entry_points": {"a]\n[b": {"t": "m:f"}}},
        {"entry_points": {"a": {"t\nu": "m:f"}}},
        {"entry_points": []},
    ],
)
def test_nothing_that_no_project_says_becomes_a_file_or_code(part):
    """A description that another machine wrote is one of names, which become paths and lines of programs."""
    assert decode_package(json.dumps(TRUE)).commands() == {"t": "m"}
    forged = {**TRUE, **part}
    with pytest.raises(InputError, match="described as no project says it"):
        decode_package(json.dumps(forged))
    with pytest.raises(InputError, match="described as no project says it"):
        package_in({"project": forged})


def test_a_cluster_names_no_other_project_than_the_one_that_is_run():
    mine = json.dumps(TRUE)
    source, none = EnvironmentSource(ON_HOST, project=mine), EnvironmentSource(ON_HOST)
    said = {"distributions": [], "project": TRUE}
    other = {**said, "project": {**TRUE, "imports": []}}
    assert description_in(json.dumps(said), source) == said
    for text, asked in ((other, source), ({"distributions": []}, source), (said, none)):
        with pytest.raises(RemoteError, match="another project"):
            description_in(json.dumps(text), asked)
