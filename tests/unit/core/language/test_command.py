"""A command without a shell: how it is cut into words, and what in it is a mistake because only a shell would act on it."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitml.core.language.command import read_command
from gitml.core.language.expression import Ref

A, B = Ref("params", "a"), Ref("params", "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", [("a",), ("b",)]),
        ("a ${{ params.a }}", [("a",), (A,)]),
        ("--x=${{ params.a }}/y", [("--x=", A, "/y")]),
        ("'a b ${{ params.a }}' \"c ${{ params.b }}\"", [("a b ", A), ("c ", B)]),
        ("${{ params.a }}${{ params.b }}", [(A, B)]),
        ("a\\ b '' \"\"", [("a b",), (), ()]),
        ("a\n  b\t c", [("a",), ("b",), ("c",)]),
        ("a # b", [("a",), ("#",), ("b",)]),
        ("a;b|c >d $x `y`", [("a;b|c",), (">d",), ("$x",), ("`y`",)]),
        ("é💥 ${{ params.a }}", [("é💥",), (A,)]),
        ("$${{ params.a }}", [("${{",), ("params.a",), ("}}",)]),
        ("'$${{ params.a }}'", [("${{ params.a }}",)]),
        ("a \\\n  b", [("a",), ("b",)]),
        ("a\\\nb", [("ab",)]),
        ('"a \\\nb" "\\$x \\` \\\\ \\" \\n"', [("a b",), ('$x ` \\ " \\n',)]),
        ("\\${{ params.a }}", [(A,)]),
        ("", []),
        (" \n ", []),
    ],
)
def test_a_command_is_cut_into_words_with_expressions_whole(text: str, words: list[tuple[str | Ref, ...]]) -> None:
    assert list(read_command(text).words) == words


@pytest.mark.parametrize("text", ["'a", '"a', "a\\"])
def test_an_open_quotation_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="No "):
        read_command(text)


QUOTED = (
    st.text(st.sampled_from("ab '\\$`*~#;&|<>(){}[]!?=\n"), max_size=8)
    .map(lambda text: "'" + text.replace("'", "") + "'")
    .filter(lambda text: "${{" not in text)  # an expression, which has a meaning in quotes too
)
DOUBLE = st.text(st.sampled_from("ab '\\*~#;&|<>(){}[]?=\n"), max_size=8).map(
    lambda text: '"' + text.replace("\\", "\\\\") + '"'
)
BARE = st.text(st.sampled_from("abAB01-_=.,:/+%^"), min_size=1, max_size=8)
PIECE = st.one_of(QUOTED, DOUBLE, BARE, st.just("\\ "), st.just("\\'"), st.just("\\\n"), st.just('"\\$x\\`"'))


@pytest.mark.slow
@given(st.lists(st.lists(PIECE, min_size=1, max_size=4).map("".join), min_size=1, max_size=4))
def test_what_is_no_mistake_gives_the_words_that_a_shell_gives(words: list[str]) -> None:
    command = " ".join(["x", *words])  # as the first, `A=` would set a variable
    read = read_command(command)
    assert read.found is None
    assert not read.foreign
    shell = subprocess.run(["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    assert ["".join(map(str, word)) for word in read.words] == shell.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    "text",
    [
        "printf '%s' '>' \"a | b\" --x=\"a > b\" x\\;",
        "grep -c 'a*b' --include=*.py --exclude='[a-z]' file",
        "sed -n 's/$/x/p' \"^a$\" a$ $ '$HOME' \\$HOME \"\\$HOME\"",
        "train model=svm +data=x lr=choice(1,2) hydra.sweep=[a,b] ~db x=~5%",
        'curl https://example.com/q?a=1 HEAD~1 a#b %d {} a{b}c \'{"a": 1, "b": 2}\'',
        "docker ps --format '{{.Names}}' --filter \"{{.Id}}\"",
        "python3 -c \"print(open('data/sales.csv').read(), f'{x}')\"",
        "find src -name '*.py' -exec cat {} \\;",
        "grep a\\.b\\n x\\ y\\'s.txt 'src\\run.py'",
        "a:b,c @file +x -y --z=1e-3 50% ^a [ x = y ] not!",
        "'one\ntwo' \"three\nfour\"",
        "a \\\n  --b 1 \\\n  --c 2\n",
        "tool ${{ params.a }}${{ params.b }} x=${{ params.a }} '${{ params.b }}*'",
        "echo $${{ params.x }} $$${{ y }}",
    ],
)
def test_what_a_shell_hands_on_as_it_is_is_no_mistake(text: str) -> None:
    read = read_command(text)
    assert (read.found, read.foreign) == (None, ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a | b", "|"),
        ("a || b", "||"),
        ("a && b", "&&"),
        ("a &", "&"),
        ("a; b", "a;"),
        ("a;b", "a;b"),
        ("a > o.txt", ">"),
        ("a >${{ outputs.o }}", ">${{ outputs.o }}"),
        ("a 2>&1", "2>&1"),
        ("a <in", "<in"),
        ("a <<END", "<<END"),
        ("pip install numpy>=1.2", "numpy>=1.2"),
        ("echo $RATE", "$RATE"),
        ("echo x/${RATE}.csv", "${RATE}"),
        ("echo ${RATE:-1}", "${RATE:-1}"),
        ('echo "$RATE"', "$RATE"),
        ('echo "$(date)"', "$(date)"),
        ("echo $(ls a)", "$(ls a)"),
        ("echo $((1+2))", "$((1+2)"),
        ("echo $1 $@", "$1"),
        ("echo $'a'", "$'"),
        ("echo `ls a`", "`ls a`"),
        ('echo "`ls`"', "`ls`"),
        ("cat *.csv", "*.csv"),
        ("cat data/part-?.csv", "data/part-?.csv"),
        ("cat data/[a-z].csv", "data/[a-z].csv"),
        ("cat data/{a,b}.csv", "data/{a,b}.csv"),
        ("cat --x={1..3}", "--x={1..3}"),
        ("cat ~/data.csv", "~/data.csv"),
        ("python src\\run.py", "src\\run.py"),
        ("python C:\\me\\a-b\\run.v2.py x", "C:\\me\\a-b\\run.v2.py"),
        ("cd ~", "cd"),
        ("ls ~", "~"),
        ("make PREFIX=~/x", "PREFIX=~/x"),
        ("THREADS=1 sh a.sh", "THREADS=1"),
        ("! test -f x", "!"),
        ("(sh a.sh)", "(sh"),
        ("[[ -f x ]]", "[["),
        ("export A=1", "export"),
        ("source venv/bin/activate", "source"),
        ("if true", "if"),
        ("cat x # the data", "#"),
        ("cat x #the data", "#the"),
        ("a\nb", "b"),
        ("\n\na\n\nb c\nd", "b c"),
        ("a\n  --indented 1", "--indented 1"),
    ],
)
def test_what_only_a_shell_acts_on_is_found_where_it_stands(text: str, found: str) -> None:
    mistake = read_command(text).found
    assert mistake is not None
    assert mistake.text == found
    assert text[mistake.start :].startswith(found)
    assert "`shell: bash`" in mistake.message or "quote it" in mistake.message or "`env:`" in mistake.message


@pytest.mark.parametrize(
    "text", ["a\n  --b 1\n  --c 2", "a\n  --b 1\n--c", "a --b 1\n", "a\n  --b\n\n  --c", "\n  a\n  b"]
)
def test_indented_lines_of_folded_text_go_on_with_the_command(text: str) -> None:
    assert read_command(text, folded=True).found is None


@pytest.mark.parametrize("text", ["a\nb", "a --x\n\n\nb"])
def test_what_folding_keeps_apart_are_two_commands_all_the_same(text: str) -> None:
    assert read_command(text, folded=True).found is not None


@pytest.mark.parametrize(
    ("text", "written", "meant"),
    [
        ("${params.rate}", "${params.rate}", "params.rate"),
        ("x/${ params.rate }/y", "${ params.rate }", "params.rate"),
        ("${train.rate}", "${train.rate}", "params.NAME"),
        ("${item}", "${item}", "matrix.NAME"),
        ("${item.name}", "${item.name}", "matrix.name"),
        ("{{ params.rate }}", "{{ params.rate }}", "params.rate"),
        ("{{rate}}", "{{rate}}", "params.rate"),
        ('"{{ params.rate }}"', "{{ params.rate }}", "params.rate"),
        ('"a ${inputs.raw}"', "${inputs.raw}", "inputs.raw"),
        ("{params.rate}", "{params.rate}", "params.rate"),
        ("{input}", "{input}", "inputs.NAME"),
        ("{input.raw}", "{input.raw}", "inputs.raw"),
        ("{output}", "{output}", "outputs.NAME"),
        ("{output[model]}", "{output[model]}", "outputs.model"),
        ("{wildcards.sample}", "{wildcards.sample}", "matrix.sample"),
        ("$[[inputs.raw]]", "$[[inputs.raw]]", "inputs.raw"),
        ("%(rate)s", "%(rate)s", "params.rate"),
        ("%params.rate%", "%params.rate%", "params.rate"),
        ("@params.rate", "@params.rate", "params.rate"),
        ("$(params.rate)", "$(params.rate)", "params.rate"),
        ("$params.rate", "$params.rate", "params.rate"),
    ],
)
def test_an_expression_of_another_tool_is_found_with_what_is_meant(text: str, written: str, meant: str) -> None:
    read = read_command(f"echo {text} end")
    assert [found.text for found in read.foreign] == [written]
    assert read.foreign[0].message == f"{written} is no expression here: did you mean ${{{{ {meant} }}}}?"
    assert read.found is None


def test_of_a_command_all_foreign_expressions_and_the_first_of_a_shell_are_told() -> None:
    read = read_command("echo ${params.rate} {{ params.rate }} $RATE *.csv | cat")
    assert [found.text for found in read.foreign] == ["${params.rate}", "{{ params.rate }}"]
    assert read.found is not None
    assert read.found.text == "$RATE"
    assert "did you mean ${{ params.rate }}?" in read.found.message


def test_a_path_as_windows_writes_it_is_told_as_it_is_written_here() -> None:
    found = read_command("python src\\train\\run.py").found
    assert found is not None
    assert "write src/train/run.py for a path" in found.message
