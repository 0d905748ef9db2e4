"""After `gitml push` exits 0, deleting the clone loses nothing that a pushed run names, but what that push named as staying.

`PUSHES=500 make test-campaigns ARGS="-k pushes"` looks at as many.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, example, given, note, settings
from hypothesis import strategies as st

from gitml.core.model.tree import decode_tree
from tests.kit.output_maker import PORTS, PROGRAM, files_below, made
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository
from tests.kit.strategies import examples


class Output(NamedTuple):
    """An output of a step: what kind of thing and how large; `varies`: its bytes are others for each value of the parameter."""

    kind: str
    size: int
    varies: bool


class Setting(NamedTuple):
    """What `gitml.yaml` says: the limits of what a record holds, and the remote stores."""

    inline_file: int
    inline_run: int
    stores: str


class World(NamedTuple):
    """A project, what people do in it, and how Ann pushes in the end."""

    setting: Setting
    make: tuple[Output, ...]
    use: tuple[Output, ...]
    log: int
    turns: tuple[tuple[str, ...], ...]
    push: tuple[str, ...]


STORES = {
    "none": "",
    "folder": "remotes: ['file://{}/store']\n",
    "two": "remotes: [{{name: first, url: 'file://{0}/store'}}, {{name: second, url: 'file://{0}/other'}}]\n",
    "read only": "remotes: [{{name: file, url: 'file://{}/store', push: false}}]\n",
    "lfs": "remotes: lfs\n",
}
PUSHES = [
    (),
    (),
    (),
    ("--no-artifacts",),
    ("--runs", "latest"),
    ("--store", "second"),
    ("--outputs", "make.o0"),
    ("--pipeline", "p"),
    ("--since", "2020-01-01"),
]
MIXED = Setting(
    64, 300, "folder"
)  # of a directory its listing and small files are in the record, the rest in the store
LARGE = (Output("flat", 301, False), Output("metrics", 5000, False))
QUICK = [Phase.explicit, Phase.reuse, Phase.generate]  # shrinking a failure would take many minutes
limits = st.sampled_from([0, 64, 300, 2000])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    setting = Setting(draw(limits), draw(limits), draw(st.sampled_from(list(STORES))))
    around = {0, 1, 20, (1 << 20) + 1, *[limit + by for limit in setting[:2] for by in (-1, 0, 1) if limit + by >= 0]}
    sizes = st.sampled_from(sorted(around))
    outputs = st.lists(st.builds(Output, st.sampled_from(list(PORTS)), sizes, st.booleans()), min_size=1, max_size=3)
    stores = st.sampled_from(list(STORES)).map(lambda name: ("ann", "stores", name))
    people = st.sampled_from(["ann", "ann", "bob"])
    values = st.integers(0, 3).map(str)
    turns = st.one_of(
        st.tuples(people, st.just("run"), values, st.sampled_from(["", "", "fails", "--no-reuse", "use", "make"])),
        st.tuples(people, st.sampled_from(["push", "push", "pull", "gc", "drop", "commit", "fetch"])),
        st.tuples(people, st.just("push"), st.sampled_from(["--no-artifacts", "--runs=latest", "--outputs=use.*"])),
        st.tuples(st.just("ann"), st.sampled_from(["gc remote", "empty the store"])),
        stores,
    )
    return World(
        setting,
        tuple(draw(outputs)),
        tuple(draw(outputs)),
        draw(sizes),
        (("ann", "run", "0", ""), *draw(st.lists(turns, max_size=7))),
        draw(st.sampled_from(PUSHES)),
    )


class Team:
    """Ann and Bob with clones of one repository."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.world = world
        self.stores = world.setting.stores
        for name in ("store", "other"):
            (folder / name).mkdir()
        self.hub = Repository(folder / "hub.git", bare=True)
        seed = Repository(folder / "seed")
        seed.commit("begin", {"make.py": PROGRAM, "pipelines/p.yaml": self.pipeline(), "gitml.yaml": self.settings()})
        seed.git("push", "-q", self.hub.path, "main")
        self.people = {name: self.person(name) for name in ("ann", "bob")}

    def person(self, name: str) -> Project:
        self.hub.git("clone", "-q", self.hub.path, str(self.folder / name))
        return Project(self.folder / name)

    def settings(self) -> str:
        limits = self.world.setting
        records = f"records: {{inline_file: {limits.inline_file}, inline_run: {limits.inline_run}}}\n"
        return f"defaults: {{pipeline: p}}\n{records}" + STORES[self.stores].format(self.folder)

    def pipeline(self) -> str:
        def step(outputs: tuple[Output, ...], begin: str, end: str = "") -> str:
            words = [
                f"{o.kind} {o.size} {'${{ params.n }}' if o.varies else 'same'} ${{{{ outputs.o{i} }}}}"
                for i, o in enumerate(outputs)
            ]
            ports = ", ".join(f"o{i}: {PORTS[o.kind]}" for i, o in enumerate(outputs))
            return f"{{run: 'python3 make.py {begin} {' '.join(words)}{end}', outputs: {{{ports}}}}}"

        world = self.world
        taken = " empty 0 ${{ steps.make.outputs.o0 }} ${{ outputs.seen }}"
        use = step(world.use, f"- {world.log} ${{{{ params.code }}}}", taken)
        return (
            "params: {n: 0, code: 0}\nsteps:\n"
            f"  make: {step(world.make, f'${{{{ params.n }}}} {world.log} 0')}\n"
            f"  use: {use.replace('outputs: {', 'outputs: {seen: directory, ')}\n"
        )

    def turn(self, who: str, what: str, *rest: str) -> None:
        """One thing that somebody does; whether it succeeds is of no interest here."""
        one = self.people[who]
        if what == "run":
            value, how = rest
            words = ["-S", f"n={value}", "-S", f"code={int(how == 'fails')}"]
            words += [how] if how == "--no-reuse" else ["p", how] if how in ("use", "make") else []
            assert one.do("run", "-q", *words, code=None).code == int(how == "fails")
        elif what == "push":
            one.do("push", *rest, code=None)
        elif what == "pull":
            one.repo.git("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
            one.do("pull", "--runs", "latest", code=None)
        elif what == "gc":
            one.do("gc", "--keep-last", "1", code=None)
        elif what == "gc remote":
            name = {"two": "first", "folder": "file", "read only": "file"}.get(self.stores)
            if name:
                one.do("gc", "--remote", name, "--keep-last", "1", "--grace", "0s", code=None)
        elif what == "empty the store":
            # of two the one that is asked first; of Git LFS what the remote keeps
            store = self.folder / ("hub.git/lfs" if self.stores == "lfs" else "store")
            shutil.rmtree(store, ignore_errors=True)
            store.mkdir()
        elif what == "drop":
            for path in sorted((one.path / ".git/gitml/objects").glob("??/*"))[::2]:
                path.unlink()
        elif what == "commit":
            one.repo.commit("change", {f"notes-{who}.md": str(len(self.folder.name))})
        elif what == "stores":
            (self.stores,) = rest
            one.repo.commit("stores", {"gitml.yaml": self.settings()})
        else:
            one.do("fetch", code=None)


def holdings(person: Project) -> dict[str, bytes]:
    """Every content that a clone holds, by its sha256: in the store, and in records."""
    found = {p.parent.name + p.name: p for p in (person.path / ".git/gitml/objects").glob("??/*") if len(p.name) == 62}
    held = {name: path.read_bytes() for name, path in found.items()}
    if person.repo.git("for-each-ref", "refs/gitml/runs"):
        for line in person.repo.git("ls-tree", "-r", "refs/gitml/runs").splitlines():
            path = line.partition("\t")[2]
            if path.split("/")[-2] in ("outputs", "logs") and path.split("/")[-1] not in held:
                held[path.split("/")[-1]] = person.repo.git_bytes("cat-file", "blob", line.split()[2])
    return held


def is_whole(held: dict[str, bytes], name: str, *, tree: bool) -> bool:
    """Whether a content is there with all below it."""
    if name not in held:
        return False
    return not tree or all(
        is_whole(held, entry.digest.removeprefix("sha256:"), tree=entry.kind == "d")
        for entry in decode_tree(held[name])
    )


def named_by(person: Project) -> dict[str, tuple[bool, str]]:
    """What the runs that this person sees name: outputs and logs, by sha256: whether it is a directory, and a name for it."""
    found = {}
    for row in person.do("log", "--json", "--all").json:
        for step in person.do("show", row["run"], "--json").json["steps"]:
            for port, output in step["outputs"].items():
                found[output["digest"][7:]] = (output["kind"] == "directory", f"{step['name']}.{port} of {row['run']}")
            for attempt in step.get("attempts", ()):
                if attempt.get("log"):
                    found[attempt["log"]["digest"][7:]] = (False, f"log of {step['name']} of {row['run']}")
    return found


def runs_of(person: Project) -> list[dict[str, Any]]:
    return [person.do("show", row["run"], "--json").json for row in person.do("log", "--json", "--all").json]


@pytest.mark.slow
@settings(max_examples=examples(4), phases=QUICK)
@given(worlds())
@example(
    World(
        MIXED,
        LARGE,
        LARGE,
        20,
        (("ann", "run", "0", ""), ("ann", "push"), ("ann", "empty the store")),
        ("--no-artifacts",),
    )
)
@example(
    World(
        MIXED,
        LARGE,
        LARGE,
        20,
        (("ann", "run", "0", ""), ("ann", "push"), ("ann", "empty the store"), ("ann", "stores", "read only")),
        (),
    )
)
def test_what_a_push_did_not_name_is_had_without_the_clone_that_pushed(world: World) -> None:
    see_that_all_is_had(world)


@pytest.mark.slow
@pytest.mark.campaign
@settings(max_examples=int(os.environ.get("PUSHES", "30")), phases=QUICK)
@given(worlds())
def test_many_pushes_lose_nothing(world: World) -> None:
    see_that_all_is_had(world)


def see_that_all_is_had(world: World) -> None:
    """Has people do what `world` says, Ann push, and her clone deleted; then Eve has all that was not named as staying."""
    with tempfile.TemporaryDirectory() as place:
        team = Team(Path(place).resolve(), world)
        for turn in world.turns:
            team.turn(*turn)
        ann = team.people["ann"]
        ann.repo.git("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
        ann.repo.git("push", "-q", "origin", "main")
        how = world.push if team.stores == "two" or "--store" not in world.push else ()
        pushed = ann.do("push", "--json", *how, code=None)
        note(f"{pushed}")
        assert pushed.code == 0, pushed
        stays = {one["digest"][7:] for one in pushed.json["stays"]}
        named, held = named_by(ann), holdings(ann)
        shutil.rmtree(ann.path)
        eve = team.person("eve")
        eve.do("fetch")
        runs = runs_of(eve)
        assert named.keys() == named_by(eve).keys()
        words = [word for run in runs for word in ("--runs", run["run"])]
        eve.do("pull", *words, code=None)
        had = holdings(eve)
        for name, (tree, what) in named.items():
            if name not in stays and is_whole(held, name, tree=tree):
                assert is_whole(had, name, tree=tree), f"{what} is lost, and push named {stays}"
        for run in runs:
            compare(eve, run, world, {name for name in named if is_whole(had, name, tree=named[name][0])})


def compare(eve: Project, run: dict[str, Any], world: World, had: set[str]) -> None:
    """What Eve checks out of a run is what its steps once wrote, byte for byte."""
    for step in run["steps"]:
        made_of = {"make": world.make, "use": world.use}[step["name"]]
        for port, output in step["outputs"].items():
            if output["digest"][7:] not in had or port == "seen":
                continue
            one = made_of[int(port[1:])]
            out = eve.path.parent / "out"
            eve.do("checkout", f"{run['run']}:{step['name']}.{port}", str(out))
            right = made(one.kind, one.size, str(run["params"]["n"]) if one.varies else "same")
            assert files_below(out) == right
            shutil.rmtree(out) if out.is_dir() else out.unlink()
