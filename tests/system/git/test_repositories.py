"""Runs in the states in which people have their repositories, through the command line."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.kit.disks.small_disk import small_disk_at
from tests.kit.ordinary_user import ordinary
from tests.kit.patience import in_little_work
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository, environment

PIPELINE = """\
params: {n: 1}
inputs: {raw: data/raw.txt}
steps:
  one:
    run: sh src/one.sh ${{ inputs.raw }} ${{ outputs.o }}
    outputs: {o: file}
  two:
    run: sh src/two.sh ${{ steps.one.outputs.o }} ${{ params.n }} ${{ outputs.m }}
    outputs: {m: metrics}
"""
FILES: Mapping[str, str | bytes] = {
    "pipelines/p.yaml": PIPELINE,
    "src/one.sh": 'cat "$1" > "$2"\n',
    "src/two.sh": 'printf \'{"size": %d, "n": %d}\' $(wc -c < "$1") $2 > "$3"\n',
    "data/raw.txt": "hello\n",
}
RAN = {"one": "executed", "two": "executed"}
KNOWN = {"one": "reused", "two": "reused"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "r", FILES)


def cloned(project: Project, path: Path, *options: str) -> Project:
    """A clone of the project's repository, over a protocol as from another machine."""
    words = ["git", "clone", "-q", *options, f"file://{project.path}", str(path)]
    subprocess.run(words, env=environment(), check=True, capture_output=True)
    return there(project, path)


def there(project: Project, path: Path) -> Project:
    """gitml in another folder, with the same environment."""
    other = Project.__new__(Project)
    other.path, other.env = path, project.env
    other.repo = Repository(path, bare=(path / "HEAD").exists())
    return other


# -- where one stands


def test_a_dirty_tree_a_detached_head_a_subfolder_and_a_linked_worktree_share_what_is_known(project: Project) -> None:
    assert project.outcomes() == RAN
    project.repo.write({"README": "not used", "data/other.txt": "not used"})
    assert project.outcomes() == KNOWN
    project.repo.git("checkout", "-q", "--detach")
    run = project.run()
    assert (run["branch"], run["dirty"]) == (None, False)
    assert project.outcomes(cwd=project.path / "src") == KNOWN
    project.repo.git("worktree", "add", "-q", "-b", "side", str(project.path.parent / "w"))
    side = there(project, project.path.parent / "w")
    assert side.outcomes() == KNOWN
    assert side.run()["branch"] == "side"
    side.repo.write({"data/raw.txt": "other\n"})
    assert side.outcomes(cwd=side.path / "data") == RAN
    assert project.outcomes() == KNOWN
    assert len(project.do("log", "--json").json) == 8


def test_odd_paths_of_the_repository_are_no_matter(tmp_path: Path) -> None:
    project = Project(tmp_path / "a b 'q\" ünï $x;*" / "-r\n", FILES)
    assert project.outcomes() == RAN
    assert project.outcomes() == KNOWN
    project.do("checkout", "latest:one.o", "out file")
    assert (project.path / "out file").read_text() == "hello\n"
    assert project.do("reproduce", "--json").json["identical"]


# -- clones


def test_a_shallow_clone_runs_and_says_what_it_lacks(project: Project, tmp_path: Path) -> None:
    project.repo.commit("two", {"README": "x"})
    clone = cloned(project, tmp_path / "c", "--depth=1")
    assert clone.outcomes() == RAN
    assert clone.outcomes() == KNOWN
    assert clone.do("run", "--at", "HEAD~1", code=2).err.endswith("this clone is shallow: git fetch --unshallow\n")
    assert clone.do("reproduce", "--json").json["identical"]


def test_a_partial_clone_fetches_what_a_run_needs(project: Project, tmp_path: Path) -> None:
    project.repo.git("config", "uploadpack.allowFilter", "true")
    project.repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    project.repo.commit("two", {"data/raw.txt": "two\n"})
    clone = cloned(project, tmp_path / "c", "--filter=blob:none")
    run = clone.run("--at", "HEAD~1")
    assert clone.content(run, "one", "o") == b"hello\n"
    assert clone.outcomes() == {"one": "executed", "two": "executed"}


