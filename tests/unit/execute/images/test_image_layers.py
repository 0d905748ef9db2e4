"""Unpacking the layers of an image: what each leaves, and that nothing of a hostile one arrives outside of the image's root."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import subprocess
import tarfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from gitml.errors import MachineError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.images import extraction, layers
from gitml.execute.environments.images.extraction import BrokenImageError, LayerFile, unpack
from gitml.execute.environments.images.manifests import Layer
from gitml.execute.process import NOW, StoppedError, StopRequests
from tests.kit.programs import program
from tests.kit.servers.image_registry import Entry, folder, hard_link, link, needs_images, packed


@pytest.fixture(autouse=True)
def _able() -> None:
    needs_images()


def unpacked(place: Path, *given: Sequence[Entry] | bytes, stop: StopRequests | None = None) -> Path:
    """The root of an image of these layers."""
    files = []
    for number, layer in enumerate(given):
        archive = layer if isinstance(layer, bytes) else packed(layer)
        path = place / f"layer{number}"
        path.write_bytes(archive)
        digest = "sha256:" + hashlib.sha256(archive).hexdigest()
        files.append(LayerFile(str(path), Layer(digest, len(archive), ""), digest))
    root = place / "root"
    root.mkdir()
    unpack(str(root), files, None, "x", BuildControl(stop or StopRequests()))
    return root


def test_files_keep_content_execute_bits_and_times(tmp_path: Path) -> None:
    root = unpacked(tmp_path, [folder("a", 0o555), Entry("./a/x", b"run", 0o755), Entry("/a/y", b"read", 0o600)])
    assert (root / "a/x").read_bytes() == b"run"
    assert stat.S_IMODE((root / "a/x").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "a/y").stat().st_mode) == 0o600
    assert (root / "a/x").stat().st_mtime == 1_600_000_000
    assert (root / "a").stat().st_mtime == 1_600_000_000
    assert {entry.stat(follow_symlinks=False).st_uid for entry in os.scandir(root / "a")} == {os.geteuid()}


def test_a_later_layer_adds_replaces_and_removes(tmp_path: Path) -> None:
    first = [folder("d"), Entry("d/kept", b"1"), Entry("d/gone", b"1"), folder("tree"), Entry("tree/x"), Entry("file")]
    second = [Entry("d/.wh.gone"), Entry("d/kept", b"2"), Entry(".wh.tree"), folder("file"), Entry("file/in", b"2")]
    third = [Entry("file", b"3"), Entry("d/.wh.never"), Entry("d/.wh..wh.plnk")]
    root = unpacked(tmp_path, first, second, third)
    assert sorted(os.listdir(root / "d")) == ["kept"]
    assert (root / "d/kept").read_bytes() == b"2"
    assert not (root / "tree").exists()
    assert (root / "file").read_bytes() == b"3"


def test_an_opaque_folder_loses_what_is_below_it_and_keeps_its_own_wherever_the_whiteout_stands(tmp_path: Path) -> None:
    first = [folder("d"), Entry("d/old"), folder("d/sub"), Entry("d/sub/old")]
    before = [folder("d"), Entry("d/.wh..wh..opq"), Entry("d/new", b"2")]
    after = [folder("d"), Entry("d/newer", b"3"), folder("d/sub"), Entry("d/sub/new"), Entry("d/.wh..wh..opq")]
    root = unpacked(tmp_path, first, before)
    assert sorted(os.listdir(root / "d")) == ["new"]
    other = tmp_path / "other"
    other.mkdir()
    root = unpacked(other, first, after)
    assert sorted(os.listdir(root / "d")) == ["newer", "sub"]
    assert os.listdir(root / "d/sub") == ["new"]


def test_two_layers_may_remove_the_same_and_what_is_in_it(tmp_path: Path) -> None:
    first = [folder("a"), folder("a/b"), Entry("a/b/c")]
    root = unpacked(tmp_path, first, [Entry("a/b/.wh.c")], [Entry("a/.wh.b")], [Entry("a/.wh.b"), Entry(".wh.a")])
    assert not (root / "a").exists()


def test_links_are_kept_as_they_are_and_lead_within_the_image_while_it_is_unpacked(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    first = [
        link("bin", "usr/bin"),
        folder("usr"),
        folder("usr/bin"),
        link("out", str(outside)),
        link("up", "../../../.."),
    ]
    second = [Entry("bin/x", b"x"), hard_link("usr/y", "bin/x"), link("usr/l", "../bin/x")]
    root = unpacked(tmp_path, first, second)
    assert (root / "usr/bin/x").read_bytes() == b"x"
    assert (root / "usr/y").stat().st_ino == (root / "usr/bin/x").stat().st_ino
    assert os.readlink(root / "out") == str(outside)
    assert os.listdir(outside) == []


def test_what_is_written_through_a_link_to_outside_lands_in_the_image_or_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    layers = [link("out", str(outside)), folder(str(outside)), Entry("out/x", b"x")]
    root = unpacked(tmp_path, layers)
    assert os.listdir(outside) == []
    assert (root / str(outside)[1:] / "x").read_bytes() == b"x"


@pytest.mark.parametrize(
    "layer",
    [
        [Entry("../x", b"x")],
        [Entry("a/../../x", b"x")],
        [Entry("/../x", b"x")],
        [folder("..")],
        [Entry("..")],
        [hard_link("x", "../outside/secret")],
        [hard_link("x", "/../outside/secret")],
        [hard_link("x", "/outside/secret")],
        [link("up", ".."), hard_link("x", "up/outside/secret")],
        [link("up", "../outside"), Entry("up/x", b"x")],
        [Entry(".wh...")],
        [Entry(".wh..")],
        [Entry("a/.wh...")],
        [Entry("file"), Entry("file/below")],
        [Entry("x", kind=tarfile.LNKTYPE, target="y")],
        [folder("d"), hard_link("x", "d")],
        [Entry("x", kind=b"Z")],
    ],
)
def test_a_layer_that_leads_out_or_makes_no_sense_is_refused(tmp_path: Path, layer: list[Entry]) -> None:
    secret = tmp_path / "outside/secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    with pytest.raises((BrokenImageError, MachineError), match="can't be unpacked"):
        unpacked(tmp_path, layer)
    assert sorted(os.listdir(tmp_path)) == ["layer0", "outside", "root"]
    assert os.listdir(secret.parent) == ["secret"]
    assert secret.read_text() == "secret"
    assert secret.stat().st_nlink == 1


def test_a_whiteout_removes_nothing_outside_even_through_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "outside/secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    unpacked(tmp_path, [link("up", str(secret.parent))], [Entry("up/.wh.secret"), Entry("up/.wh..wh..opq")])
    assert secret.read_text() == "secret"


def test_devices_are_left_out_and_no_program_gets_rights_of_its_owner(tmp_path: Path) -> None:
    device = Entry("dev/sda", kind=tarfile.BLKTYPE, mode=0o666)
    pipe = Entry("fifo", kind=tarfile.FIFOTYPE)
    root = unpacked(tmp_path, [device, Entry("null", kind=tarfile.CHRTYPE), pipe, Entry("su", b"x", 0o6755)])
    assert not (root / "dev/sda").exists()
    assert not (root / "null").exists()
    assert stat.S_ISFIFO((root / "fifo").stat().st_mode)
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755


def test_what_its_user_may_not_read_in_the_image_its_user_can_read_here(tmp_path: Path) -> None:
    root = unpacked(tmp_path, [folder("d", 0), Entry("d/x", b"x", 0), Entry("d/run", b"x", 0o010)])
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "d/x").stat().st_mode) == 0o400
    assert stat.S_IMODE((root / "d/run").stat().st_mode) == 0o510


def test_names_of_any_bytes_and_of_any_length_arrive(tmp_path: Path) -> None:
    deep = "/".join(["n" * 50] * 20)
    root = unpacked(tmp_path, [Entry(os.fsdecode(b"\xff\xfe"), b"1"), Entry(deep, b"2"), Entry("new\nline", b"3")])
    assert (root / os.fsdecode(b"\xff\xfe")).read_bytes() == b"1"
    assert (root / deep).read_bytes() == b"2"
    assert (root / "new\nline").read_bytes() == b"3"


def test_many_files_in_one_folder_are_removed_where_no_module_can_be_imported(tmp_path: Path) -> None:
    root = unpacked(tmp_path, [folder("d"), *[Entry(f"d/{number}") for number in range(2500)]], [Entry(".wh.d")])
    assert not (root / "d").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed([Entry("x", b"x" * 5000)])[:2000], "can't be read"),
        (b"no archive" * 1000, "can't be read"),
        (b"x", "can't be read"),
    ],
)
def test_a_layer_that_is_no_archive_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(BrokenImageError, match=said):
        unpacked(tmp_path, [Entry("x")], content)


def test_a_layer_of_nothing_is_fine(tmp_path: Path) -> None:
    root = unpacked(tmp_path, b"", packed([]), [Entry("x")])
    assert (root / "x").exists()


def test_attributes_that_no_memory_would_hold_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 2**31
    with pytest.raises(BrokenImageError, match="attributes of more than"):
        unpacked(tmp_path, info.tobuf() + b"x" * 10_000)


def test_holes_of_a_file_stay_holes_however_large(tmp_path: Path) -> None:
    tar, large = program("tar"), 2**39
    (tmp_path / "in").mkdir()
    with (tmp_path / "in/f").open("wb") as file:
        file.write(b"first")
        file.seek(large - 4)
        file.write(b"last")
    for style in ("gnu", "posix"):
        archive = tmp_path / f"{style}.tar"
        subprocess.run([tar, "-C", tmp_path / "in", "-S", f"--format={style}", "-cf", archive, "f"], check=True)
        place = tmp_path / style
        place.mkdir()
        with (unpacked(place, archive.read_bytes()) / "f").open("rb") as file:
            assert file.read(8) == b"first\0\0\0"
            assert file.seek(-5, os.SEEK_END) == large - 5
            assert file.read() == b"\0last"
            assert os.fstat(file.fileno()).st_blocks < 10_000


def test_what_unpacks_to_far_more_than_was_fetched_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_SOME", 2**20)
    for number, (size, refused) in enumerate([(900_000, False), (2**21, True)]):
        archive = packed([Entry("x", bytes(size))])
        (tmp_path / "layer").write_bytes(gzip.compress(archive))
        place = tmp_path / f"root{number}"
        place.mkdir()
        layer = LayerFile(
            str(tmp_path / "layer"), Layer("", 0, "gzip"), "sha256:" + hashlib.sha256(archive).hexdigest()
        )
        with pytest.raises(BrokenImageError, match="more than 100 times what is fetched") if refused else nullcontext():
            unpack(str(place), [layer], None, "x", BuildControl(StopRequests()))


@pytest.mark.slow
def test_entries_that_no_memory_would_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_MEMORY", 2**20)
    keys = [pax_header(tarfile.XGLTYPE, f"k{number}", "v" * 900_000) + packed([Entry("x")]) for number in range(200)]
    with pytest.raises(BrokenImageError, match="layer 1: its entries take too much memory"):
        unpacked(tmp_path, b"".join([key[:-10240] + key[-10240:][:512] for key in keys]))


def pax_header(kind: bytes, key: str, value: str) -> bytes:
    """A header of attributes, for the next entry or for all that follow."""
    return tarfile.TarInfo._create_pax_generic_header({key: value}, kind, "utf-8")  # type: ignore[attr-defined, no-any-return]


NESTED = "/".join("a" * 2000)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (pax_header(tarfile.XHDTYPE, "a", "b") * 3000 + packed([Entry("x")]), "nested too deeply"),
        ([Entry(f"{NESTED}/x")], "nested too deeply"),
        ([Entry("x" * 256)], "File name too long"),
        ([link("x", "y" * 5000)], "File name too long"),
        ([link("x", "")], "No such file"),
        ([link("x", "x"), hard_link("y", "x/z")], "Too many levels of symbolic links"),
        ([Entry("x"), Entry("x/.wh.y")], "Not a directory"),
    ],
    ids=["headers", "folders", "name", "target", "nothing", "round", "below"],
)
def test_what_no_file_system_takes_is_the_layers_fault_and_not_the_disks(
    tmp_path: Path, layer: Sequence[Entry] | bytes, said: str
) -> None:
    with pytest.raises(BrokenImageError, match=rf"layer 1: .*{said}"):
        unpacked(tmp_path, layer)


@pytest.mark.parametrize("number", range(8))
def test_nothing_of_an_image_is_in_the_way_of_what_a_step_needs(tmp_path: Path, number: int) -> None:
    ways: list[list[Entry]] = [
        [folder("etc"), Entry("etc/passwd.gitml", kind=tarfile.FIFOTYPE), Entry("etc/group.gitml", b"x")],
        [folder("etc"), link("etc/passwd.gitml", "kept"), Entry("etc/kept", b"kept")],
        [folder("etc/passwd"), Entry("etc/passwd/x"), folder("etc/hosts"), Entry("etc/hosts/x")],
        [link("etc", "/nowhere"), link("var", "var")],
        [Entry("etc"), Entry("var")],
        [link("proc", "etc"), link("sys", "/etc"), link("gitml-sandbox", "etc"), folder("etc")],
        [folder("etc"), link("etc/passwd", "passwd"), Entry("etc/group", kind=tarfile.FIFOTYPE)],
        [folder("etc"), Entry("etc/passwd", b"x" * (2**20 + 1))],
    ]
    root = unpacked(tmp_path, ways[number])
    for name in ("proc", "sys", "dev", "run", "gitml-sandbox", "etc", "var/tmp"):
        assert stat.S_ISDIR((root / name).lstat().st_mode), name
    for name in ("etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf"):
        assert stat.S_ISREG((root / name).lstat().st_mode), name
    names = (root / "etc/passwd").read_text()
    assert names.startswith("x" if number == 7 else f"gitml:x:{os.geteuid()}:")
    assert not (root / "etc/kept").exists() or (root / "etc/kept").read_bytes() == b"kept"


def test_bytes_that_are_not_those_of_the_digest_are_refused_and_the_layer_is_named(tmp_path: Path) -> None:
    good, bad = packed([Entry("x")]), packed([Entry("y")])
    files = []
    for number, content in enumerate((good, bad)):
        path = tmp_path / f"{number}.gz"
        path.write_bytes(gzip.compress(content))
        diff_id = "sha256:" + hashlib.sha256(good).hexdigest()
        files.append(LayerFile(str(path), Layer("", 0, "gzip"), diff_id))
    (tmp_path / "root").mkdir()
    with pytest.raises(BrokenImageError, match="layer 2: its bytes are not those of its digest") as refused:
        unpack(str(tmp_path / "root"), files, None, "x", BuildControl(StopRequests()))
    assert refused.value.layer == 1


def test_a_layer_that_is_cut_off_or_damaged_in_its_compression_is_refused(tmp_path: Path) -> None:
    archive = packed([Entry("x", os.urandom(50_000))])
    whole = gzip.compress(archive)
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 8] = bytes(8)
    for number, content in enumerate((whole[: len(whole) // 2], bytes(damaged), b"not compressed")):
        (tmp_path / "layer").write_bytes(content)
        place = tmp_path / f"root{number}"
        place.mkdir()
        diff_id = "sha256:" + hashlib.sha256(archive).hexdigest()
        layer = LayerFile(str(tmp_path / "layer"), Layer("", 0, "gzip"), diff_id)
        with pytest.raises(BrokenImageError):
            unpack(str(place), [layer], None, "x", BuildControl(StopRequests()))


def test_a_layer_packed_by_zstd_needs_that_program(tmp_path: Path) -> None:
    zstd = program("zstd")
    archive = packed([Entry("x", b"content" * 1000)])
    content = subprocess.run([zstd, "-qc"], input=archive, capture_output=True, check=True).stdout
    (tmp_path / "layer").write_bytes(content)
    (tmp_path / "root").mkdir()
    layer = LayerFile(str(tmp_path / "layer"), Layer("", 0, "zstd"), "sha256:" + hashlib.sha256(archive).hexdigest())
    with pytest.raises(MachineError, match="zstd, which is not installed"):
        unpack(str(tmp_path / "root"), [layer], None, "x", BuildControl(StopRequests()))
    unpack(str(tmp_path / "root"), [layer], zstd, "x", BuildControl(StopRequests()))
    assert (tmp_path / "root/x").read_bytes() == b"content" * 1000


def test_a_request_to_stop_ends_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")

    class Stopping(StopRequests):
        fd = reader

        def requested(self) -> int:
            return NOW

    try:
        with pytest.raises(StoppedError):
            unpacked(tmp_path, [Entry(f"{number}", b"x" * 100_000) for number in range(300)], stop=Stopping())
    finally:
        os.close(reader)
        os.close(writer)


def test_the_image_gets_what_is_mounted_upon_and_its_user_a_name(tmp_path: Path) -> None:
    passwd = Entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh")
    hostile = [link("proc", "/"), Entry("sys", b"a file"), link("etc/resolv.conf", "../run/resolv"), passwd]
    root = unpacked(tmp_path, hostile)
    for name in ("proc", "sys", "dev", "run", "tmp", "var/tmp", "gitml-sandbox"):
        assert (root / name).is_dir()
        assert not (root / name).is_symlink()
    assert (root / "etc/resolv.conf").is_file()
    assert not (root / "etc/resolv.conf").is_symlink()
    lines = (root / "etc/passwd").read_text().splitlines()
    assert lines[0] == "root:x:0:0:root:/root:/bin/sh"
    assert [line.split(":")[2] for line in lines].count(str(os.geteuid())) == 1
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
