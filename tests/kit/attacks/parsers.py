"""Every parser of bytes that others wrote, with good inputs to begin from: what `tests/attack` fuzzes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from gitml.cluster.connect.head_client import grows_the_old_way, versions_in
from gitml.cluster.content.messages import decode_report, decode_request
from gitml.cluster.environment_probe import description_in, refusal_in
from gitml.core.config.parse import parse_config
from gitml.core.config.remotes import RemoteSpec, StoredObject, decode_manifest
from gitml.core.language.command import foreign_in, read_command
from gitml.core.language.expand import build_graph
from gitml.core.language.expression import Ref, parse_template
from gitml.core.language.params import Param, bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.action import Action, decode_action
from gitml.core.model.digest import digest_of, from_hex
from gitml.core.model.environment import ON_HOST, EnvironmentSource, decode_description, encode_description
from gitml.core.model.graph import Graph, GraphStep, graph_as_json, graph_from_json
from gitml.core.model.pack import contents_of, decode_index, encode_index
from gitml.core.model.result import decode_result
from gitml.core.model.tree import decode_tree, encode_tree
from gitml.core.parameters.config_file import read_config_file
from gitml.core.parameters.made_list import ListSource, read_list
from gitml.core.parameters.matrix import Axis, Matrix, combinations_of
from gitml.core.parameters.projection import ALL, KeySelection, projected, selected_values
from gitml.core.parameters.value_path import part_at, with_part
from gitml.core.planner.code import query_of
from gitml.core.planner.explain import changes_between
from gitml.core.planner.notebook_cells import imports_of_notebook, notebook_code
from gitml.core.planner.project_files import PYPROJECT, SETUP_CFG, SETUP_PY, settings_in
from gitml.core.planner.python_imports import imports_of
from gitml.core.records.record import (
    Run,
    decode_run,
    encode_record,
    run_as_json,
    step_as_json,
    step_from_json,
)
from gitml.core.records.rules import check_action, check_run
from gitml.core.records.step_rows import joined, tables_from_json
from gitml.core.text.format import safe
from gitml.core.text.image_header import picture_of
from gitml.core.text.metrics_file import LABELS_MOST, read_metrics
from gitml.core.text.metrics_formats import PARSERS
from gitml.core.text.plot_data import can_be_plot, parse_plot
from gitml.errors import GitmlError, InputError, RemoteError
from gitml.execute.environments.conda.locks import read_lock
from gitml.execute.environments.conda.loose_environment import read_environment_file
from gitml.execute.environments.conda.packages import CondaLock
from gitml.execute.environments.locks.requirements import parse_requirements
from gitml.execute.messages import Frames, decode_task, finished_from_json, frame
from gitml.execute.sandbox.sandbox import is_pointer, pointed_at
from gitml.git.command import Location
from gitml.git.lfs.client import LfsClient
from gitml.git.lfs.endpoint import Endpoint, access_in, endpoint_in
from gitml.git.lfs.pointer import parse_lfs_pointer
from gitml.git.log.remote_refs import without_secrets
from gitml.git.objects.reader import parse_tree
from gitml.history.files.preview import preview_of
from gitml.http.client import json_in
from gitml.modules.lockfile import parse_lock
from gitml.modules.registry_places import registries_in
from gitml.modules.spec import parse_module
from gitml.records.layout import record_folder
from gitml.records.validation import run_in
from gitml.store.index.index import Index
from gitml.store.index.results import Preimage
from gitml.store.index.runs import RecordedRun, put_runs, run_row
from gitml.store.remote.cache import decode_note
from gitml.submission.event_stream import job_events
from registry.log.events import event_from_bytes
from tests.kit.attacks.conda_locks import EXPLICIT
from tests.kit.attacks.conda_locks import FORMATS as CONDA_LOCKS
from tests.kit.attacks.fuzzer import Surface
from tests.kit.attacks.mutators import Mutator

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/compat/golden"
HEX, OID = "ab" * 32, "ab" * 20
STORED = StoredObject(from_hex(HEX), 5)


def canonical(value: Any) -> bytes:
    """JSON as Actions and descriptions of environments are written."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def golden(*names: str) -> list[bytes]:
    return [(GOLDEN / name).read_bytes() for name in names]


def files(pattern: str) -> list[bytes]:
    found = [path.read_bytes() for path in sorted(ROOT.glob(pattern))]
    assert found, pattern
    return found


# -- what a project's files say


