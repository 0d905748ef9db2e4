"""Locks of conda packages are read alike in each format, and what can't be installed from them is an error with its line."""

from __future__ import annotations

import pytest

from gitml.errors import InputError
from gitml.execute.environments.conda.locks import read_lock
from gitml.execute.environments.conda.packages import CondaLock, subdir_of
from tests.kit.attacks.conda_locks import (
    CHANNEL,
    CONDA_LOCK,
    EXPLICIT,
    FORMATS,
    IDNA,
    PIXI_5,
    PIXI_7,
    PYTHON,
    TZDATA,
    ZLIB,
    A,
    B,
    C,
    D,
    E,
)


def read(text: str, subdir: str = "linux-64", name: str = "default", groups: tuple[str, ...] = ()) -> CondaLock:
    return read_lock("env/a.lock", text.encode(), subdir, name, groups)


def refusal(text: str, subdir: str = "linux-64", name: str = "default", groups: tuple[str, ...] = ()) -> InputError:
    with pytest.raises(InputError) as caught:
        read(text, subdir, name, groups)
    return caught.value


@pytest.mark.parametrize("text", FORMATS.values(), ids=FORMATS.keys())
def test_every_format_says_the_same(text: str) -> None:
    lock = read(text)
    assert [package.canonical() for package in lock.packages()] == [
        ["conda", "python", "3.12.4", "h194c7f8_0_cpython", "linux-64", f"sha256:{B}"],
        ["conda", "tzdata", "2024a", "h0c530f3_0", "noarch", f"sha256:{C}"],
        ["conda", "zlib", "1.3.1", "hb9d3cd8_2", "linux-64", f"sha256:{A}"],
        ["pypi", "idna", "3.4", f"sha256:{D}"],
    ]
    assert lock.distributions() == ["idna 3.4", "python 3.12.4", "tzdata 2024a", "zlib 1.3.1"]
    assert lock.python() == "CPython 3.12"
    assert lock.contents() == read(PIXI_7).contents()


@pytest.mark.parametrize("text", FORMATS.values(), ids=FORMATS.keys())
def test_another_platform_can_be_read_here(text: str) -> None:
    assert [package.canonical() for package in read(text, subdir_of("darwin-arm64")).packages()] == [
        ["conda", "zlib", "1.3.1", "h8359307_2", "osx-arm64", f"sha256:{E}"]
    ]


def test_an_explicit_list_is_its_packages() -> None:
    lock = read(EXPLICIT)
    assert lock.pypi == ()
    assert lock.conda == tuple(one._replace(size=0, site_packages="") for one in read(PIXI_5).conda)


def test_an_md5_is_taken_where_conda_writes_nothing_else() -> None:
    digits = "c9f075ab2f33b3bbee9e62d4ad0a6cd8"
    assert read(EXPLICIT.replace(A, digits)).conda[2].hash == f"md5:{digits}"
    error = refusal(PIXI_7.replace(f"  sha256: {A}\n", ""))
    assert "'zlib-1.3.1-hb9d3cd8_2.conda' has no sha256 in the lock" in error.message
    assert str(error.where).startswith("env/a.lock:")
    assert "has no sha256" in refusal(CONDA_LOCK.replace(f"    sha256: {A}\n", "")).message


def test_a_line_of_a_list_without_a_hash_is_named() -> None:
    error = refusal(EXPLICIT.replace(f"{TZDATA}#sha256:{C}", TZDATA))
    assert (error.message, error.where) == ("'tzdata-2024a-h0c530f3_0.conda' has no hash", "env/a.lock:7")
    assert error.hint is not None
    assert "conda list --explicit --sha256 > env/a.lock" in error.hint


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (PIXI_7, "pixi workspace platform add linux-aarch64"),
        (CONDA_LOCK, "conda-lock lock -p linux-64 -p linux-aarch64 -p osx-arm64"),
    ],
)
def test_a_lock_for_other_platforms_names_them_and_how_to_add_this_one(text: str, command: str) -> None:
    error = refusal(text, "linux-aarch64")
    assert error.message == "the lock is for linux-64, osx-arm64, and not for linux-aarch64"
    assert error.hint == command


