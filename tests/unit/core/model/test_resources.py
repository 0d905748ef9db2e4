"""Resources: what fits, what is left, what can never be had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitml.core.model.resources import ONE_CPU, Resources

amounts = st.builds(
    Resources,
    st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0]),
    st.sampled_from([0.0, 0.1, 0.25, 1.0]),
    st.integers(0, 100),
    st.just({}),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from([0.0, 0.1, 1.0]), max_size=2),
)
MACHINE = Resources(4, 1, 100, {"zone": "a"}, {"license": 2})


def test_a_step_asks_for_one_cpu_unless_it_says_otherwise() -> None:
    assert Resources(1, 0, 0) == ONE_CPU


def test_what_fits_has_every_amount_and_every_label() -> None:
    assert Resources(4, 1, 100, {"zone": "a"}, {"license": 2}).fits(MACHINE)
    for more in (
        Resources(4.1),
        Resources(1, 1.5),
        Resources(1, 0, 101),
        Resources(1, 0, 0, {"zone": "b"}),
        Resources(1, 0, 0, {"rack": "1"}),
        Resources(1, 0, 0, {}, {"license": 3}),
        Resources(1, 0, 0, {}, {"other": 1}),
    ):
        assert not more.fits(MACHINE)
        assert more.missing_from(MACHINE) is not None


def test_what_can_never_be_had_is_told_in_words() -> None:
    asked = Resources(8, 2, 3 << 30, {"zone": "b", "rack": "1"}, {"license": 3, "other": 1})
    assert asked.missing_from(Resources(4, 1, 1 << 30, {"zone": "a"}, {"license": 2})) == (
        "8 cpus (there are 4), 2 gpus (there are 1), 3.0 GiB memory (there are 1.0), label zone=b (there is a), "
        "label rack=1 (there is none), 3 license (there are 2), 1 other (there are 0)"
    )
    assert MACHINE.missing_from(MACHINE) is None


@given(st.lists(amounts, max_size=30))
def test_taking_and_giving_back_leaves_room_for_what_was_there(taken: list[Resources]) -> None:
    whole = Resources(4, 1, 100, {"zone": "a"}, {"a": 1.0, "b": 1.0})
    left = whole
    for one in taken:
        left = left.minus(one)
    for one in reversed(taken):
        left = left.plus(one)
    assert whole.fits(left)
    assert left.labels == whole.labels


@given(amounts, amounts)
def test_what_fits_can_be_had(asked: Resources, whole: Resources) -> None:
    assert asked.fits(whole) == (asked.missing_from(whole) is None)
