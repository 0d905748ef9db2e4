"""A scatter plot as SVG, drawn with the standard library."""

import html
import math
from collections.abc import Sequence

COLOURS = ("#2b6cb0", "#d97706", "#15803d", "#9d174d")
WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 64, 56

Point = tuple[float, float]


class Plot:
    """Dots on two axes that hold all of `points`; each label has a colour of its own, in order of its name."""

    def __init__(self, points: Sequence[Point], x: str, y: str) -> None:
        self.xs, self.ys = ticks([point[0] for point in points]), ticks([point[1] for point in points])
        self.x, self.y = x, y
        self.dots: list[tuple[Point, str, bool]] = []
        self.rings: list[tuple[Point, str]] = []

    def dot(self, point: Point, label: str, *, faint: bool = False) -> None:
        """Adds a dot."""
        self.dots.append((point, label, faint))

    def ring(self, point: Point, note: str) -> None:
        """Draws a ring around a dot, with a note that shows when it is pointed at."""
        self.rings.append((point, note))

    def drawn(self, title: str) -> str:
        """The whole SVG."""
        colours = dict(zip(sorted({label for _, label, _ in self.dots}), COLOURS, strict=False))
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<text x="{LEFT}" y="28" font-size="15" font-weight="bold" fill="#1f2933">{html.escape(title)}</text>',
            *self.axes(),
        ]
        for point, label, faint in sorted(self.dots, key=lambda dot: not dot[2]):
            x, y = self.on_page(point)
            size, opacity = (3, 0.22) if faint else (5, 0.9)
            lines.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colours[label]}" fill-opacity="{opacity}"/>'
            )
        for point, note in self.rings:
            x, y = self.on_page(point)
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" fill="none" stroke="#c0392b" stroke-width="2.5">')
            lines.append(f"<title>{html.escape(note)}</title></circle>")
        for index, (label, colour) in enumerate(colours.items()):
            x = LEFT + 6 + 44 * index
            lines.append(
                f'<circle cx="{x}" cy="46" r="5" fill="{colour}"/><text x="{x + 10}" y="50">{html.escape(label)}</text>'
            )
        x = LEFT + 6 + 44 * len(colours) + 4
        lines.append(f'<circle cx="{x}" cy="46" r="7" fill="none" stroke="#c0392b" stroke-width="2"/>')
        lines.append(f'<text x="{x + 13}" y="50">named wrong</text>')
        lines.append(f'<circle cx="{x + 106}" cy="46" r="3" fill="#9aa5b1" fill-opacity=".6"/>')
        lines.append(f'<text x="{x + 115}" y="50">not in the test</text>')
        return "\n".join([*lines, "</svg>", ""])

    def axes(self) -> list[str]:
        """Grid, numbers and names."""
        lines = []
        for tick in self.xs:
            x, _ = self.on_page((tick, self.ys[0]))
            lines.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e4e7eb"/>')
            lines.append(
                f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#52606d">{tick:g}</text>'
            )
        for tick in self.ys:
            _, y = self.on_page((self.xs[0], tick))
            lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e4e7eb"/>')
            lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#52606d">{tick:g}</text>')
        across, down = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        lines.append(f'<text x="{across}" y="{HEIGHT - 14}" text-anchor="middle">{html.escape(self.x)}</text>')
        lines.append(
            f'<text transform="translate(18 {down}) rotate(-90)" text-anchor="middle">{html.escape(self.y)}</text>'
        )
        return lines

    def on_page(self, point: Point) -> Point:
        """A point's place on the page."""
        across = (point[0] - self.xs[0]) / (self.xs[-1] - self.xs[0])
        up = (point[1] - self.ys[0]) / (self.ys[-1] - self.ys[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def ticks(values: Sequence[float]) -> list[float]:
    """Four to eight round numbers, evenly spaced, that enclose all values."""
    low, high = min(values), max(values)
    rough = (high - low) / 5 or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]
