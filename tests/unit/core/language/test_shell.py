"""Values in shell scripts: real bash and sh get them whole, wherever they stand, and run nothing of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitml.core.language.expression import Ref, parse_template
from gitml.core.language.shell import script_with_variables

PRINT = "show"  # a function of the test: each of its arguments on a line of its own, as bytes in octal
PRELUDE = 'show() { for word in "$@"; do printf %s "$word" | od -An -v -tx1 | tr -d " \\n"; echo .; done; }\n'
NASTY = [
    "plain",
    "two words",
    "",
    " lead and trail ",
    "it's",
    'say "hi"',
    'it\'s "both"',
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "$HOME ${PATH} $0",
    "a\nb\nEOF\ntouch pwned",
    "*",
    "?",
    "~",
    "{a,b}",
    "-n",
    "\\",
    "\\n \\\\",
    "#no comment",
    "a;b|c&d>e<f",
    "!history",
    "é💥",
    ")",
    "))",
    "${_gitml_0}",
    "x\ttab",
    "%s%n",
]


def run(shell: str, text: str, folder: Path, *values: str) -> tuple[str, ...]:
    """The words that `show` was given in the script, its values being those of params.a, params.b …"""
    names = dict(zip("abc", values, strict=False))

    def value_of(ref: Ref) -> list[str]:
        return list(values) if ref.name == "all" else [names[ref.name]]

    script, *found = script_with_variables(parse_template(text), value_of)
    flags = ["--noprofile", "--norc", "-euo", "pipefail"] if shell == "bash" else ["-eu"]
    done = subprocess.run(
        [shell, *flags, "-c", PRELUDE + script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **{f"_gitml_{n}": v for n, v in enumerate(found)}},
        capture_output=True,
        timeout=90,
    )
    assert done.returncode == 0, (script, done.stderr.decode())
    assert os.listdir(folder) == [], "something of the value was run"
    return tuple(bytes.fromhex(line.decode()).decode() for line in done.stdout.split(b".\n")[:-1])


# Where a value stands -> what `show` must be given, with V for the value.
PLACES = {
    "bare": ("show ${{ params.a }}", ["V"]),
    "bare, joined": ("show x${{ params.a }}y", ["xVy"]),
    "double quotes": ('show "${{ params.a }}"', ["V"]),
    "double quotes, among text": ('show "it\'s ${{ params.a }}, \\"so\\""', ['it\'s V, "so"']),
    "single quotes": ("show '${{ params.a }}'", ["V"]),
    "single quotes, among text": ("show 'say \"${{ params.a }}\" $HOME' z", ['say "V" $HOME', "z"]),
    "after single quotes": ("show 'it'\"'\"'s' ${{ params.a }}", ["it's", "V"]),
    "after an escaped quote": ("show \\' ${{ params.a }} \\\"", ["'", "V", '"']),
    "an assignment": ('x=${{ params.a }}; show "$x"', ["V"]),
    "a quoted assignment": ('x="${{ params.a }}"; show "$x"', ["V"]),
    "a default": ('unset u; show "${u:-${{ params.a }}}"', ["V"]),
    "after a comment with an apostrophe": ("# don't\nshow ${{ params.a }}", ["V"]),
    "after a comment at the end of a line": ("show a # it's\nshow ${{ params.a }}", ["a", "V"]),
    "in a comment": ("# a's ${{ params.a }} isn't\nshow ${{ params.b }} it", ["W", "it"]),
    "after a number sign in a word": ("show a#b'c' ${{ params.a }}", ["a#bc", "V"]),
    "after the number of arguments": ("show $# ${{ params.a }}", ["0", "V"]),
    "a subshell": ("(show ${{ params.a }})", ["V"]),
    "a group": ("{ show ${{ params.a }}; }", ["V"]),
    "a pipe": ("true | show ${{ params.a }}", ["V"]),
    "a loop": ("for i in 1 2; do show ${{ params.a }}; done", ["V", "V"]),
    "a list of a loop": ('for i in ${{ params.a }} z; do show "$i"; done', ["V", "z"]),
    "a condition": ("if [ ${{ params.a }} = ${{ params.a }} ]; then show y; fi", ["y"]),
    "a case": ("case ${{ params.a }} in ${{ params.a }}) show y;; *) show n;; esac", ["y"]),
    "after a case": ('case x in x) show "it\'s";; esac; show ${{ params.a }}', ["it's", "V"]),
    "a function": ('f() { show "$1"; }; f ${{ params.a }}', ["V"]),
    "a continued line": ("show a \\\n  ${{ params.a }}", ["a", "V"]),
    "another command line": ("true\n\nshow ${{ params.a }}\n", ["V"]),
}
# A command substitution takes newlines off the end.
SUBSTITUTED = {
    "a command's output": ("show \"$(printf '%s' ${{ params.a }})\"", ["V"]),
    "a command's output, quoted inside": ('show "$(printf %s "${{ params.a }}")"', ["V"]),
    "a command's output, single quotes inside": ("show \"$(printf %s '${{ params.a }}')\"", ["V"]),
    "a command's output, unquoted outside": ('x=$(printf %s ${{ params.a }}); show "$x"', ["V"]),
    "a command's output twice": ('show "$(printf %s "$(printf %s "${{ params.a }}")")"', ["V"]),
    "after a command's output": ('show "$(printf %s "it\'s")" ${{ params.a }}', ["it's", "V"]),
    "backticks": ("x=`printf %s ${{ params.a }}`; show \"$x\"", ["V"]),
    "after backticks": ("show \"`echo a`\" ${{ params.a }}", ["a", "V"]),
    "a here-document": ('x=$(cat <<EOF\n[${{ params.a }}]\nEOF\n); show "$x"', ["[V]"]),
    "a here-document with quotes": ("cat > /dev/null <<EOF\nit's\nEOF\nshow ${{ params.a }}", ["V"]),
    "a here-document with tabs cut": ('x=$(cat <<-EOF\n\t[${{ params.a }}]\n\tEOF\n); show "$x" ${{ params.b }}', ["[V]", "W"]),
    "after a quoted here-document": ("cat >/dev/null <<'EOF'\n\" $( ` it's\nEOF\nshow ${{ params.a }}", ["V"]),
    "after two here-documents": ("cat >/dev/null <<A; cat >/dev/null <<\"B\"\nit's\nA\n\"\nB\nshow ${{ params.a }}", ["V"]),
    "a command of a here-document": (
        'x=$(cat <<EOF\n$(printf "[%s]" ${{ params.a }}) ${{ params.b }}\nEOF\n); show "$x"',
        ["[V] W"],
    ),
}  # fmt: skip
BASH_ONLY = {
    "a quotation of C": ("show $'it\\'s\\t${{ params.a }}'", ["it's\tV"]),
    "a here-string": ('x=$(cat <<< ${{ params.a }}); show "$x"', ["V"]),
    "an array": ('x=(${{ params.a }} z); show "${x[0]}"', ["V"]),
    "a test": ("if [[ ${{ params.a }} == ${{ params.a }} ]]; then show y; fi", ["y"]),
    "after shifted bits": ("((x = 1 << 2)); show $x ${{ params.a }}", ["4", "V"]),
}


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("place", [*PLACES, *SUBSTITUTED])
def test_a_value_arrives_whole_and_nothing_of_it_runs(place: str, shell: str, empty: Path) -> None:
    text, expected = {**PLACES, **SUBSTITUTED}[place]
    for value in NASTY if place in ("bare", "single quotes", "double quotes") else NASTY[5:14:2] + NASTY[18:20]:
        got = run(shell, text, empty, value, "W w")
        assert got == tuple(word.replace("W", "W w").replace("V", value) for word in expected), (text, value)


@pytest.mark.parametrize("place", BASH_ONLY)
def test_a_value_arrives_whole_where_only_bash_has_such_a_place(place: str, empty: Path) -> None:
    text, expected = BASH_ONLY[place]
    for value in NASTY[5:14:2]:
        assert run("bash", text, empty, value) == tuple(word.replace("V", value) for word in expected)


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_number_can_be_reckoned_with(shell: str, empty: Path) -> None:
    assert run(shell, "show $((${{ params.a }} * (2 + ${{ params.b }}))) ${{ params.a }}", empty, "3", "4") == (
        "18",
        "3",
    )
    assert run(shell, 'show "$((1 << ${{ params.a }})) it\'s" ${{ params.b }}', empty, "3", "x y") == ("8 it's", "x y")


@pytest.mark.parametrize("value", ["a[$(touch pwned)]", "x", "", "1 + 1", "0.5"])
@pytest.mark.parametrize(
    "text", ["echo $((${{ params.a }}))", "((x = (1 + ${{ params.a }})))", 'y="$((${{ params.a }}))"']
)
def test_what_is_no_number_is_refused_in_arithmetic_where_shells_may_run_it(text: str, value: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        script_with_variables(parse_template(text), lambda _: [value])


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_gathered_values_are_words_where_bare_and_one_text_between_quotes(shell: str, empty: Path) -> None:
    text = "show ${{ params.all }}; show \"${{ params.all }}\"; show '${{ params.all }}'"
    assert run(shell, text, empty, "a b", "$c") == ("a b", "$c", "a b $c", "a b $c")


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("text", ["show \\${{ params.a }} ${{ params.b }}", 'show "\\${{ params.a }}" ${{ params.b }}'])
def test_a_backslash_before_a_value_stands_for_itself(shell: str, text: str, empty: Path) -> None:
    assert run(shell, text, empty, 'it\'s "x"', "y z") == ('\\it\'s "x"', "y z")


@pytest.mark.parametrize("word", ["'EOF'", '"EOF"', "\\EOF", "E'O'F"])
def test_a_value_in_a_here_document_that_expands_nothing_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="here-document"):
        script_with_variables(parse_template(f"cat <<{word}\n${{{{ params.a }}}}\nEOF\n"), lambda _: ["x"])


def test_the_script_never_holds_a_value() -> None:
    script, *values = script_with_variables(
        parse_template("a ${{ params.a }} '${{ params.b }}'"), lambda r: [f"<{r.name}>"]
    )
    assert script == "a \"${_gitml_0}\" ''\"${_gitml_1}\"''"
    assert values == ["<a>", "<b>"]


def test_a_script_without_values_is_left_as_it_is() -> None:
    text = "a 'b' \"c\" $'d' `e` $(f) # g\ncat <<EOF\nh\nEOF\n"
    assert script_with_variables(parse_template(text), lambda _: []) == (text,)


pieces = st.lists(
    st.sampled_from(["'", '"', "$'", "`", "$(", ")", "((", "))", "#", "\\", " ", "\n", "a", ";", "<<E", "E"]),
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces, pieces)
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_whatever_surrounds_a_value_nothing_of_it_runs(
    shell: str, tmp_path: Path, before: list[str], after: list[str]
) -> None:
    text = "".join(before) + "${{ params.a }}" + "".join(after)
    try:
        script, *found = script_with_variables(
            parse_template(text), lambda _: ["$(>pwned)`>pwned`;>pwned;';>pwned;'\";>pwned;\"\n>pwned\n"]
        )
    except ValueError:
        return
    subprocess.run(
        [f"/bin/{shell}", "-c", script],
        cwd=tmp_path,
        env={"PATH": "/nonexistent", **{f"_gitml_{n}": v for n, v in enumerate(found)}},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=90,
    )
    assert not (tmp_path / "pwned").exists(), script
