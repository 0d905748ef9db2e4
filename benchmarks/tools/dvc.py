"""dvc: its own way of many pipelines, one dvc.yaml a chain; and all in one file, which is slower."""

from __future__ import annotations

import os

from benchmarks.measure import program, quiet
from benchmarks.tools.base import Tool
from benchmarks.workload import LENGTH, Link


class DvcSingle(Tool):
    """One dvc.yaml, params.yaml and dvc.lock for all steps."""

    name = "dvc, one file"
    venv = "dvc"
    ignored = ("/site",)
    slow = True
    restores = True

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DVC_SITE_CACHE_DIR": os.path.join(self.root, "site")}

    def prepare(self) -> None:
        for words in ("init -q", "config core.analytics false", "config core.check_update false"):
            quiet([program("dvc", "dvc"), *words.split()], self.root, self.environment())

    def define(self) -> None:
        stages = [
            stage(link.name, f"sh step.sh {link.source} {link.target}", link.source, link.name, link.target)
            for link in self.chains.links()
        ]
        self.write("dvc.yaml", "stages:\n" + "".join(stages))

    def write_params(self) -> None:
        self.write("params.yaml", "".join(f"{name}: {value}\n" for name, value in self.chains.params.items()))

    def command(self) -> list[str]:
        return [program("dvc", "dvc"), "repro", "-q"]


class Dvc(DvcSingle):
    """A dvc.yaml, params.yaml and dvc.lock in each chain's folder."""

    name = "dvc"

    def define(self) -> None:
        for chain in self.chains.chains():
            stages = []
            for place in range(LENGTH):
                source = f"{place - 1}.txt" if place else f"../../in/c{chain:04d}.txt"
                stages.append(
                    stage(f"s{place}", f"sh ../../step.sh {source} {place}.txt", source, f"p{place}", f"{place}.txt")
                )
            self.write(f"out/c{chain:04d}/dvc.yaml", "stages:\n" + "".join(stages))

    def write_params(self) -> None:
        for chain in self.chains.chains():
            values = [f"p{place}: {self.chains.params[Link(chain, place).name]}\n" for place in range(LENGTH)]
            self.write(f"out/c{chain:04d}/params.yaml", "".join(values))

    def command(self) -> list[str]:
        return [program("dvc", "dvc"), "repro", "-q", "--all-pipelines"]


def stage(name: str, command: str, source: str, param: str, target: str) -> str:
    """One stage of a dvc.yaml; the parameter's value is the command's last word."""
    return f"  {name}:\n    cmd: {command} ${{{param}}}\n    deps: [{source}]\n    params: [{param}]\n    outs: [{target}]\n"
