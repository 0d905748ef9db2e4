"""The kinds of environments that ``environment:`` can name: how each is written, and which files of the commit define it.

A kind has two parts of one name. The one in ENVIRONMENT_KINDS is pure: what parsing, planning and checks need. The other, in
`execute.environments.environments.ENVIRONMENT_PROVIDERS`, identifies and realizes such an environment on a machine. All code
between them passes an EnvironmentSpec, an EnvironmentSource or an Environment on, and knows no kind.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gitml.core.kinds.image_names import ImageName, parse_image_name
from gitml.core.kinds.image_pins import LOCK_PATH
from gitml.core.kinds.unlocked_files import is_any_toml, unlocked_file
from gitml.core.model import paths
from gitml.core.model.environment import HOST, REQUIREMENTS, EnvironmentSpec

VENV, PYLOCK, UV, SCRIPT = "venv", "pylock", "uv", "script"
PIXI, CONDA, IMAGE = "pixi", "conda", "image"


class EnvironmentFile(NamedTuple):
    """A file of the commit that an environment is defined by; one that is not `required` may be missing."""

    path: str
    required: bool = True


class EnvironmentKind(NamedTuple):
    """One kind of environment, as pipelines write it: `matches` returns whether ``environment: text`` names one.

    `parse` gives the name in normal form, and what is wrong with it, None for nothing. `files_of` names the files of the commit
    whose content defines such an environment. `options` are the keys that may stand beside the kind's own in a mapping: those
    of `core.language.environment_field.OPTIONS`. `known` returns whether a file whose name says nothing is of this kind.
    `ignored` is what does not count in the identity of such an environment, in words.
    """

    matches: Callable[[str], bool]
    parse: Callable[[str], tuple[str, str | None]]
    files_of: Callable[[EnvironmentSpec], tuple[EnvironmentFile, ...]]
    options: frozenset[str] = frozenset()
    known: Callable[[bytes], bool] = lambda content: False
    ignored: str = "comments, order and what is not installed on this platform; where packages come from"


def _parse_path(text: str) -> tuple[str, str | None]:
    if "://" in text:
        what = f"environment {text[:80]!r} is an address: commit the file and write its path"
        return "", f"{what}, or name an image, {{image: NAME}}"
    problem = paths.problem_with_named(text)
    return ("", f"environment is {problem}") if problem else (paths.clean(text), None)


def _parse_lock(text: str) -> tuple[str, str | None]:
    """The path of a file that is said to be a lock of some kind: one that is known to be none is refused here."""
    path, mistake = _parse_path(text)
    unlocked = None if mistake else unlocked_file(path)
    return path, f"environment {path!r} is {unlocked[0]}: {unlocked[1]}" if unlocked else mistake


def _parse_requirements(text: str) -> tuple[str, str | None]:
    if _LIKE_AN_IMAGE.fullmatch(text):
        return "", f'environment {text[:80]!r} looks like an image: {{image: "{text[:80]}"}}'
    return _parse_lock(text)


def _parse_uv(text: str) -> tuple[str, str | None]:
    path, mistake = _parse_lock(text)
    if mistake is None and not path.endswith(".lock"):
        mistake = f"environment {path!r} is no lock of uv, which is called uv.lock: {{uv: uv.lock}}"
    return path, mistake


def _parse_pylock(text: str) -> tuple[str, str | None]:
    path, mistake = _parse_lock(text)
    return path, None if mistake and is_any_toml(path) else mistake


def _parse_conda(text: str) -> tuple[str, str | None]:
    return _parse_path(text) if "lock" in posixpath.basename(text) else _parse_lock(text)


def _parse_venv(text: str) -> tuple[str, str | None]:
    path, mistake = _parse_path(text)
    return path, "environment venv is the whole work tree: name the folder, .venv" if path == "." else mistake


def _parse_image(text: str) -> tuple[str, str | None]:
    name, mistake = parse_image_name(text)
    unlocked = unlocked_file(text) if mistake else None
    if unlocked is not None:
        mistake = f"environment {text[:80]!r} is {unlocked[0]}: {unlocked[1]}"
    return str(name) if name else text, mistake


def _named(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, posixpath.basename(text)) is not None


def _own_file(spec: EnvironmentSpec) -> tuple[EnvironmentFile, ...]:
    return (EnvironmentFile(spec.name),)


def _uv_files(spec: EnvironmentSpec) -> tuple[EnvironmentFile, ...]:
    folder = posixpath.dirname(spec.name)
    beside = [EnvironmentFile(posixpath.join(folder, name), name == "pyproject.toml") for name in _BESIDE_UV]
    return (EnvironmentFile(spec.name), *beside)


def _script_files(spec: EnvironmentSpec) -> tuple[EnvironmentFile, ...]:
    if not spec.name:  # of a command that starts none
        return ()
    return (EnvironmentFile(spec.name), EnvironmentFile(f"{spec.name}.lock", required=False))


def _is_explicit(content: bytes) -> bool:
    """Whether a file is a list of `conda list --explicit`."""
    return re.search(rb"^@EXPLICIT\s*$", content, re.MULTILINE) is not None


def _image_files(spec: EnvironmentSpec) -> tuple[EnvironmentFile, ...]:
    """What a tag means is in the lock of the project; a digest needs nothing."""
    return () if "@" in spec.name else (EnvironmentFile(LOCK_PATH, required=False),)


# of a text that would be the path of a file: a tag or a digest behind its last part
_LIKE_AN_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?(@sha256:.*|:(?!.*\.(txt|lock|in)$)[A-Za-z0-9_.-]+)"
)
_BESIDE_UV = ("pyproject.toml", ".python-version")
_NOT_OF_HOST = "other programs than those that steps start, libraries and drivers of the system"
_LIKE_HOST = (HOST, "local", "system", "machine", "none", "default", "python", "python3")
_OF_PYTHON = frozenset(("python", "image"))
_NO_FILES: Callable[[EnvironmentSpec], tuple[EnvironmentFile, ...]] = lambda spec: ()  # noqa: E731
_NO_TEXT: Callable[[str], bool] = lambda text: False  # noqa: E731

ENVIRONMENT_KINDS: dict[str, EnvironmentKind] = {
    # the path of a locked requirements file, from which an isolated environment is built
    REQUIREMENTS: EnvironmentKind(
        lambda text: True,
        _parse_requirements,
        _own_file,
        _OF_PYTHON,
        ignored="comments, order, other platforms",
    ),
    # an image in a registry, by the digest of a manifest or of an index
    IMAGE: EnvironmentKind(_NO_TEXT, _parse_image, _image_files, ignored="registry, name and tag; other platforms"),
    # what the machine has installed; with names: these distributions alone, and what they need
    HOST: EnvironmentKind(lambda text: text == HOST, lambda text: ("", None), _NO_FILES, ignored=_NOT_OF_HOST),
    # a virtual environment that the project has, in its work tree
    VENV: EnvironmentKind(_NO_TEXT, _parse_venv, _NO_FILES, ignored=_NOT_OF_HOST),
    # conda packages: one of the environments of a pixi.lock
    PIXI: EnvironmentKind(
        _named(r"pixi\.lock"),
        _parse_lock,
        _own_file,
        frozenset(("name",)),
    ),
    # conda packages: a file of conda-lock, whose groups are its categories, or an explicit list
    CONDA: EnvironmentKind(
        _named(r"(.*[.-])?conda-lock\.ya?ml"),
        _parse_conda,
        _own_file,
        frozenset(("groups",)),
        known=_is_explicit,
    ),
    # PEP 751
    PYLOCK: EnvironmentKind(
        _named(r"pylock(\.[^.]+)?\.toml"), _parse_pylock, _own_file, _OF_PYTHON | {"groups", "extras"}
    ),
    UV: EnvironmentKind(_named(r"uv\.lock"), _parse_uv, _uv_files, _OF_PYTHON | {"groups", "extras"}),
    # PEP 723: by itself the script that the step's command starts
    SCRIPT: EnvironmentKind(lambda text: text == SCRIPT, _parse_path, _script_files, _OF_PYTHON),
}
"""By name. Of those that match a text, the last counts: the first takes whatever no other does for the path of a file."""


def parse_environment(text: str) -> tuple[EnvironmentSpec, str | None]:
    """What ``environment: text`` names, and what is wrong with it, None for nothing."""
    kind = next(kind for kind in reversed(ENVIRONMENT_KINDS) if ENVIRONMENT_KINDS[kind].matches(text))
    if kind == SCRIPT:
        return EnvironmentSpec(SCRIPT), None
    name, mistake = ENVIRONMENT_KINDS[kind].parse(text)
    return EnvironmentSpec(kind, name), mistake


def kind_told_by(text: str) -> str | None:
    """The kind that is known by the name of a file at `text`; None where its name says nothing."""
    kind = parse_environment(text)[0].kind
    return None if kind in (HOST, SCRIPT, REQUIREMENTS) else kind


def environment_files(spec: EnvironmentSpec) -> tuple[EnvironmentFile, ...]:
    """The files of the commit, or of the module's folder, that define the environment."""
    image = spec.option(IMAGE)
    beside = _image_files(EnvironmentSpec(IMAGE, image)) if image else ()
    return (*ENVIRONMENT_KINDS[spec.kind].files_of(spec), *beside)