def test_a_bare_repository_runs_at_a_commit(project: Project, tmp_path: Path) -> None:
    bare = cloned(project, tmp_path / "bare.git", "--bare")
    assert bare.do("run", code=2).err == "gitml: a bare repository has no work tree: name a commit: --at REV\n"
    assert bare.outcomes("--at", "main") == RAN
    assert bare.outcomes("--at", "HEAD") == KNOWN
    assert "2 up to date" in bare.do("status").out
    bare.do("checkout", "latest:one.o", str(tmp_path / "o"))
    assert (tmp_path / "o").read_text() == "hello\n"
    assert bare.do("fsck").code == 0
    kept = {name for name in os.listdir(bare.path / "gitml") if not name.startswith("index.db")}
    assert kept == {"live", "locks", "objects", "synced"}


def test_a_fresh_clone_runs_all_and_with_the_fetched_records_nothing(project: Project, tmp_path: Path) -> None:
    run = project.run()
    clone = cloned(project, tmp_path / "c")
    assert clone.outcomes() == RAN
    other = cloned(project, tmp_path / "d")
    other.repo.git("fetch", "-q", "origin", "refs/gitml/*:refs/gitml/*")
    assert [row["run"] for row in other.do("log", "--json").json] == [run["run"]]
    assert other.do("metrics").out.split() == ["two.size", "6", "two.n", "1"]
    assert other.outcomes() == KNOWN
    other.do("checkout", "latest:one.o", "o")
    assert (other.path / "o").read_text() == "hello\n"
    assert "data/raw.txt" in other.do("lineage", "latest:two.m").out
    assert other.outcomes("-S", "n=2") == {"one": "reused", "two": "executed"}
    assert other.do("reproduce", run["run"], "--json").json["identical"]
    assert other.do("fsck", "--deep").code == 0


def test_a_sha256_repository_is_like_any_other(tmp_path: Path) -> None:
    Repository(tmp_path / "r", object_format="sha256")
    project = Project(tmp_path / "r", FILES)
    assert project.outcomes() == RAN
    project.repo.write({"data/raw.txt": "changed\n"})
    run = project.run()
    assert len(run["commit"]) == 64
    project.repo.git("gc", "-q", "--prune=now")
    assert project.do("reproduce", "--json").json["identical"]
    assert "param n = 1" in project.do("lineage", "latest:two.m").out
    assert project.do("fsck", "--deep").code == 0
    assert project.outcomes("--at", "main") == KNOWN


# -- files that Git changes on their way


@pytest.mark.parametrize("how", ["autocrlf", "attributes"])
def test_line_ends_that_only_the_work_tree_has_change_nothing(project: Project, how: str) -> None:
    run = project.run()
    if how == "autocrlf":
        project.repo.git("config", "core.autocrlf", "true")
    else:
        (project.path / ".git/info/attributes").write_text("*.txt text eol=crlf\n")
    (project.path / "data/raw.txt").unlink()
    project.repo.git("checkout", "-q", "data/raw.txt")
    assert (project.path / "data/raw.txt").read_bytes() == b"hello\r\n"
    assert project.outcomes() == KNOWN
    (project.path / "data/raw.txt").write_bytes(b"a\r\nb\r\n")
    run = project.run()
    assert project.content(run, "one", "o") == b"a\nb\n"


def test_a_step_gets_what_a_filter_leaves_for_git(project: Project) -> None:
    project.repo.git("config", "filter.up.clean", "tr a-z A-Z")
    project.repo.git("config", "filter.up.smudge", "tr A-Z a-z")
    project.repo.commit("filter", {".gitattributes": "*.txt filter=up\n"})
    (project.path / "data/raw.txt").write_text("changed\n")
    assert project.content(project.run(), "one", "o") == b"CHANGED\n"
    project.repo.git("config", "filter.up.clean", "false")
    project.repo.git("config", "filter.up.required", "true")
    (project.path / "data/raw.txt").write_text("changed again\n")
    failed = project.do("run", code=2)
    assert "filter 'false' failed" in failed.err
    assert failed.err.count("\n") == 1
    assert project.outcomes("--at", "HEAD")["one"] == "executed"


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


def test_an_lfs_pointer_s_content_is_used_without_git_lfs(project: Project) -> None:
    content = b"large\n" * 1000
    name = hashlib.sha256(content).hexdigest()
    pointer = POINTER.format(name, len(content))
    project.repo.commit("lfs", {"data/raw.txt": pointer, ".gitattributes": "data/* filter=lfs -text\n"})
    failed = project.do("run", code=1)
    assert (
        "the content of this Git LFS file is not on this machine (data/raw.txt) (git lfs pull --include=data/raw.txt)"
        in failed.err
    )
    assert "all it wrote" not in failed.err
    place = project.path / f".git/lfs/objects/{name[:2]}/{name[2:4]}/{name}"
    place.parent.mkdir(parents=True)
    place.write_bytes(content.replace(b"l", b"L"))
    assert "the local Git LFS object is damaged (data/raw.txt)" in project.do("run", code=1).err
    place.write_bytes(content)
    assert project.content(project.run(), "one", "o") == content


