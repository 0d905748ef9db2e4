"""Records as a forger could push them: real ones, of a run with ports of every kind, changed in more than a hundred ways."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.tree import TreeEntry, encode_tree
from gitml.records.layout import record_folder
from tests.kit.attacks.forged_records import Files
from tests.kit.attacks.mutators import Mutator
from tests.kit.output_maker import PORTS, PROGRAM

Change = Callable[[Files], Files]
KINDS = [kind for kind in PORTS if kind != "many"]
CANARY = "CANARY"
TOUCH = f"touch {CANARY}"
BAD = "\x1b]0;owned\x07\x1b[2J\u202e\udc80\n"
_OUTPUTS = ", ".join(f"{kind}: {{type: {PORTS[kind]}, path: made/{kind}}}" for kind in KINDS)
_WORDS = " ".join(f"{kind} 600 s ${{{{ outputs.{kind} }}}}" for kind in KINDS)
PIPELINE = f"""\
params: {{note: a, size: 5}}
inputs: {{data: data.csv}}
steps:
  all:
    run: python3 make.py ${{{{ params.note }}}} 40 0 {_WORDS}
    outputs: {{{_OUTPUTS}}}
  use:
    matrix: {{n: [1, 2]}}
    shell: sh
    run: |
      ls -R ${{{{ steps.all.outputs.nested }}}} > ${{{{ outputs.o }}}}; cat ${{{{ inputs.data }}}} >> ${{{{ outputs.o }}}}
      echo '{{"m": 0.${{{{ matrix.n }}}}}}' > ${{{{ outputs.m }}}}
    outputs: {{o: file, m: metrics}}
  bad:
    shell: sh
    run: |
      echo half > ${{{{ outputs.o }}}}; exit 3
    outputs: {{o: file}}
