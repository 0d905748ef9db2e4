"""What would make git run commands that came with a result: never taken in, never taken from others, never written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import TreeEntry, encode_tree
from gitml.core.records.record import Run, StepRun
from gitml.core.text.format import safe
from gitml.errors import InputError, IntegrityError, MachineError
from gitml.history.files.checkout import checkout
from gitml.history.files.selector import SelectedOutput, Selection
from gitml.records.layout import record_folder
from gitml.store.local.materialize import materialize_tree
from gitml.store.local.store import LocalStore
from gitml.workspace import Workspace, open_workspace
from tests.kit.attacks.forged_records import forge, record_of, with_action
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository, isolate
from tests.kit.projects.team import Team

NAMES = [".git", ".GIT", ".Git ", ".git.", "git~1", "GIT~1.", ".g\u200cit", ".git:x"]
MOUNTS = [
    ".git", ".git/hooks", ".git/hooks/pre-commit", "sub/.git", "sub/.git/hooks/pre-commit", "vendor/.GIT", ".GIT/hooks/x",
    ".git./config", "git~1/config", "sub/.git ", ".g\u200cit/config", "/tmp/owned", "../owned", "sub/../../owned", "~/owned",
    ".", "a\nb", "a\\.git\\config", "a//b", "./a",
]  # fmt: skip
CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = touch ../TAKEN\n"

PIPELINE = """\
steps:
  made:
    run: python3 make.py ${{{{ outputs.d }}}}
    outputs: {{d: {{type: directory, path: results}}}}
"""
MAKE = """\
import os, sys
top = os.path.join(sys.argv[1], {inside!r})
os.makedirs(top)
open(os.path.join(sys.argv[1], "beside"), "w").write("beside")
place = os.path.join(top, {name!r})
os.mkdir(place) if {folder} else open(place, "w").write("gitdir: /elsewhere")
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_step_whose_output_holds_a_repository_fails_and_names_port_and_path(tmp_path: Path, name: str) -> None:
    files = {"pipelines/p.yaml": PIPELINE.format(), "make.py": MAKE.format(inside="sub", name=name, folder=True)}
    project = Project(tmp_path / "p", files)
    step = project.run(code=1)["steps"][0]
    assert step["outcome"] == "failed"
    assert "output d (results): a Git repository" in step["error"]
    assert f"(sub/{name})" in step["error"].replace("\\u200c", "\u200c")


def hostile_record(
    run: Mapping[str, Any], files: dict[str, bytes], number: int, mount: str
) -> tuple[str, dict[str, bytes]]:
    """The record of another run that says that its output lies at `mount`."""
    id = f"{number:02x}ff00ff00ff00ff"
    files = with_action(files, outputs=[["d", mount, "directory"]])
    files["run.json"] = files["run.json"].replace(run["run"].encode(), id.encode())
    return record_folder(id, json.loads(files["run.json"])["started"]), files


def test_records_whose_outputs_lie_where_no_pipeline_file_can_say_are_refused_on_arrival(tmp_path: Path) -> None:
    team = Team(tmp_path)
    ann, bob = team.person("ann"), team.person("bob")
    ann.repo.commit(
        "d", {"pipelines/say.yaml": PIPELINE.format(), "make.py": MAKE.format(inside="s", name="x", folder=True)}
    )
    run = ann.run()
    _, good = record_of(ann, run["run"])
    folders = {}
    for number, mount in enumerate(MOUNTS):
        folder, files = hostile_record(run, good, number, mount)
        forge(ann.repo, {f"{folder}/{name}": ("100644", content) for name, content in files.items()})
        folders[folder] = mount
    ann.do("push")
    done = bob.do("fetch", "--json", code=3)
    refused = {item["path"]: item["why"] for item in done.json["refused"]}
    assert {folders[path] for path in refused} == set(MOUNTS)
    assert all("of an action lies at" in why for why in refused.values())
    assert team.runs_of(bob) == {run["run"]}
    assert bob.do("fsck").code == 0


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    isolate(monkeypatch)
    Repository(tmp_path / "w").commit("begin", {"kept": "kept"})
    return open_workspace(str(tmp_path / "w"), {**os.environ, "XDG_CACHE_HOME": str(tmp_path)})


def tree_of(store: LocalStore, files: Mapping[str, bytes]) -> tuple[Digest, int]:
    """Keeps a Tree as a store of somebody else's may hold it: nothing is refused."""
    below: dict[str, dict[str, bytes]] = {}
    entries = []
    for path, content in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = content
        else:
            entries.append(TreeEntry(os.fsencode(name), "f", store.put(content), len(content)))
    entries += [TreeEntry(os.fsencode(name), "d", *tree_of(store, inner)) for name, inner in below.items()]
    listing = encode_tree(entries)
    return store.put(listing), sum(entry.size for entry in entries)


