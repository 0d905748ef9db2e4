"""What a module can hold, and that what is read is what was published."""

from __future__ import annotations

import os

import pytest

from gitml.errors import InputError, IntegrityError
from registry.content import MAX_FILES, MAX_SIZE
from registry.state import ModuleManifest
from tests.kit.projects.module_folders import INTERFACE

MANIFEST = ModuleManifest("m", INTERFACE, "1.0.0")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n"


def refusal(shelf, folder="m", **options):
    with pytest.raises(InputError) as caught:
        shelf.registry.publish(shelf.repo.file(folder), MANIFEST, **options)
    assert shelf.registry.tip() is None
    return f"{caught.value.message} ({caught.value.where}): {caught.value.hint}"


def test_a_link_is_refused(here):
    here.repo.write({"m/a": "a"})
    os.symlink("/etc/passwd", here.repo.file("m/b"))
    here.repo.commit()
    assert "a link; a module holds regular files only (m/b)" in refusal(here)


def test_a_submodule_is_refused(here):
    commit = here.repo.commit("x", {"m/a": "a"})
    here.repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},m/sub")
    here.repo.git("commit", "-qm", "sub")
    os.mkdir(here.repo.file("m/sub"))
    assert "a submodule" in refusal(here)


def test_a_file_in_lfs_is_refused(here):
    here.repo.commit("x", {"m/model.bin": POINTER})
    assert "Git LFS" in refusal(here)


@pytest.mark.slow
def test_too_many_files_and_too_many_bytes_are_refused(here):
    here.repo.commit("x", {"m/a": b"\0" * (MAX_SIZE + 1)})
    assert "64 MiB" in refusal(here, at="HEAD") or "too much" in refusal(here, at="HEAD")
    blob = here.repo.git("hash-object", "-w", "--stdin", input=b"x")
    listing = "".join(f"100644 blob {blob}\t{n}\n" for n in range(MAX_FILES + 1)).encode()
    tree = here.repo.git("mktree", input=listing)
    top = here.repo.git("mktree", input=f"040000 tree {tree}\tm\n".encode())
    commit = here.repo.git("commit-tree", "-m", "many", top)
    assert "10,000 files" in refusal(here, at=commit)


def committed(repo, names):
    """A commit with these names in folders of the folder ``m``: no porcelain of Git would add some of them."""
    blob = repo.git("hash-object", "-w", "--stdin", input=b"x")
    folder = repo.git("mktree", input=f"100644 blob {blob}\tx\n".encode())
    listing = "".join(sorted(f"040000 tree {folder}\t{name}\n" for name in names))
    inner = repo.git("mktree", input=listing.encode())
    deep = repo.git("mktree", input=f"040000 tree {inner}\tdeep\n".encode())
    top = repo.git("mktree", input=f"040000 tree {deep}\tm\n".encode())
    return repo.git("commit-tree", "-m", "names", top)


@pytest.mark.parametrize("name", [".git", ".GIT", ".git.", "git~1", ".g\u200cit", ".git:x"])
def test_a_folder_that_a_file_system_takes_for_git_is_refused(here, name):
    commit = committed(here.repo, [name])
    assert "takes it for the settings of a repository" in refusal(here, at=commit)


def test_a_bare_repository_is_refused(here):
    assert "a bare repository" in refusal(here, at=committed(here.repo, ["HEAD", "config", "objects", "refs"]))


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "back\\slash", "\u202etxt.exe"])
def test_a_name_that_acts_on_a_terminal_or_is_none_elsewhere_is_refused(here, name):
    here.repo.commit("x", {f"m/{name}": "a"})
    assert "a name that not every machine can keep" in refusal(here)


def test_names_that_differ_by_case_only_are_refused(here):
    here.repo.commit("x", {"m/README": "a", "m/Readme": "b"})
    assert "by case only" in refusal(here)


def test_an_uncommitted_folder_is_refused_unless_a_commit_is_named(here):
    here.repo.commit("x", {"m/a": "a", "other": "o"})
    here.repo.write({"m/new": "n"})
    assert "uncommitted changes: m/new" in refusal(here)
    here.repo.write({"m/a": "changed"})
    assert "and 1 more" in refusal(here)
    assert here.registry.publish(here.repo.file("m"), MANIFEST, at="HEAD").new


def test_changes_elsewhere_don_t_matter(here):
    here.repo.commit("x", {"m/a": "a", "other": "o"})
    here.repo.write({"other": "changed"})
    assert here.registry.publish(here.repo.file("m"), MANIFEST).new


def test_a_folder_that_is_not_there_or_elsewhere_is_refused(here, tmp_path):
    here.repo.commit("x", {"m/a": "a"})
    assert "no such folder" in refusal(here, "n")
    assert "not a folder" in refusal(here, "m/a")
    assert "not within this repository" in refusal(here, str(tmp_path))
    assert "unknown revision" in refusal(here, at="nowhere")
    with pytest.raises(InputError):
        here.registry.publish(here.repo.file("m"), MANIFEST, at="--output=x")


def test_the_folder_is_taken_at_the_commit_that_is_named(here, tmp_path):
    here.repo.commit("x", {"m/a": "old"})
    here.repo.commit("y", {"m/a": "new", "m/b": "b"})
    here.registry.publish(here.repo.file("m"), MANIFEST, at="HEAD~1")
    here.registry.get("m", "1.0.0", str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == ["a"]
    assert (tmp_path / "out/a").read_text() == "old"


def test_executable_files_stay_so(here, tmp_path):
    here.repo.write({"m/run.sh": "true\n", "m/a": "a"})
    os.chmod(here.repo.file("m/run.sh"), 0o755)
    here.repo.commit()
    here.registry.publish(here.repo.file("m"), MANIFEST)
    here.registry.get("m", "1.0.0", str(tmp_path / "out"))
    assert os.access(tmp_path / "out/run.sh", os.X_OK)
    assert not os.access(tmp_path / "out/a", os.X_OK)


def test_content_that_is_not_what_its_id_says_is_never_given(here, tmp_path):
    here.publish("1.0.0")
    blob = here.repo.git("rev-parse", "HEAD:m/src/a.py")
    other = here.repo.git("hash-object", "-w", "--stdin", input=b"print(666)\n")
    objects = tmp_path / "here/.git/objects"
    bad = objects / blob[:2] / blob[2:]
    bad.chmod(0o644)
    bad.write_bytes((objects / other[:2] / other[2:]).read_bytes())
    with pytest.raises(IntegrityError, match="does not hold what its id says"):
        here.registry.get("m", "1.0.0", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert any(blob in problem for problem in here.registry.verify().problems)