PIPELINE = b"""\
name: p
help: "all there is"
experiment: e
target: local
sandbox: strict
environment: env/requirements.txt
params: {n: 1, x: 0.5, flag: true, name: {type: str, default: "a b", choices: [a b, c]}, k: {type: int, default: 3, min: 0, max: 9}}
inputs: {raw: data/raw.csv, dir: "data/${{ params.name }}"}
env: {A: "1", B: , C: "${{ params.n }}"}
code: [src/, "lib/*.py"]
steps:
  a:
    run: python3 src/a.py ${{ inputs.raw }} --n ${{ params.n }} --out ${{ outputs.o }} ${{ outputs.m }} ${{ outputs.d }} "quoted ${{ params.name }}"
    outputs: {o: file, m: metrics, d: {type: directory, path: "out/${{ params.k }}"}, p: {type: plot, path: a.png}}
    retries: 2
    timeout: 10m
    resources: {cpus: 2, gpus: 0.5, memory: 4GiB, labels: {zone: a}, custom: {tpu: 1}}
    reuse: false
    nodes: 2
    processes: 2
  b:
    matrix: {model: [svm, knn, 1, 0.5, true], depth: [1, 2]}
    shell: bash
    run: |
      set -e; mkdir -p out; for x in a b; do echo "$x" ${{ matrix.model }} >> ${{ outputs.o }}; done
      cat <<EOF > x
      ${{ steps.a.outputs.o }} $((1 + 2)) `date` $(ls ${{ inputs.dir }})
      EOF
    outputs: {o: file}
  c:
    run: [cat, "${{ steps.b[*].outputs.o }}", "${{ steps.b[svm,1].outputs.o }}", "${{ outputs.o }}"]
    after: [a]
    outputs: {o: file}
"""
USES = b"""\
inputs: {raw: data/raw.csv}
params: {name: n}
steps:
  d:
    module: team:split-table@^1
    inputs: {table: "${{ inputs.raw }}"}
    params: {share: 0.5, name: "${{ params.name }}"}
    matrix: {a: [1, 2]}
"""
CONFIG = b"""\
defaults: {pipeline: p, experiment: e, environment: env/requirements.txt, sandbox: strict}
registry: "../registry.git"
registries: {team: "https://host/modules.git", other: "git@host:modules.git"}
records: {inline_file: 256KiB, inline_run: 8MiB}
hooks: {gate: true}
targets:
  local: {cpus: 4, gpus: 1, memory: 8GB, labels: {a: b}, custom: {x: 2}}
  big: {ray: "10.0.0.1:6379", cache: 10GB, dashboard: "h:8265", resources: {memory: 1GB}}
remotes:
  - lfs
  - s3://bucket/prefix
  - {name: g, url: "gs://bucket/x", push: false}
  - {url: "az://container/x", account: acc}
  - {name: m, url: "s3://b/p", endpoint: "https://minio:9000"}
  - {name: l2, url: lfs, remote: upstream}
  - ssh://user@host:22/srv/store
  - file:///srv/store
"""
PROJECTS = {
    PYPROJECT: b"""\
[build-system]
build-backend = "setuptools.build_meta"
[project]
name = "model"
dynamic = ["version"]
[project.scripts]
train = "model.cli:main"
[project.entry-points."my.plugins"]
one = "model.plug"
[tool.setuptools]
package-dir = {"" = "src", other = "lib/other"}
packages = {find = {where = ["src"]}}
[tool.setuptools.dynamic]
version = {attr = "model.__version__"}
[tool.hatch.build.targets.wheel]
packages = ["src/model"]
[tool.poetry]
packages = [{include = "model", from = "src"}]
""",
    SETUP_CFG: b"""\
[metadata]
name = model
version = attr: model.__version__
[options]
package_dir =
    = src
packages = find:
[options.packages.find]
where = src
[options.entry_points]
console_scripts =
    train = model.cli:main
""",
    SETUP_PY: b"""\
from setuptools import setup, find_packages
setup(
    name="model", version="1.0", package_dir={"": "src"}, packages=find_packages("src"),
    entry_points={"console_scripts": ["train = model.cli:main"]},
)
""",
}