def chosen(ws: Workspace, mount: str, files: Mapping[str, bytes], port: str = "d") -> Selection:
    """An output of a run that is in no record, as an index that an earlier gitml filled may have it."""
    digest, size = tree_of(ws.store, files)
    ref = OutputRef(port, "directory", digest, size)
    step = StepRun("made", "executed", "", 0.0, outputs=(ref,))
    run = Run("0" * 16, "p", "", "p", "succeeded", "", 0.0, 0.0, "", "", "", steps=(step,))
    return Selection(run, (SelectedOutput(run, step, ref, mount),), "made", port)


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but gitml's own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not str(path.relative_to(folder)).startswith(".git/gitml/")
    }


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("mount", [mount for mount in MOUNTS if mount not in ("a//b", "./a")])
def test_no_output_is_written_where_git_or_nobody_looks_for_it(
    ws: Workspace, tmp_path: Path, mount: str, force: bool
) -> None:
    (tmp_path / "w/sub/.git").mkdir(parents=True)
    selection = chosen(ws, mount, {"config": CONFIG, "HEAD": b"ref: refs/heads/main\n"})
    before = everything(tmp_path / "w")
    with pytest.raises(InputError):
        checkout(ws, selection, None, force=force)
    assert everything(tmp_path / "w") == before
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("inside", ["", "deep/er/"])
@pytest.mark.parametrize("name", NAMES)
def test_no_directory_that_holds_a_repository_is_written(
    ws: Workspace, tmp_path: Path, name: str, inside: str, force: bool
) -> None:
    selection = chosen(ws, "results", {"a": b"a", f"{inside}{name}/config": CONFIG})
    for dest in (None, str(tmp_path / "elsewhere")):
        with pytest.raises(InputError, match="holds a Git repository"):
            checkout(ws, selection, dest, force=force)
    assert not (tmp_path / "w/results").exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("port", [".git", "..", "git~1"])
def test_a_name_that_a_record_gives_a_port_leads_nowhere_either(ws: Workspace, tmp_path: Path, port: str) -> None:
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest/kept").write_text("kept")
    selection = chosen(ws, ".git", {"a": b"a"}, port)
    before = everything(tmp_path)
    with pytest.raises(InputError):
        checkout(ws, selection, str(tmp_path / "dest"), force=True)
    assert {name for name in everything(tmp_path) if "/.git/" not in name} == {
        name for name in before if "/.git/" not in name
    }
    assert (tmp_path / "dest/kept").read_text() == "kept"


@pytest.mark.parametrize("link", ["hooks", "sub/deep"])
def test_no_output_is_written_through_a_link_of_the_commit_into_git(ws: Workspace, tmp_path: Path, link: str) -> None:
    place = tmp_path / "w" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(tmp_path / "w/.git/hooks", place.parent))
    with pytest.raises(InputError, match="never written into"):
        checkout(ws, chosen(ws, f"{link}/x", {"pre-commit": b"touch TAKEN"}), None, force=True)
    assert not (tmp_path / "w/.git/hooks/x").exists()


@pytest.mark.parametrize("inside", ["", "deep/er"])
def test_a_repository_in_the_way_is_never_replaced(ws: Workspace, tmp_path: Path, inside: str) -> None:
    nested = tmp_path / "w/vendor" / inside
    subprocess.run(["git", "init", "-q", str(nested)], check=True)
    before = everything(tmp_path / "w")
    with pytest.raises(InputError, match="never replaced"):
        checkout(ws, chosen(ws, "vendor", {"a": b"a"}), None, force=True)
    assert everything(tmp_path / "w") == before


BARE = {"HEAD": b"ref: refs/heads/main\n", "config": CONFIG, "objects/a": b"", "refs/a": b"", "hooks/pre-commit": b"x"}


