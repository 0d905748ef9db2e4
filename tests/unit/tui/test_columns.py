"""How wide the columns of tables are."""

from __future__ import annotations

import pytest

from gitml.tui.widgets.table import TableColumn, column_at, widths_of

NAME = TableColumn("name", "NAME", 10, share=2)
VALUE = TableColumn("value", "VALUE", 8, share=1)
NOTE = TableColumn("note", "NOTE", 12, rank=2)
LAST = TableColumn("last", "LAST", 6, rank=1)


def test_what_is_left_goes_to_those_that_share_it() -> None:
    assert widths_of((NAME, VALUE), 2 + 10 + 2 + 8 + 2 + 9) == [16, 11]


def test_a_column_takes_no_more_than_its_most_and_the_others_have_the_rest() -> None:
    capped = (NAME._replace(most=12), VALUE)
    assert widths_of(capped, 2 + 10 + 2 + 8 + 2 + 30) == [12, 8 + 28]
    assert widths_of((NAME._replace(most=12), VALUE._replace(most=9)), 200) == [12, 9]


def test_of_too_many_the_highest_rank_goes_first_and_what_has_none_stays() -> None:
    columns = (NAME, NOTE, LAST)
    assert widths_of(columns, 60)[1:] == [12, 6]
    assert widths_of(columns, 30)[1:] == [0, 6]
    assert widths_of(columns, 16)[1:] == [0, 0]
    assert widths_of(columns, 4) == [10, 0, 0]


@pytest.mark.parametrize(("x", "key"), [(0, None), (2, "name"), (13, "name"), (14, "last"), (21, "last"), (22, None)])
def test_a_place_lies_in_the_column_that_is_seen_there(x: int, key: str | None) -> None:
    found = column_at((NAME, NOTE, LAST), (10, 0, 6), x)
    assert (found.key if found else None) == key