def test_a_submodule_that_is_not_here_is_named_wherever_a_step_does_and_is_no_matter_elsewhere(
    project: Project, tmp_path: Path
) -> None:
    inner = Repository(tmp_path / "inner")
    inner.commit("one", {"src/one.sh": "cat $1 > $2\n", "raw.txt": "inner\n", "env.txt": ""})
    project.repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.path, "mod")
    project.repo.commit("with a submodule")
    project.repo.git("submodule", "deinit", "-q", "--force", "mod")
    shutil.rmtree(project.path / ".git/modules")
    assert project.outcomes() == RAN
    for change in (
        PIPELINE.replace("data/raw.txt", "mod/raw.txt"),
        PIPELINE.replace("data/raw.txt", "mod"),
        PIPELINE.replace("sh src/one.sh", "sh mod/src/one.sh"),
        PIPELINE + "code: [mod/]\n",
        PIPELINE + "code: ['**']\n",
        PIPELINE + "environment: mod/env.txt\n",
    ):
        project.repo.write({"pipelines/p.yaml": change})
        refused = project.do("run", code=2)
        assert "mod' is a submodule" in refused.err or "mod is a submodule" in refused.err, change
        assert refused.err.count("\n") == 1
        assert project.do("plan").out.startswith("blocked  one")


# -- names


def test_names_that_are_no_utf8_and_names_with_anything_in_them(project: Project) -> None:
    names = [b"\xff\xfe.txt", b"a b'c\".txt", b"new\nline", b"-dash", "\u00e9".encode(), b"$(touch x)", b"tab\t", b"*"]
    for name in names:
        Path(os.fsdecode(os.fsencode(project.path / "data") + b"/" + name)).write_bytes(name)
    pipeline = "steps:\n  all:\n    run: cp -r data ${{ outputs.d }}\n    outputs: {d: directory}\n"
    project.repo.write({"pipelines/all.yaml": pipeline})
    assert project.outcomes("all") == {"all": "executed"}
    project.repo.commit("odd names")
    assert project.outcomes("all") == {"all": "reused"}
    project.do("checkout", "latest:all.d", "copy")
    copied = os.fsencode(project.path / "copy")
    assert sorted(os.listdir(copied)) == sorted([*names, b"raw.txt"])
    for name in names:
        assert Path(os.fsdecode(copied + b"/" + name)).read_bytes() == name
    assert project.do("fsck", "--deep").code == 0
    Path(os.fsdecode(os.fsencode(project.path / "data") + b"/\xff\xfe.txt")).write_bytes(b"changed")
    assert project.outcomes("all") == {"all": "executed"}
    shown = project.do("lineage", "down", os.fsdecode(b"data/\xff\xfe.txt")).out
    assert shown.startswith("file data/\\xff\\xfe.txt")
    assert "step all" in shown


@pytest.mark.slow
def test_in_twenty_thousand_files_a_run_with_nothing_to_do_takes_no_second(tmp_path: Path) -> None:
    files = {f"d{n // 1000}/e{n // 100}/f{n}.txt": f"{n}\n" for n in range(20_000)}
    project = Project(tmp_path / "r", FILES)
    project.repo.commit_many("many", files)
    assert project.outcomes() == RAN

    def known() -> None:
        assert project.outcomes() == KNOWN

    in_little_work(2.0, known)
    project.repo.write({"d3/e33/f3333.txt": "changed", "d3/new.txt": "new"})
    assert project.outcomes() == KNOWN


# -- Git set up in other ways


