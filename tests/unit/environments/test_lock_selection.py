"""What a lock installs on a platform, and how that is identified."""

from __future__ import annotations

import hashlib
import platform
import sys

import pytest

from gitml.errors import InputError
from gitml.execute.environments.locks.requirements import parse_requirements
from gitml.execute.environments.locks.selection import PackageSelection, select
from gitml.execute.environments.locks.target import InstallTarget, target_of

LINUX = InstallTarget("linux-x86_64", "glibc 2.36", "3.12.4")
ARM = InstallTarget("linux-aarch64", "glibc 2.28", "3.12")
MAC = target_of("darwin-arm64", "3.13")
HEAD = 'lock-version = "1.0"\ncreated-by = "t"\nrequires-python = ">=3.9"\n'


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def wheel(name: str, mark: str = "") -> str:
    return f'{{name = "{name}", url = "https://e.com/{name}", hashes = {{sha256 = "{digest(name + mark)}"}}}}'


def package(name: str, *wheels: str, version: str = "1.0", more: str = "", sdist: bool = False) -> str:
    own = f'sdist = {{name = "{name}-{version}.tar.gz", url = "https://e.com/s", hashes = {{sha256 = "{digest(name)}"}}}}\n'
    listed = f"wheels = [{', '.join(wheels)}]\n" if wheels else ""
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}{own if sdist else ""}{listed}'


TAGS = ("cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_17_aarch64")
CORE = package("core", *[wheel(f"core-1.0-{tag}.whl") for tag in (*TAGS, "cp313-cp313-macosx_11_0_arm64")])
PURE = package("pure", wheel("pure-1.0-py3-none-any.whl"))


def chosen(text: str, target: InstallTarget = LINUX) -> PackageSelection:
    return select(text.encode(), "pylock.toml", target)


def test_of_each_package_the_best_file_for_the_platform_counts() -> None:
    found = {
        target.platform: chosen(HEAD + CORE + PURE, target).packages[0].content.removeprefix("sha256:")
        for target in (LINUX, ARM, MAC)
    }
    assert found == {
        "linux-x86_64": digest("core-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"),
        "linux-aarch64": digest("core-1.0-cp312-cp312-manylinux_2_17_aarch64.whl"),
        "darwin-arm64": digest("core-1.0-cp313-cp313-macosx_11_0_arm64.whl"),
    }
    older = LINUX._replace(libc="glibc 2.17")
    assert chosen(HEAD + CORE, older).packages[0].content.endswith(digest(f"core-1.0-{TAGS[1]}.whl"))


@pytest.mark.skipif(sys.implementation.name != "cpython" or platform.libc_ver()[0] != "glibc", reason="another Python")
def test_the_tags_of_this_machine_are_those_that_its_own_python_has() -> None:
    from packaging.tags import sys_tags

    here = target_of(f"{sys.platform}-{platform.machine()}", platform.python_version())
    assert here.tags() == list(sys_tags())


def test_comments_order_other_platforms_and_addresses_do_not_count_and_a_hash_does() -> None:
    base = chosen(HEAD + CORE + PURE).packages
    windows = package("colorama", wheel("colorama-1.0-py3-none-any.whl"), more="marker = \"sys_platform == 'win32'\"\n")
    assert chosen(HEAD + "# a comment\n" + PURE + CORE + windows).packages == base
    moved = (HEAD + CORE + PURE).replace("https://e.com", "https://user:secret@mirror.example")
    assert chosen(moved).packages == base
    more = CORE.replace("}]\n", f"}}, {wheel('core-1.0-cp312-cp312-win_amd64.whl')}]\n")
    assert chosen(HEAD + more + PURE).packages == base
    changed = CORE.replace(digest(f"core-1.0-{TAGS[0]}.whl"), "0" * 64)
    assert [one.name for one, two in zip(base, chosen(HEAD + changed + PURE).packages, strict=True) if one != two] == [
        "core"
    ]
    assert not any("secret" in text for item in chosen(moved) for text in map(str, item))


