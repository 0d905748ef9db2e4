"""Tools whose steps are said in Python: doit, snakemake, pytask, luigi, redun. Each reads the values from params.json."""

from __future__ import annotations

import hashlib
import json
import os

from benchmarks.measure import program
from benchmarks.tools.base import Tool
from benchmarks.workload import LENGTH, Link


class Scripted(Tool):
    """A script that makes the steps in a loop."""

    script: str
    text: str

    def define(self) -> None:
        self.write(
            self.script, self.text.replace("CHAINS", str(len(self.chains.chains()))).replace("LENGTH", str(LENGTH))
        )

    def write_params(self) -> None:
        self.write("params.json", json.dumps(self.chains.params))


class Doit(Scripted):
    """Files by content, parameters through config_changed, two processes."""

    name = "doit"
    venv = "doit"
    ignored = (*Tool.ignored, "/.doit.db*")
    script = "dodo.py"
    text = """\
import json

from doit.tools import config_changed

with open("params.json") as file:
    PARAMS = json.load(file)

DOIT_CONFIG = {"verbosity": 0}


def task_step():
    for chain in range(CHAINS):
        source = f"in/c{chain:04d}.txt"
        for place in range(LENGTH):
            name, target = f"c{chain:04d}_{place}", f"out/c{chain:04d}/{place}.txt"
            yield {
                "name": name,
                "file_dep": [source],
                "targets": [target],
                "uptodate": [config_changed(str(PARAMS[name]))],
                "actions": [f"sh step.sh {source} {target} {PARAMS[name]}"],
            }
            source = target
"""

    def command(self) -> list[str]:
        return [program("doit", "doit"), "-n", "2"]


class DoitSerial(Doit):
    """Without worker processes: the quicker way when there is nothing to do."""

    name = "doit, one process"

    def command(self) -> list[str]:
        return [program("doit", "doit")]


class Snakemake(Scripted):
    """Its default triggers: times, and for parameters and code what it noted at the last run."""

    name = "snakemake"
    venv = "snakemake"
    ignored = (*Tool.ignored, "/.snakemake/")
    script = "Snakefile"
    text = """\
import json

with open("params.json") as file:
    PARAMS = json.load(file)


def source(wildcards):
    place = int(wildcards.place)
    return f"out/{wildcards.chain}/{place - 1}.txt" if place else f"in/{wildcards.chain}.txt"


rule all:
    input: [f"out/c{chain:04d}/{LENGTH - 1}.txt" for chain in range(CHAINS)]


rule step:
    input: source
    output: "out/{chain}/{place}.txt"
    params: value=lambda wildcards: PARAMS[f"{wildcards.chain}_{wildcards.place}"]
    shell: "sh step.sh {input} {output} {params.value}"
"""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "XDG_CACHE_HOME": os.path.join(self.root, ".snakemake", "cache")}

    def command(self) -> list[str]:
        return [program("snakemake", "snakemake"), "--cores", "2", "--quiet", "all"]


class Pytask(Scripted):
    """Files and values by hash; one process, as it comes."""

    name = "pytask"
    venv = "pytask"
    ignored = (*Tool.ignored, "/.pytask/")
    script = "task_chains.py"
    text = """\
import json
import subprocess
from pathlib import Path
from typing import Annotated

from pytask import Product, PythonNode, task

ROOT = Path(__file__).parent
PARAMS = json.loads((ROOT / "params.json").read_text())

for chain in range(CHAINS):
    before = ROOT / f"in/c{chain:04d}.txt"
    for place in range(LENGTH):
        after = ROOT / f"out/c{chain:04d}/{place}.txt"
        value = PythonNode(value=PARAMS[f"c{chain:04d}_{place}"], hash=True)

        @task(id=f"c{chain:04d}_{place}", kwargs={"source": before, "target": after, "value": value})
        def task_step(source: Path, target: Annotated[Path, Product], value: int) -> None:
            subprocess.run(["sh", "step.sh", str(source), str(target), str(value)], check=True, cwd=ROOT)

        before = after
"""

    def define(self) -> None:
        super().define()
        self.write("pyproject.toml", '[tool.pytask.ini_options]\npaths = ["."]\n')

    def command(self) -> list[str]:
        return [program("pytask", "pytask"), "-v", "0"]


class Luigi(Scripted):
    """Done is what exists, so the values that made a file are in its name, as its users do."""

    name = "luigi"
    venv = "luigi"
    slow = True
    restores = True
    script = "chains.py"
    text = """\
import hashlib
import json
import subprocess

import luigi

with open("params.json") as file:
    PARAMS = json.load(file)


class Source(luigi.ExternalTask):
    chain = luigi.IntParameter()

    def output(self):
        return luigi.LocalTarget(f"in/c{self.chain:04d}.txt")


class Step(luigi.Task):
    chain = luigi.IntParameter()
    place = luigi.IntParameter()

    def requires(self):
        return Step(self.chain, self.place - 1) if self.place else Source(self.chain)

    def output(self):
        values = [PARAMS[f"c{self.chain:04d}_{place}"] for place in range(self.place + 1)]
        made_of = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
        return luigi.LocalTarget(f"out/c{self.chain:04d}/{self.place}-{made_of}.txt")

    def run(self):
        value = str(PARAMS[f"c{self.chain:04d}_{self.place}"])
        subprocess.run(["sh", "step.sh", self.input().path, self.output().path, value], check=True)


class All(luigi.WrapperTask):
    def requires(self):
        return [Step(chain, LENGTH - 1) for chain in range(CHAINS)]
"""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": self.root}

    def command(self) -> list[str]:
        words = "--module chains All --local-scheduler --workers 2 --log-level WARNING"
        return [program("luigi", "luigi"), *words.split()]

    def contents(self) -> dict[str, str]:
        held = {}
        for link in self.chains.links():
            values = [self.chains.params[Link(link.chain, place).name] for place in range(link.place + 1)]
            made_of = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
            held[link.name] = self.read(f"out/{link.folder}/{link.place}-{made_of}.txt")
        return held


class Redun(Scripted):
    """Steps give back File objects; two workers."""

    name = "redun"
    venv = "redun"
    ignored = (*Tool.ignored, "/.redun/redun.db*")
    slow = True
    script = "workflow.py"
    text = """\
import json
import subprocess

from redun import File, task

redun_namespace = "chains"


@task()
def step(source: File, value: int, target: str) -> File:
    subprocess.run(["sh", "step.sh", source.path, target, str(value)], check=True)
    return File(target)


@task()
def main(params: File = File("params.json")) -> list:
    values = json.loads(params.read())
    ends = []
    for chain in range(CHAINS):
        file = File(f"in/c{chain:04d}.txt")
        for place in range(LENGTH):
            file = step(file, values[f"c{chain:04d}_{place}"], f"out/c{chain:04d}/{place}.txt")
        ends.append(file)
    return ends
"""

    def define(self) -> None:
        super().define()
        self.write(
            ".redun/redun.ini",
            "[backend]\ndb_uri = sqlite:///redun.db\n\n[executors.default]\ntype = local\nmax_workers = 2\n",
        )

    def command(self) -> list[str]:
        return [program("redun", "redun"), "run", "workflow.py", "main"]