def meant_instead(text: str) -> str | None:
    """What may have been meant by a text that names no file: the kind that is written like it; None for anything else."""
    word = text.rstrip("/").lower()
    if posixpath.basename(word) in ("venv", ".venv"):
        return "{venv: .venv}" if word == VENV else f"{{venv: {text.rstrip('/')}}}"
    if word in _LIKE_HOST:
        return HOST
    if word == SCRIPT:
        return SCRIPT
    return f"{word}.lock" if word in (UV, PIXI) else None


def tagged_image(spec: EnvironmentSpec) -> ImageName | None:
    """The image that an environment names by a tag alone; None for any other."""
    text = spec.name if spec.kind == IMAGE else spec.option(IMAGE)
    name = parse_image_name(text)[0] if text else None
    return name if name is not None and not name.digest else None


def script_of(spec: EnvironmentSpec, argv: Sequence[str]) -> EnvironmentSpec:
    """`spec`, with the script that a command starts where it is said to be that of the script."""
    if spec.kind != SCRIPT or spec.name:
        return spec
    script = next((word for word in argv[1:] if word.endswith(".py") and paths.problem_with(word) is None), "")
    return spec._replace(name=paths.clean(script) if script else "")


def told_by_content(spec: EnvironmentSpec, content: bytes) -> EnvironmentSpec:
    """`spec`, of the kind that its file turns out to be where the name of the file says nothing."""
    if spec.kind != REQUIREMENTS or spec.options:
        return spec
    kind = next((kind for kind in reversed(ENVIRONMENT_KINDS) if ENVIRONMENT_KINDS[kind].known(content)), spec.kind)
    return spec._replace(kind=kind)
