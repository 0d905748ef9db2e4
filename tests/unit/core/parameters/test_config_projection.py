"""The text that a step finds in the place of a config file."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitml.core.language.yaml_document import read_yaml
from gitml.core.parameters.config_file import plain_value, read_config_file
from gitml.core.parameters.projection import ALL, KeySelection, projected, selected_values
from gitml.core.parameters.value_path import Path, parse_path

TEXT = """\
# tuned in spring

# how it learns
train:
  lr: 0.1      # small
  epochs: 20
  # widths of layers
  layers:
  - 64
  - 32

data: {seed: 7, split: 0.2}   # fixed
model:
    name: 'svm'
    note: |
      two
      lines

    depth:
"""


def selection(*names: str) -> KeySelection:
    return KeySelection(paths=frozenset(parse_path(name) or () for name in names))


def text_of(text: str, kept: KeySelection, name: str = "params.yaml", **changes: Any) -> str:
    paths: list[tuple[Path, Any]] = [
        (parse_path(key.replace("__", ".")) or (), value) for key, value in changes.items()
    ]
    return projected(read_config_file(text.encode(), name), kept, paths)


def test_all_of_a_file_is_its_text() -> None:
    assert text_of(TEXT, ALL) == TEXT
    assert text_of(TEXT, selection("train", "data", "model")) == TEXT


def test_a_key_is_kept_with_the_comments_in_it_and_directly_above() -> None:
    assert text_of(TEXT, selection("train")) == TEXT[TEXT.index("# how") : TEXT.index("\ndata")]
    assert text_of(TEXT, selection("train.lr")) == "train:\n  lr: 0.1      # small\n"
    assert text_of(TEXT, selection("train.layers")) == "train:\n  # widths of layers\n  layers:\n  - 64\n  - 32\n"
    assert text_of(TEXT, selection("data.seed", "model.name")) == "data: {seed: 7}\nmodel:\n    name: 'svm'\n"
    assert text_of(TEXT, selection("model.note")) == "model:\n    note: |\n      two\n      lines\n\n"


def test_a_changed_value_stands_where_the_old_one_stood() -> None:
    assert text_of(TEXT, ALL, train__lr=0.00001) == TEXT.replace("lr: 0.1", "lr: 1.0e-05")
    assert text_of(TEXT, ALL, model__name="on") == TEXT.replace("'svm'", '"on"')
    assert text_of(TEXT, ALL, model__depth=3) == TEXT.replace("depth:", "depth: 3")
    assert text_of(TEXT, ALL, train__layers=[1]) == TEXT.replace("- 64\n  - 32", "  [1]")
    assert text_of(TEXT, ALL, data__seed=8, data__split=0.5) == TEXT.replace("7, split: 0.2", "8, split: 0.5")
    assert text_of(TEXT, ALL, model__note="a\nb") == TEXT.replace("|\n      two\n      lines\n\n", '"a\\nb"\n')
    assert text_of(TEXT, selection("train.lr"), train__lr=2, data__seed=1) == "train:\n  lr: 2      # small\n"
    assert text_of("a: [1,\n 2]\nb: 1\n", ALL, a=[3]) == "a: [3]\nb: 1\n"


def test_lists_as_far_left_as_their_key_can_be_changed() -> None:
    changed = text_of("models:\n- a\n- b\n# end\nn: 1\n", ALL, models=["x", "1e-3", True, None, {"k": "no"}])
    assert yaml.safe_load(changed) == {"models": ["x", "1e-3", True, None, {"k": "no"}], "n": 1}
    assert changed.endswith("# end\nn: 1\n")


def test_lines_that_end_as_on_windows_stay_so() -> None:
    text = TEXT.replace("\n", "\r\n")
    assert text_of(text, ALL, train__lr=2) == text.replace("0.1", "2")
    assert (
        text_of(text, selection("train.lr", "data.seed")) == "train:\r\n  lr: 0.1      # small\r\ndata: {seed: 7}\r\n"
    )


def test_a_file_whose_last_line_does_not_end() -> None:
    assert text_of("a: 1\nb: 2", selection("b"), b=3) == "b: 3"
    assert text_of("a: 1\nb:", ALL, b="x") == "a: 1\nb: x"


def test_nothing_kept_is_an_empty_mapping() -> None:
    assert yaml.safe_load(text_of("a: {}\nb: 2\n", selection("a"))) == {"a": {}}


ANCHORS = """\
base: &base   # shared
  lr: 0.1
  note: 'a, b'
wide: &list [1, 2]
big:
  <<: *base
  depth: 3
