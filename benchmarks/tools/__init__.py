"""The tools that are measured."""

from __future__ import annotations

from benchmarks.tools.base import Tool
from benchmarks.tools.dvc import Dvc, DvcSingle
from benchmarks.tools.floors import Bare, Ninja
from benchmarks.tools.gitml import Gitml, GitmlCommit
from benchmarks.tools.scripted import Doit, DoitSerial, Luigi, Pytask, Redun, Snakemake

TOOLS: dict[str, type[Tool]] = {
    "bare": Bare,
    "ninja": Ninja,
    "gitml": Gitml,
    "gitml-commit": GitmlCommit,
    "doit": Doit,
    "doit-serial": DoitSerial,
    "luigi": Luigi,
    "snakemake": Snakemake,
    "pytask": Pytask,
    "dvc": Dvc,
    "dvc-single": DvcSingle,
    "redun": Redun,
}
