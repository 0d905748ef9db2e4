"""MemberErrors: what a run says of a step of which some members did not succeed, where the step bears that of some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class MemberErrors(NamedTuple):
    """Of `members` steps those that `failed`, and those `left_out` as they need one that did; `budget` as the file says it.

    Where it is `borne` the run went on without them.
    """

    budget: str
    members: int
    failed: tuple[str, ...]
    left_out: tuple[str, ...]
    borne: bool

    def words(self) -> str:
        """``2 of 40 failed, borne by errors: 10%``, for people."""
        counts = [(len(self.failed), "failed"), (len(self.left_out), "left out")]
        missing = sum(count for count, _ in counts)
        phrase = " and ".join([f"{count:,} {word}" for count, word in counts if count])
        if missing >= self.members:
            return f"none of {self.members:,} succeeded ({phrase}), so that nothing is left to gather"
        first, _, rest = phrase.partition(" ")
        phrase = f"{first} of {self.members:,} {rest}"
        return f"{phrase}, {'borne by' if self.borne else 'not borne by'} errors: {self.budget}"

    def as_json(self) -> dict[str, Any]:
        """As records and ``--json`` show it, keys sorted."""
        shown = {"borne": self.borne, "budget": self.budget, "failed": self.failed, "members": self.members}
        return {**shown, **({"left_out": self.left_out} if self.left_out else {})}


def member_errors(raw: Mapping[str, Any]) -> MemberErrors:
    """The inverse of `MemberErrors.as_json`; TypeError, KeyError or ValueError for what is none."""
    budget, members, borne = raw["budget"], raw["members"], raw["borne"]
    if type(budget) is not str or type(members) is not int or type(borne) is not bool or not 0 <= members < 1 << 53:
        raise TypeError("errors of members are not of their types")
    failed, left_out = (tuple(raw.get(key, ())) for key in ("failed", "left_out"))
    if not all(type(name) is str for name in (*failed, *left_out)):
        raise TypeError("names of members are not text")
    return MemberErrors(budget, members, failed, left_out, borne)
