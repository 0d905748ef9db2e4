from __future__ import annotations

import pytest

from gitml.errors import InputError
from gitml.execute.environments.locks.requirements import parse_requirements

A, B = "a" * 64, "b" * 64


def test_comments_order_spacing_and_spelling_do_not_count() -> None:
    one = parse_requirements("r", b'# top\nNumPy==1.26.4  # fast\n\nscikit_learn == 1.4.0 ; python_version>"3.8"\n')
    two = parse_requirements("r", b"scikit-learn==1.4.0;python_version>'3.8'\r\nnumpy==1.26.4\n")
    assert one == two
    assert one.lines == ("numpy==1.26.4", "scikit-learn==1.4.0 ; python_version>'3.8'")
    assert not one.hashed


def test_hashes_are_kept_and_their_order_does_not_count() -> None:
    one = parse_requirements("r", f"x==1 \\\n    --hash=sha256:{B} \\\n    --hash=sha256:{A}\n    # via y\n".encode())
    two = parse_requirements("r", f"x==1 --hash=sha256:{A} --hash=sha256:{B}".encode())
    assert one == two
    assert one.hashed
    assert A in one.lines[0]


def test_packages_are_told_by_name_and_version_without_hashes() -> None:
    text = f"b==2 --hash=sha256:{A}\nc[e]==1 ; os_name=='nt'\nc[e]==2 ; os_name!='nt'\nd @ https://e.com/d.whl#sha256={A}\n"
    assert parse_requirements("r", text.encode()).packages() == (
        "b 2",
        "c[e] 1 ; os_name=='nt', 2 ; os_name!='nt'",
        f"d https://e.com/d.whl#sha256={A}",
    )


def test_another_version_hash_or_extra_counts() -> None:
    texts = [b"x==1", b"x==2", b"x[e]==1", f"x==1 --hash=sha256:{A}".encode(), b"x==1 ; sys_platform=='linux'"]
    assert len({parse_requirements("r", text).lines for text in texts}) == len(texts)


@pytest.mark.parametrize(
    "line", ["numpy", "numpy>=1", "numpy==1.*", "numpy==1,<2", "numpy~=1.2", "x @ https://e.com/x.whl", "./x.whl", "=="]
)
def test_what_is_not_pinned_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_requirements("env/r.txt", f"# comment\nok==1\n{line}\n".encode())
    assert caught.value.where == "env/r.txt:3"


def test_a_url_with_a_hash_is_pinned() -> None:
    assert parse_requirements("r", f"x @ https://e.com/x.whl --hash=sha256:{A}".encode()).hashed
    assert parse_requirements("r", f"x @ https://e.com/x.whl#sha256={A}".encode()).lines


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-e .", "editable"),
        ("-r base.txt", "another file"),
        ("-c c.txt", "another file"),
        ("--index-url https://e.com", "where to download"),
        ("--extra-index-url=https://e.com", "where to download"),
        ("--pre", "not for a locked file"),
        ("x==1 --config-settings=a", "does not know"),
    ],
)
def test_options_are_refused_with_what_to_do(line: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        parse_requirements("r", line.encode())
    assert caught.value.where == "r:1"


def test_utf_16_is_read_by_its_mark() -> None:
    text = "numpy==1.26.4\r\nx==1\r\n"
    for encoding, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        assert parse_requirements("r.txt", mark + text.encode(encoding)) == parse_requirements("r.txt", text.encode())


def test_utf_16_without_its_mark_is_said_to_be_no_text() -> None:
    with pytest.raises(InputError, match="it has NUL characters, as UTF-16 without a mark") as caught:
        parse_requirements("r.txt", "numpy==1.26.4\n".encode("utf-16-le"))
    assert (caught.value.where, caught.value.hint) == ("r.txt", "save it as UTF-8")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "name: x\ndependencies: [python=3.11]\n",
            "this is a conda environment, which does not lock its packages",
            "gitml env lock env/r.txt",
        ),
        ("[project]\nname = 'x'\n", "this is a TOML file", "environment: {uv: FILE}"),
        (
            "a>=1\nb==1\nc\n",
            "a is not pinned to one version (and 1 more line is not locked)",
            "gitml env lock env/r.txt",
        ),
        (
            "-e .\na\nb\n",
            "an editable requirement can change under its name (and 2 more lines are not locked)",
            "pin a released",
        ),
        ("a @ file:///tmp/build/a\n", "a is a file of one machine (file:///tmp/build/a)", "pip list --format=freeze"),
    ],
)
def test_a_file_of_another_kind_is_told_with_the_way_to_a_locked_one(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_requirements("env/r.txt", text.encode())
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")
