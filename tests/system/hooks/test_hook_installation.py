"""Installing hooks beside what is there, and taking them away again without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.projects.project_with_hooks import ProjectWithHooks

BROKEN = {"pipelines/words.yaml": "stepss: {}\n"}
REFUSED = "pipelines/words.yaml:1:1: unknown key 'stepss'"


def content_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_install_is_idempotent_and_uninstall_leaves_what_was_there_before(project: ProjectWithHooks) -> None:
    project.hook("pre-commit", "#!/bin/sh\necho mine\n")
    project.hook("commit-msg", '#!/bin/sh\n. "$(dirname "$0")/shared.inc"\n')
    project.hook("shared.inc", "echo shared\n")
    config = (project.path / ".git/config").read_bytes()
    before = content_of(project.path / ".git/hooks")
    first = project.do("hooks", "install").out
    assert "installed pre-commit  (runs .git/hooks.before-gitml/pre-commit first)\n" in first
    installed = content_of(project.path / ".git/hooks")
    assert project.do("hooks", "install").out.count("kept ") == 4
    assert content_of(project.path / ".git/hooks") == installed
    assert project.do("hooks", "uninstall").out.count("removed ") == 4
    assert content_of(project.path / ".git/hooks") == before
    assert not (project.path / ".git/hooks.before-gitml").exists()
    assert (project.path / ".git/config").read_bytes() == config
    assert project.do("hooks", "uninstall").err == "no hook of gitml is installed here\n"


def test_the_hook_that_was_there_runs_first_with_its_name_neighbours_and_arguments(project: ProjectWithHooks) -> None:
    project.hook("common.inc", 'say() { echo "said $1"; }\n')
    project.hook(
        "pre-commit",
        '#!/bin/sh\n. "$(dirname "$0")/common.inc"\nsay "$(basename "$0")"\ntest -e "$(dirname "$0")/../../README.md"\n',
    )
    project.do("hooks", "install")
    project.stage(BROKEN)
    said = project.git("commit", "-m", "x", code=1).err
    assert said.index("said pre-commit") < said.index(REFUSED)


def test_when_the_hook_that_was_there_refuses_its_status_counts_and_gitml_says_nothing(
    project: ProjectWithHooks,
) -> None:
    project.hook("pre-push", "#!/bin/sh\necho not today >&2\nexit 3\n")
    project.do("hooks", "install")
    project.repo.git("init", "-q", "--bare", "../remote.git")
    done = project.git("push", "../remote.git", "main", code=1)
    assert "not today" in done.err
    assert "gitml" not in done.err


def test_a_hook_that_was_there_but_not_executable_stays_without_effect(project: ProjectWithHooks) -> None:
    project.hook("pre-commit", "#!/bin/sh\nexit 1\n").chmod(0o644)
    project.do("hooks", "install")
    project.stage({"README.md": "new\n"})
    project.git("commit", "-q", "-m", "x")


def test_both_get_the_refs_of_a_push_on_stdin(project: ProjectWithHooks) -> None:
    project.hook("pre-push", '#!/bin/sh\necho "$*" > ../seen\ncat >> ../seen\n')
    project.stage({"gitml.yaml": "hooks: {gate: true, send: []}\n", "src/upper.sh": 'cat "$1" > "$2"\n'})
    project.git("commit", "-q", "-m", "never ran")
    project.do("hooks", "install")
    project.repo.git("init", "-q", "--bare", "../remote.git")
    done = project.git("push", "../remote.git", "main", code=1)
    oid = project.repo.git("rev-parse", "main")
    zero = "0" * 40
    seen = (project.path.parent / "seen").read_text()
    assert seen == f"../remote.git ../remote.git\nrefs/heads/main {oid} refs/heads/main {zero}\n"
    assert f"gitml: {oid[:12]} has not run: words, step upper" in done.err


@pytest.mark.parametrize("way", ["--no-verify", "GITML_HOOKS=0"])
def test_hooks_can_be_skipped(hooked: ProjectWithHooks, way: str) -> None:
    hooked.stage(BROKEN)
    assert REFUSED in hooked.git("commit", "-m", "x", code=1).err
    env = {"GITML_HOOKS": "0"} if "=" in way else {}
    hooked.git("commit", "-q", "-m", "x", *([] if env else [way]), env=env)


def test_git_goes_on_with_one_line_where_gitml_is_gone(hooked: ProjectWithHooks) -> None:
    for path in (hooked.path / ".git/hooks").glob("p*"):
        if not path.name.endswith(".sample"):
            path.write_text(path.read_text().replace(f"python={sys.executable}", "python=/gone/bin/python"))
    env = {"PATH": "/usr/bin:/bin"}
    hooked.stage(BROKEN)
    done = hooked.git("commit", "-q", "-m", "x", env=env)
    assert done.err == (
        "gitml: not found, so its pre-commit hook did nothing; install it again, or remove .git/hooks/pre-commit\n"
    )
    assert hooked.git("checkout", "-q", "HEAD~1", env=env).err == ""
    hooked.stage({"README.md": "not of gitml\n"})
    assert hooked.git("commit", "-q", "-m", "y", env=env).err == ""


@pytest.mark.slow
def test_git_goes_on_where_the_python_is_there_and_can_not_start_gitml(
    hooked: ProjectWithHooks, tmp_path: Path
) -> None:
    script = hooked.path / ".git/hooks/pre-commit"
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named gitml >&2\nexit 1\n")
    python.chmod(0o755)
    script.write_text(script.read_text().replace(f"python={sys.executable}", f"python={python}"))
    hooked.stage(BROKEN)
    assert "could not do its work; Git goes on" in hooked.git("commit", "-q", "-m", "x").err


@pytest.mark.slow
def test_a_gitml_on_the_path_serves_where_the_one_that_installed_is_gone(
    hooked: ProjectWithHooks, tmp_path: Path
) -> None:
    script = hooked.path / ".git/hooks/pre-commit"
    script.write_text(script.read_text().replace(f"python={sys.executable}", "python=/gone/bin/python"))
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gitml").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitml "$@"\n')
    (programs / "gitml").chmod(0o755)
    hooked.stage(BROKEN)
    assert REFUSED in hooked.git("commit", "-m", "x", code=1, env={"PATH": f"{programs}:/usr/bin:/bin"}).err


@pytest.mark.slow
def test_files_of_the_repository_named_like_python_modules_are_not_imported(hooked: ProjectWithHooks) -> None:
    hooked.stage({"click.py": "raise SystemExit('hijacked')\n", "gitml/__init__.py": "", **BROKEN})
    said = hooked.git("commit", "-m", "x", code=1).err
    assert REFUSED in said
    assert "hijacked" not in said


def test_a_hook_works_from_a_subfolder_and_with_nothing_but_a_bare_environment(hooked: ProjectWithHooks) -> None:
    hooked.stage(BROKEN)
    ada = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "commit", "-m", "x"],
        cwd=hooked.path / "src",
        env={"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": os.devnull, **ada},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert REFUSED in done.stderr


@pytest.mark.slow
def test_a_linked_worktree_has_the_hooks_and_its_own_index_is_looked_at(
    hooked: ProjectWithHooks, tmp_path: Path
) -> None:
    hooked.git("worktree", "add", "-q", "../linked")
    linked = tmp_path / "linked"
    (linked / "pipelines/words.yaml").write_text(BROKEN["pipelines/words.yaml"])
    assert REFUSED in hooked.git("commit", "-a", "-m", "x", cwd=linked, code=1).err
    assert "pre-commit     installed" in hooked.do("hooks", cwd=linked).out
    hooked.git("commit", "-q", "--allow-empty", "-m", "the main one is fine")


@pytest.mark.slow
def test_an_older_gitmls_script_is_renewed_and_what_ran_before_it_still_does(project: ProjectWithHooks) -> None:
    project.hook("pre-commit", "#!/bin/sh\necho mine\n")
    project.do("hooks", "install")
    script = project.path / ".git/hooks/pre-commit"
    script.write_text(script.read_text().replace("status=0", "status=00"))
    assert "pre-commit     written by another gitml" in project.do("hooks", "status").out
    assert "renewed   pre-commit  (runs" in project.do("hooks", "install").out
    assert project.do("hooks", "status", "--json").json["hooks"][0]["state"] == "installed"


@pytest.mark.slow
def test_another_tools_hook_in_gitmls_place_is_told_and_nothing_is_lost(project: ProjectWithHooks) -> None:
    project.hook("pre-commit", "#!/bin/sh\necho first\n")
    project.do("hooks", "install", "pre-commit")
    project.hook("pre-commit", "#!/bin/sh\necho second\n")
    done = project.do("hooks", "install", code=2)
    assert "another tool put its hook in the place of gitml's" in done.err
    assert (project.path / ".git/hooks/pre-commit").read_text().endswith("second\n")
    assert (project.path / ".git/hooks.before-gitml/pre-commit").read_text().endswith("first\n")


@pytest.mark.slow
def test_a_script_that_another_tool_put_aside_is_told_and_comes_back_before_nobody_else(
    project: ProjectWithHooks,
) -> None:
    project.do("hooks", "install", "pre-commit")
    (project.path / ".git/hooks/pre-commit").rename(project.path / ".git/hooks/pre-commit.old")  # as lefthook does
    project.hook("pre-commit", "#!/bin/sh\necho other\n")
    assert "put aside by another tool, so it does not run (.git/hooks/pre-commit.old)" in project.do("hooks").out
    project.do("hooks", "install", "pre-commit")
    project.stage(BROKEN)
    said = project.git("commit", "-m", "x", code=1).err
    assert said.index("other") < said.index(REFUSED)
    project.do("hooks", "uninstall")
    assert sorted(path.name for path in (project.path / ".git/hooks").glob("pre-commit*")) == [
        "pre-commit",
        "pre-commit.sample",
    ]


def test_a_script_that_calls_gitml_itself_is_left_as_it_is(project: ProjectWithHooks) -> None:
    path = project.hook(
        "pre-commit", '#!/bin/sh\nif command -v gitml >/dev/null; then gitml hooks run pre-commit -- "$@"; fi\n'
    )
    before = path.read_bytes()
    assert "called    pre-commit" in project.do("hooks", "install").out
    assert path.read_bytes() == before
    assert "pre-commit     called by the script that is there (.git/hooks/pre-commit)" in project.do("hooks").out


# core.hooksPath and those who use it


def husky(project: ProjectWithHooks) -> None:
    """What husky 9 leaves: shims in an ignored folder that run the tracked script of the same name one folder up."""
    project.hook(
        "h",
        '#!/usr/bin/env sh\nn=$(basename "$0")\ns=$(dirname "$(dirname "$0")")/$n\n[ ! -f "$s" ] && exit 0\nsh -e "$s" "$@"\n',
        ".husky/_",
    )
    for name in ("pre-commit", "pre-push", "commit-msg"):
        project.hook(name, '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n', ".husky/_")
    project.hook(".gitignore", "*\n", ".husky/_")
    project.hook("pre-commit", "echo husky\n", ".husky")
    project.hook("commit-msg", 'grep -q ok "$1"\n', ".husky")
    project.repo.commit("husky")
    project.git("config", "core.hooksPath", ".husky/_")


def test_a_folder_in_the_work_tree_is_refused_with_the_line_to_add_and_that_line_works(
    project: ProjectWithHooks, tmp_path: Path
) -> None:
    husky(project)
    before = content_of(project.path / ".husky")
    done = project.do("hooks", "install", code=2)
    line = 'if command -v gitml >/dev/null; then gitml hooks run pre-commit -- "$@"; fi'
    assert line in done.err
    assert content_of(project.path / ".husky") == before
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gitml").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitml "$@"\n')
    (programs / "gitml").chmod(0o755)
    with (project.path / ".husky/pre-commit").open("a") as file:
        file.write(line + "\n")
    project.stage(BROKEN)
    said = project.git("commit", "-m", "ok", code=1, env={"PATH": f"{programs}:{project.env['PATH']}"}).err
    assert said.index("husky") < said.index(REFUSED)
    project.git("commit", "-q", "-m", "ok", env={"PATH": "/usr/bin:/bin"})  # who has no gitml


@pytest.mark.slow
def test_redirected_hooks_run_huskys_first_and_all_of_them(project: ProjectWithHooks) -> None:
    husky(project)
    files = content_of(project.path / ".husky")
    config = (project.path / ".git/config").read_bytes()
    project.do("hooks", "install", "--redirect")
    assert project.do("hooks", "install").out.count("kept ") == 4
    project.stage(BROKEN)
    said = project.git("commit", "-m", "ok", code=1).err
    assert said.index("husky") < said.index(REFUSED)
    project.stage({"pipelines/words.yaml": "steps: {a: {run: 'true'}}\n"})
    assert "husky" in project.git("commit", "-m", "bad message", code=1).err  # by commit-msg
    project.git("commit", "-q", "-m", "ok")
    project.do("hooks", "uninstall", "pre-push")
    assert project.do("hooks", "status", "--json").json["hooks"][3]["state"] == "absent"
    project.do("hooks", "uninstall")
    assert content_of(project.path / ".husky") == files
    assert (project.path / ".git/config").read_bytes() == config
    assert not (project.path / ".git/gitml-hooks").exists()


@pytest.mark.slow
def test_a_global_folder_of_hooks_is_not_written_to(project: ProjectWithHooks, tmp_path: Path) -> None:
    (tmp_path / "everyone").mkdir()
    (tmp_path / "everyone/pre-commit").write_text("#!/bin/sh\necho everyone\n")
    (tmp_path / "everyone/pre-commit").chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\n\thooksPath = {tmp_path}/everyone\n")
    project.env["GIT_CONFIG_GLOBAL"] = str(settings)
    done = project.do("hooks", "install", code=2)
    assert "core.hooksPath of the global settings" in done.err
    project.do("hooks", "install", "--redirect")
    project.stage(BROKEN)
    said = project.git("commit", "-m", "x", code=1).err
    assert said.index("everyone") < said.index(REFUSED)
    assert os.listdir(tmp_path / "everyone") == ["pre-commit"]
    project.do("hooks", "uninstall")
    assert project.repo.git("config", "--local", "--list").count("hookspath") == 0
    assert project.git("commit", "-q", "-m", "x").err == "everyone\n"


def test_a_folder_that_links_out_of_the_git_folder_is_not_written_to(project: ProjectWithHooks) -> None:
    project.hook("pre-commit", "#!/bin/sh\n", "githooks")
    (project.path / ".git/hooks").rename(project.path / ".git/hooks.old")
    (project.path / ".git/hooks").symlink_to("../githooks")
    assert "a link that leads out" in project.do("hooks", "install", code=2).err
    assert os.listdir(project.path / "githooks") == ["pre-commit"]


def test_hooks_that_are_switched_off_are_told(project: ProjectWithHooks) -> None:
    project.git("config", "core.hooksPath", "/dev/null")
    assert "hooks are switched off" in project.do("hooks", "install", "--redirect", code=2).err


@pytest.mark.slow
def test_an_own_folder_within_the_git_folder_is_used(project: ProjectWithHooks) -> None:
    project.git("config", "core.hooksPath", str(project.path / ".git/own"))
    project.do("hooks", "install", "pre-commit")
    project.stage(BROKEN)
    assert REFUSED in project.git("commit", "-m", "x", code=1).err


def test_names_that_are_no_hooks_of_gitml_or_not_of_this_kind_of_repository_are_told(project: ProjectWithHooks) -> None:
    assert (
        "no part in a hook 'pre-comit' (did you mean 'pre-commit'?)"
        in project.do("hooks", "install", "pre-comit", code=2).err
    )
    assert "post-receive is a hook of a bare repository" in project.do("hooks", "install", "post-receive", code=2).err
    assert "no part in a hook 'commit-msg'" in project.do("hooks", "run", "commit-msg", code=2).err
