"""How the plots look, and how a figure becomes a PNG with the same bytes every time."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from results import folder_of

INK, FAINT, GOOD, BAD = "#1f2933", "#9aa5b1", "#2b6cb0", "#c0392b"

plt.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # comes with matplotlib, so the letters are the same on every machine
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": INK,
        "ytick.color": INK,
        "figure.dpi": 150,
    }
)


def save(path: str, figure: Figure) -> None:
    """Writes a PNG that names no program and no date."""
    figure.savefig(folder_of(path), format="png", metadata={"Software": None}, facecolor="white")
    plt.close(figure)
