"""Asks machines what the programs of a step are there: the identity of an environment is that of where it is used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gitml import __version__
from gitml.cluster.worker.folder import FolderSpec
from gitml.cluster.worker.remote_fetch import stored_manifest
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.environment import (
    Environment,
    EnvironmentSource,
    decode_description,
    encode_description,
    environment_of,
)
from gitml.core.model.resources import Machine
from gitml.errors import GitmlError, InputError, RemoteError

PATIENCE = 60.0  # seconds; a machine may have to start Python a few times


def environment_at(
    machines: Sequence[Machine],
    place: FolderSpec,
    source: EnvironmentSource,
    programs: tuple[str, ...],
    stores: tuple[RemoteSpec, ...] = (),
) -> Environment:
    """The environment that most of `machines` make of `source` for `programs`; `stores` may know its image.

    InputError when none has one; RemoteError when they can't be asked.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    question = ray.remote(describe)
    refs = [
        question.options(
            num_cpus=0,
            max_retries=1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine.id, soft=False),
        ).remote(__version__, place, source, programs, stores)
        for machine in machines
    ]
    ready, late = ray.wait(refs, num_returns=len(refs), timeout=PATIENCE)
    for ref in late:
        ray.cancel(ref, force=True)
    answers = [_answer(ref) for ref in ready]
    found = Counter(said for kind, said in answers if kind == "is")
    if found:
        # of those that are as frequent the same one every time
        best = max(sorted(found), key=lambda said: found[said])
        return environment_of(description_in(best, source), source)
    for kind, said in answers:
        if kind == "input":
            raise refusal_in(said)
    why = answers[0][1] if answers else f"no machine answered for {PATIENCE:g} s"
    raise RemoteError(f"the machines can't say what is installed: {why}", hint="install this gitml on all of them")


def description_in(said: str, source: EnvironmentSource) -> Mapping[str, Any]:
    """The description that a machine gave of the environment that `source` is there; RemoteError when it is none.

    The project's own package is no matter of machines: it is what `source` says.
    """
    hint = "install this gitml on all of them"
    try:
        found = decode_description(said)
    except ValueError as error:
        raise RemoteError(f"the machines don't say what is installed: {error}", hint=hint) from error
    if found.get("project") != (json.loads(source.project) if source.project else None):
        raise RemoteError("the machines don't say what is installed: they name another project", hint=hint)
    return found


def refusal_in(said: str) -> InputError:
    """The error of a machine where a program is missing, as `describe` writes it."""
    try:
        message, hint = json.loads(said)
    except (ValueError, TypeError, RecursionError):
        message, hint = said, None
    return InputError(str(message)[:1000], hint=None if hint is None else str(hint)[:1000])


def describe(
    version: str,
    place: FolderSpec,
    source: EnvironmentSource,
    programs: tuple[str, ...],
    stores: tuple[RemoteSpec, ...] = (),
) -> tuple[str, str]:
    """On a machine: (``is``, the description as JSON), (``input``, why a program is not there) or (``error``, why not)."""
    import os

    if version != __version__:
        return "error", f"{os.uname().nodename} has gitml {__version__}, this is {version}"
    try:
        environments = place.open(os.environ).services().environments
        environments.stored_manifest = partial(stored_manifest, stores)
        found = environments.identify(source, programs)
    except InputError as error:
        return "input", json.dumps([f"{error.message} on {os.uname().nodename}", error.hint])
    except (GitmlError, OSError) as error:
        return "error", f"{os.uname().nodename}: {error}"
    return "is", encode_description(found.description).decode()


def _answer(ref: Any) -> tuple[str, str]:
    import ray

    try:
        kind, said = ray.get(ref)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return "error", lines[-1].strip()[:300] if lines else type(error).__name__
    return kind, said


def environment_difference(here: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What is other in the environment `here` than in the one that is `wanted`, in words."""
    parts = [
        f"{name} is {here.get(name)} and not {wanted.get(name)}"
        for name in ("platform", "python")
        if here.get(name) != wanted.get(name)
    ]
    there, asked = set(here.get("distributions", ())), set(wanted.get("distributions", ()))
    if there - asked:
        parts.append(f"it has {_some(there - asked)}")
    if asked - there:
        parts.append(f"it has not {_some(asked - there)}")
    one, two = here.get("contents", {}), wanted.get("contents", {})
    others = {name for name in {*one, *two} if one.get(name) != two.get(name) and name not in there ^ asked}
    if others:
        parts.append(f"it has other files of {_some(others)}")
    if here.get("repository") != wanted.get("repository"):
        parts.append("it has another editable install of this repository")
    if here.get("programs") != wanted.get("programs"):
        parts.append("a program of the step is another")
    return "its environment is not the one the step is keyed with: " + "; ".join(parts)


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
