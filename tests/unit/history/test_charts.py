"""Charts with characters, as SVG, as PNG and on a page: what is in them, and that nothing from outside gets in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gitml.core.text.plot_data import parse_plot
from gitml.core.text.plot_options import AS_IT_IS, PlotOptions
from gitml.core.text.plot_overlay import Overlay, bars_of, curves_of, overlay_of
from gitml.history.charts.page import PagePicture, PagePlot, page_of
from gitml.history.charts.terminal import text_of

LINES = b"step,loss\n" + b"".join(b"%d,%f\n" % (n, 1 / (n + 1)) for n in range(40))
LABELS = b"actual,predicted\na,a\nb,a\nb,b\n"
BARS = b"name,gain,cover\nx,1,2\ny,3,4\n"
HOSTILE = "<script>alert(1)</script>\x1b[31m $\\frac{$ \u202e\U0001f600"


def chart(data: bytes, options: PlotOptions = AS_IT_IS, runs: tuple[str, ...] = ("",)) -> Overlay:
    plot = parse_plot(data, options)
    assert plot is not None
    return overlay_of("s.p", [(run, plot) for run in runs])


TEMPLATES = [
    (LINES, PlotOptions()),
    (LINES, PlotOptions(template="scatter")),
    (LINES, PlotOptions(y=("loss",), template="histogram")),
    (LABELS, PlotOptions()),
    (BARS, PlotOptions()),
    (BARS, PlotOptions(x="name", template="line")),
    (b"step,loss\n1,2\n", PlotOptions()),
]


@pytest.mark.parametrize(("data", "options"), TEMPLATES)
@pytest.mark.parametrize("runs", [("",), ("1234abcd", "5678cdef")])
def test_each_template_is_drawn_with_characters(data: bytes, options: PlotOptions, runs: tuple[str, ...]) -> None:
    lines = text_of(chart(data, options._replace(title=HOSTILE), runs), 80, 20, coloured=False)
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert "<script>" in lines[0]
    assert any(runs[-1] in line for line in lines)


def test_legends_are_there_only_where_curves_are_told_apart() -> None:
    assert [curve.name for curve in curves_of(chart(LINES, runs=("1234", "5678")))] == ["1234", "5678"]
    assert [curve.name for curve in curves_of(chart(BARS, runs=("1234", "5678")))][1] == "1234 cover"
    assert "loss" not in "".join(text_of(chart(LINES), 80, 20, coloured=False)[1:-3])


def test_bars_of_runs_with_other_names_stand_in_their_places() -> None:
    one, two = parse_plot(b"n,v\na,1\nb,2\n"), parse_plot(b"n,v\nb,3\nc,4\n")
    assert one is not None
    assert two is not None
    bars = bars_of(overlay_of("p", [("1", one), ("2", two)]))
    assert bars.names == ("a", "b", "c")
    assert bars.values == (("1", (1.0, 2.0, None)), ("2", (None, 3.0, 4.0)))


def test_plots_of_another_template_and_matrices_beyond_the_third_are_left_out() -> None:
    lines, labels = parse_plot(LINES), parse_plot(LABELS)
    assert lines is not None
    assert labels is not None
    assert overlay_of("p", [("1", lines), ("2", labels)]).left_out == ("1",)
    assert overlay_of("p", [(f"{n}", labels) for n in range(5)]).left_out == ("0", "1")


DRAW = """
import json, sys
from gitml.core.text.plot_data import parse_plot
from gitml.core.text.plot_options import AS_IT_IS, PlotOptions
from gitml.core.text.plot_overlay import overlay_of
from gitml.history.charts.figures import png_of, svg_of
for number, (text, options, runs) in enumerate(json.load(sys.stdin)):
    plot = parse_plot(text.encode(), PlotOptions(options[0], tuple(options[1]), *options[2:]))
    overlay = overlay_of("s.p", [(run, plot) for run in runs])
    for ending, drawn in (("svg", svg_of), ("png", png_of)):
        with open(f"{sys.argv[1]}/{number}.{ending}", "wb") as file:
            file.write(drawn(overlay))
"""


def test_pictures_are_the_same_each_time_whatever_settings_lie_about(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    asked = [
        (data.decode(), options._replace(title=HOSTILE, y=list(options.y)), runs)
        for data, options in TEMPLATES
        for runs in (("",), ("1234abcd", "5678cdef"))
    ]
    asked.append((LINES.decode(), PlotOptions(), [f"run {n}" for n in range(9)]))
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    settings = (
        "text.usetex: True\nlines.linewidth: 40\nfont.size: 99\nno such key: 1\nsvg.fonttype: path\nbackend: nope\n"
    )
    (hostile / "matplotlibrc").write_text(settings)
    made = []
    for cwd, epoch in ((tmp_path, "0"), (hostile, "1000000000")):
        out = tmp_path / f"out{len(made)}"
        out.mkdir()
        env = {
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            "SOURCE_DATE_EPOCH": epoch,
            "MPLCONFIGDIR": str(tmp_path / "m"),
        }
        words = [sys.executable, "-c", DRAW, str(out)]
        ended = subprocess.run(words, cwd=cwd, env=env, input=json.dumps(asked), text=True, capture_output=True)
        assert (ended.returncode, ended.stderr) == (0, "")
        made.append({file.name: file.read_bytes() for file in sorted(out.iterdir())})
    assert made[0] == made[1]
    assert len(made[0]) == 2 * len(asked)
    for name, content in made[0].items():
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        else:
            root = ElementTree.fromstring(content)
            texts = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
            assert any("<script>" in text for text in texts) or name == f"{len(asked) - 1}.svg"
            assert b"<script" not in content


def test_a_page_escapes_all_texts_and_needs_nothing_from_elsewhere() -> None:
    chart = b"<?xml version='1.0'?>\n<!DOCTYPE svg>\n<svg><text>a</text></svg>\n"
    picture = PagePicture("SVG", b"<svg onload='alert(1)'/>", HOSTILE)
    page = page_of(HOSTILE, [HOSTILE], [PagePlot(HOSTILE, chart, [picture], [HOSTILE])]).decode()
    assert "<script" not in page
    assert "alert(1)'" not in page
    assert "\x1b" not in page
    assert page.count("<!") == 1
    assert "<svg><text>a</text></svg>" in page
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