def test_groups_and_extras_are_those_that_are_asked_for() -> None:
    text = 'lock-version = "1.0"\ncreated-by = "t"\nextras = ["gpu"]\ndependency-groups = ["test", "base"]\n'
    text += 'default-groups = ["base"]\n'
    for name, condition in (
        ("a", "'gpu' in extras"),
        ("b", "'test' in dependency_groups"),
        ("c", "'base' in dependency_groups"),
    ):
        text += package(name, wheel(f"{name}-1.0-py3-none-any.whl"), more=f'marker = "{condition}"\n')

    def names(**asked: tuple[str, ...]) -> list[str]:
        return [one.name for one in select(text.encode(), "pylock.toml", LINUX, **asked).packages]

    assert (names(), names(extras=("gpu",)), names(groups=("test",))) == (["c"], ["a", "c"], ["b", "c"])
    with pytest.raises(InputError, match="the lock has no extra 'cpu'") as caught:
        names(extras=("cpu",))
    assert caught.value.hint == "its extras: gpu"


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (HEAD + CORE, InstallTarget("linux-ppc64le", "glibc 2.36", "3.12"), "has a package without a file for linux-ppc64le"),
        (HEAD.replace("3.9", "3.13") + PURE, LINUX, "the lock is not for Python 3.12.4"),
        (HEAD + "environments = [\"sys_platform == 'win32'\"]\n" + PURE, LINUX, "the lock is not for linux-x86_64"),
        (HEAD + PURE + PURE, LINUX, "Multiple packages with the name 'pure'"),
        ("a = [", LINUX, "not TOML"),
        ("a = " + "[" * 5000, LINUX, "not TOML"),
        ('lock-version = "9.0"\ncreated-by = "t"\npackages = []\n', LINUX, "not a pylock file"),
        (HEAD + '[[packages]]\nname = "x"\ndirectory = {path = "../x"}\n', LINUX, r"x is a folder \(../x\)"),
        (HEAD + package("x", '{name = "x-1.0-py3-none-any.whl", url = "u", hashes = {md5 = "0"}}'), LINUX, "x has no sha256"),
        (HEAD + package("x", wheel("no-wheel.whl")), LINUX, "not a pylock file"),
    ],
)  # fmt: skip
def test_a_lock_that_cannot_be_used_here_is_refused_in_one_line(text: str, target: InstallTarget, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        chosen(text, target)
    assert caught.value.where == "pylock.toml"
    assert "\n" not in caught.value.message


def test_what_is_taken_from_a_repository_counts_by_its_commit_and_what_is_built_by_its_source() -> None:
    commit = "c" * 40
    vcs = f'[[packages]]\nname = "x"\nvcs = {{type = "git", url = "https://h/x", commit-id = "{commit}"}}\n'
    built = package("y", sdist=True)
    one, two = chosen(HEAD + vcs + built).packages
    assert (one.content, one.line) == (f"git:{commit}", f"x @ git+https://h/x@{commit}")
    assert (two.content, two.line) == (f"sha256:{digest('y')}", f"y==1.0 --hash=sha256:{digest('y')}")


def test_of_a_requirements_file_the_lines_for_the_platform_count_without_their_markers() -> None:
    text = "a==1 ; sys_platform == 'linux' \\\n  --hash=sha256:00\nb==2 ; sys_platform == 'win32'\nc==3 ; python_version < '3.9'\nd==4\n"
    assert parse_requirements("r", text.encode()).on(LINUX).lines == ("a==1 --hash=sha256:00", "d==4")
    assert parse_requirements("r", text.encode()).on(InstallTarget("darwin-arm64", "", "3.8")).lines == ("c==3", "d==4")
    with pytest.raises(InputError, match="not an environment marker"):
        parse_requirements("r", b"a==1 ; nonsense\n").on(LINUX)