REQUIREMENTS = b"""\
# a comment
numpy==2.1.0 \\
    --hash=sha256:%(hex)s \\
    --hash=sha256:%(hex)s
scikit-learn[extra,other]===1.5 ; python_version >= "3.11"   # why
package @ https://host/package-1.0.whl#sha256=%(hex)s
other @ git+https://host/x@%(oid)s
a.b_c==1.0.post1+local
""" % {b"hex": HEX.encode(), b"oid": OID.encode()}
LOCK = json.dumps(
    {
        "format": 1,
        "modules": {
            "count@^1": {
                "name": "count",
                "requirement": "^1",
                "version": "1.0.0",
                "content": f"git:{OID}",
                "state": OID,
            },
            "team:o/n": {"registry": "team", "name": "o/n", "version": "2", "content": f"git:{OID}", "state": OID},
        },
    },
    indent=1,
).encode()
SOURCE = b"""\
# -*- coding: utf-8 -*-
import os, sys as s
from . import a
from ..b.c import (d as e, f)
from g import *
if True:
    import h.i
importlib.import_module("j.k"); __import__('l'); import_module(name)
async def m(n: "o" = f"{p!r:>{q}}") -> None: lambda r: [t async for t in u if v]
match w:
    case {"x": [y, *z]}: pass
class A(B, metaclass=C): D: int = 1_000; E = 0x1F; F = b"\\xff" '\\N{DASH}'
"""
SCRIPT = rb"""
set -e; mkdir -p "$out"; [ -f x ] && cat x | sed 's/a/b/' > "${{ outputs.o }}" 2>&1 || exit 1
for i in 1 2; do python3 src/a.py --n=$i $((i + 1)) `date +%s` $(ls -l) <<'EOF'
 text ${{ params.n }} $HOME {{ other.tool }} %(name)s {input}
EOF
done; case "$x" in a) echo 'single '"'"' quote';; esac  # ${{ comment }} $${{ literal }}
"""


def pipeline(data: bytes) -> None:
    parsed = parse_pipeline(data, "pipelines/p.yaml")
    values = {name: param.default for name, param in parsed.params.items() if param.default is not None}
    if len(values) < len(parsed.params) or any(step.use for step in parsed.steps.values()):
        return
    graph = build_graph(parsed, values)
    for step in list(graph.steps.values())[:20]:
        query_of(step, lambda path: True)
    if len(graph.steps) < 100:
        same: Graph = graph_from_json(json.loads(json.dumps(graph_as_json(graph))))
        assert same.steps.keys() == graph.steps.keys()


def config_file(name: str) -> Callable[[bytes], None]:
    """Reads a config file and writes what steps find in its place: that has just what was chosen, and a value that was changed."""

    def as_text(values: Mapping[str, Any]) -> str:
        return json.dumps(values, sort_keys=True)

    def read(data: bytes) -> None:
        file = read_config_file(data, name)
        for key in list(file.values)[:4]:
            below = file.values[key]
            inner = list(below)[-1:] if isinstance(below, dict) else []
            path = (key, *inner)
            kept = KeySelection(paths=frozenset([path]))
            again = read_config_file(projected(file, kept).encode("utf-8", "surrogateescape"), name)
            assert as_text(again.values) == as_text(selected_values(file.values, kept)), (path, again.values)
            changed = read_config_file(projected(file, ALL, [(path, "new")]).encode("utf-8", "surrogateescape"), name)
            assert part_at(changed.values, path) == "new", path
            assert as_text(with_part(changed.values, path, part_at(file.values, path))) == as_text(file.values), path

    return read


def config(data: bytes) -> None:
    parse_config(data)
    registries_in(data)


