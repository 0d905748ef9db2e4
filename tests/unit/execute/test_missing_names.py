"""What a log says was not found is read out of it, however the program words it."""

from __future__ import annotations

import time

import pytest

from gitml.execute.log_text import missing_names, relative_to

PLACES = ("/s/work", "/mnt/real/s/work")


@pytest.mark.parametrize(
    ("log", "name"),
    [
        ("Traceback\nModuleNotFoundError: No module named 'src.features'", "module src.features"),
        ("/usr/bin/python3: No module named pkg.tool", "module pkg.tool"),
        ("ImportError: cannot import name 'lib' from 'src' (unknown location)", "module src.lib"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'conf/a.yaml'", "conf/a.yaml"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/s/work/src/conf.json'", "src/conf.json"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/mnt/real/s/work/src/../lib/x'", "lib/x"),
        ("FileNotFoundError: [Errno 2] No such file or directory: PosixPath('data/x.csv')", "data/x.csv"),
        ("FileNotFoundError: [Errno 2] No such file or directory: b'data/x.csv'", "data/x.csv"),
        ("FileNotFoundError: data/x.npy not found.", "data/x.npy"),
        ("python: can't open file '/s/work/src/x.py': [Errno 2] No such file or directory", "src/x.py"),
        ("cat: conf/x: No such file or directory", "conf/x"),
        ("ls: cannot access 'conf/x y': No such file or directory", "conf/x y"),
        ("sh: 1: ./x.sh: not found", "./x.sh"),
        ("bash: line 1: ./x.sh: No such file or directory", "./x.sh"),
        ("bash: line 1: cd: data: No such file or directory", "data"),
        ("sh: 1: cannot open conf/x: No such file", "conf/x"),
        ("Fatal error: cannot open file 'src/x.R': No such file or directory", "src/x.R"),
        ("In file(file, \"rt\") :\n  cannot open file 'data/x.csv': No such file or directory", "data/x.csv"),
        ("Error: Cannot find module '/s/work/src/x.js'", "src/x.js"),
        ("Error: ENOENT: no such file or directory, open 'data/x.json'", "data/x.json"),
        ('Can\'t open perl script "src/x.pl": No such file or directory', "src/x.pl"),
        ("Can't locate Local/Tool.pm in @INC (you may need to install", "Local/Tool.pm"),
        ("x.rb:1:in `read': No such file or directory @ rb_sysopen - data/x (Errno::ENOENT)", "data/x"),
        ("open data/x.csv: no such file or directory", "data/x.csv"),
        ("sh: 1: cannot create logs/run.log: Directory nonexistent", "logs/run.log"),
        ("Error: Unable to access jarfile lib/x.jar", "lib/x.jar"),
        ("java.io.FileNotFoundException: data/x.csv (No such file or directory)", "data/x.csv"),
        (
            "  File \"/usr/lib/python3.10/os.py\", line 680, in __getitem__\n    raise KeyError(key)\nKeyError: 'TOKEN'",
            "variable TOKEN",
        ),
        ("  File \"<frozen os>\", line 679, in __getitem__\nKeyError: 'TOKEN'", "variable TOKEN"),
        ("bash: line 2: A_B: unbound variable", "variable A_B"),
        ("sh: 1: A_B: parameter not set", "variable A_B"),
        ("make: *** No targets specified and no makefile found.  Stop.", "Makefile"),
        ("make: *** No rule to make target 'data/x', needed by 'all'.  Stop.", "data/x"),
        (
            "Primary config directory not found.\nCheck that the config directory '/s/work/conf' exists and readable\n\n"
            "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.",
            "conf",
        ),
        (
            "Primary config module 'pkg.conf' not found.\nCheck that it's correct and contains an __init__.py file",
            "module pkg.conf",
        ),
        (
            "Cannot find primary config 'config'. Check that it's in your config search path.\n\nConfig search path:\n"
            "\tprovider=hydra, path=pkg://hydra.conf\n\tprovider=main, path=file:///s/work/src/conf\n"
            "\tprovider=schema, path=structured://",
            "src/conf/config.yaml",
        ),
        (
            "In 'config': Could not find 'db/mysql'\n\nAvailable options in 'db':\n\tpg\nConfig search path:\n"
            "\tprovider=main, path=file:///s/work/conf\n",
            "conf/db/mysql.yaml",
        ),
        ("first: No such file or directory\ncat: last: No such file or directory", "last"),
    ],
)
def test_the_name_that_was_missing_comes_first(log: str, name: str) -> None:
    assert missing_names(log, PLACES)[0] == name


@pytest.mark.parametrize("log", ["", "ValueError: bad", "all is well", "loss: 1\naccuracy: 2\n"])
def test_a_log_that_misses_nothing_names_nothing(log: str) -> None:
    assert missing_names(log, PLACES) == ()


def test_a_makefile_may_have_any_of_its_names() -> None:
    found = missing_names("make: *** No rule to make target 'all'.  Stop.", PLACES)
    assert found == ("all", "Makefile", "makefile", "GNUmakefile")


def test_few_names_come_of_many() -> None:
    log = "\n".join([f"cat: f{number}: No such file or directory" for number in range(500)])
    assert missing_names(log, PLACES)[:2] == ("f499", "f498")
    assert len(missing_names(log, PLACES)) == 8


@pytest.mark.parametrize(
    "piece",
    [
        "No such file or directory: '",
        ": ",
        "'",
        "a:",
        "open ",
        "FileNotFoundError: ",
        "x.",
        "can't open ",
        "\x1b]",
        "Could not find 'x'\n provider=main, path=file:///",
    ],
)
def test_hostile_logs_take_no_time(piece: str) -> None:
    log = (piece * 8192)[:8192]
    begun = time.process_time()
    missing_names(log, PLACES)
    assert time.process_time() - begun < 2


def test_paths_of_the_sandbox_become_as_the_step_would_write_them() -> None:
    assert relative_to(PLACES, "no /s/work/src/x and no /mnt/real/s/work/y, but /s/workers/z") == (
        "no src/x and no y, but /s/workers/z"
    )


@pytest.mark.parametrize(
    ("line", "missed"),
    [
        ("fatal: not a git repository (or any parent up to mount point /)", "repository git"),
        ("fatal: not a git repository: '/s/work/.git'", "repository git"),
        ("git.exc.InvalidGitRepositoryError: /s/work", "repository git"),
        ("dvc.scm.SCMError: /s/work is not a git repository", "repository git"),
        ("dvc.exceptions.NotDvcRepoError: you are not inside of a DVC repository (checked up to /)", "repository dvc"),
        ("ERROR: you are not inside of a DVC repository", "repository dvc"),
    ],
)
def test_a_program_that_looks_for_its_repository_says_so(line: str, missed: str) -> None:
    assert missed in missing_names(f"before\n{line}\n", PLACES)


def test_other_words_about_repositories_are_none() -> None:
    assert missing_names("fatal: 'x' does not appear to be a git repository\nnot a repository\n", PLACES) == ()
