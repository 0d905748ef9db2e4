"""Names and places of what is gitml's own; no other module spells them. Names and joins only, no look at a disk.

- In a repository, the *Git folder* ``.git`` (the one that all its worktrees share) has the folder ``gitml``; see `own_folder`.
- Records and what is fetched of them are refs below ``refs/gitml``.
- A user has a cache folder and a settings folder, by the XDG rules.
- Variables of the environment are called ``GITML_…``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_NAME = "gitml"

# Refs.
REFS = "refs/gitml"
RUNS_REF = f"{REFS}/runs"
REGISTRY_REF = f"{REFS}/registry"
MODULES_REF = f"{REFS}/modules"  # keeps the trees of resolved modules from Git's gc
REMOTES_REF = f"{REFS}/remotes"  # below it, by remote and log, what was last fetched or sent
TAKEN_REF = f"{REFS}/taken"  # likewise what was last merged
REFUSED_REF = f"{REFS}/refused"  # likewise what was not merged
SUBMITTED_REF = f"{REFS}/submitted"  # the commit in the bundle of a submitted run
SUBMITTED_BASE_REF = f"{REFS}/submitted-base"  # likewise the one below a snapshot, of which repositories of steps are
SUBMISSIONS_REF = f"{REFS}/submissions"  # below it the commit of each run that is not collected

# Files and folders in `own_folder`. What the local store and the registry keep in theirs is their own.
CACHE = "cache"
INDEX = "index.db"
LIVE = "live"
LOCKS = "locks"
OBJECTS = "objects"
PARTIAL = "partial"
QUARANTINE = "quarantine"
QUEUE = "queue"
REGISTRY = "registry.db"
REGISTRY_FETCHED = "registry.fetched"  # the newest records of the registry, own and fetched, that were looked at
REGISTRY_LOCK = "registry.lock"
SALT = "salt"
SUBMITTED = "submitted"
SYNCED = "synced"
TMP = "tmp"
TRUST_ID = "trust-id"
UI_STATE = "ui.json"
_REGISTRIES = "registries"

# Folders in `cache_folder`; there is SUBMITTED, too.
CACHES = "caches"  # of steps, by repository
CONDA_CHANNELS = "conda-channels"  # what channels list
CONDA_PACKAGES = "conda-packages"  # extracted ones, which prefixes share by hard links
ENVIRONMENTS = "envs"
IMAGES = "images"
SANDBOXES = "sandboxes"
WORKER = "worker"

# Files in `settings_folder`.
SETTINGS = "config.yaml"
TRUST_FILE = "trust.json"

# Variables of the environment.
VARIABLE_PREFIX = "GITML_"
COMMAND_VARIABLE = "GITML_COMMAND"  # of a shell in a sandbox: the command of its step
COMPLETE_VARIABLE = "_GITML_COMPLETE"
GANG_VARIABLE = "GITML_GANG"
HOOKS_VARIABLE = "GITML_HOOKS"
INSPECTION_VARIABLE = "GITML_INSPECTION"
PAGER_VARIABLE = "GITML_PAGER"
PLATFORM_VARIABLE = "GITML_PLATFORM"  # `posix` chooses the portable form on Linux
PUSHED_BY_VARIABLE = "GITML_PUSHED_BY"
SECRET_PREFIX = "GITML_SECRET_"  # noqa: S105  names of variables, not what is in them
TRUST_VARIABLE = "GITML_TRUST"

XDG_CACHE_HOME = "XDG_CACHE_HOME"
XDG_CONFIG_HOME = "XDG_CONFIG_HOME"


def own_folder(common_dir: str, *below: str) -> str:
    """gitml's folder in the Git folder of a repository, or what lies `below` it."""
    return os.path.join(common_dir, _NAME, *below)


def is_own_folder(path: str) -> bool:
    """Whether `path` is called as gitml's folders are."""
    return os.path.basename(path) == _NAME


def registry_clone(common_dir: str, name: str) -> str:
    """Where a repository keeps its clone of the registry of another one."""
    return own_folder(common_dir, _REGISTRIES, name)


def is_registry_clone(common_dir: str) -> bool:
    """Whether the Git folder is such a clone."""
    return os.path.dirname(common_dir).endswith(f"/{_NAME}/{_REGISTRIES}")


def user_cache(environ: Mapping[str, str]) -> str:
    """The folder for what programs of this user can make again: ``$XDG_CACHE_HOME`` or ``~/.cache``. Relative without one."""
    home = environ.get("HOME") or os.path.expanduser("~")
    return environ.get(XDG_CACHE_HOME) or os.path.join(home, ".cache")


def cache_folder(environ: Mapping[str, str], *below: str) -> str:
    """gitml's folder in that one, or what lies `below` it."""
    return os.path.join(user_cache(environ), _NAME, *below)


def user_settings(environ: Mapping[str, str]) -> str | None:
    """The folder of this user's settings: ``$XDG_CONFIG_HOME`` or ``~/.config``; None without an absolute one."""
    base = environ.get(XDG_CONFIG_HOME) or ""
    if os.path.isabs(base):
        return base
    home = environ.get("HOME") or ""
    return os.path.join(home, ".config") if os.path.isabs(home) else None


def settings_folder(environ: Mapping[str, str]) -> str | None:
    """gitml's folder in that one."""
    base = user_settings(environ)
    return None if base is None else os.path.join(base, _NAME)
