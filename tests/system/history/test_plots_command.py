"""`gitml plots`: what a user declares, draws, compares and hands on."""

from __future__ import annotations

from pathlib import Path

from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository

PIPELINE = """\
params: {rate: 2}
steps:
  test:
    matrix: {m: [a, b]}
    run: sh test.sh ${{ matrix.m }} ${{ outputs.loss }}
    outputs: {loss: {type: plot, OPTIONS}}
  sum:
    run: sh sum.sh ${{ params.rate }} ${{ outputs.roc }} ${{ outputs.cm }} ${{ outputs.dot }} ${{ outputs.page }}
    code: dot.png
    outputs: {roc: plot, cm: plot, dot: plot, page: plot}
"""
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
FILES: dict[str, str | bytes] = {
    "test.sh": 'printf "when,value,other\\n1,4,7\\n2,2,8\\n3,1,9\\n" > $2\n',
    "dot.png": PNG,
    "sum.sh": """\
printf '{"roc": [{"fpr": 0, "tpr": 0, "threshold": Infinity}, {"fpr": 0.%s, "tpr": 1, "threshold": 0}]}' $1 > $2
printf '[{"actual": "cat", "predicted": "dog"}, {"actual": "dog", "predicted": "dog"}]' > $3
cat dot.png > $4
echo "<html><script>alert(1)</script></html>" > $5
""",
}


def pipeline(options: str) -> str:
    return PIPELINE.replace("OPTIONS", options)


