"""Bytes made hostile: seeds changed at random, by bytes, by lines, or as JSON; the same for the same number, on every machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

INTERESTING = (
    b"\0", b"\n", b"\r", b"\xff", b"\x80", b"\xed\xb2\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1b[2J", b"\xe2\x80\xae", b"..", b"/",
    b"\\", b'"', b"'", b"`", b"$(", b"${{", b"}}", b"{", b"}", b"[", b"]", b"-", b"--", b"~", b".git", b"NaN", b"Infinity", b"-1", b"0",
    b"1e999", b"9" * 30, b"9" * 5000, b"18446744073709551616", b"a" * 300, b"[" * 2000, b"{\"a\":" * 2000, b"(" * 2000, b" " * 300,
    b"\t", b"#", b"%", b"&a ", b"*a", b"<<", b"!!python/object:os.system", b"|", b">", b":", b",", b"=", b"null", b"true",
)  # fmt: skip
ODD: Sequence[Any] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 1e308, -1e308, 0.1, float("nan"), float("inf"),
    float("-inf"), "", "a", "\0", "\n", "a\nb", "\x1b[2J", "\u202e", "\udc80", "\ud83d", "..", "../../x", "/etc/passwd", ".git",
    ".GIT/hooks/x", "-rf", "--upload-pack=x", "~", "a" * 300, "x" * 70_000, "NaN", "sha256:" + "0" * 64, "git:100644:" + "0" * 40,
    "0" * 40, "0" * 16, [], {}, [[]], [{}], {"": {}}, {"a": {"b": {"c": {}}}}, ["a"] * 300, {"format": 1}, {"content": 1}, 1.5,
    "1", "file", "directory", "2026-02-30T25:61:61Z", "http://[", "ssh://h:99999/x",
)  # fmt: skip


class Mutator:
    """Gives hostile inputs of a surface: `seeds` are good ones, `tokens` what its format is made of.

    `form` is ``bytes``, ``lines`` or ``json``; JSON is written as `dump` does, so that it can be canonical still.
    """

    def __init__(
        self,
        seeds: Sequence[bytes],
        form: str = "bytes",
        tokens: Sequence[bytes] = (),
        dump: Callable[[Any], bytes] = lambda value: json.dumps(value).encode(),
    ) -> None:
        self.seeds = tuple(seeds)
        self.form = form
        self.tokens = (*INTERESTING, *tokens * 3)
        self.dump = dump

    def made(self, chance: Random) -> bytes:
        """The next input."""
        seed = chance.choice(self.seeds)
        if self.form == "json" and chance.random() < 0.8:
            seed = self._json(seed, chance)
            if chance.random() < 0.9:
                return seed
        elif self.form == "lines" and chance.random() < 0.7:
            seed = self._lines(seed, chance)
            if chance.random() < 0.5:
                return seed
        return self._bytes(seed, chance)

    def _bytes(self, seed: bytes, chance: Random) -> bytes:
        data = bytearray(seed)
        for _ in range(1 + int(chance.expovariate(0.7))):
            at = chance.randrange(len(data) + 1)
            what = chance.randrange(8)
            if what == 0 and data:
                data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            elif what == 1:
                data[at:at] = chance.choice(self.tokens)
            elif what == 2:
                del data[at : at + 1 + int(chance.expovariate(0.1))]
            elif what == 3:
                piece = data[at : at + 1 + int(chance.expovariate(0.05))]
                data[at:at] = piece * chance.choice((1, 1, 1, 2, 10))
            elif what == 4:
                data[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(1, 5))
            elif what == 5:
                other = chance.choice(self.seeds)
                start = chance.randrange(len(other) + 1)
                data[at:] = other[start : start + 4000]
            elif what == 6:
                del data[at:]
            else:
                token = chance.choice(self.tokens)
                data[at : at + len(token)] = token
        return bytes(data[: 1 << 20])

    def _lines(self, seed: bytes, chance: Random) -> bytes:
        lines = seed.split(b"\n")
        for _ in range(1 + int(chance.expovariate(0.6))):
            at = chance.randrange(len(lines) + 1)
            line = lines[min(at, len(lines) - 1)]
            what = chance.randrange(7)
            if what == 0:
                del lines[at : at + 1]
            elif what == 1:
                lines[at:at] = [line] * chance.choice((1, 1, 1, 3, 50))
            elif what == 2:
                lines.insert(at, chance.choice(chance.choice(self.seeds).split(b"\n")))
            elif what == 3:
                lines[at : at + 1] = [b" " * chance.randrange(8) + line.lstrip(b" ")]
            elif what == 4:
                head, colon, _ = line.partition(b":")
                lines[at : at + 1] = [head + colon + b" " + chance.choice(self.tokens)]
            elif what == 5:
                words = line.split(b" ")
                words[chance.randrange(len(words))] = chance.choice(self.tokens)
                lines[at : at + 1] = [b" ".join(words)]
            else:
                other = chance.randrange(len(lines) + 1)
                lines[at : at + 1], lines[other : other + 1] = lines[other : other + 1], lines[at : at + 1]
            lines = lines or [b""]
        return b"\n".join(lines)

    def _json(self, seed: bytes, chance: Random) -> bytes:
        root: list[Any] = [json.loads(seed)]
        for _ in range(1 + int(chance.expovariate(0.9))):
            holder, key = self._node(root, chance)
            what = chance.randrange(10)
            if what < 5:
                holder[key] = _odd(chance)
            elif what == 5 and holder is not root:
                del holder[key]
            elif what == 6 and isinstance(holder, dict):
                holder[self._name(chance)] = holder.pop(key)
            elif what == 7:
                other, place = self._node([json.loads(chance.choice(self.seeds))], chance)
                holder[key] = other[place]
            elif what == 8:
                holder[key] = [holder[key]] if chance.random() < 0.5 else {self._name(chance): holder[key]}
            elif isinstance(holder, list) and holder is not root:
                holder[key:key] = [_copy(holder[key]) for _ in range(chance.choice((1, 1, 20)))]
            elif isinstance(holder, dict):
                holder[self._name(chance)] = _copy(holder[key])
            if not root:
                root.append(None)
        try:
            return self.dump(root[0])
        except (ValueError, TypeError):  # what the format's own way of writing does not allow
            return json.dumps(root[0], default=str).encode("utf-8", "surrogatepass")

    def _node(self, root: list[Any], chance: Random) -> tuple[Any, Any]:
        """(list or dict, key in it) of some value."""
        holder: Any = root
        key: Any = 0
        while True:
            inner = holder[key]
            if not isinstance(inner, (list, dict)) or not inner or chance.random() < 0.12:
                return holder, key
            holder = inner
            key = chance.choice(list(inner)) if isinstance(inner, dict) else chance.randrange(len(inner))

    def _name(self, chance: Random) -> str:
        value = _odd(chance)
        return value if isinstance(value, str) else chance.choice(self.tokens).decode("utf-8", "replace")


def _odd(chance: Random) -> Any:
    return _copy(chance.choice(ODD))


def _copy(value: Any) -> Any:
    """The same once more: nothing is to hold itself, and the next input not what this one became."""
    return json.loads(json.dumps(value)) if isinstance(value, (list, dict)) else value