def command(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    foreign_in(text)
    try:
        parse_template(text)
        read_command(text)
        read_command(text, folded=True)
    except ValueError:
        pass


def script(data: bytes) -> None:
    """What of the commit a command names."""
    text = data.decode("utf-8", "replace")
    step = bare_step()
    if len(text) % 4:
        query_of(step._replace(argv=(text or "x",), shell="bash"), lambda path: True)
    else:
        query_of(step._replace(argv=tuple(text.split(" "))), lambda path: True)


@cache
def bare_step() -> GraphStep:
    return build_graph(parse_pipeline(b"steps: {a: {run: x}}", "pipelines/p.yaml"), {}).steps["a"]


def values(data: bytes) -> None:
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    given = [(name, value) for name, _, value in (line.partition("=") for line in lines[:20])]
    for kind in ("str", "int", "float", "bool"):
        for pair in given:
            with suppress(InputError):
                bind_params({pair[0]: Param(pair[0], kind, None, 0.0 if kind == "float" else None)}, [pair])


# -- what a record says


def plain_json(data: bytes) -> Any:
    """The wrapping that a surface has in these tests alone."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError from error


def run(data: bytes) -> None:
    found = decode_run(data)
    check_run(found)
    shown = json.dumps(run_as_json(found), allow_nan=False)
    safe(shown)
    assert json.dumps(run_as_json(decode_run(encode_record(found)["run.json"]))) == shown


def rows(data: bytes) -> None:
    """`{"rows": [[text, count], …], "changes": …}`: files are called by what they hold, so that they are looked into."""
    raw = plain_json(data)
    texts: dict[str, bytes] = {}
    tables: dict[str, list[list[Any]]] = {"rows": [], "changes": []}
    for part in ("rows", "changes"):
        for item in raw[part] if isinstance(raw, dict) and isinstance(raw.get(part), list) else ():
            if isinstance(item, list) and item:
                content = str(item[0]).encode("utf-8", "surrogatepass")
                name = hashlib.sha256(content).hexdigest()
                texts[name] = content
                tables[part].append([name, *item[1:]])
    found = [step_from_json(step) for step in joined(tables_from_json(tables), lambda name: texts[name], "aa" * 8)]
    for step in found:
        step_as_json(step)


def record(data: bytes) -> None:
    """A whole record, with the names that its files must have for what they hold: ``{"run", "actions", "environments"}``."""
    raw = plain_json(data)
    if not isinstance(raw, dict):
        return
    files: dict[str, bytes] = {}
    told = json.dumps(raw.get("run"))
    for kind in ("actions", "environments"):
        items = raw.get(kind)
        for number, item in enumerate(items if isinstance(items, list) else ()):
            with suppress(ValueError):
                content = canonical(item)
                name = hashlib.sha256(content).hexdigest()
                told = told.replace(f"{kind}-{number}", f"sha256:{name}")
                files[f"{kind}/{name}.json"] = content
    begun = json.loads(told)
    try:
        folder = record_folder(str(begun["run"]), float(begun["started"]))
    except (OverflowError, OSError, ValueError, TypeError, KeyError):
        return
    files = {f"{folder}/{name}": content for name, content in {**files, "run.json": told.encode()}.items()}
    found = run_in(files)
    if found is not None:
        into_index(found, files)


def into_index(found: Run, files: dict[str, bytes]) -> None:
    actions = {
        digest_of(content): Preimage(content, decode_action(content))
        for path, content in files.items()
        if "/actions/" in path
    }
    kept = index()
    put_runs(kept, [RecordedRun(found, OID, actions)])
    row = run_row(kept, found.id)
    assert row is not None
    safe(repr(row))


_used = [0]
_index: list[Index] = []


def index() -> Index:
    """An index in memory, a new one now and then."""
    _used[0] += 1
    if not _index or _used[0] % 500 == 0:
        if _index:
            _index.pop().close()
        with tempfile.TemporaryDirectory() as folder:
            _index.append(Index(os.path.join(folder, "index.db")))
            _index[0].detach()
    return _index[0]


def action(data: bytes) -> None:
    found = decode_action(data)
    check_action(found)
    assert found.preimage() == data
    changes_between(an_action(), found, {})


@cache
def an_action() -> Action:
    return decode_action(golden("action-2-values.json")[0])


def description(data: bytes) -> None:
    found = decode_description(data)
    encode_description(found)
    other = decode_description(golden("environment-2.json")[0])
    one, two = (an_action()._replace(environment=from_hex(digit * 64)) for digit in "01")
    for before, after in ((found, other), (other, found)):
        for change in changes_between(one, two, {one.environment: before, two.environment: after}):
            safe(repr(change))


def tree(data: bytes) -> None:
    assert encode_tree(decode_tree(data)) == data


def pack(data: bytes) -> None:
    decode_index(data)
    list(contents_of(data))


def good_pack() -> bytes:
    contents = [b"one", b"two" * 100, b""]
    return encode_index([StoredObject(digest_of(content), len(content)) for content in contents]) + b"".join(contents)


# -- what servers and clusters say


def lfs_server() -> LfsClient:
    server = LfsClient(RemoteSpec("lfs", "lfs"), cast(Location, None), Endpoint("https://host/info/lfs"))
    server._http = cast(Any, SimpleNamespace(accepted=lambda: None))
    return server


BATCH = {
    "transfer": "basic",
    "objects": [
        {
            "oid": HEX,
            "size": 5,
            "authenticated": True,
            "actions": {
                "download": {"href": "https://host/x", "header": {"Authorization": "Bearer x"}, "expires_in": 60},
                "upload": {"href": "/relative", "expires_at": "2026-11-10T15:29:07Z"},
                "verify": {"href": "https://host/v"},
            },
        },
        {"oid": "cd" * 32, "size": 1, "error": {"code": 404, "message": "not there"}},
    ],
    "message": "no object",
}


def lfs_batch(data: bytes) -> None:
    answer = json_in(data)
    server = lfs_server()
    with suppress(GitmlError):
        server._take("download", [STORED], 404, answer)
    with suppress(GitmlError):
        server._take("upload", [STORED], 200, answer)
    server._take("download", [STORED], 200, answer)


def lfs_access(data: bytes) -> None:
    without_secrets(data.decode("utf-8", "surrogateescape"))
    access_in(data, "host")


def lfs_url(data: bytes) -> None:
    """What `.lfsconfig` has as ``lfs.url``, which git reads for us."""
    assert endpoint_in(data.decode("utf-8", "surrogateescape").strip()).shown is not None


def lfs_pointer(data: bytes) -> None:
    found = parse_lfs_pointer(data)
    if is_pointer(data):
        assert found is None or pointed_at(data, "x") == found


def git_tree(data: bytes) -> None:
    with suppress(ValueError):
        parse_tree(data, 32)
    parse_tree(data, 20)


def event(data: bytes) -> None:
    event_from_bytes(data, "events/2026/11/01/aa/aa" + "aa" * 7 + ".json")


def frames(data: bytes) -> None:
    with suppress(ValueError):
        Frames().feed(data)
    for message in Frames().feed(frame(plain_json(data))):
        if isinstance(message, dict):
            decode_task(message, {})
        else:
            finished_from_json(message)


def job_lines(data: bytes) -> None:
    list(job_events(data.decode("utf-8", "replace").split("\n")))


def head_says(data: bytes) -> None:
    versions_in(data)
    grows_the_old_way(data)
    text = data.decode("utf-8", "replace")
    refusal_in(text)
    description_in(text, EnvironmentSource(ON_HOST))


# -- what steps make


def metrics(data: bytes) -> None:
    for format in (None, *PARSERS):
        try:
            measured = read_metrics(BytesIO(data), "m", format)
        except InputError:
            continue
        assert all(line.isprintable() for line in map(safe, measured.remarks))
        assert len(measured.labels) <= LABELS_MOST


def plot(data: bytes) -> None:
    can_be_plot(data[:65536], whole=len(data) < 65536)
    parse_plot(data)
    picture_of(data)
    for name in ("x.csv", "x.tsv", "x", "x.json"):
        preview_of(data[: 128 << 10], len(data), bool(len(data) % 2), name)


# -- all of them


LIST = b'["a", 1, 2.5e3, true, {"name": "x", "n": {"m": [1, null]}}, {"k": "\\u00e4"}]'


def made_list(data: bytes) -> None:
    """A list that a step made, and the combinations that it gives, whose labels can be written anywhere."""
    matrix = Matrix((Axis("a", source=Ref("steps", "s", "o")),))
    made = read_list(digest_of(data), data)
    for one in combinations_of(matrix, {}, {ListSource("s", "o"): made}):
        json.dumps(one.values).encode()
        one.label.encode()


@cache
def surfaces() -> dict[str, Surface]:
    """Every surface by its name."""
    found = [surface for make in (_project, _records, _servers, _clusters, _made) for surface in make()]
    return {surface.name: surface for surface in found}


def _tokens(*texts: str) -> list[bytes]:
    return [text.encode() for line in texts for text in line.split(" ")]


PIPELINE_WORDS = _tokens(
    "name: help: experiment: params: inputs: env: environment: sandbox: steps: code: target: run: shell: outputs: after: retries:",
    "timeout: reuse: resources: matrix: module: nodes: processes: type: default: min: max: choices: path: file directory metrics",
    "plot strict normal bash sh str int float bool ${{params.n}} ${{inputs.raw}} ${{outputs.o}} ${{steps.a.outputs.o}}",
    "${{steps.b[*].outputs.o}} ${{matrix.model}} host 10m 8GiB 0.5 1e3 0x10 010 yes & * | > ? !!str !!binary %YAML --- ...",
)
CONDA_WORDS = _tokens(
    "version: 1 3 4 5 6 7 environments: default: packages: platforms: linux-64: conda: pypi: conda_source: kind: url: path: sha256:",
    "../x /x file:///x https://a:b@c/d/e-1-0.conda @EXPLICIT #md5 metadata: package: manager: pip category: &a *a - {pip: [-e .]}",
)
CONDA_ENVIRONMENT = b"""\
name: mine
channels: [conda-forge, defaults]
platforms: [linux-64]
dependencies:
- python=3.12
- conda-forge::numpy >=1.26,<2
- pip:
  - idna>=3
variables: {A: b}
"""
NOTEBOOK = json.dumps(
    {
        "metadata": {"kernelspec": {"name": "python3", "language": "python"}},
        "cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["%time a\n", "import b"]}],
        "worksheets": [{"cells": [{"cell_type": "code", "input": "x = !ls\nimport a"}]}],
    }
).encode()
PARAMS = {
    "yaml": [
        b"# top\ntrain:\n  lr: 1e-3   # small\n  layers:\n  - 64\n  - {a: b}\n\ndata: {seed: 7, 'odd key': [x, y]}\n",
        b"a: &one {x: 1}\nb: *one\nc:\n  <<: *one\n  y: 2\nd: |\n  two\n  lines\n\ne: >-\n  f\nf:\n",
    ],
    "toml": [
        b"# top\ntitle = 'x'\n[train]  # t\nlr = 0.1\nwide.deep = 2\n[[runs]]\na = [1, 2]\n[[runs]]\nb = {c = 1}\n"
    ],
    "json": [b'{"train": {"lr": 1e-3, "layers": [64, {"a": null}]}, "data": "x"}'],
}
REFUSED = (ValueError, GitmlError)


def read_conda(data: bytes) -> CondaLock:
    """What a lock of conda packages has."""
    return read_lock("a.lock", data, "linux-64")


def _project() -> list[Surface]:
    examples = files("examples/*/pipelines/*.yaml") + files("gitml/demo_project/pipelines/*.yaml")
    modules = files("examples/modules/modules/*/module.yaml")
    shells = _tokens("mkdir rm touch cd test && || <<EOF <<-'E' $(( )) $' {a,b}")
    pins = _tokens("== === >= @ ; --hash=sha256: [extra] -e -r # python_version file: -i")
    words = _tokens(
        "a: b: [1, 2] {x: y} - & * <<: &a *a | > |+ >- 'q' \"d\" # ~ null on 010 1e-3 ? !!str [t] [[t]] a.b = 2020-01-01 inf"
    )
    projects = _tokens("[ ] { } = ' \" : , find: file: attr: . ../ hatchling poetry pdm flit uv_build maturin")
    return [
        Surface("pipeline", pipeline, Mutator([PIPELINE, USES, *examples], "lines", PIPELINE_WORDS)),
        Surface("config", config, Mutator([CONFIG, *files("examples/*/gitml.yaml")], "lines", PIPELINE_WORDS)),
        *(
            Surface(f"params {name}", config_file(f"params.{name}"), Mutator(texts, "lines", words))
            for name, texts in PARAMS.items()
        ),
        Surface("module", parse_module, Mutator(modules, "lines", PIPELINE_WORDS)),
        Surface("lock", parse_lock, Mutator([LOCK], "json")),
        Surface(
            "requirements",
            lambda data: parse_requirements("r", data).packages(),
            Mutator([REQUIREMENTS], "lines", pins),
        ),
        Surface(
            "conda lock",
            lambda data: read_conda(data).contents(),
            Mutator([text.encode() for text in (*CONDA_LOCKS.values(), EXPLICIT)], "lines", CONDA_WORDS),
        ),
        Surface(
            "conda environment",
            lambda data: read_environment_file("environment.yml", data),
            Mutator([CONDA_ENVIRONMENT], "lines", CONDA_WORDS),
        ),
        *[
            Surface(name, lambda data, file=name: settings_in({file: data}), Mutator([text], "lines", projects))
            for name, text in PROJECTS.items()
        ],
        Surface("python", imports_of, Mutator([SOURCE], "lines", _tokens("import from as ( lambda : * . async")), ()),
        Surface("notebook", lambda data: notebook_code(data, "n"), Mutator([NOTEBOOK], "json"), (InputError,)),
        Surface("cells", imports_of_notebook, Mutator([NOTEBOOK], "json"), ()),
        Surface("command", command, Mutator([SCRIPT], "lines", shells), ()),
        Surface("script", script, Mutator([SCRIPT], "lines", shells), ()),
        Surface(
            "values",
            values,
            Mutator([b"n=1\nx=0.5\nname=a b\nflag=true\nk=-3\n"], "lines", _tokens("1e5 inf nan 0x1 1_0")),
            (),
        ),
    ]


def _records() -> list[Surface]:
    told = json.loads(golden("run.json")[0])
    done = next(step for step in told["steps"] if step["outputs"])
    row = {name: done[name] for name in ("cost", "metrics", "name", "outputs", "key") if name in done}
    change = {
        "attempts": done.get("attempts", []),
        "name": done["name"],
        "outcome": "executed",
        "reason": "r",
        "seconds": 1.0,
    }
    texts = [canonical(item).decode() + "\n" for item in ({**row, "origin": "aa" * 8}, change)]
    whole = {**told, "run": "aa" * 8, "commit": OID, "base": None, "status": "succeeded", "modules": {}}
    plain = json.loads(golden("action-2-values.json")[0]) | {
        "argv": ["true"], "environment": f"sha256:{HEX}", "module": None, "code": [["a.py", "100644", OID]],
        "inputs": [["a", "data/a", "file", f"git:100644:{OID}"]], "outputs": [["o", ".gitml/out/o", "file"]], "params": [["n", 1]],
        "env": [["A", "1"], ["B", None]],
    }  # fmt: skip
    made = {
        **done, "name": "made[a]", "outcome": "executed", "key": "actions-0",
        "outputs": {"o": {"digest": f"sha256:{HEX}", "kind": "file", "size": 3}},
    }  # fmt: skip
    record_seed = {
        "run": {**whole, "steps": [made]},
        "actions": [plain],
        "environments": [json.loads(golden("environment-2.json")[0])],
    }
    runs = [json.dumps({**whole, "steps": told["steps"]}).encode(), *golden("run.json")]
    actions = golden("action-2-plain.json", "action-2-values.json", "action-2-shell.json")
    trees = golden("tree-kinds.bin", "tree-names.bin", "tree-empty.bin")
    return [
        Surface("run", run, Mutator(runs, "json"), REFUSED),
        Surface(
            "rows",
            rows,
            Mutator([json.dumps({"rows": [[texts[0], 1]], "changes": [[texts[1], 1]]}).encode()], "json"),
            REFUSED,
        ),
        Surface("record", record, Mutator([json.dumps(record_seed).encode()], "json"), REFUSED),
        Surface("action", action, Mutator([*actions, canonical(plain)], "json", (), canonical), REFUSED),
        Surface("environment", description, Mutator(golden("environment.json", "environment-2.json"), "json"), REFUSED),
        Surface("result", decode_result, Mutator(golden("result.json"), "json"), REFUSED),
        Surface("tree", tree, Mutator(trees, "bytes", _tokens("f d l x")), REFUSED),
        Surface("git tree", git_tree, Mutator([b"100644 a\0" + b"x" * 20 + b"40000 b\0" + b"y" * 20]), REFUSED),
    ]


def _servers() -> list[Surface]:
    manifest = golden("manifest.json")
    of = from_hex(json.loads(manifest[0])["tree"])
    note = json.dumps({"format": 1, "epoch": 3, "doomed": {HEX: 1.5}, "store": "x"}).encode()
    authenticated = json.dumps({"href": "https://host/lfs", "header": {"Authorization": "x"}, "expires_in": 5}).encode()
    urls = [
        b"https://u:p@host/x.git/info/lfs",
        b"ssh://git@host:2222/x.git",
        b"git@host:x.git",
        b"file:///srv/x%20y",
        b"http://[::1]:80/x",
    ]
    pointers = [f"version https://git-lfs.github.com/spec/v1\noid sha256:{HEX}\nsize 5\n".encode()]
    common = {"format": 1, "id": "aa" * 8, "at": "2026-11-01T00:00:00.000000Z", "by": "me"}
    published = {
        **common, "event": "publish", "module": "count", "version": "1.0.0", "content": f"git:{OID}", "tags": ["a"], "reason": "r",
        "commit": OID, "path": "mods/count", "interface": {
            "inputs": {"a": {"type": "file", "optional": True}}, "outputs": {"o": {"type": "metrics", "help": "h"}},
            "params": {"n": {"type": "int", "default": 1, "min": 0, "max": 5, "choices": [1, 2]}},
        },
    }  # fmt: skip
    events = [
        json.dumps(item).encode()
        for item in (published, {**common, "event": "disable", "module": "o/n", "version": None})
    ]
    return [
        Surface("manifest", lambda data: decode_manifest(data, of), Mutator(manifest, "json"), REFUSED),
        Surface("pack", pack, Mutator([good_pack(), *golden("pack.bin")]), REFUSED),
        Surface("gc note", decode_note, Mutator([note], "json"), REFUSED),
        Surface("lfs batch", lfs_batch, Mutator([json.dumps(BATCH).encode()], "json")),
        Surface("lfs access", lfs_access, Mutator([authenticated], "json")),
        Surface(
            "lfs url", lfs_url, Mutator(urls, "bytes", _tokens("ssh:// http://[ :99999 @ git+ssh:// ~/ %00 file://"))
        ),
        Surface("lfs pointer", lfs_pointer, Mutator(pointers, "lines")),
        Surface("registry event", event, Mutator(events, "json")),
    ]


def _clusters() -> list[Surface]:
    output, log = ["o", "file", f"sha256:{HEX}", 5, False], [f"sha256:{HEX}", 3, 3]
    finished = [
        "0-1", "done", 0, None, None, [output], {"m": 0.5}, [1.0, 0.5, 1024], log, [], "host", [], ["note"], [output], ["w"], ["x"],
        True, False, [], {"model": "svm"},
    ]  # fmt: skip
    reported = json.dumps(["node", "host", finished, [["x", 5]], 0, False]).encode()
    asked = json.dumps(
        [
            "0.1",
            "aa" * 8,
            "0-1",
            ["/cache"],
            5.0,
            0.0,
            "hub",
            {"op": "run"},
            [["s", "s3://b/p", {}, True]],
            [[output, True]],
            [["s", "s3://b/p", {}, True]],
        ]
    ).encode()
    message = {
        "op": "run", "attempt": "0-1", "action": golden("action-2-plain.json")[0].decode(), "timeout": 1.0, "strict": False, "log": "x",
        "devices": None, "lent": {}, "network": "full", "secrets": {"A": "x"}, "masked": ["xyz"],
        "environment": [f"sha256:{HEX}", {"kind": "host"}, None],
    }  # fmt: skip
    told = {**json.loads(golden("run.json")[0]), "commit": OID, "base": None}
    said = [
        {"gitml": 1, "RunStarted": [{"Run": {**told, "steps": []}}, ["a", "b"]]},
        {"gitml": 1, "StepsKnown": [["a", "b[x]", "b[y]"]]},
        {"gitml": 1, "StepStarted": ["a", "never ran", 1]},
        {"gitml": 1, "StepFinished": [{"StepRun": told["steps"][0]}]},
        {"gitml": 1, "LogText": ["a", "0-1", base64.b64encode(b"text").decode()]},
        {"gitml": 1, "RecordFile": ["runs/x/run.json", base64.b64encode(b"{}").decode()]},
        {"gitml": 1, "Kept": ["node", "/x/objects", [[f"sha256:{HEX}", 5]]]},
        {"gitml": 1, "Transferring": ["upload", "r", 1, 2, 3, 4, 0.5, None]},
        {"gitml": 1, "Ended": [1, {"code": "x", "message": "m", "where": None, "hint": None}]},
        {"gitml": 1, "Part": [0, 1, "x"]},
    ]
    heads = [
        json.dumps({"ray_version": "2.40", "python_version": "3.11"}).encode(),
        json.dumps(
            {"autoscaler_report": {"active_nodes": {"node_" + "a" * 56: 1}, "pending_launches": {"x": 1}}}
        ).encode(),
        json.dumps(["no such program", "a hint"]).encode(),
        *golden("environment-2.json"),
    ]
    return [
        Surface("ray report", decode_report, Mutator([reported], "json"), REFUSED),
        Surface("ray order", decode_request, Mutator([asked], "json"), REFUSED),
        Surface(
            "worker frames",
            frames,
            Mutator([json.dumps(finished).encode(), json.dumps(message).encode()], "json"),
            REFUSED,
        ),
        Surface("job output", job_lines, Mutator([json.dumps(item).encode() for item in said], "json"), ()),
        Surface("ray head", head_says, Mutator(heads, "json"), (RemoteError,)),
    ]


def _made() -> list[Surface]:
    tables = [
        b"step,loss,acc\n1,0.5,0.1\n2,0.4,0.2\n3,nan,\n", b"a\tb\n1\t2\n", b'[{"x": 1, "y": 2.5}, {"x": 2, "y": null}]',
        b'{"epoch": [1, 2], "loss": [0.1, 0.2]}', b'{"data": [{"a": 1}]}', b"<svg width='10' height='20' viewBox='0 0 1 1'></svg>",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10", b"\xff\xd8\xff\xe0\0\x10JFIF\0\xff\xc0\0\x11\x08\0\x10\0\x10",
        b"GIF89a\1\0\1\0", b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\1\0\0\1\0\0", b"<!doctype html><p>x", b"name;value\nx;1\ny;2\n",
    ]  # fmt: skip
    measured = [
        b'{"acc": 0.9, "n": 3, "ok": true, "nested": {"a": {"b": 1e-5}}, "word": "NaN", "text": "x", "none": null}'
    ]
    return [
        Surface("metrics", metrics, Mutator(measured, "json")),
        Surface("list", made_list, Mutator([LIST], "json"), (InputError,)),
        Surface("plot", plot, Mutator(tables, "lines"), ()),
    ]
