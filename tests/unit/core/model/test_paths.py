"""Names that some file system takes for ``.git``, and places where no output can lie."""

from __future__ import annotations

import pytest

from gitml.core.model.paths import as_named, from_project, from_top, is_git_name, problem_with, problem_with_output

TAKEN_FOR_GIT = [
    ".git", ".GIT", ".Git", ".gIT ", ".git.", ".git . .", ".git   ", "git~1", "GIT~1", "Git~1.", "git~1 ",
    ".git:x", ".git::$INDEX_ALLOCATION", "git~1:stream", ".git\\config", "a\\.git\\hooks", "a\\git~1",
    ".g\u200cit", ".git\u200d", "\ufeff.git", ".G\u206fiT", ".gi\u202et",
]  # fmt: skip
OF_ANYONE = [
    "git", ".gitignore", ".gitattributes", ".github", ".gitmodules", "x.git", "git~2", "git~10", ".git~1", "..git",
    ".git_", "legit", ".envrc", "-rf", "gıt", ".g it",
]  # fmt: skip


@pytest.mark.parametrize("name", TAKEN_FOR_GIT)
def test_what_a_file_system_takes_for_git_is_no_place_for_anything(name: str) -> None:
    assert is_git_name(name)
    for path in (name, f"sub/{name}", f"{name}/hooks/x", f"a/{name}/b"):
        assert problem_with(path) is not None
        assert problem_with_output(path) is not None


@pytest.mark.parametrize("name", OF_ANYONE)
def test_names_that_only_look_like_it_are_as_good_as_others(name: str) -> None:
    assert not is_git_name(name)
    assert problem_with_output(f"sub/{name}") is None


@pytest.mark.parametrize("path", ["", ".", "./", "./.", "a/..", "..", "/etc/x", "~/x", "a\nb", "a\0b", "a\\b"])
def test_an_output_lies_nowhere_but_below_the_tree(path: str) -> None:
    assert problem_with_output(path) is not None


@pytest.mark.parametrize(
    ("path", "project", "found"),
    [
        ("//shared/lib.py", "ml", "../shared/lib.py"),
        ("//shared//./lib.py/", "a/b", "../../shared/lib.py"),
        ("//a/x", "a/b", "../x"),
        ("//ml/src/x.py", "ml", "src/x.py"),
        ("//mlx/y", "ml", "../mlx/y"),
        ("//shared/**/*.py", "ml", "../shared/**/*.py"),
        ("//src/x.py", "", "src/x.py"),
        ("src/./x.py", "ml", "src/x.py"),
    ],
)
def test_a_path_from_the_top_is_counted_from_the_project_and_back(path: str, project: str, found: str) -> None:
    assert from_project(path, project) == (found, None)
    assert from_project(as_named(from_top(found, project), project), project) == (found, None)
    assert problem_with(path) is None or path.startswith("//")
