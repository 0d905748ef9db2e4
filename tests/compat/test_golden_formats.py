"""Formats that are frozen: what an older gitml wrote is read, and is written again to the last byte.

The files of ``golden`` are never changed. Whoever changes a format raises its number, keeps reading the old one, and adds
files.
"""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from gitml.core.config.remotes import StoredObject, decode_manifest, encode_manifest
from gitml.core.model import action
from gitml.core.model.action import Action, ActionInput, ActionOutput, CodeFile, decode_action
from gitml.core.model.digest import digest_of, from_hex
from gitml.core.model.environment import encode_description, environment_of
from gitml.core.model.pack import contents_of, decode_index, encode_index
from gitml.core.model.result import Cost, OutputRef, decode_result, encode_result
from gitml.core.model.tree import HEADER, TreeEntry, decode_tree, encode_tree
from gitml.core.records import record
from gitml.core.records.record import Attempt, LogRef, decode_run, encode_run
from gitml.store.remote.cache import GcNote, decode_note, encode_note
from tests.kit.execution import ON_HOST

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")


def golden(name: str) -> bytes:
    with open(os.path.join(GOLDEN, name), "rb") as file:
        return file.read()


def sums() -> dict[str, str]:
    lines = golden("SHA256SUMS").decode().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def named(kind: str) -> list[str]:
    return [name for name in sums() if name.startswith(kind)]


def test_the_golden_files_are_those_of_their_sums() -> None:
    assert hashlib.sha256(golden("SHA256SUMS")).hexdigest() == SUMS
    assert set(os.listdir(GOLDEN)) == {*sums(), "SHA256SUMS", ".gitattributes"}
    for name, digest in sums().items():
        assert hashlib.sha256(golden(name)).hexdigest() == digest, name


def test_the_formats_are_those_of_the_golden_files() -> None:
    assert (action.FORMAT, record.FORMATS, HEADER) == (2, (1, 2), b"gitml tree 1\n")


@pytest.mark.parametrize("name", named("action-"))
def test_an_action_is_read_and_has_the_preimage_and_key_it_had(name: str) -> None:
    read = decode_action(golden(name))
    assert read.preimage() == golden(name)
    assert read.key() == from_hex(sums()[name])


def test_an_action_of_these_parts_has_this_key() -> None:
    made = Action(
        argv=("python", "src/train.py", "--rate", "0.1"),
        shell=None,
        params=(("rate", 0.1), ("seed", 1)),
        code=(CodeFile("src/train.py", "100644", "1" * 40),),
        inputs=(ActionInput("raw", "data/a.csv", "file", "git:100644:" + "2" * 40),),
        outputs=(
            ActionOutput("model", ".gitml/out/model", "file"),
            ActionOutput("scores", ".gitml/out/scores", "metrics"),
        ),
        env=(("OMP_NUM_THREADS", "1"), ("TOKEN", None)),
        environment=digest_of(b"environment"),
    )
    assert made.preimage() == golden("action-2-plain.json")
    assert made == decode_action(golden("action-2-plain.json"))
    assert made._replace(format=1) == decode_action(golden("action-plain.json"))


@pytest.mark.parametrize("name", named("action-2-"))
def test_an_action_of_format_1_has_another_key_than_one_of_the_same_parts_today(name: str) -> None:
    old = decode_action(golden(name.replace("-2-", "-")))
    assert old._replace(format=2) == decode_action(golden(name))
    assert old.key() != from_hex(sums()[name])


@pytest.mark.parametrize("name", ["action-values.json", "action-2-values.json"])
def test_the_values_of_an_action_keep_their_types(name: str) -> None:
    params = dict(decode_action(golden(name)).params)
    assert [(type(params[name]), params[name]) for name in "abcdeg"] == [
        (int, 1), (float, 1.0), (str, "1"), (bool, True), (bool, False), (int, 10**40),
    ]  # fmt: skip
    assert str(params["h"]) == "-0.0"


@pytest.mark.parametrize("name", named("tree-"))
def test_a_tree_is_read_and_has_the_bytes_it_had(name: str) -> None:
    entries = decode_tree(golden(name))
    assert encode_tree(reversed(entries)) == golden(name)


def test_a_tree_of_these_entries_has_these_bytes() -> None:
    entries = [
        TreeEntry(b"sub", "d", digest_of(b"gitml tree"), 12345678901),
        TreeEntry(b"a.txt", "f", digest_of(b"a"), 1),
        TreeEntry(b"run.sh", "x", digest_of(b"run"), 3),
        TreeEntry(b"link", "l", digest_of(b"a.txt"), 5),
    ]
    assert encode_tree(entries) == golden("tree-kinds.bin")
    assert digest_of(encode_tree([])) == from_hex(sums()["tree-empty.bin"])


@pytest.mark.parametrize("name", named("environment"))
def test_an_environment_is_read_and_has_the_digest_it_had(name: str) -> None:
    description = json.loads(golden(name))
    assert encode_description(description) == golden(name)
    assert environment_of(description, ON_HOST).digest == from_hex(sums()[name])


def test_a_run_is_read_and_written_again_the_same() -> None:
    run = decode_run(golden("run.json"))
    assert encode_run(run) == golden("run.json")
    assert run.params == {"seed": 7, "gamma": 0.001, "on": True, "name": "svm", "big": 10**40}
    assert run.message == "try é \udcff"
    prepare, train, report, last = run.steps
    assert prepare.saved == Cost(1.5, 1.25, 1 << 20)
    assert train.attempts[1] == Attempt(
        "1-2", "done", 1_700_000_002.0, Cost(1.0, 0.5, 8192), 0, None, LogRef(digest_of(b"l2"), 65536, 99999999)
    )
    assert train.outputs[1] == OutputRef("model", "file", digest_of(b"b"), 9, True)
    assert (report.attempts[0].exit_code, report.error) == (-9, "killed by SIGKILL")
    assert last.outcome == "skipped"


def test_a_result_is_read_and_written_again_the_same() -> None:
    result = decode_result(golden("result.json"))
    assert encode_result(result).encode() == golden("result.json")
    assert result.outputs[0] == OutputRef("model", "file", digest_of(b"b"), 9, True)


def test_a_manifest_is_read_and_written_again_the_same() -> None:
    manifest = decode_manifest(golden("manifest.json"), digest_of(b"tree"))
    assert encode_manifest(manifest) == golden("manifest.json")
    assert (manifest.size, manifest.objects) == (1234567, (StoredObject(digest_of(b"large"), 5),))


def test_a_pack_is_read_and_its_index_written_again_the_same() -> None:
    items, place = decode_index(golden("pack.bin"))
    assert golden("pack.bin") == encode_index(items) + b"".join([b"", b"one\n", b"\0two"])
    assert [bytes(content) for _, content in contents_of(golden("pack.bin"))] == [b"", b"one\n", b"\0two"]
    assert place == len(encode_index(items))


def test_the_notes_of_gc_are_read_and_written_again_the_same() -> None:
    note = decode_note(golden("remote-gc.json"))
    assert encode_note(note) == golden("remote-gc.json")
    assert note == GcNote(3, {digest_of(b"gone"): 1_700_000_000.25})


SUMS = "2bae5fdf053cecbaa6dd673ba16311807a38ac332597ea3976f48f39c829dff7"
