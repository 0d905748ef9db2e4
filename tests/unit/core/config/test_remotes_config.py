"""Remote stores in gitml.yaml, and the notations of what lies in one."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from gitml.core.config.parse import parse_config
from gitml.core.config.remotes import (
    MANIFEST_PARTS,
    Manifest,
    RemoteSpec,
    StoredObject,
    decode_manifest,
    encode_manifest,
)
from gitml.core.language.diagnostics import SpecError
from gitml.core.model.digest import digest_of, hex_of
from gitml.core.model.pack import MAX_SIZE, contents_of, decode_index, encode_index, grouped


def remotes(text: str) -> tuple[RemoteSpec, ...]:
    return parse_config(f"remotes: {text}\n".encode()).remotes


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_config(text.encode())
    return [f"{one.line}:{one.column} {one.message}" for one in caught.value.diagnostics]


def test_one_word_is_enough() -> None:
    assert remotes("lfs") == (RemoteSpec("lfs", "lfs"),)


def test_several_keep_their_order_and_get_the_name_of_their_kind() -> None:
    found = remotes("[lfs, s3://bucket/a/, {name: old, url: 'file:///srv/old', push: false}, 'ssh://me@host:22/srv']")
    assert [(spec.name, spec.url, spec.push) for spec in found] == [
        ("lfs", "lfs", True),
        ("s3", "s3://bucket/a", True),
        ("old", "file:///srv/old", False),
        ("ssh", "ssh://me@host:22/srv", True),
    ]


def test_options_belong_to_their_kind() -> None:
    (spec,) = remotes("[{url: s3://b, endpoint: 'https://minio.example:9000'}]")
    assert spec.options == {"endpoint": "https://minio.example:9000"}
    (spec,) = remotes("[{url: az://c/x, account: team}]")
    assert spec.options == {"account": "team"}
    (spec,) = remotes("[{url: lfs, remote: upstream}]")
    assert spec.options == {"remote": "upstream"}


def test_every_mistake_is_told_at_once_at_its_place() -> None:
    text = """\