@pytest.mark.parametrize("inside", ["", "deep/er/"])
def test_a_bare_repository_is_written_only_by_force_and_with_a_word(
    ws: Workspace, tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    selection = chosen(ws, "results", {f"{inside}{name}": content for name, content in BARE.items()})
    with pytest.raises(InputError, match="bare Git repository"):
        checkout(ws, selection, "there")
    assert not (tmp_path / "there").exists()
    (written,) = checkout(ws, selection, "there", force=True)
    assert written.notes == ("git obeys the settings of the repository " + f"there/{inside}".rstrip("/"),)
    assert (tmp_path / "there" / inside / "HEAD").exists()
    checkout(ws, selection, None, force=True)
    (tmp_path / "w/results" / inside / "more").write_text("more")
    with pytest.raises(InputError, match="never replaced"):
        checkout(ws, selection, None, force=True)


def test_outputs_that_only_together_are_a_bare_repository_are_not_written(ws: Workspace, tmp_path: Path) -> None:
    parts = [chosen(ws, f"x/{name.partition('/')[0]}", {"a": b"a"}, f"p{number}") for number, name in enumerate(BARE)]
    selection = parts[0]._replace(outputs=tuple([part.outputs[0] for part in parts]), port=None)
    for dest in (None, str(tmp_path / "there")):
        with pytest.raises(InputError, match="would make a bare Git repository"):
            checkout(ws, selection, dest)
    assert not (tmp_path / "w/x").exists()
    assert not (tmp_path / "there").exists()
    (tmp_path / "half/objects").mkdir(parents=True)
    (tmp_path / "half/refs").mkdir()
    with pytest.raises(InputError, match="would make a bare Git repository"):
        checkout(ws, parts[0], str(tmp_path / "half/HEAD"))


def test_nothing_is_written_into_a_bare_repository(ws: Workspace, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "team")], check=True)
    before = everything(tmp_path / "team")
    for place in ("team/hooks/x", "team/x", "team/refs/heads/x/y"):
        with pytest.raises(InputError, match="never written into a repository"):
            checkout(ws, chosen(ws, "results", {"a": b"a"}), str(tmp_path / place), force=True)
    assert everything(tmp_path / "team") == before


OBEYED = [
    ".envrc",
    ".ENVRC",
    ".mise.toml",
    ".tool-versions",
    ".gitattributes",
    ".gitmodules",
    ".lfsconfig",
    ".vscode",
    ".exrc",
]
ODD = ["-rf", "a\nb", "a\x1b[2Jb", "a\u202eb", "a\u200bb", "a\udcffb", " a", "a ", "\x7f"]


