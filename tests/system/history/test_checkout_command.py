"""`gitml checkout`: outputs of past runs as files."""

from __future__ import annotations

import os
import re

from tests.system.conftest import Project


def test_one_port_becomes_the_file_named(project: Project) -> None:
    answer = project.gitml("checkout", "latest:train.model", "copy.txt")
    assert answer.out == "written    copy.txt  13 B\n"
    assert (project.root / "copy.txt").read_text() == "SOME WORDS\n2\n"


def test_what_is_written_is_a_copy_that_can_be_changed_without_harm(project: Project) -> None:
    project.gitml("checkout", "latest:train.model", "copy.txt")
    path = project.root / "copy.txt"
    assert os.access(path, os.W_OK)
    assert path.stat().st_nlink == 1
    path.write_text("mine")
    assert project.gitml("run").err.count("reuse ") == 2
    project.gitml("fsck", "--deep")


def test_a_port_into_a_folder_keeps_the_name_it_was_written_under(project: Project) -> None:
    (project.root / "results").mkdir()
    project.gitml("checkout", "latest:train.model", "results")
    assert (project.root / "results/model.txt").read_text() == "SOME WORDS\n2\n"


def test_a_whole_run_lies_in_a_folder_a_step(project: Project) -> None:
    project.gitml("checkout", "latest", "all")
    found = sorted(
        str(path.relative_to(project.root / "all")) for path in (project.root / "all").rglob("*") if path.is_file()
    )
    assert found == ["prepare/clean", "train/model.txt", "train/scores"]


def test_without_a_destination_outputs_go_where_the_pipeline_says(project: Project) -> None:
    answer = project.gitml("checkout", "latest:train")
    assert answer.out == "written    models/model.txt  13 B\n"
    assert (project.root / "models/model.txt").exists()
    answer = project.gitml("checkout", "latest:prepare", code=2)
    assert answer.err.startswith(
        "gitml: the pipeline does not say where these outputs belong (prepare.clean): name a folder"
    )


def test_a_file_that_differs_is_replaced_only_by_force(project: Project) -> None:
    project.write("models/model.txt", "precious\n")
    answer = project.gitml("checkout", "latest", code=2)
    assert answer.err.startswith("gitml: another file is in the way (")
    assert (project.root / "models/model.txt").read_text() == "precious\n"
    assert project.gitml("checkout", "latest", "--force").out.startswith("replaced   models/model.txt")
    assert project.gitml("checkout", "latest").out.startswith("unchanged  models/model.txt")


def test_nothing_is_written_when_one_of_several_is_in_the_way(project: Project) -> None:
    project.write("all/train/scores", "precious\n")
    project.gitml("checkout", "latest", "all", code=2)
    assert not (project.root / "all/prepare").exists()
    assert [path.name for path in (project.root / "all/train").iterdir()] == ["scores"]


def test_a_link_in_the_destination_is_not_followed_out_of_it(project: Project) -> None:
    outside = project.root.parent / "outside"
    outside.mkdir()
    os.symlink(outside, project.root / "models")
    answer = project.gitml("checkout", "latest", "--force", code=2)
    assert answer.err.startswith("gitml: the way leads through a link (")
    assert list(outside.iterdir()) == []


def test_a_link_at_the_very_place_is_neither_replaced_nor_written_through(project: Project) -> None:
    target = project.root.parent / "target.txt"
    target.write_text("precious\n")
    (project.root / "models").mkdir()
    os.symlink(target, project.root / "models/model.txt")
    for words in ([], ["--force"]):
        assert (
            "a link is in the way, which is never replaced" in project.gitml("checkout", "latest", *words, code=2).err
        )
    assert target.read_text() == "precious\n"
    assert (project.root / "models/model.txt").is_symlink()


def test_directories_come_back_whole_with_modes_and_links(project: Project) -> None:
    project.write(
        "src/dir.sh", "mkdir -p $1/sub; echo x > $1/sub/x; chmod +x $1/sub/x; ln -s sub/x $1/link; mkdir $1/empty\n"
    )
    project.write(
        "pipelines/dir.yaml", "steps:\n  d:\n    run: sh src/dir.sh ${{ outputs.o }}\n    outputs: {o: directory}\n"
    )
    project.gitml("run", "dir", "-q")
    project.gitml("checkout", "latest:d.o", "back")
    back = project.root / "back"
    assert (back / "sub/x").read_text() == "x\n"
    assert os.access(back / "sub/x", os.X_OK)
    assert os.readlink(back / "link") == "sub/x"
    assert (back / "empty").is_dir()
    assert project.gitml("checkout", "latest:d", "elsewhere").out.startswith("written")
    (back / "sub/x").write_text("changed")
    assert project.gitml("checkout", "latest:d.o", "back/o").out.startswith("written")


def test_a_damaged_object_is_never_checked_out(project: Project) -> None:
    digest = project.gitml("show", "--json").data["steps"][1]["outputs"]["model"]["digest"][7:]
    path = project.root / f".git/gitml/objects/{digest[:2]}/{digest[2:]}"
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"BAD" + path.read_bytes()[3:])
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    answer = project.gitml("checkout", "latest:train.model", "copy.txt", code=None)
    if answer.code:
        assert answer.code == 3
        assert not (project.root / "copy.txt").exists()
    else:
        assert (project.root / "copy.txt").read_text() == "SOME WORDS\n2\n"  # healed from the record
    assert not list(project.root.glob(".gitml-*"))


def test_what_is_unknown_is_told_with_the_nearest_name(project: Project) -> None:
    assert re.match(
        r"gitml: run \w{8} has no step 'trian' \(did you mean 'train'\?\)",
        project.gitml("checkout", "latest:trian", "x", code=2).err,
    )
    answer = project.gitml("checkout", "latest:train.modle", "x", code=2)
    assert re.match(r"gitml: step 'train' of run \w{8} has no output 'modle' \(did you mean 'model'\?\)", answer.err)
    assert project.gitml("checkout", "eeee:train", "x", code=2).err.startswith("gitml: no run 'eeee'")


def test_json_tells_every_file(project: Project) -> None:
    data = project.gitml("checkout", "latest:train", "out", "--json").data
    assert [(item["port"], item["state"]) for item in data["written"]] == [("model", "written"), ("scores", "written")]
