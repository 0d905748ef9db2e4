"""The terminal UI with 100,000 recorded runs: first paint, key to paint, a filter typed, CPU at rest, memory.

`gitml ui` runs on a pseudo-terminal as a person's terminal would run it; a paint has come when the bytes that show what was asked
for have.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import termios
import time

from benchmarks.history import bring, repository
from benchmarks.measure import BenchmarkError, environment, measured, program, quiet
from benchmarks.report import save, table

COLUMNS, LINES = 120, 36
FLOOR = "import textual.app, textual.widgets"
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?<=>]*[a-zA-Z$]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[P_][^\x1b]*\x1b\\|.)")


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command: list[str], cwd: str) -> None:
        self.begin = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            own = {**environment(), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            del own["NO_COLOR"], own["COLUMNS"]
            os.execve(command[0], command, own)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def until(self, wanted: bytes, seconds: float = 60.0) -> float:
        """Seconds since the start, or the last `press`, until `wanted` is written; BenchmarkError when it is not."""
        seen, end = b"", time.perf_counter() + seconds
        while wanted not in _ESCAPES.sub(b"", seen):
            if (
                not select.select([self.fd], [], [], max(0.0, end - time.perf_counter()))[0]
                or time.perf_counter() > end
            ):
                raise BenchmarkError(
                    f"{wanted!r} was not shown within {seconds} s:\n{_ESCAPES.sub(b'', seen)[-2000:]!r}"
                )
            seen += os.read(self.fd, 1 << 16)
        return time.perf_counter() - self.begin

    def quiet(self, seconds: float) -> None:
        """Takes what is written until nothing was for `seconds`, ten times as long at most."""
        end = time.perf_counter() + 10 * seconds
        while time.perf_counter() < end and select.select([self.fd], [], [], seconds)[0]:
            os.read(self.fd, 1 << 16)

    def press(self, keys: bytes) -> None:
        """Presses keys; what is measured counts from here."""
        self.begin = time.perf_counter()
        os.write(self.fd, keys)

    def cpu(self) -> float:
        """Seconds of CPU time the program has taken."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> int:
        """The most memory it had, in bytes, its readers of Git included."""
        total = 0
        for pid in (self.pid, *self._children()):
            with open(f"/proc/{pid}/status") as file:
                total += next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
        return total

    def _children(self) -> list[int]:
        found = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
        return found

    def end(self) -> None:
        """Quits, or else kills."""
        os.write(self.fd, b"q")
        with contextlib.suppress(OSError):  # it has ended
            self.quiet(0.5)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--root", help="a repository that was made before, instead of a new one")
    options = parser.parse_args()
    root = options.root
    if root is None:
        tool = repository("ui")
        bring(tool.root, options.runs)
        root = tool.root
    gitml = program("gitml", "gitml")
    ids = [line.split()[0] for line in quiet([gitml, "log", "-n", "400"], root).splitlines()[1:]]
    first, keys, pages, filters, floor = [], [], [], [], []
    python = program("gitml", "python")
    rest = peak = 0.0
    for number in range(options.rounds):
        floor.append(measured([python, "-c", FLOOR], root).wall)
        terminal = Terminal([gitml, "ui", "runs"], root)
        try:
            first.append(terminal.until(ids[0].encode()))
            terminal.quiet(0.3)
            for at in range(1, 21):
                terminal.press(b"\x1b[B")
                keys.append(terminal.until(ids[at].encode()))
                terminal.quiet(0.02)
            for at in range(2, 6):
                terminal.press(b"\x1b[6~")
                pages.append(terminal.until(ids[20 + (at - 1) * (LINES - 6)].encode()))
                terminal.quiet(0.05)
            terminal.press(b"/")
            terminal.quiet(0.2)
            terminal.press(ids[300][:6].encode())
            filters.append(terminal.until(ids[300].encode()))
            terminal.quiet(0.5)
            if number == 0:
                before, begin = terminal.cpu(), time.perf_counter()
                terminal.quiet(8.0)
                rest = (terminal.cpu() - before) / (time.perf_counter() - begin)
            peak = max(peak, terminal.peak())
        finally:
            terminal.end()
    rows = [
        [f"python -c '{FLOOR}'", f"{statistics.median(floor):.2f} s", f"{max(floor):.2f} s"],
        ["first paint", f"{statistics.median(first):.2f} s", f"{max(first):.2f} s"],
        ["key to paint", f"{1000 * statistics.median(keys):.0f} ms", f"{1000 * max(keys):.0f} ms"],
        ["a screenful on", f"{1000 * statistics.median(pages):.0f} ms", f"{1000 * max(pages):.0f} ms"],
        [
            "filter typed to its run shown",
            f"{1000 * statistics.median(filters):.0f} ms",
            f"{1000 * max(filters):.0f} ms",
        ],
        ["CPU at rest", f"{100 * rest:.1f} %", ""],
        ["memory, with Git's readers", f"{peak / 2**20:.0f} MiB", ""],
    ]
    print(f"### The terminal UI with {options.runs} runs, {options.rounds} rounds\n")
    print(table(["", "median", "worst"], rows))
    ratio = statistics.median(mine / other for mine, other in zip(first, floor, strict=True))
    print(f"first paint: {ratio:.2f}x importing Textual")
    figures = {
        "floor": floor,
        "first": first,
        "key": keys,
        "page": pages,
        "filter": filters,
        "rest": [rest],
        "peak": [peak],
    }
    print(f"raw figures: {save('ui', figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
