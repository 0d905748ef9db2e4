"""Names of remotes, and the private refs that hold what was fetched of their logs.

What a remote has comes into ``refs/gitml/remotes/<remote>/<log>`` and nowhere else: no fetch, ours or a plain ``git fetch`` by
the refspecs given here, can touch the records of this repository.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping

from gitml import layout
from gitml.errors import InputError
from gitml.git.command import Location, config_items, config_values, git
from gitml.git.revisions import branch_name

RUNS = "runs"
REGISTRY = "registry"
LOGS = (RUNS, REGISTRY)
# Patterns, because a plain `git fetch` fails when a ref that is named exactly is not there (yet).
_PATTERNS = {RUNS: "run*", REGISTRY: "registr*"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_OID = re.compile(r"[0-9a-f]+\Z")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


def log_ref(log: str) -> str:
    """The ref of a log in the repository that it belongs to."""
    return f"{layout.REFS}/{log}"


def tracking_ref(remote: str, log: str) -> str:
    """The ref that holds what was last fetched of a remote's log, or sent to it."""
    return f"{layout.REMOTES_REF}/{folder_of_remote(remote)}/{log}"


def merged_ref(remote: str, log: str) -> str:
    """The ref that holds the last merged tip of a remote's log, whatever a plain ``git fetch`` fetched since."""
    return f"{layout.TAKEN_REF}/{folder_of_remote(remote)}/{log}"


def refused_ref(remote: str, log: str) -> str:
    """The ref that holds what a remote's log was set to and was not taken in."""
    return f"{layout.REFUSED_REF}/{folder_of_remote(remote)}/{log}"


def refspecs(remote: str, logs: Iterable[str] = LOGS) -> tuple[str, ...]:
    """What fetches logs of `remote` into their tracking refs, where the remote has them."""
    globs = [_PATTERNS[log] for log in logs]
    return tuple(f"+{layout.REFS}/{glob}:{layout.REMOTES_REF}/{folder_of_remote(remote)}/{glob}" for glob in globs)


def check_remote(remote: str) -> None:
    """InputError unless `remote` can be a remote's name, a URL or a path."""
    if not remote or remote.startswith("-") or any(char < " " or char == "\x7f" for char in remote):
        raise InputError("not a remote", where=ascii(remote)[:80])


def without_secrets(text: str) -> str:
    """`text` with the user and password of every URL in it left out."""
    return _CREDENTIALS.sub("", text)


def set_refspecs(location: Location, remote: str) -> bool:
    """Has a plain ``git fetch`` of a configured remote fetch its logs too; whether that is new. InputError for no remote."""
    known = configured(location)
    if remote not in known:
        from gitml.core.language.diagnostics import nearest

        where = without_secrets(remote)
        raise InputError(f"no remote {where!r}{nearest(where, known)}", hint=f"git remote add {where} URL")
    new = [spec for spec in refspecs(remote) if spec not in _fetched_by(location, remote)]
    for spec in new:
        git(location, "config", "--add", f"remote.{remote}.fetch", spec)
    return bool(new)


def unset_refspecs(location: Location) -> list[str]:
    """Undoes `set_refspecs` wherever it was done; gives the remotes."""
    found = []
    for remote in configured(location):
        there = [spec for spec in refspecs(remote) if spec in _fetched_by(location, remote)]
        for spec in there:
            git(location, "config", "--fixed-value", "--unset-all", f"remote.{remote}.fetch", spec)
        if there:
            found.append(remote)
    return found


def _fetched_by(location: Location, remote: str) -> list[str]:
    return config_values(location, "--get-all", f"remote.{remote}.fetch")


def ref_file(location: Location, ref: str) -> str | None:
    """What the file of a ref holds, an object id unless it is damaged; None where there is no such file."""
    try:
        with open(os.path.join(location.common_dir, ref), "rb") as file:
            return file.read(100).decode("ascii", "replace").strip()
    except OSError:
        return None


def tip_of(location: Location, ref: str) -> str | None:
    """The object id that `ref` holds, None when there is no such ref; a look into files where Git keeps it in files."""
    held = ref_file(location, ref)
    if held is not None and _is_oid(location, held):
        return held
    if held is None:
        found = packed_refs(location, ref)
        if found is not None:
            oid = found.get(ref, "")
            return oid if _is_oid(location, oid) else None
    said = git(location, "rev-parse", "--verify", "--quiet", "--end-of-options", ref, check=False)
    return said.decode("ascii", "replace").strip() or None


def tracked(location: Location, log: str) -> dict[str, str]:
    """Tracking ref -> tip, for every remote whose `log` was fetched."""
    packed = packed_refs(location, layout.REMOTES_REF + "/")
    if packed is None:
        said = git(location, "for-each-ref", "--format=%(refname) %(objectname)", layout.REMOTES_REF).decode(
            "utf-8", "replace"
        )
        return {ref: oid for ref, oid in map(str.split, said.splitlines()) if ref.endswith(f"/{log}")}
    found = {ref: oid for ref, oid in packed.items() if ref.endswith(f"/{log}") and _is_oid(location, oid)}
    try:
        remotes = os.listdir(os.path.join(location.common_dir, layout.REMOTES_REF))
    except OSError:
        remotes = []
    for remote in remotes:
        ref = f"{layout.REMOTES_REF}/{remote}/{log}"
        if os.path.exists(os.path.join(location.common_dir, ref)):
            oid = tip_of(location, ref)
            if oid is not None:
                found[ref] = oid
    return found


def _is_oid(location: Location, text: str) -> bool:
    """Whether a text that was read from a file of refs, which may be damaged, is an id."""
    return len(text) == (64 if location.object_format == "sha256" else 40) and _OID.match(text) is not None