@pytest.mark.parametrize(
    "setup",
    [
        [["config", "core.fsmonitor", "true"]],
        [["config", "core.fsmonitor", ".git/no-such-hook"]],
        [["update-index", "--index-version", "4"]],
        [["config", "core.splitIndex", "true"], ["update-index", "--split-index"]],
        [["config", "core.untrackedCache", "true"], ["update-index", "--untracked-cache"]],
        [["config", "feature.manyFiles", "true"]],
        [["sparse-checkout", "set", "--cone", "src", "pipelines"]],
        [["sparse-checkout", "set", "--no-cone", "/src/", "/pipelines/"]],
        [["sparse-checkout", "set", "--cone", "--sparse-index", "src", "pipelines"]],
        [["pack-refs", "--all"], ["repack", "-adq"]],
        [["config", "core.hooksPath", "/nonexistent"], ["config", "commit.gpgSign", "true"]],
        [["config", "core.fileMode", "false"], ["config", "core.quotePath", "false"]],
        [["config", "core.bigFileThreshold", "1"], ["config", "core.compression", "0"]],
        [["config", "extensions.worktreeConfig", "true"]],
        [["config", "status.showUntrackedFiles", "no"], ["config", "diff.noprefix", "true"]],
    ],
    ids=lambda setup: " ".join(setup[0]),
)
def test_git_set_up_in_another_way(project: Project, setup: list[list[str]]) -> None:
    for words in setup:
        project.repo.git(*words)
    try:
        before = project.state()
        assert project.outcomes() == RAN
        assert project.outcomes() == KNOWN
        assert project.state() == before
        project.repo.write(
            {"src/one.sh": "tr a-z A-Z < $1 > $2\n", "src/two.sh": ". src/new.sh\n", "src/new.sh": FILES["src/two.sh"]}
        )
        run = project.run("one")
        assert project.content(run, "one", "o") == b"HELLO\n"
        assert project.do("log", "--json").json[0]["dirty"]
    finally:
        if "core.fsmonitor" in setup[0]:
            subprocess.run(
                ["git", "fsmonitor--daemon", "stop"], cwd=project.path, env=environment(), capture_output=True
            )


def test_a_user_without_an_identity_can_run(project: Project) -> None:
    hidden = {name: value for name, value in project.env.items() if "AUTHOR" not in name and "COMMITTER" not in name}
    project.env = {**hidden, "EMAIL": "", "USER": "someone"}
    project.repo.write({"data/raw.txt": "dirty\n"})
    run = project.run()
    assert run["by"].startswith("someone <someone@")


def test_home_unset(project: Project) -> None:
    project.env = {name: value for name, value in project.env.items() if name not in ("HOME", "XDG_CACHE_HOME", "USER")}
    assert project.outcomes() == RAN
    assert project.do("doctor").code == 0
    project.do("du")


def test_a_path_without_python(project: Project, tmp_path: Path) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in ("git", "sh", "cat", "wc", "tr"):
        found = shutil.which(name)
        assert found
        (bin / name).symlink_to(found)
    project.env = {**project.env, "PATH": str(bin)}
    assert project.outcomes() == RAN
    assert project.outcomes() == KNOWN
    project.repo.write({"pipelines/q.yaml": "steps:\n  a:\n    run: python3 x.py\n"})
    assert project.do("run", "q", code=2).err.startswith(
        "gitml: step 'a' can't run: command not found: python3: install"
    )


# -- what the machine refuses


def bound(project: Project, *words: str, code: int) -> str:
    """What gitml says to a user for whom permissions count."""
    done = ordinary(sys.executable, "-m", "gitml", *words, cwd=project.path, env=project.env)
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.fixture
def writable_again(project: Project) -> Iterator[None]:
    yield
    subprocess.run(["chmod", "-R", "u+rwX", str(project.path)], check=True)


@pytest.mark.usefixtures("writable_again")
@pytest.mark.parametrize(
    "place", [".git", ".git/gitml", ".git/gitml/index.db", ".git/objects", ".git/gitml/live", ".git/refs/gitml"]
)
def test_what_can_not_be_written_is_one_line_that_names_the_place(project: Project, place: str) -> None:
    if "gitml" in place:
        project.run()
    project.repo.write({"data/raw.txt": "changed\n"})
    subprocess.run(["chmod", "-R", "a-w", str(project.path / place)], check=True)
    said = bound(project, "run", "-q", code=5)
    assert said.count("\n") == 1
    assert said.startswith("gitml: ")
    assert ".git" in said
    assert ": chmod u+rw" in said, "the mend"
    subprocess.run(["chmod", "-R", "u+w", str(project.path / place)], check=True)
    # where only the record could not be written, what the steps made is kept
    assert project.outcomes() == (KNOWN if place == ".git/refs/gitml" else RAN)