remotes:
  - ftp://host/x
  - s3://key:secret@bucket
  - s3://
  - file://relative
  - {url: lfs, endpoint: 'https://x'}
  - {url: s3://b, endpoint: 'b:9000', pusch: true}
  - {name: 'a b', url: gs://b}
  - {name: nothing}
  - [lfs]
  - ssh://host
  - gs://x/../y
  - s3://c
  - s3://d
"""
    found = mistakes(text)
    assert [int(line.split(":")[0]) for line in found] == [2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14]
    told = "\n".join(found)
    for part in (
        "no kind of remote",
        "credentials",
        "bucket",
        "whole path",
        "lfs",
        "'pusch'",
        "not a name",
        "needs a url",
        "two remotes",
    ):
        assert part in told, part
    assert "secret" not in told


@pytest.mark.parametrize(
    "url", ["s3://b?x=1", "s3://b#x", "s3://b\x01", "gs://-b", "http://x", "s3:b", "ssh://u:p@h/x", ""]
)
def test_what_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(SpecError):
        parse_config(f"remotes: [{{url: {json.dumps(url)}}}]\n".encode())


@pytest.mark.parametrize(
    "url",
    [
        "az://evil.com",
        "az://c@evil.blob.core.windows.net/x",
        "az://UPPER/x",
        "az://a--b",
        "s3://a..b/x",
        "s3://a b/x",
        "s3://b:80/x",
        "gs://Upper/x",
        "gs://a%2f/x",
        "ssh://me@-oProxyCommand=x/srv",
        "ssh://-oProxyCommand=x/srv",
        "ssh://$(touch x)/srv",
        "ssh://a;b/srv",
        "ssh://host:port/srv",
        "ssh://host:99999/srv",
        "ssh://host:0/srv",
        "ssh://`x`@host/srv",
        "ssh://a@b@c/srv",
        "ssh://[::1;x]/srv",
    ],
)
def test_hosts_and_buckets_are_held_to_the_rules_of_hosts_and_clouds(url: str) -> None:
    assert mistakes(f"remotes: [{json.dumps(url)}]\n")


@pytest.mark.parametrize(
    "option",
    [
        "{url: az://c, account: evil.com/x}",
        "{url: az://c, account: evil.com}",
        "{url: az://c, account: Team}",
        "{url: s3://b, endpoint: 'http://a b'}",
        "{url: s3://b, endpoint: 'http://a/?x'}",
        "{url: s3://b, endpoint: 'http://a#x'}",
        "{url: s3://b, endpoint: 'http://'}",
        "{url: s3://b, endpoint: 'http://h:0'}",
        '{url: s3://b, endpoint: "http://h\\r\\nX: y"}',
    ],
)
def test_options_that_would_lead_to_another_host_are_refused(option: str) -> None:
    assert mistakes(f"remotes: [{option}]\n")


@pytest.mark.parametrize(
    "url",
    [
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/x",
        "s3://Old_Bucket.of.minio/x",
        "az://$root/x",
        "ssh://a.user@h-1.example.org:2222/srv",
        "ssh://[fe80::1%eth0]:22/srv",
        "ssh://[::1]/srv",
        "gs://team_data.example.org/x",
    ],
)
def test_what_clouds_and_hosts_allow_is_taken(url: str) -> None:
    assert remotes(f"[{json.dumps(url)}]")[0].url == url


def test_another_place_is_another_remote_and_another_name_is_not() -> None:
    one = RemoteSpec("a", "s3://b", {"endpoint": "https://x"})
    assert one.identity == one._replace(name="b", push=False).identity
    assert one.identity != one._replace(options={}).identity
    assert one.identity != one._replace(url="s3://c").identity


def item(content: bytes) -> StoredObject:
    return StoredObject(digest_of(content), len(content))


def test_packs_are_split_into_what_went_in() -> None:
    contents = [b"", b"a", b"b" * 5000]
    data = encode_index([item(content) for content in contents]) + b"".join(contents)
    assert [bytes(content) for _, content in contents_of(data)] == contents
    assert decode_index(data) == ([item(content) for content in contents], len(data) - 5001)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"gitml pack 2\n0\n",
        b"gitml pack 1\n",
        b"gitml pack 1\nx\n",
        b"gitml pack 1\n99999999999\n",
        b"gitml pack 1\n1\n",
        b"gitml pack 1\n1\n" + b"0" * 64 + b" 1",
        b"gitml pack 1\n1\n" + b"0" * 64 + b" x\n",
        b"gitml pack 1\n1\n" + b"G" * 64 + b" 1\na",
        b"gitml pack 1\n1\n" + b"0" * 64 + b" 1\na",
        encode_index([item(b"a")]) + b"ab",
        encode_index([item(b"a")]),
    ],
)
def test_what_is_no_pack_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        list(contents_of(data))


def test_grouping_keeps_order_and_leaves_nothing_out() -> None:
    items = [StoredObject(digest_of(b"%d" % n), 3 << 20) for n in range(7)]
    groups = list(grouped(items))
    assert [one for group in groups for one in group] == items
    assert [len(group) for group in groups] == [2, 2, 2, 1]
    assert list(grouped([])) == []
    assert MAX_SIZE > 8 << 20


def test_manifests_come_back_the_same_and_others_are_refused() -> None:
    tree = digest_of(b"tree")
    manifest = Manifest(tree, 7, (item(b"l"),), (item(b"p"), item(b"q")), (item(b"o"),))
    data = encode_manifest(manifest)
    assert decode_manifest(data, tree) == manifest
    assert manifest.parts == (item(b"p"), item(b"q"), item(b"o"), item(b"l"))
    for bad in (b"", b"[]", b"{}", data.replace(b'"format":1', b'"format":2'), data.replace(b'"size":7', b'"size":-7')):
        with pytest.raises(ValueError, match=r"\S"):
            decode_manifest(bad, tree)
    with pytest.raises(ValueError, match="another"):
        decode_manifest(data, digest_of(b"other"))


def test_a_manifest_that_others_wrote_is_read_too_unless_it_is_large() -> None:
    tree = digest_of(b"tree")
    manifest = Manifest(tree, 7, (item(b"l"),), (), (item(b"o"),))
    spaced = json.dumps(json.loads(encode_manifest(manifest))).encode()
    assert decode_manifest(spaced, tree) == manifest
    with pytest.raises(ValueError, match="more than"):
        decode_manifest(spaced + b" " * (2 << 20), tree)


@pytest.mark.slow
def test_a_manifest_of_very_many_objects_is_read_in_little_memory_and_of_more_refused() -> None:
    tree = digest_of(b"tree")

    def written(count: int) -> bytes:
        objects = b",".join([b'["%064x",1048576]' % number for number in range(count)])
        told = b'{"format":1,"listings":[],"objects":[%s],"packs":[],"size":7,"tree":"%s"}\n'
        return told % (objects, hex_of(tree).encode())

    data = written(100_000)
    tracemalloc.start()
    try:
        assert len(decode_manifest(data, tree).objects) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 35 << 20  # as JSON it takes half as much again
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="more than 300000 objects"):
        decode_manifest(written(MANIFEST_PARTS + 1), tree)
    with pytest.raises(ValueError, match="listings"):
        decode_manifest(encode_manifest(Manifest(tree, 7, (StoredObject(tree, 1 << 40),), (), ())), tree)
