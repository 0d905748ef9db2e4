"""Values as words for people, and text on which no terminal acts. Both faces of gitml show them so."""

from __future__ import annotations

from gitml.core.secrets.seals import seals_shown

NUMBER_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""The numbers that JSON lacks, by the texts that stand for them in records, the index and ``--json``."""


def safe(text: str) -> str:
    """`text` as one line on which nothing acts: control, bidirectional and invisible characters and stray bytes are escaped."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else _escaped(char) for char in text])


def safe_line(line: str) -> str:
    """A line of a log: as `safe`, with tabs as spaces and, of a line that was drawn over, what was drawn last."""
    line = line.rstrip("\r\n")
    if line.isprintable():
        return line
    return safe(line.rsplit("\r", 1)[-1].expandtabs(8))


def duration(seconds: float) -> str:
    """``0.04s``, ``1.2s``, ``48s``, ``3m05s``, ``2h07m``, ``3d04h``."""
    if seconds < 0.1:
        return f"{max(seconds, 0.0):.2f}s"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def size(count: int) -> str:
    """``0 B``, ``512 B``, ``1.4 KiB``, ``23 MiB``."""
    if count < 1024:
        return f"{count} B"
    value, units = float(count), iter(("KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = "B"
    while value >= 1023.5 and unit != "PiB":
        value /= 1024
        unit = next(units)
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def cost(wall: float, cpu: float, peak_memory: int = 0) -> str:
    """``3.0s wall, 2.1s CPU, 40 MiB at most``: seconds and bytes of memory; without the last where it is not known (0)."""
    memory = f", {size(peak_memory)} at most" if peak_memory else ""
    return f"{duration(wall)} wall, {duration(cpu)} CPU{memory}"


def count(number: int, thing: str) -> str:
    """``1 step``, ``3 steps``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def number(value: object) -> str:
    """A metric or parameter: floats to six significant digits (``NaN``, ``inf``), others as they are; safe for a terminal.

    Of the seal of a secret parameter its first digits.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}" if value == value else "NaN"
    return safe(seals_shown(str(value)))


def columns(rows: list[list[str]], *, gap: str = "  ", right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as aligned lines; columns in `right` are aligned to the right. Cells are safe already and without colours."""
    if not rows:
        return []
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = []
        for place, cell in enumerate(row):
            room = " " * (widths[place] - cells(cell))
            padded.append(room + cell if place in right else cell + room)
        lines.append(gap.join(padded).rstrip())
    return lines


def cells(text: str) -> int:
    """Columns that `text` takes on a terminal: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def clipped(text: str, room: int) -> str:
    """`text` cut to `room` columns, with ``…`` where something was cut."""
    if cells(text) <= room:
        return text
    kept = ""
    used = 0
    for char in text:
        used += cells(char)
        if used > room - 1:
            break
        kept += char
    return kept + "…" if room > 0 else ""


def _escaped(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t":
        return repr(char)[1:-1]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python carries it
        return f"\\x{code - 0xDC00:02x}"
    if code >= 0xA0 and char.isspace() and char not in "\u2028\u2029":
        return char  # an odd space is visible enough
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def is_number(text: str) -> bool:
    """Whether a text is a number as Python writes one."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_ordinary(value: float) -> bool:
    """Whether a metric is a finite number: any other is recorded and shown, and is never compared as better or worse."""
    return value - value == 0


def number_word(value: float) -> str:
    """The text that stands for a number that JSON lacks."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