@pytest.mark.usefixtures("writable_again")
def test_an_index_that_can_not_be_read_is_no_bug(project: Project) -> None:
    run = project.run()["run"]
    (project.path / ".git/gitml/index.db").chmod(0)
    looked = ordinary(sys.executable, "-m", "gitml", "log", cwd=project.path, env=project.env)
    assert (looked.returncode, run[:8] in looked.stdout) == (0, True), "what only looks makes one in memory"
    said = bound(project, "run", code=5)
    assert said.startswith("gitml: the index can't be used: unable to open database file (")
    assert said.endswith(f": chmod u+rw {project.path}/.git/gitml/index.db\n")


ALONE = {"pipelines/alone.yaml": "environment: r.txt\nsteps:\n  a: {run: python -c pass}\n", "r.txt": "# nothing\n"}


@pytest.mark.slow
@pytest.mark.usefixtures("writable_again")
def test_an_environment_that_can_not_be_kept_names_the_place_and_the_mend(project: Project) -> None:
    project.repo.write(ALONE)
    kept = project.path / ".git/kept/gitml/envs"
    kept.mkdir(parents=True)
    kept.chmod(0o555)
    project.env["XDG_CACHE_HOME"] = str(kept.parents[1])
    assert f" (chmod u+rwx {kept})" in bound(project, "run", "alone", code=1)
    kept.chmod(0o755)
    assert project.outcomes("alone") == {"a": "executed"}


@pytest.mark.slow
def test_a_user_without_a_home_to_write_to_has_environments_in_the_repository(project: Project, tmp_path: Path) -> None:
    project.repo.write(ALONE)
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    project.env = {name: value for name, value in project.env.items() if name != "XDG_CACHE_HOME"} | {"HOME": str(home)}
    bound(project, "run", "alone", code=0)
    assert len(list((project.path / ".git/gitml/cache/envs").glob("*/bin/python"))) == 1


@pytest.mark.root
def test_a_repository_of_someone_else_is_refused_with_git_s_own_mend(project: Project) -> None:
    for place, folders, names in os.walk(project.path):
        for name in (".", *folders, *names):
            os.lchown(os.path.join(place, name), 12345, 12345)
    refused = project.do("run", code=7)
    assert "dubious ownership" in refused.err
    assert refused.err.endswith(f"git config --global --add safe.directory {project.path}\n")
    assert refused.err.count("\n") == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk_at(place, "4m"):
        yield place


BIG = """\
params: {size: 1000}
steps:
  big:
    run: sh -c 'head -c $1 /dev/zero > $2; echo done' x ${{ params.size }} ${{ outputs.o }}
    outputs: {o: file}
  small:
    run: cp ${{ steps.big.outputs.o }} ${{ outputs.c }}
    outputs: {c: file}
"""


@pytest.mark.slow
@pytest.mark.root
def test_a_full_disk_costs_the_run_and_nothing_else(small_disk: Path) -> None:
    project = Project(small_disk / "r", {"pipelines/big.yaml": BIG})
    (small_disk / "spare").write_bytes(bytes(1 << 20))  # room for the last run, however much the failed ones leave
    assert project.outcomes() == {"big": "executed", "small": "executed"}
    for size in (500_000, 1_200_000, 10_000_000, 900_000, 2_000_000):
        done = project.do("run", "-S", f"size={size}", code=None)
        assert done.code in (0, 1, 5)
        assert "Traceback" not in done.err
        assert "internal error" not in done.err
        if done.code:
            assert "space" in done.err or "disk" in done.err
    assert project.do("run", "-S", "size=10000000", code=None).code in (1, 5)
    assert project.outcomes() == {"big": "reused", "small": "reused"}
    assert project.do("fsck", "--deep").code == 0
    project.repo.git("fsck", "--strict")
    assert os.listdir(project.path / ".git/gitml/live") == []
    (small_disk / "fill").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096))
    full = project.do("run", "-S", "size=7", code=5)
    assert full.err.count("\n") == 1
    (small_disk / "fill").unlink()
    (small_disk / "spare").unlink()
    assert project.outcomes("-S", "size=7") == {"big": "executed", "small": "executed"}


# -- what a run leaves


def test_runs_leave_no_temporaries_among_git_s_objects(project: Project) -> None:
    project.run()
    project.run("-f")
    project.repo.write({"data/raw.txt": "changed\n"})
    project.run()
    project.do("run", "nothing", code=2)
    project.repo.write({"pipelines/p.yaml": PIPELINE.replace("data/raw.txt", "data/gone.txt")})
    project.do("run", code=2)
    assert not list((project.path / ".git/objects").rglob("tmp_*"))