@pytest.mark.parametrize("inside", ["", "deep/er/"])
@pytest.mark.parametrize("name", [*OBEYED, *ODD])
def test_what_is_obeyed_or_shows_as_another_name_is_not_written_without_a_word(
    ws: Workspace, tmp_path: Path, name: str, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (written,) = checkout(ws, chosen(ws, "results", {"a": b"a", f"{inside}{name}": b"x", "Makefile": b""}), "there")
    (note,) = written.notes
    assert ("obeys" in note) == (name in OBEYED)
    assert note.endswith(f"there/{inside}{safe(name)}")
    assert note.isprintable()
    assert (tmp_path / "there" / inside / name).read_bytes() == b"x"
    assert checkout(ws, chosen(ws, "results", {"plain": b"x", ".hidden": b"y", "é b": b"z"}), "plain")[0].notes == ()


@pytest.mark.parametrize("mount", [".envrc", "a/.vscode", ".GITATTRIBUTES"])
def test_a_place_that_is_obeyed_is_told_too(ws: Workspace, mount: str) -> None:
    (written,) = checkout(ws, chosen(ws, mount, {"a": b"a"}), None)
    assert "obeys" in written.notes[0]


@pytest.mark.parametrize("force", [False, True])
def test_no_link_is_gone_through_or_replaced(ws: Workspace, tmp_path: Path, force: bool) -> None:
    (tmp_path / "outside/kept").mkdir(parents=True)
    (tmp_path / "w/real").mkdir()
    for link, target in {"out": tmp_path / "outside", "in": "real", "gone": "nowhere", "file": "kept"}.items():
        (tmp_path / "w" / link).symlink_to(target)
        for mount in (link, f"{link}/x", f"{link}/deep/x"):
            with pytest.raises(InputError, match="link"):
                checkout(ws, chosen(ws, mount, {"a": b"a"}), None, force=force)
        assert (tmp_path / "w" / link).is_symlink()
    assert everything(tmp_path / "outside") == {}
    assert list((tmp_path / "w/real").iterdir()) == []


SWAP = """\
import ctypes, os, sys
one, two = map(os.fsencode, sys.argv[1:])
exchange = ctypes.CDLL(None).renameat2
while True:
    exchange(-100, one, -100, two, 2)
"""


def test_a_folder_that_another_process_makes_a_link_meanwhile_is_never_gone_through(
    ws: Workspace, tmp_path: Path
) -> None:
    outside, place, link = tmp_path / "outside", tmp_path / "w/sub", tmp_path / "w/link"
    outside.mkdir()
    place.mkdir()
    link.symlink_to(outside)
    other = subprocess.Popen([sys.executable, "-c", SWAP, str(place), str(link)])
    became = {True: 0, False: 0}
    try:
        for number in range(10_000):
            try:
                checkout(ws, chosen(ws, f"sub/x{number % 3}", {"a": b"%d" % (number % 7)}), None, force=True)
                became[True] += 1
            except (InputError, MachineError, OSError):
                became[False] += 1
            assert list(outside.iterdir()) == []
            if min(became.values()) >= 30:
                break
    finally:
        other.kill()
        other.wait()
    assert min(became.values()) > 0


@pytest.mark.parametrize("shape", ["wide", "deep", "again and again"])
def test_a_few_listings_that_are_a_tree_without_end_are_refused_at_once(
    ws: Workspace, tmp_path: Path, shape: str
) -> None:
    digest, size = ws.store.put(encode_tree([])), 0
    for _ in range({"wide": 12, "deep": 300, "again and again": 200}[shape]):
        names = {"wide": 30, "deep": 1, "again and again": 2}[shape]
        digest = ws.store.put(encode_tree([TreeEntry(b"%02d" % name, "d", digest, size) for name in range(names)]))
    ref = OutputRef("d", "directory", digest, size)
    step = StepRun("made", "executed", "", 0.0, outputs=(ref,))
    run = Run("0" * 16, "p", "", "p", "succeeded", "", 0.0, 0.0, "", "", "", steps=(step,))
    begun = time.process_time()
    with pytest.raises(InputError):
        checkout(ws, Selection(run, (SelectedOutput(run, step, ref, "results"),), "made", "d"), None)
    with pytest.raises((InputError, IntegrityError)):
        materialize_tree(ws.store, digest, str(tmp_path / "placed"))
    assert time.process_time() - begun < 1
    assert not (tmp_path / "w/results").exists()


def test_a_small_object_of_a_record_that_is_such_a_tree_brings_nothing_into_a_clone(tmp_path: Path) -> None:
    team = Team(tmp_path)
    ann, bob = team.person("ann"), team.person("bob")
    ann.repo.commit(
        "d", {"pipelines/say.yaml": PIPELINE.format(), "make.py": MAKE.format(inside="s", name="x", folder=True)}
    )
    run = ann.run()
    _, good = record_of(ann, run["run"])
    store = LocalStore(str(tmp_path / "forger"))
    digest, size = tree_of(store, {".git/config": CONFIG, ".git/HEAD": b"ref: refs/heads/main\n", "a": b"a"})
    id = "aaff00ff00ff00ff"
    record = json.loads(good["run.json"])
    record["run"] = id
    record["steps"][0]["outputs"]["d"] = {"digest": digest, "kind": "directory", "size": size}
    files = {**good, "run.json": json.dumps(record).encode()}
    files |= {f"outputs/{name[7:]}": store.read(name) for name, _ in store.iterate()}
    assert digest == digest_of(files[f"outputs/{digest[7:]}"])
    forge(
        ann.repo, {f"{record_folder(id, record['started'])}/{name}": ("100644", data) for name, data in files.items()}
    )
    ann.do("push")
    bob.do("fetch")
    for args in (("checkout", id), ("checkout", id, "--force"), ("checkout", f"{id}:made.d", "out")):
        assert "holds a Git repository" in bob.do(*args, code=2).err
    assert not (bob.path / "results").exists()
    assert not (bob.path / "out").exists()


@pytest.mark.parametrize("leads_to", ["/dev/zero", "pipe", "/etc/passwd"])
def test_settings_that_are_a_link_to_no_file_of_the_repository_are_refused_at_once(
    tmp_path: Path, leads_to: str
) -> None:
    project = Project(tmp_path / "p", {"pipelines/p.yaml": "steps: {a: {run: echo hi}}\n"})
    if leads_to == "pipe":
        os.mkfifo(project.path / "pipe")
        (project.path / ".gitignore").write_text("pipe\n")
    (project.path / "gitml.yaml").symlink_to(leads_to)
    project.repo.commit("a link")
    for args in (
        ["remotes"],
        ["push"],
        ["module", "list"],
        ["plan"],
        ["status"],
        ["config"],
        ["du"],
        ["doctor"],
        ["run"],
    ):
        done = project.do(*args, code=None)
        assert done.code in (0, 2), (args, done.err)
        assert "internal" not in done.err
    assert "gitml.yaml" in project.do("remotes", code=2).err