def test_a_list_for_another_platform_is_refused() -> None:
    error = refusal(EXPLICIT, "osx-arm64")
    assert error.message == "the lock is for linux-64, and not for osx-arm64"
    without = "\n".join(line for line in EXPLICIT.splitlines() if "platform" not in line)
    assert refusal(without, "osx-arm64").message == error.message


def test_a_machine_that_conda_has_nothing_for_is_refused() -> None:
    with pytest.raises(InputError, match="conda has no packages for sunos-sun4v"):
        subdir_of("sunos-sun4v")


def test_an_environment_of_a_pixi_lock_is_chosen_by_name() -> None:
    for text in (PIXI_7, PIXI_5):
        assert read(text, name="gpu").distributions() == ["tzdata 2024a"]
        error = refusal(text, name="gpus")
        assert error.message == "there is no environment 'gpus' in the lock (did you mean 'gpu'?)"


def test_categories_of_conda_lock_beside_main_are_chosen_by_name() -> None:
    assert "six 1.16.0" not in read(CONDA_LOCK).distributions()
    assert "six 1.16.0" in read(CONDA_LOCK, groups=("dev",)).distributions()
    assert "there is no category 'docs' in the lock" in refusal(CONDA_LOCK, groups=("docs",)).message


def test_versions_are_text_however_they_are_written() -> None:
    text = CONDA_LOCK.replace("version: 2024a", "version: 1.10").replace("tzdata-2024a", "tzdata-1.10")
    assert "tzdata 1.10" in read(text).distributions()


def test_order_comments_channels_and_what_is_for_others_do_not_count() -> None:
    before = read(PIXI_7).contents()
    moved = PIXI_7.replace("https://conda.anaconda.org", "https://mirror.example.com/conda")
    shorter = PIXI_7.replace(
        f"      - conda: {ZLIB}\n      - conda: {PYTHON}\n", f"      - conda: {PYTHON}\n      - conda: {ZLIB}\n"
    )
    other = PIXI_7.replace(E, A).replace("  size: 92286\n", "")
    for text in (f"# a comment\n{PIXI_7}", moved, shorter, other):
        assert text != PIXI_7
        assert read(text).contents() == before


def test_a_changed_hash_build_or_version_counts() -> None:
    before = read(PIXI_7).contents()
    assert read(PIXI_7.replace(A, E)).contents() != before
    assert read(PIXI_7.replace(D, E)).contents() != before
    assert read(PIXI_7.replace("hb9d3cd8_2", "hb9d3cd8_3")).contents() != before


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (ZLIB, ZLIB.replace(".conda", ".zip"), "is built from source"),
        (f"conda: {ZLIB}", "conda: ./packages/zlib-1.3.1-hb9d3cd8_2.conda", "is a file beside the lock"),
        (CHANNEL, "https://me:secret@host/channel", "has a password or a token"),
        (CHANNEL, "https://host/t/to-1234/channel", "has a password or a token"),
        (CHANNEL, "ftp://host/channel", "without a URL that can be fetched"),
        (A, "xyz", "is not a hash"),
        ("zlib-1.3.1", "zlib%2f..%2f..-1.3.1", "is not the name of a package"),
        ("version: 7", "version: 8", "this is version 8 of the format of pixi.lock, and gitml reads 4 to 7"),
        ("version: 7", "version: 3", "this is version 3 of the format"),
        (f"- conda: {TZDATA}\n  sha256", f"- conda: {TZDATA}x\n  sha256", "the lock has no package"),
        (f"pypi: {IDNA}", "pypi: ../idna", "'../idna' is a folder, whose content the lock does not hold"),
        (f"pypi: {IDNA}", "pypi: wheels/idna-3.4-py3-none-any.whl", "is a file beside the lock"),
        (f"conda: {ZLIB}", "conda_source: zlib[c1282f86] @ libraries/zlib", "is built from source"),
        (f"sha256: {D}", "md5: c9f075ab2f33b3bbee9e62d4ad0a6cd8", "'idna' has no sha256 in the lock"),
    ],
)
def test_what_can_not_be_installed_exactly_is_refused(before: str, after: str, message: str) -> None:
    text = PIXI_7.replace(before, after)
    assert text != PIXI_7
    error = refusal(text)
    assert message in error.message
    assert "secret" not in str(error.message) + str(error.hint)
    assert "to-1234" not in str(error.message) + str(error.hint)