also: *list
"""


def test_places_that_stand_for_several_values_are_written_anew() -> None:
    values = yaml.safe_load(ANCHORS)
    assert text_of(ANCHORS, ALL) == ANCHORS
    assert yaml.safe_load(text_of(ANCHORS, selection("big", "also"))) == {"big": values["big"], "also": [1, 2]}
    changed = yaml.safe_load(text_of(ANCHORS, ALL, big__lr=0.5))
    assert changed["big"]["lr"] == 0.5
    assert changed["base"]["lr"] == 0.1


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("on", "off"),
        ("2026-01-01", "2026-02-03"),
        ("010", "16"),
        ("12:30", "11:20"),
        ("1_000", "2000"),
        ("0x1F", "0x20"),
        ("adam", "yes"),
        ("adam", "1e-3"),
        ("adam", "y"),
        ("'on'", "off"),
        ("1e-3", 0.002),
        ("1.5e3", 2e22),
        ("true", False),
        ("x", "a: b # c"),
        ("x", "\u2028\x85\x7f💥\t\"'\\"),
        ("~", None),
        ("~", ""),
        ("true", "true"),
        ("3", "4"),
    ],
)
def test_a_changed_value_is_the_same_to_readers_of_both_yamls(written: str, given: Any) -> None:
    text = text_of(f"k: {written}\n", ALL, k=given)
    old, new = yaml.safe_load(f"k: {written}")["k"], yaml.safe_load(text)["k"]
    before = plain_value(read_yaml(f"k: {written}".encode(), "x")[0], "x")["k"]
    ours = plain_value(read_yaml(text.encode(), "x")[0], "x")["k"]
    assert ours == given or str(ours) == given
    if isinstance(before, str) and not isinstance(old, str):
        assert isinstance(new, type(old))  # what was a date, a truth value, a number to such a reader is one still
        assert text == f"k: {given}\n"
    else:
        assert new == given


def test_anchors_stay_where_a_value_is_changed() -> None:
    text = "a: &one [1]\nb: &two {x: &three 'v'}\nc: &four\n- 1\nd: &five |\n  x\ne: !!str 7\n"
    changed = text_of(text, ALL, a=[2], b__x="w", c=[3], d="y", e="8")
    assert yaml.safe_load(changed) == {"a": [2], "b": {"x": "w"}, "c": [3], "d": "y", "e": "8"}
    assert 'a: &one [2]\nb: &two {x: &three "w"}\nc: &four\n' in changed
    shared = "a: &one {x: 1}\nb: *one\nc: {y: 1}   # seen\n"
    assert text_of(shared, ALL, c__y=2) == shared.replace("y: 1", "y: 2")
    assert yaml.safe_load(text_of(shared, ALL, b__x=2)) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"y": 1}}


TOML = """\
# top
title = "x"

[train]      # learning
lr = 0.1     # small
epochs = 20

[train.more]
a = [1, 2]

[data]
seed = 7
day = 2026-01-02
"""


def test_toml_keeps_its_comments() -> None:
    assert text_of(TOML, ALL, "c.toml", train__lr=0.5) == TOML.replace("lr = 0.1", "lr = 0.5")
    kept = text_of(TOML, selection("train.lr", "data.seed"), "c.toml")
    assert tomllib.loads(kept) == {"train": {"lr": 0.1}, "data": {"seed": 7}}
    assert "lr = 0.1     # small" in kept
    assert read_config_file(TOML.encode(), "c.toml").values["data"] == {"seed": 7, "day": "2026-01-02"}


def test_json_is_written_with_what_is_kept() -> None:
    text = '{\n\t"a": {"b": 1e-3, "c": [1, 2]},\n\t"d": "é"}'
    assert text_of(text, ALL, "c.json") == text
    assert json.loads(text_of(text, selection("a.b"), "c.json", a__b=2)) == {"a": {"b": 2}}


_keys = st.sampled_from(["a", "b", "on", "odd key", "1", "x.y", "#c"])
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6),
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(_keys, _values, min_size=1, max_size=4), st.data())
def test_any_file_holds_what_was_chosen_and_changed(values: dict[str, Any], data: st.DataObject) -> None:
    block = data.draw(st.booleans())
    text = yaml.safe_dump(values, default_flow_style=not block, allow_unicode=True, sort_keys=False)
    file = read_config_file(text.encode(), "params.yaml")
    key = data.draw(st.sampled_from(sorted(file.values)))
    below = file.values[key]
    path: Path = (key,)
    if isinstance(below, dict) and below and data.draw(st.booleans()):
        path = (key, data.draw(st.sampled_from(sorted(below))))
    kept = KeySelection(paths=frozenset([path]))
    new = data.draw(_values)
    changed = projected(file, kept, [(path, new)])
    expected: Any = new
    for part in reversed(path):
        expected = {part: expected}
    found = plain_value(read_yaml(changed.encode(), "x")[0], "x")
    assert found == expected
    assert projected(file, ALL) == text
    assert plain_value(read_yaml(projected(file, kept).encode(), "x")[0], "x") == selected_values(file.values, kept)
