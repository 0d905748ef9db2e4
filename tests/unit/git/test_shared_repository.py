"""Whom Git's settings let in holds for what gitml makes: the modes are those that Git itself gives."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from gitml.git.repository import discover, sharing_at
from gitml.permissions import ALONE, SharedMode, parse_shared_mode
from gitml.workspace import open_workspace
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository, environment

VALUES = [
    "umask",
    "false",
    "group",
    "true",
    "1",
    "all",
    "world",
    "everybody",
    "2",
    "0660",
    "0664",
    "0640",
    "0644",
    "0666",
    "0600",
]


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
@pytest.mark.parametrize("value", VALUES)
def test_files_and_folders_get_the_modes_that_git_gives_its_own(tmp_path: Path, value: str, umask: int) -> None:
    repo = Repository(tmp_path / "r")
    repo.git("config", "core.sharedRepository", value)
    subprocess.run(
        ["git", "update-ref", "refs/heads/sub/x", repo.commit("one", {"a": "a"})],
        cwd=repo.path,
        env=environment(),
        umask=umask,
        check=True,
    )
    git = Path(repo.path, ".git")
    folder = stat.S_IMODE((git / "refs/heads/sub").stat().st_mode)
    file = stat.S_IMODE((git / "refs/heads/sub/x").stat().st_mode)
    sharing = sharing_at(discover(repo.path, environment()), environment())
    before = os.umask(umask)
    try:
        sharing.make_folder(str(tmp_path / "made/below"))
        (tmp_path / "made/file").write_text("")
        sharing.open_up(str(tmp_path / "made/file"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == folder
    assert stat.S_IMODE((tmp_path / "made/below").stat().st_mode) == folder
    assert stat.S_IMODE((tmp_path / "made/file").stat().st_mode) == file


@pytest.mark.parametrize(
    ("value", "means"), [("", ALONE), ("nonsense", ALONE), ("0", ALONE), ("01", SharedMode(0o660))]
)
def test_a_value_that_shares_nothing_changes_nothing(value: str, means: SharedMode) -> None:
    assert parse_shared_mode(value) == means


@pytest.mark.parametrize("how", ["own", "global", "variable", "included"])
def test_the_setting_counts_wherever_git_has_it(tmp_path: Path, how: str) -> None:
    repo = Repository(tmp_path / "r")
    environ = environment()
    (tmp_path / "more").write_text("[core]\n\tsharedrepository = group\n")
    if how == "own":
        repo.git("config", "core.SharedRepository", "group")
    elif how == "included":
        repo.git("config", "include.path", str(tmp_path / "more"))
    elif how == "global":
        environ["GIT_CONFIG_GLOBAL"] = str(tmp_path / "more")
    else:
        environ |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.sharedRepository", "GIT_CONFIG_VALUE_0": "group"}
    found = subprocess.run(
        ["git", "config", "core.sharedRepository"],
        cwd=repo.path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "group"
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GIT_"):
                patch.delenv(name)
        for name, text in environ.items():
            patch.setenv(name, text)
        assert sharing_at(discover(repo.path, environ), environ) == SharedMode(0o660)


def closed_in(folder: Path) -> list[str]:
    """What below `folder` the group can't use as its owner can."""
    found = []
    for path in [folder, *folder.rglob("*")]:
        if path.name == "synced":
            continue  # empty, and replaced as a whole by whoever comes next
        mode = path.lstat().st_mode
        owner, group = (mode >> 6) & 0o7, (mode >> 3) & 0o7
        if group & owner != owner or (stat.S_ISDIR(mode) and not mode & stat.S_ISGID):
            found.append(f"{stat.filemode(mode)} {path}")
    return found


PIPELINE = """\
steps:
  a:
    run: python3 -c "import os,sys; os.mkdir(sys.argv[1]); open(sys.argv[1]+'/x','w').write('x'*2000000)" ${{ outputs.d }}
    outputs: {d: directory}
"""


@pytest.mark.parametrize("when", ["from the start", "later"])
def test_nothing_that_gitml_makes_in_a_shared_repository_is_closed_to_the_group(tmp_path: Path, when: str) -> None:
    project = Project(tmp_path / "p", {"pipelines/p.yaml": PIPELINE})
    before = os.umask(0o022)
    try:
        if when == "later":
            project.do("run")
            assert closed_in(project.path / ".git/gitml")
        project.repo.git("config", "core.sharedRepository", "group")
        project.do("run", "-f")
        project.do("module", "list")
        project.repo.write({"pipelines/q.yaml": PIPELINE + "    timeout: 9\n"})
        project.do("plan", "q")
        project.do("gc")
    finally:
        os.umask(before)
    assert closed_in(project.path / ".git/gitml") == []
    ws = open_workspace(str(project.path), project.env)
    assert ws.sharing == SharedMode(0o660)