def test_of_two_platforms_of_one_subdir_the_one_called_so_is_meant() -> None:
    assert read(PIXI_7.replace("subdir: osx-arm64", "subdir: linux-64")).contents() == read(PIXI_7).contents()
    named = PIXI_7.replace("name: linux-64", "name: old\n  subdir: linux-64").replace("      linux-64:", "      old:")
    assert read(named).contents() == read(PIXI_7).contents()
    several = named.replace("subdir: osx-arm64", "subdir: linux-64")
    assert refusal(several).message == "the lock has several platforms of linux-64: old, my-mac"


def test_the_project_itself_is_left_out_however_it_is_locked() -> None:
    for own in ("conda: .", "conda_source: mine[4fcb3b95] @ .", "pypi: ."):
        text = PIXI_7.replace("pypi: ./", own)
        assert text != PIXI_7
        assert read(text).contents() == read(PIXI_7).contents()


def test_a_pixi_lock_of_2023_is_read_as_conda_lock_wrote_it() -> None:
    old = CONDA_LOCK.replace("version: 1\n", "version: 3\n", 1).replace("manager: pip", "manager: pypi")
    assert read(old).contents() == read(CONDA_LOCK).contents()
    assert "this is version 4 of the format" in refusal(CONDA_LOCK.replace("version: 1\n", "version: 4\n", 1)).message


def test_two_versions_of_a_package_exclude_each_other() -> None:
    other = TZDATA.replace("2024a", "2023d")
    text = EXPLICIT + f"{other}#{A}\n"
    assert refusal(text).message == "tzdata is there twice, 2024a and 2023d, with different contents"
    assert read(EXPLICIT + f"{TZDATA}#{C}\n") == read(EXPLICIT)


def test_a_package_of_a_repository_of_git_is_its_commit() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    text = PIXI_7.replace(f"pypi: {IDNA}", f"pypi: git+https://github.com/a/idna?rev=v3#{commit}")
    package = read(text).pypi[0]
    assert (package.hash, package.url) == (f"git:{commit}", f"git+https://github.com/a/idna@{commit}")
    assert "without a commit" in refusal(text.replace(f"#{commit}", "")).message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channels: [conda-forge]\ndependencies: [python]\n", "a conda environment, whose packages are not locked"),
        ("a: 1\n", "no lock of conda packages"),
        ("- a\n", "no lock of conda packages"),
        ("", "no lock of conda packages"),
        ("a: [\n", "not YAML"),
        ("environments: {default: 3}\nversion: 6\n", "there is no 'packages'"),
        ("environments: {default: {packages: {linux-64: 3}}}\nversion: 6\npackages: []\n", "this is not a list"),
        ("environments: {default: {packages: {linux-64: [3]}}}\nversion: 6\npackages: []\n", "names no package"),
        ("environments: {default: {packages: {linux-64: [{conda: [1]}]}}}\nversion: 6\npackages: []\n", "not text"),
        (
            "x: &x [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}' if n else '*x'] * 9)}]\n" for n in range(9)),
            "",
        ),
        ("[" * 100, ""),
        ("@EXPLICIT\n\x1b[2Jx-1-0.conda#" + A, "without a URL"),
    ],
)
def test_what_is_no_lock_is_an_error_in_one_line(text: str, message: str) -> None:
    error = refusal(text)
    assert message in error.message
    assert "\n" not in error.message
    assert "\x1b" not in error.message


def test_a_loose_environment_gets_the_command_that_locks_it() -> None:
    assert refusal("dependencies: [python]\n").hint == "gitml env lock env/a.lock"
