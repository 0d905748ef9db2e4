"""Registries of other repositories: cloned once beside the project's own, and read without a network from then on.

And the content of modules copied from one repository to another.
"""

from __future__ import annotations

import hashlib
import os
import shutil

from gitml import layout
from gitml.errors import InputError, machine_error
from gitml.git.command import DURABLE, Location, git
from gitml.git.log.remote_refs import check_remote, refuse_inner_place
from gitml.git.log.transport import remote_tip
from gitml.git.objects.reader import Objects
from registry.log.journal import RegistryJournal
from registry.log.share import pull


def clone_of(home: Location, url: str) -> Location:
    """The clone of the registry at `url` (a URL, or a path from the root of the repository), made when there is none yet.

    InputError for a place inside the repository.
    """
    check_remote(url)
    folder = folder_of(home, url)
    there = os.path.isdir(folder)
    refuse_inner_place(home, url, "a registry", follow=not there)  # a copy is read without a look at where it came from
    if not there:
        _clone(home, absolute(home, url), folder)
    return _location(folder)


def folder_of(home: Location, url: str) -> str:
    """Where that clone is, or would be."""
    name = hashlib.sha256(os.fsencode(absolute(home, url))).hexdigest()[:16]
    return layout.registry_clone(home.common_dir, name)


def absolute(home: Location, url: str) -> str:
    """A path made absolute; a URL as it is."""
    if "://" in url or os.path.isabs(url):
        return url
    path = os.path.normpath(os.path.join(home.folder, os.path.expanduser(url)))
    return url if ":" in url.split("/", 1)[0] and not os.path.exists(path) else path


def _clone(home: Location, url: str, folder: str) -> None:
    tip = remote_tip(home, url, layout.REGISTRY_REF)
    object_format = home.object_format if tip is None else "sha1" if len(tip) == 40 else "sha256"
    scratch = f"{folder}.new-{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        git(
            home._replace(explicit=False),
            "init",
            "--quiet",
            "--bare",
            f"--object-format={object_format}",
            "--template=",
            "--",
            scratch,
        )
        location = _location(scratch)
        git(location, "config", "remote.origin.url", url)
        with Objects(location) as objects:
            journal = RegistryJournal(location, objects)
            pull(journal, "origin")
            journal.close()
        if not os.path.isdir(folder):
            os.rename(scratch, folder)
    except OSError as error:
        raise machine_error(error, folder, f"can't keep a copy of {layout.REGISTRY_REF}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _location(folder: str) -> Location:
    """A clone that `_clone` made. It is named to git explicitly: some users forbid finding bare repositories."""
    with open(os.path.join(folder, "config"), encoding="utf-8") as file:
        object_format = "sha256" if "objectformat = sha256" in file.read().lower() else "sha1"
    return Location(folder, folder, None, object_format, bare=True, explicit=True)


def copy_tree(source: Location, target: Location, tree: str) -> None:
    """Puts the tree and all below it into `target`. InputError when the two name objects by different hashes."""
    if source.object_format != target.object_format:
        raise InputError(
            f"this repository names objects by {source.object_format}, that one by {target.object_format}",
            where=target.folder,
            hint="use a registry with the same object format",
        )
    pack = git(source, "pack-objects", "--revs", "--stdout", "-q", input=f"{tree}\n".encode("ascii"))
    git(target, *DURABLE, "index-pack", "--stdin", input=pack)


def changed_files(location: Location, one: str, other: str) -> tuple[tuple[str, str], ...]:
    """(``A``, ``M`` or ``D``, path) of each file that differs between two trees."""
    said = git(location, "diff-tree", "-r", "-z", "--no-renames", "--name-status", one, other)
    fields = os.fsdecode(said).split("\0")[:-1]
    return tuple(zip(fields[::2], fields[1::2], strict=True))
