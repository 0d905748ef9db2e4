"""Action: everything that determines a step's result, and the ActionKey that names it.

The pre-image of a key is one JSON document: JSON distinguishes ``1``, ``1.0``, ``"1"``, ``true`` and ``null``, keys are sorted,
nothing outside ASCII is left unescaped, and the format version is in it. Names of steps and pipelines are not.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gitml.core.model.digest import PREFIX, Digest
from gitml.core.model.step_settings import ALONE, GANG, KEYED, TOP, WORKDIR

FORMAT = 2
READABLE = (1, 2)  # what older gitml recorded is shown, and never reused

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False).encode

Scalar = str | int | float | bool


class CodeFile(NamedTuple):
    """A file or directory of the commit that the step may use: mode as Git writes it (``100644``, ``40000`` …), oid in hex."""

    path: str
    mode: str
    oid: str


class StepCommit(NamedTuple):
    """What the repository in the sandbox is of: a commit, and the tags that point at it, as (name, id), sorted by name.

    `instead` is what the commit has where the step has something else: files with uncommitted changes, and inputs that lie in
    the place of what is tracked.
    """

    commit: str
    tags: tuple[tuple[str, str], ...] = ()
    instead: tuple[CodeFile, ...] = ()


CONFIG = "config"
"""The kind of an input that is the projection of a config file; the step has a copy of its own, and no variable for it."""


class ActionInput(NamedTuple):
    """What lies at `mount` in the sandbox; `content` is ``git:<mode>:<oid>`` or a Digest.

    `kind` is file or directory, or executable for a file with that bit that another step made; a file of the commit has its mode
    in `content`. Or it is CONFIG.
    """

    name: str
    mount: str
    kind: str
    content: str


class ActionOutput(NamedTuple):
    """What the step is to leave at `mount`; kind is one of PORT_KINDS.

    `options` are what else its declaration says that can change the result, by name and sorted by it; usual ones are left out.
    """

    name: str
    mount: str
    kind: str
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str) -> Any:
        """The value of an option, None where the declaration does not have it."""
        return dict(self.options).get(name)

    def as_json(self) -> tuple[Any, ...]:
        """As pre-images have it: one without options is what it was before there were any."""
        return (*self[:3], dict(self.options)) if self.options else self[:3]


def output_from_json(raw: Sequence[Any]) -> ActionOutput:
    """The inverse of `ActionOutput.as_json`; TypeError or ValueError for what is none."""
    name, mount, kind, *more = raw
    (options,) = more or ({},)
    return ActionOutput(name, mount, kind, tuple(sorted((key, _frozen(value)) for key, value in options.items())))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


class Action(NamedTuple):
    """A step ready to be performed: no expression is left in it, and nothing else can change its result.

    `argv` is the argument list as rendered; with `shell` it is the one script. An `env` value of None is passed through
    from the machine and only its name counts. `environment` is the Digest of an environment's description. `settings`
    are the settings of its step that count (`step_settings.KEYED`), by name, without the usual ones.
    `secrets` are the secret parameters among what is rendered, by name, with the seals that stand for their values in it.
    `repository` is what the Git repository in its sandbox is of, None where it has none. `project` is the folder of the project
    in a sandbox that is laid out like the repository; empty where it is laid out like the project.
    `format` is the version of the pre-image: what a step is given besides its Action may differ from version to version.
    """

    argv: tuple[str, ...]
    shell: str | None
    params: tuple[tuple[str, Scalar], ...]
    code: tuple[CodeFile, ...]
    inputs: tuple[ActionInput, ...]
    outputs: tuple[ActionOutput, ...]
    env: tuple[tuple[str, str | None], ...]
    environment: Digest
    module: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    format: int = FORMAT
    secrets: tuple[tuple[str, str], ...] = ()
    repository: StepCommit | None = None
    project: str = ""

    def preimage(self) -> bytes:
        """The canonical bytes that the ActionKey is the sha256 of."""
        parts = self._asdict()
        parts.update(parts.pop("settings"))  # each by its own name
        parts["outputs"] = [output.as_json() for output in self.outputs]
        if not self.secrets:
            del parts["secrets"]
        if self.repository is None:
            del parts["repository"]
        if not self.project:
            del parts["project"]
        return _ENCODE(parts).encode("ascii")

    def counted_from_project(self, mount: str) -> str:
        """A place in its sandbox, counted from its project: with ``..`` where it lies beside that."""
        return posixpath.relpath(f"/{mount}", f"/{self.project}") if self.project else mount

    @property
    def workdir(self) -> str:
        """The folder of the sandbox in which the command runs, ``.`` for its top."""
        return str(dict(self.settings).get(WORKDIR.name, TOP))

    @property
    def gang(self) -> tuple[int, int]:
        """On how many nodes it runs, and in how many processes on each."""
        nodes, processes = dict(self.settings).get(GANG.name, ALONE)
        return nodes, processes

    def key(self) -> Digest:
        """The ActionKey."""
        return Digest(PREFIX + hashlib.sha256(self.preimage()).hexdigest())


def decode_action(preimage: bytes) -> Action:
    """The Action with exactly this pre-image; ValueError when it is none of a format known here."""
    try:
        raw: dict[str, Any] = json.loads(preimage)
        if type(raw["format"]) is not int or raw["format"] not in READABLE:
            raise ValueError(f"action of format {raw['format']!r}, not {FORMAT}")
        action = Action(
            argv=tuple(raw["argv"]),
            shell=raw["shell"],
            params=tuple((name, value) for name, value in raw["params"]),
            code=tuple(CodeFile(*item) for item in raw["code"]),
            inputs=tuple(ActionInput(*item) for item in raw["inputs"]),
            outputs=tuple(map(output_from_json, raw["outputs"])),
            env=tuple((name, value) for name, value in raw["env"]),
            environment=Digest(raw["environment"]),
            module=raw["module"],
            settings=tuple(_settings(raw)),
            format=raw["format"],
            secrets=tuple((name, seal) for name, seal in raw.get("secrets", ())),
            repository=_repository(raw["repository"]) if "repository" in raw else None,
            project=raw.get("project", ""),
        )
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not an action: {error}") from error
    _check_types(action)
    if action.preimage() != preimage:
        raise ValueError("not an action: not in canonical form")
    return action


def _settings(raw: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in KEYED:
        if part.name in raw and (value := part.decode(raw[part.name])) != part.usual:
            yield part.name, value


def _repository(raw: Any) -> StepCommit:
    commit, tags, instead = raw
    return StepCommit(commit, tuple((name, oid) for name, oid in tags), tuple(CodeFile(*item) for item in instead))


def _check_types(action: Action) -> None:
    """ValueError unless every part is of its type: pre-images come from other machines too."""
    texts: list[object] = [*action.argv, action.environment, action.project]
    for part in (*action.code, *action.inputs, *(output[:3] for output in action.outputs)):
        texts += part
    texts += [name for name, _ in (*action.params, *action.env)]
    texts += [text for pair in action.secrets for text in pair]
    if action.repository is not None:
        commit, tags, instead = action.repository
        texts += [commit, *(text for part in (*tags, *instead) for text in part)]
    maybe = [action.shell, action.module, *(value for _, value in action.env)]
    if (
        not all(isinstance(text, str) for text in texts)
        or not all(text is None or isinstance(text, str) for text in maybe)
        or not all(isinstance(value, (str, int, float)) for _, value in action.params)
    ):
        raise ValueError("not an action: a part of another type")