def packed_refs(location: Location, prefix: str) -> dict[str, str] | None:
    """What ``packed-refs`` says of the refs that begin with `prefix`; None when this repository keeps refs otherwise."""
    if os.path.isdir(os.path.join(location.common_dir, "reftable")):
        return None
    try:
        with open(os.path.join(location.common_dir, "packed-refs"), "rb") as file:
            text = file.read()
    except OSError:
        return {}
    found: dict[str, str] = {}
    wanted = b" " + os.fsencode(prefix)
    at = text.find(wanted)
    while at >= 0:
        start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
        end = len(text) if end < 0 else end
        found[os.fsdecode(text[at + 1 : end])] = text[start:at].decode("ascii", "replace")
        at = text.find(wanted, end)
    return found


def configured(location: Location) -> tuple[str, ...]:
    """The names of the repository's remotes."""
    return _settings(location)[0]


def default_remote(location: Location) -> str:
    """The remote that is meant when none is named: that of the current branch, else origin, else the only one.

    InputError when there is none, or several and none of them is called origin.
    """
    usual = usual_remote(location)
    if usual is not None:
        return usual
    remotes = configured(location)
    if remotes:
        raise InputError("which remote?", hint=f"name one of them: {', '.join(remotes)}")
    raise InputError("this repository has no remote", where=location.folder, hint="git remote add origin URL")


def usual_remote(location: Location) -> str | None:
    """The same, None instead of an error."""
    remotes, of_branch = _settings(location)
    said = of_branch.get(branch_name(location), ".")
    if said != ".":
        return said
    return "origin" if "origin" in remotes else remotes[0] if len(remotes) == 1 else None


def _settings(location: Location) -> tuple[tuple[str, ...], dict[str | None, str]]:
    """(names of remotes, the remote of each branch that has one)."""
    wanted = r"^(remote\..*\.url|branch\..*\.remote)$"
    remotes: set[str] = set()
    of_branch: dict[str | None, str] = {}
    for key, value in config_items(location, "--get-regexp", wanted):
        if key.startswith("remote."):
            remotes.add(key[len("remote.") : -len(".url")])
        elif key.startswith("branch."):
            of_branch[key[len("branch.") : -len(".remote")]] = value
    return tuple(sorted(remotes)), of_branch


def folder_of_remote(remote: str) -> str:
    if _NAME.match(remote) and ".." not in remote and not remote.endswith((".", ".lock")):
        return remote
    return hashlib.sha256(os.fsencode(without_secrets(remote))).hexdigest()[:16]


USUAL = ("file", "git", "http", "https", "ssh")
_NEVER = frozenset(("ext", "fd"))  # not even where a user's setting lets git itself speak them
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::?//|[A-Za-z][A-Za-z0-9+.-]*::")


def protocol_environment(location: Location, remote: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What a git that speaks with `remote` gets: the protocols that it may use.

    Those of `USUAL` that the user's ``protocol.*`` settings leave, and what they allow by name; of a ``GIT_ALLOW_PROTOCOL`` of
    the user all but what runs commands. A remote that the user configured in this repository is spoken with as git itself would.
    """
    given = environ.get("GIT_ALLOW_PROTOCOL")
    if given is not None:
        return {"GIT_ALLOW_PROTOCOL": ":".join(name for name in given.split(":") if name not in _NEVER)}
    if not is_registry(location) and remote in configured(location):
        return {}
    settings = _protocol_settings(location)
    general = settings.get("protocol.allow", "")
    usual = [name for name in USUAL if settings.get(f"protocol.{name}.allow", general) != "never"]
    by_name = {key.split(".")[1]: value for key, value in settings.items() if key.count(".") == 2}
    more = [name for name, value in by_name.items() if value == "always" and name not in (*USUAL, *_NEVER)]
    return {"GIT_ALLOW_PROTOCOL": ":".join((*usual, *more))}


def refuse_inner_place(location: Location, url: str, what: str, *, follow: bool = True) -> None:
    """InputError when `url`, a path or a ``file://`` URL, names a place inside a work tree or the Git folder of the repository.

    The author of the commit wrote what lies there too: its hooks and settings would run as the user's. Unless `follow` no link on
    the way is looked at, which already reaches a machine where file systems of others are mounted as they are named.
    """
    path = local_path(location, url)
    if path is None:
        return
    own = (*location.worktrees(), location.common_dir, location.git_dir)
    for place in {os.path.normpath(path), *([os.path.realpath(path)] if follow else [])}:
        for folder in own:
            for root in {os.path.normpath(folder), os.path.realpath(folder)}:
                if place == root or place.startswith(root.rstrip("/") + "/"):
                    raise InputError(
                        f"{what} lies inside this repository, where a commit decides its contents",
                        where=url[:200],
                        hint="name a place outside of it, such as /srv/team/registry.git",
                    )


def local_path(location: Location, url: str) -> str | None:
    """The path of this machine that git takes `url` for; None for another machine."""
    if url.startswith("file://"):
        from urllib.parse import unquote

        return "/" + unquote(url.removeprefix("file://")).lstrip("/")
    if _SCHEME.match(url):
        return None
    path = os.path.join(location.folder, os.path.expanduser(url))
    if ":" in url.split("/", 1)[0] and not os.path.lexists(path):  # host:path, as ssh has it
        return None
    return path


def is_registry(location: Location) -> bool:
    """Whether it is the clone of a registry that a tracked file named."""
    return layout.is_registry_clone(location.common_dir)


def _protocol_settings(location: Location) -> dict[str, str]:
    pairs = config_items(location, "--get-regexp", r"^protocol\..*allow$")
    return {name.lower(): value.strip().lower() for name, value in pairs}
