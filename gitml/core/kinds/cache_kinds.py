"""Caches: folders that steps may use between runs, and that never count as inputs; CACHE_KINDS are the tools that have one.

A step that may use a cache could read in it what an earlier step left, so that a result says which caches its step had
(`core.model.guarantees`). They are in no key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gitml import layout
from gitml.core.model import paths

CACHE_KINDS: dict[str, tuple[str, ...]] = {
    "ccache": ("CCACHE_DIR",),
    "conda": ("CONDA_PKGS_DIRS",),
    "huggingface": ("HF_HOME",),
    "keras": ("KERAS_HOME",),
    "matplotlib": ("MPLCONFIGDIR",),
    "nltk": ("NLTK_DATA",),
    "npm": ("npm_config_cache",),
    "numba": ("NUMBA_CACHE_DIR",),
    "pip": ("PIP_CACHE_DIR",),
    "scikit-learn": ("SCIKIT_LEARN_DATA",),
    "torch": ("TORCH_HOME",),
    "triton": ("TRITON_CACHE_DIR",),
    "uv": ("UV_CACHE_DIR",),
}
"""Tools by name, each with the variables that lead it to its folder."""

MOST = 20
"""The most caches of a step."""
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}\Z")
"""Names of caches that are variables, too."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}\Z")
TAKEN = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "PWD", "SHELL", "IFS", "ENV", "BASH_ENV", "TMPDIR", "LANG", "LANGUAGE"),
        *("TZ", "TERM", "SOURCE_DATE_EPOCH", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONHASHSEED", "PYTHONUNBUFFERED"),
        *("PYTHONDONTWRITEBYTECODE", "NODE_PATH", "PERL5LIB", "RUBYLIB", "CLASSPATH"),
    )
)
"""Variables that say something else to programs, or where they find code, which would be in no key."""
_TAKEN_PREFIXES = (layout.VARIABLE_PREFIX, "_gitml_", "GIT_", "LD_", "DYLD_", "LC_")


class StepCache(NamedTuple):
    """A folder that a step may use between runs, set in `variables`, and seen at `path` in the sandbox, empty for nowhere.

    The step can't write to one that is `readonly`.
    """

    name: str
    variables: tuple[str, ...] = ()
    path: str = ""
    readonly: bool = False


def cache_from_json(raw: Sequence[Any]) -> StepCache:
    """The inverse of writing a StepCache as the list that it is; ValueError or TypeError for what is none."""
    name, variables, path, readonly = raw
    texts = (name, path, *variables)
    if not all(isinstance(text, str) for text in texts) or not isinstance(readonly, bool):
        raise TypeError("not a cache")
    if not _NAME.match(name) or (path and paths.problem_with_output(path) is not None):
        raise ValueError(f"no cache can be called {name[:60]!r}, or lie at {path[:60]!r}")
    return StepCache(name, tuple(variables), path, readonly)


def variables_named(name: str) -> tuple[str, ...]:
    """The variables of a cache that is called so: those of a tool, or the one that it is itself; none for another name."""
    return CACHE_KINDS.get(name) or ((name,) if VARIABLE.match(name) else ())


def is_taken(variable: str) -> bool:
    """Whether a variable can't lead to a cache: it says something else, or is gitml's own."""
    return variable in TAKEN or variable.startswith(_TAKEN_PREFIXES)


def in_words(caches: Iterable[StepCache]) -> str:
    """Their names, as records list them; the inverse is `names_in`."""
    return ", ".join(sorted(cache.name for cache in caches))


def names_in(words: str) -> frozenset[str]:
    """The names that `in_words` put together."""
    return frozenset(filter(None, words.split(", ")))