"""
FILES = {
    "pipelines/p.yaml": PIPELINE,
    "make.py": PROGRAM,
    "data.csv": "a,b\n1,2\n",
    "gitml.yaml": "defaults: {pipeline: p}\n",
}


def hexed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def told(files: Files) -> dict[str, Any]:
    """What run.json says."""
    said: dict[str, Any] = json.loads(files["run.json"])
    return said


def says(files: Files, run: dict[str, Any]) -> Files:
    return {**files, "run.json": json.dumps(run).encode()}


def top(**change: Any) -> Change:
    """Another value of a key of run.json."""
    return lambda files: says(files, {**told(files), **change})


def step(of: str = "all", **change: Any) -> Change:
    """Another value of a key of a step."""

    def apply(files: Files) -> Files:
        run = told(files)
        for one in run["steps"]:
            if one["name"] == of:
                one.update(change)
        return says(files, run)

    return apply


def output(port: str = "file", **change: Any) -> Change:
    """Another value of a key of an output."""

    def apply(files: Files) -> Files:
        run = told(files)
        run["steps"][0]["outputs"][port].update(change)
        return says(files, run)

    return apply


def attempt(**change: Any) -> Change:
    def apply(files: Files) -> Files:
        run = told(files)
        run["steps"][0]["attempts"][0].update(change)
        return says(files, run)

    return apply


def action(**change: Any) -> Change:
    """The Action of the step that makes all says something else, under its right name."""

    def apply(files: Files) -> Files:
        run = told(files)
        old = run["steps"][0]["key"][7:]
        content = json.dumps(
            {**json.loads(files[f"actions/{old}.json"]), **change}, sort_keys=True, separators=(",", ":")
        )
        new = hexed(content.encode())
        rest = {path: data for path, data in files.items() if path != f"actions/{old}.json"}
        return {
            **rest,
            "run.json": files["run.json"].replace(old.encode(), new.encode()),
            f"actions/{new}.json": content.encode(),
        }

    return apply


def environment(content: bytes) -> Change:
    """Every Action has this for its environment."""

    def apply(files: Files) -> Files:
        files = {path: data for path, data in files.items() if not path.startswith("environments/")}
        files = action(environment=f"sha256:{hexed(content)}")(files)
        return {**files, f"environments/{hexed(content)}.json": content}

    return apply


def holds(port: str, *contents: bytes, size: int | None = None) -> Change:
    """An output is the first of `contents`; all of them come with the record."""

    def apply(files: Files) -> Files:
        changed = output(port, digest=digest_of(contents[0]), size=len(contents[0]) if size is None else size)(files)
        return {**changed, **{f"outputs/{hexed(content)}": content for content in contents}}

    return apply


def tree(*entries: tuple[bytes, str, bytes]) -> bytes:
    return encode_tree([TreeEntry(name, kind, digest_of(content), len(content)) for name, kind, content in entries])


def holds_tree(*entries: tuple[bytes, str, bytes]) -> Change:
    listing = tree(*entries)
    return holds(
        "flat", listing, *[content for _, _, content in entries], size=sum(len(content) for *_, content in entries)
    )


def chain(levels: int, width: int) -> Change:
    """Listings that name the one before them again and again."""
    listings = [encode_tree([])]
    for _ in range(levels):
        digest: Digest = digest_of(listings[-1])
        listings.append(encode_tree([TreeEntry(b"%03d" % n, "d", digest, 0) for n in range(width)]))
    return holds("flat", *reversed(listings), size=0)


def logs(content: bytes, written: int | None = None) -> Change:
    def apply(files: Files) -> Files:
        log = {"digest": digest_of(content), "size": len(content), "written": written or len(content)}
        return {**attempt(log=log)(files), f"logs/{hexed(content)}": content}

    return apply


def adds(**files: bytes) -> Change:
    return lambda had: {**had, **{name.replace("__", "/"): content for name, content in files.items()}}


CONFIG = f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {TOUCH}; false\n".encode()
HEAD = b"ref: refs/heads/main\n"
DOTGIT = tree(
    (b"HEAD", "f", HEAD), (b"config", "f", CONFIG), (b"objects", "d", encode_tree([])), (b"refs", "d", encode_tree([]))
)
EMPTY = encode_tree([])
ZEROS, NINES = "0" * 64, "9" * 400
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='99999999' height='99999999'><script>x</script></svg>"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x06\0\0\0" + b"\0" * 40
NAMES = [".git", ".GIT", "git~1", ".git ", ".g\u200cit", ".git::$INDEX_ALLOCATION"]
ODD = [".envrc", ".gitattributes", ".vscode", "-rf", "a\nb", "\x1b[2J", "\u202egpj.exe", "nul\udcff"]


def mutations() -> dict[str, Change]:
    """Every change by its name. Each is of a record of its own."""
    return {
        **dict(_of_the_run()),
        **dict(_of_steps()),
        **dict(_of_actions()),
        **dict(_of_contents()),
        **dict(_of_files()),
    }


def _of_the_run() -> Iterator[tuple[str, Change]]:
    for key in (
        "pipeline",
        "path",
        "experiment",
        "message",
        "by",
        "host",
        "version",
        "branch",
        "error",
        "commit",
        "base",
    ):
        for name, value in {
            "escapes": BAD,
            "a path": "../../x",
            "an option": f"--upload-pack={TOUCH}",
            "a list": ["x"],
        }.items():
            yield f"{key}: {name}", top(**{key: value})
    yield "commit: of 40 letters", top(commit=f"--upload-pack={TOUCH};".ljust(40, "x")[:40])
    yield "commit: a secret", top(commit="HEAD:data.csv".ljust(40, "\n")[:40])
    yield "tags: escapes", top(tags=[BAD, "-rf", "$(touch CANARY)", "x" * 100_000])
    yield "tags: many", top(tags=[str(n) for n in range(20_000)])
    yield "params: names", top(params={BAD: 1, "--x": 2, "": 3})
    yield "params: values", top(params={"note": BAD, "size": 10**4000})
    yield (
        "params: no number",
        lambda files: {**files, "run.json": files["run.json"].replace(b'"size": 5', b'"size": NaN')},
    )
    yield "selected: escapes", top(selected=[BAD, "../x"])
    yield "options: deep", top(options={"a": json.loads("[" * 900 + "]" * 900)})
    yield "options: on", top(options={"on": BAD})
    yield "times: far", top(started=4e9, ended=-1e300)
    yield "times: backwards", top(ended=0.0)
    yield "modules: a revision", top(modules={"m@1": {"name": "m", "content": "git:HEAD"}})
    yield "modules: escapes", top(modules={BAD: {"name": BAD, "version": BAD, "content": "git:" + "0" * 40}})
    yield (
        "modules: gone",
        top(modules={"m@1": {"name": "m", "version": "1", "content": "git:" + "0" * 40, "registry": ""}}),
    )
    yield "status: failed", top(status="failed", error=BAD)
    yield "another host's clock", top(seconds=-5, unknown={"a": [1]})


def _of_steps() -> Iterator[tuple[str, Change]]:
    for value in ("../../x", "-rf", BAD, "", "a" * 500, "a[b", "x/y", "all[" + BAD + "]"):
        yield f"step: {value[:12]!r}", step(name=value)
    for value in (BAD, "x" * 1_000_000, f"$({TOUCH})"):
        yield f"reason: {value[:12]!r}", step(reason=value, error=value)
    for name, value in {
        "no digest": "sha256:../../etc/passwd", "another": "sha256:" + ZEROS, "none": None, "a number": 5,
    }.items():  # fmt: skip
        yield f"key: {name}", step(key=value)
        yield f"output digest: {name}", output(digest=value)
    for name, value in {"none": None, "too large": 2**63, "huge": 2**62, "negative": -1, "a fraction": 0.5}.items():
        yield f"output size: {name}", output(size=value)
        yield f"tree size: {name}", output("nested", size=value)
    for kind in ("directory", "metrics", "plot", BAD, "../x"):
        yield f"output kind: {kind[:10]!r}", output(kind=kind)
    yield "output kind: a tree that is a file", output("nested", kind="file")
    for port in ("..", ".git", "a/b", BAD, "", "-rf"):
        yield f"port: {port[:10]!r}", lambda files, port=port: says(files, _with_port(told(files), port))
    yield "metrics: names", step(metrics={BAD: 1.0, "../x": 2, "": 3})
    yield "metrics: many", step(metrics={f"m{n}": n for n in range(30_000)})
    yield "metrics: no numbers", step(metrics={"a": "x", "b": [], "c": 10**400})
    yield "metrics: words", step(metrics={"a": "NaN", "b": "-Infinity"})
    yield "origin: itself", lambda files: step(outcome="reused", origin=told(files)["run"])(files)
    yield "origin: nobody", step(outcome="reused", origin="f" * 16)
    yield "origin: a path", step(outcome="reused", origin="../../../x")
    yield "cost: huge", step(cost={"cpu": 1e308, "wall": -1e308, "peak_memory": 2**62})
    yield "cost: none", step(cost={"cpu": "x"})
    yield "guarantees: escapes", step(guarantees={BAD: BAD})
    yield "attempt: a path", attempt(id="../../../x")
    yield "attempt: escapes", attempt(error=BAD, machine=BAD, target=BAD, exit_code=10**30)
    yield "attempt: no code", attempt(exit_code=[1])
    yield (
        "attempt: partial",
        attempt(outcome="failed", partial={"file": {"digest": "sha256:" + ZEROS, "kind": "directory", "size": 1}}),
    )
    yield "attempts: many", lambda files: step(attempts=told(files)["steps"][0]["attempts"] * 5000)(files)
    yield "steps: many", lambda files: says(files, _with_many(told(files)))
    yield "steps: none", top(steps=[])
    yield "steps: in files that are not there", top(format=2, steps={"rows": [[ZEROS, 3]], "changes": []})
    yield "steps: in a file of no rows", lambda files: {
        **top(format=2, steps={"rows": [[hexed(b"1\n"), 1]], "changes": []})(files), f"steps/{hexed(b'1' + chr(10).encode())}.jsonl": b"1\n",
    }  # fmt: skip


def _with_port(run: dict[str, Any], port: str) -> dict[str, Any]:
    outputs = run["steps"][0]["outputs"]
    outputs[port] = outputs.pop("file")
    return run


def _with_many(run: dict[str, Any]) -> dict[str, Any]:
    one = run["steps"][-1]
    run["steps"] += [{**one, "name": f"more[{n}]"} for n in range(3000)]
    return run


def _of_actions() -> Iterator[tuple[str, Change]]:
    outputs = [[kind, f"made/{kind}", PORTS[kind]] for kind in KINDS]
    for mount in (".git", ".git/hooks/pre-commit", "sub/.GIT/config", "../x", "/tmp/x", "a\nb", "a//b", "~/x", ""):
        yield f"mount: {mount!r}", action(outputs=[["file", mount, "file"], *outputs[1:]])
    for mount in (
        ".envrc",
        ".vscode/tasks.json",
        ".gitattributes",
        "-rf",
        "\u202egpj",
        "pipelines/p.yaml",
        "make.py",
        ".github/x",
    ):
        yield f"mount that may be: {mount!r}", action(outputs=[["file", mount, "file"], *outputs[1:]])
    yield "a mount in another's", action(outputs=[["file", "made/flat/x", "file"], *outputs[1:]])
    yield "one mount for all", action(outputs=[[kind, "made/x", PORTS[kind]] for kind in KINDS])
    yield "argv: escapes", action(argv=["sh", "-c", TOUCH, BAD])
    yield "argv: none", action(argv=[])
    yield "argv: long", action(argv=["x" * 3_000_000])
    yield "inputs: a revision", action(inputs=[["data", "data.csv", "file", "git:100644:HEAD:data.csv"]])
    yield "inputs: what is not here", action(inputs=[["data", "data.csv", "file", "git:100644:" + "0" * 40]])
    yield "inputs: a path", action(inputs=[["data", "../../etc/passwd", "file", "sha256:" + ZEROS]])
    yield "code: a path", action(code=[["../../etc/passwd", "100644", "0" * 40]])
    yield "code: escapes", action(code=[["a\x1b[2Jb\udc80", "100644", "0" * 40]])
    yield "code: much", action(code=[[f"f{n}", "100644", "0" * 40] for n in range(50_000)])
    yield "env: escapes", action(env=[["LD_PRELOAD", BAD], ["A\nB", "x"]])
    yield "module: gone", action(module="0" * 40)
    yield "module: a revision", action(module="HEAD")
    yield "gang: huge", action(gang=[10**9, 10**9])
    yield "params: others", action(params=[["note", 10**300], ["size", True]])
    yield "a format of later", action(format=99)
    descriptions = [
        b"[]", b"1", b"{", b'{"kind": ' * 3000, b'{"distributions": [1, 2]}', b'{"contents": {"a": {}}}', b'{"programs": {"sh": []}}',
        b'{"repository": {"imports": [[1]]}}', json.dumps({"kind": BAD, "distributions": [BAD], "format": 2}).encode(), b'{"format": 3}',
        json.dumps({"distributions": [f"p{n} 1" for n in range(50_000)], "format": 2}).encode(),
    ]  # fmt: skip
    for number, content in enumerate(descriptions):
        yield f"environment {number}", environment(content)


def _of_contents() -> Iterator[tuple[str, Change]]:
    for name in NAMES:
        raw = name.encode("utf-8", "surrogateescape")
        yield (
            f"a tree with {name!r}",
            holds_tree((b"a", "f", b"a"), (raw, "d", DOTGIT)),
        )
    yield "a tree with .git deep", holds_tree((b"a", "d", tree((b"b", "d", tree((b".git", "f", b"gitdir: /x"))))))
    yield "a bare repository", holds(
        "flat", DOTGIT, HEAD, CONFIG, EMPTY, size=len(HEAD) + len(CONFIG),
    )  # fmt: skip
    for name in ODD:
        yield f"a tree with {name!r}", holds_tree((name.encode("utf-8", "surrogateescape"), "f", TOUCH.encode()))
    for target in (b"/etc/passwd", b"../../../x", b"..", b"", b"\0", b"a" * 5000):
        yield f"a link to {target[:12]!r}", holds_tree((b"link", "l", target))
    yield "a link, and a file through it", holds_tree((b"l", "l", b"x"), (b"x", "d", EMPTY))
    yield "a tree that is none", holds("flat", b"no tree at all")
    yield "a tree of trees without end", chain(60, 2)
    yield "a tree too deep", chain(400, 1)
    yield "a tree too wide", chain(4, 300)
    yield "a listing of another size", holds("flat", tree((b"a", "f", b"a")), b"a", size=12345)
    yield "a listing that lacks a file", holds("flat", tree((b"a", "f", b"not here")), size=8)
    yield (
        "a listing out of order",
        holds("flat", b"gitml tree 1\nf " + ZEROS.encode() + b" 1 b\0f " + ZEROS.encode() + b" 1 a\0", size=2),
    )
    yield "a listing of a path", holds("flat", b"gitml tree 1\nf " + ZEROS.encode() + b" 1 ../x\0", size=1)
    for name, content in {
        "escapes": BAD.encode("utf-8", "surrogatepass") * 100, "NUL": b"\0" * 200_000, "deep": b"[" * 200_000, "no JSON": b"{",
        "huge numbers": b'{"a": ' + NINES.encode() + b"}", "a long line": b"x" * 250_000, "many lines": b"\n" * 250_000,
        "a picture": SVG, "a bomb of a picture": PNG, "html": b"<html><script>x</script>" + b"<b>" * 50_000,
        "a wide table": b",".join([b"c"] * 100_000) + b"\n" + b",".join([b"1"] * 100_000), "entities": b"<!DOCTYPE svg [<!ENTITY a 'aaaa'>]><svg>&a;</svg>",
    }.items():  # fmt: skip
        yield f"metrics that are {name}", holds("metrics", content)
        yield f"a plot that is {name}", holds("plot", content)
    for name, content in {
        "escapes": BAD.encode("utf-8", "surrogatepass") * 500,
        "one line": b"x" * 4_000_000,
        "returns": b"\r" * 500_000,
    }.items():
        yield f"a log of {name}", logs(content)
    yield "a log of another size", logs(b"short", written=2**62)


def _of_files() -> Iterator[tuple[str, Change]]:
    yield "reproductions: deep", adds(reproductions__x=b"[" * 100_000)
    yield "reproductions: a list", adds(**{"reproductions__" + "f" * 16 + ".json": b"[1, 2]"})
    yield "pointers: huge", adds(**{f"trees__{ZEROS}-{ZEROS}-{'9' * 18}": b""})
    yield "pointers: many", adds(**{f"trees__{n:064x}-{ZEROS}-{n}": b"" for n in range(2000)})
    yield "files of later", adds(items__x=b"later", provenance__y=b"later")
    yield "an output of no name", adds(outputs__x=b"x")
    yield "no run.json", lambda files: {path: data for path, data in files.items() if path != "run.json"}
    yield "no actions", lambda files: {path: data for path, data in files.items() if not path.startswith("actions/")}
    yield "no outputs", lambda files: {path: data for path, data in files.items() if not path.startswith("outputs/")}
    yield (
        "no environments",
        lambda files: {path: data for path, data in files.items() if not path.startswith("environments/")},
    )
    yield "utf-16", lambda files: {**files, "run.json": files["run.json"].decode().encode("utf-16")}
    yield (
        "two keys of one name",
        lambda files: {**files, "run.json": files["run.json"].replace(b'{"b', b'{"run": "x", "b', 1)},
    )


def by_chance(number: int) -> Change:
    """A run.json changed at random, the same for the same number."""

    def apply(files: Files) -> Files:
        mutator = Mutator([files["run.json"]], "json")
        chance = Random(f"record {number}")
        for _ in range(50):
            data = mutator.made(chance)
            try:
                raw = json.loads(data)
            except (ValueError, RecursionError):
                continue
            if isinstance(raw, dict) and "steps" in raw:
                return {**files, "run.json": data}
        return files

    return apply


def forged(files: Files, run: str, number: int, change: Change) -> tuple[str, Files]:
    """(folder, files) of the record of another run, changed. What it says of its own id and day stays true."""
    id = f"{number:04x}ff00ff00ff00"
    begun = told(files)["started"]
    changed = change({**files, "run.json": files["run.json"].replace(run.encode(), id.encode())})
    try:
        begun = json.loads(changed["run.json"])["started"]
        return record_folder(id, float(begun)), changed
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, OSError):
        return record_folder(id, told(files)["started"]), changed
