"""The log of an attempt on the driver, as it arrives."""

from __future__ import annotations

import os

from gitml.files import write_all


class LogAssembler:
    """An attempt's log on the driver. Pieces may come in any order and twice; `size` is how far it is whole."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self._early: dict[int, bytes] = {}
        self._fd = -1

    def write(self, position: int, piece: bytes) -> None:
        """Takes in a piece; the file comes into being with the first byte."""
        if piece and position + len(piece) > self.size:
            self._early[position] = piece
        while True:
            position = next((start for start in self._early if start <= self.size), -1)
            if position < 0:
                return
            piece = self._early.pop(position)[self.size - position :]
            if piece:
                self._append(piece)

    def _append(self, piece: bytes) -> None:
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            if not self.size:
                flags |= os.O_TRUNC
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._fd = os.open(self.path, flags, 0o644)
        write_all(self._fd, piece)
        self.size += len(piece)

    def close(self) -> None:
        """Lets go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
