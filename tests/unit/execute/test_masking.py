"""No value that is passed on comes through a mask, in whatever pieces and forms it is written; all else comes through as it is."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitml.core.secrets.mask import Mask
from gitml.redaction import is_secret

TOKEN = "tok-0123456789/+abcdef"


def through(mask: Mask, pieces: list[bytes]) -> bytes:
    return b"".join([*(mask.feed(piece) for piece in pieces), mask.end()])


@given(st.lists(st.integers(0, 60), max_size=8), st.binary(max_size=12), st.binary(max_size=12))
def test_a_secret_is_masked_wherever_the_stream_is_cut(cuts: list[int], before: bytes, after: bytes) -> None:
    whole = before + TOKEN.encode() + b" and " + TOKEN.encode() + after
    at = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[a:b] for a, b in itertools.pairwise(at)]
    assert through(Mask([TOKEN]), pieces) == before + b"*** and ***" + after


@given(st.lists(st.text("ab", max_size=9).map(str.encode), max_size=12))
def test_secrets_that_begin_alike_are_masked_in_pieces_as_in_one(pieces: list[bytes]) -> None:
    secrets = ["abababab", "abababa", "bababbbb"]
    masked = through(Mask(secrets), pieces)
    assert not any(secret.encode() in masked for secret in secrets)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_what_holds_no_secret_comes_through_as_it_is(pieces: list[bytes]) -> None:
    pieces = [piece.replace(b"t", b"x") for piece in pieces]
    assert through(Mask([TOKEN]), pieces) == b"".join(pieces)
    assert through(Mask(), pieces) == b"".join(pieces)


def test_what_cannot_be_part_of_a_secret_is_not_held_back() -> None:
    mask = Mask([TOKEN])
    assert mask.feed(b"epoch 1\n") == b"epoch 1\n"
    assert mask.feed(b"epoch 2 tok-") == b"epoch 2 "
    assert mask.feed(b"en\n") == b"tok-en\n"


def test_a_secret_that_is_cut_off_by_the_end_is_masked() -> None:
    assert through(Mask([TOKEN]), [b"x tok-0123456"]) == b"x ***"
    assert through(Mask([TOKEN]), [b"x tok"]) == b"x tok"


@pytest.mark.parametrize("user", ["", "u", "me", "ann", "user:", "longer:"])
def test_base64_is_masked_wherever_the_value_lies_in_it(user: str) -> None:
    encoded = base64.b64encode(f"{user}{TOKEN}:x".encode())
    masked = through(Mask([TOKEN]), [encoded])
    assert b"***" in masked
    assert len(masked) < len(encoded) - 20
    assert b"***" in through(Mask([TOKEN]), [base64.urlsafe_b64encode(f"{user}{TOKEN}".encode())])


def test_quoted_forms_and_lines_are_masked() -> None:
    value = 'first "line"/x\nsecond line\n'
    mask = Mask([value])
    for form in (json.dumps(value)[1:-1], urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value), value):
        assert through(Mask([value]), [form.encode()]).strip() in (b"***", b"***\n***")
    assert mask.text("only second line here") == "only *** here"


@pytest.mark.parametrize("value", ["", "short", "true", "enabled", "1234567", "3.12.1", "/", "/tmp", "/usr/bin:/bin"])
def test_short_values_plain_words_and_paths_that_are_there_are_no_secrets(value: str) -> None:
    assert not is_secret(value)


@pytest.mark.parametrize("value", ["tok-1234", "hunter2x9", "/not/there/AKIA", "a long pass phrase", "123456789012"])
def test_other_values_are(value: str, tmp_path: Path) -> None:
    assert is_secret(value)