def test_plots_are_declared_drawn_compared_written_and_handed_on(tmp_path: Path) -> None:
    options = "x: when, y: value, title: 'Loss <b>', template: line"
    project = Project(tmp_path / "p", {**FILES, "pipelines/p.yaml": pipeline(options)})
    first = project.run()
    assert first["plots"] == {"test.loss": {"x": "when", "y": ["value"], "title": "Loss <b>", "template": "line"}}
    shown = project.do("plots", "show", "--json").json["plots"]
    assert [one["name"] for one in shown] == [
        "test[a].loss",
        "test[b].loss",
        "sum.roc",
        "sum.cm",
        "sum.dot",
        "sum.page",
    ]
    assert shown[0]["of"][0]["series"] == [{"name": "value", "x": [1.0, 2.0, 3.0], "y": [4.0, 2.0, 1.0]}]
    assert (shown[2]["x"], shown[2]["y"], shown[3]["template"]) == ("fpr", "tpr", "confusion")
    drawn = project.do("plots", "show", "loss").out
    assert drawn.count("Loss <b>") == 2
    assert "when" in drawn
    assert "sum" not in drawn
    assert "a picture" in project.do("plots", first["run"], "sum.dot").out
    assert "no plot 'lost'" in project.do("plots", "show", "HEAD", "lost", code=2).err

    # how it is shown runs nothing again, and each run keeps what it was declared with
    project.repo.commit("another title", {"pipelines/p.yaml": pipeline("title: Other, y: [other]")})
    second = project.run("-S", "rate=3")
    assert [step["outcome"] for step in second["steps"]] == ["reused", "reused", "executed"]
    titles = [
        project.do("plots", "show", run["run"], "test", "--json").json["plots"][0]["title"] for run in (first, second)
    ]
    assert titles == ["Loss <b>", "Other"]

    both = project.do("plots", "diff", first["run"], second["run"], "--plot", "roc").out
    assert first["run"][:8] in both
    assert second["run"][:8] in both
    assert project.do("plots", "diff", "HEAD~1..HEAD", "--json").json["runs"] == [first["run"], second["run"]]
    assert "cat" in project.do("plots", "diff", "--plot", "cm").out

    out = tmp_path / "out"
    words = ("plots", "diff", "--svg", str(out), "--png", str(out / "png"), "--html", str(out / "page.html"))
    files = project.do(*words).out.splitlines()
    assert {Path(path).name for path in files} >= {"sum.roc.svg", "test_a_.loss.png", "page.html"}
    assert (out / f"sum.dot-{first['run'][:8]}.png").read_bytes() == PNG
    before = {path: Path(path).read_bytes() for path in files}
    project.do(*words)
    assert {path: Path(path).read_bytes() for path in files} == before
    page = (out / "page.html").read_text()
    assert "<script" not in page
    assert page.count("data:image/png") == 2
    assert "sum.page" in page
    assert not list(out.rglob("*.part"))
    (tmp_path / "file").write_text("")
    assert "can't be written" in project.do("plots", "show", "--svg", str(tmp_path / "file"), code=5).err

    # a clone has it from the record alone
    Repository(tmp_path / "hub.git", bare=True)
    project.repo.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    project.repo.git("push", "-q", "origin", "HEAD")
    project.do("push", "origin")
    project.do("clone", str(tmp_path / "hub.git"), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert clone.do("show", first["run"], "--json").json["plots"] == first["plots"]
    assert "Loss <b>" in clone.do("plots", "show", first["run"], "test").out


def test_without_matplotlib_the_terminal_has_plots_and_files_name_what_to_install(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {**FILES, "pipelines/p.yaml": pipeline("template: line")})
    (tmp_path / "none" / "matplotlib").mkdir(parents=True)
    (tmp_path / "none" / "matplotlib" / "__init__.py").write_text("raise ImportError('none here')\n")
    project.env["PYTHONPATH"] = f"{tmp_path / 'none'}{':'}{project.env['PYTHONPATH']}"
    project.forks = False
    project.run()
    assert "tpr" in project.do("plots", "show", "roc").out
    done = project.do("plots", "show", "--svg", str(tmp_path / "out"), code=2)
    assert 'pip install "gitml[plots]"' in done.err
    assert not (tmp_path / "out").exists()


def test_pictures_of_a_directory_and_of_all_combinations_stand_in_a_grid(tmp_path: Path) -> None:
    text = """\
steps:
  draw:
    shell: sh
    run: |
      mkdir -p pictures/more
      for n in 1 2 3; do cat dot.png > pictures/$n.png; done
      cat dot.png > "pictures/more/<b>.png"
      echo no picture > pictures/readme.txt
      ln -s 1.png pictures/link.png
    code: [dot.png]
    outputs: {all: {type: directory, path: pictures, template: images, title: "What <i>it</i> saw"}}
  one:
    matrix: {m: [a, b]}
    run: cp dot.png ${{ outputs.dot }}
    outputs: {dot: {type: plot, template: images}}
  none:
    run: mkdir ${{ outputs.d }}
    outputs: {d: {type: directory, template: images}, plain: {type: directory, path: p, optional: true}}
"""
    project = Project(tmp_path / "p", {"dot.png": PNG, "pipelines/p.yaml": text})
    project.run()
    shown = {one["name"]: one["of"] for one in project.do("plots", "--json").json["plots"]}
    assert list(shown) == ["draw.all", "one.dot", "none.d"]
    assert [one["file"] for one in shown["draw.all"]] == ["1.png", "2.png", "3.png", "more/<b>.png"]
    assert [one["step"] for one in shown["one.dot"]] == ["one[a]", "one[b]"]
    assert shown["none.d"][0]["why"] == "no picture in the directory"
    said = project.do("plots").out
    assert "1 more pictures; --html shows all in a grid" in said
    assert "one.dot: one[a] a picture" in said
    page = tmp_path / "page.html"
    project.do("plots", "--html", str(page))
    html = page.read_text()
    assert html.count('<div class="grid">') == html.count("</div>") == 2
    assert html.count("data:image/png") == 6
    assert "<h2>What &lt;i&gt;it&lt;/i&gt; saw</h2>" in html
    assert "<figcaption>more/&lt;b&gt;.png</figcaption>" in html
    written = project.do("plots", "draw", "--png", str(tmp_path / "out")).out.splitlines()
    assert len(written) == 4
    assert Path(written[0]).name == "draw.all-1.png.png"
    # which runs nothing again
    project.repo.commit(
        "titled",
        {"pipelines/p.yaml": text.replace("template: images, title", "title").replace('saw"', 'is", template: images')},
    )
    assert {step["outcome"] for step in project.run()["steps"]} == {"reused"}
    project.repo.write(
        {"pipelines/p.yaml": text.replace("path: pictures, template: images", "path: pictures, template: line")}
    )
    assert "template of output 'all' must be images" in project.do("plan", code=2).err


def test_mistakes_in_options_of_plots_have_their_place(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {**FILES, "pipelines/p.yaml": pipeline("template: pie, y: [], title: ''")})
    said = project.do("plan", code=2).err
    assert "template of output 'loss' must be line or scatter or bar or confusion or histogram or images" in said
    assert "title of output 'loss' must be a line of 1 to 200 characters" in said
    project.repo.write({"pipelines/p.yaml": pipeline("x: a").replace("type: plot", "type: file")})
    assert "output 'loss' is of type file, and only `plot` has `x`" in project.do("plan", code=2).err
    project.repo.write({"pipelines/p.yaml": pipeline("x: nope")})
    project.run()
    assert "the table has no column 'nope': there is when, value, other" in project.do("plots", "show", "loss").out
