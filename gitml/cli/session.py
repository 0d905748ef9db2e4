"""What every command is given: how to answer, and the workspace, opened when it is first asked for."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.command_group import CommandGroup
from gitml.cli.table import LOOKING
from gitml.cli.text.terminal import paint, safe
from gitml.consent.kinds import PLACES, RUN

if TYPE_CHECKING:
    from gitml.consent.consent import Consent
    from gitml.consent.questions import Question
    from gitml.workspace import Workspace


class Session:
    """One invocation of a command. Results go to stdout, everything else to stderr, and nothing else when `quiet`.

    A command that is only `read_only` works in a repository that can't be written. Unless it is `reaching` it uses no place that
    the files of the repository name; see `gitml.consent`. With `trusting` nothing is asked about these.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        read_only: bool = False,
        reaching: bool = False,
        trusting: bool = False,
    ) -> None:
        self.read_only = read_only
        self.reaching = reaching
        self.trusting = trusting
        self.json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self._workspace: Workspace | None = None

    @property
    def ws(self) -> Workspace:
        """The repository that the current folder lies in."""
        if self._workspace is None:
            from gitml.workspace import open_workspace

            self.adopt(open_workspace(os.getcwd(), os.environ, read_only=self.read_only))
        assert self._workspace is not None
        return self._workspace

    @property
    def recovered_ws(self) -> Workspace:
        """The same, once runs whose gitml was killed are recorded, so that what is shown is true.

        Costs a look at a folder when there are none.
        """
        ws = self.ws
        if not ws.frozen and os.path.isdir(ws.live) and os.listdir(ws.live):
            from gitml.engine.journal.recovery import recover

            recover(ws)
        return ws

    def adopt(self, workspace: Workspace) -> None:
        """Makes this workspace that of the session: its notices are printed here, and it is closed at the end."""
        from gitml.git.integrity import repairs

        workspace.on_many_records = lambda records: self.remark(f"reading {records:,} records of runs…")
        workspace.on_refused = lambda refused: self.warn(f"refused {safe(refused.path)}: {safe(refused.why)}")
        repairs.listen(lambda text: self.warn(safe(text)))
        self.prepare(workspace.consent)
        self._workspace = workspace

    def prepare(self, consent: Consent) -> None:
        """Has it know what this command may do, and whether there is a person to ask."""
        consent.offline = not self.reaching
        if self.trusting:
            consent.allow_once(PLACES, RUN)
        if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
            consent.ask = prompt_consent

    def reach(self) -> None:
        """Lets the command use a place: a cluster that an option names, remote stores that an option asks for."""
        self.reaching = True
        if self._workspace is not None:
            self._workspace.consent.offline = False

    def close(self) -> None:
        """Lets go of the workspace."""
        if self._workspace is not None:
            self._workspace.leave_for_good()
            self._workspace = None

    def reopen(self) -> None:
        """Has the repository looked at afresh: what was read of it, and its workspace, are forgotten."""
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None

    def result(self, data: Any, *lines: str) -> None:
        """The result: with ``--json`` `data`, else `lines`, which are safe for a terminal already."""
        if self.json:
            self.show_json(data)
        self.show(*lines)

    def show(self, *lines: str) -> None:
        """Lines of the result, none with ``--json``. They are safe for a terminal already."""
        if not self.json:
            sys.stdout.write("".join([f"{line}\n" for line in lines]))

    def note(self, *lines: str) -> None:
        """Lines about what goes on, unless quiet. They are safe for a terminal already."""
        if not self.quiet:
            sys.stderr.write("".join([f"{line}\n" for line in lines]))
            sys.stderr.flush()

    def remark(self, *lines: str) -> None:
        """As `note`, but nothing with ``--json``, whose result has it all."""
        if not self.json:
            self.note(*lines)

    def warn(self, *lines: str) -> None:
        """Lines that matter though nothing failed. They are safe for a terminal already."""
        if lines:
            from gitml.redaction import redacted

            self.note(*[f"{paint('warning:', 'yellow', sys.stderr)} {redacted(line)}" for line in lines])

    def show_json(self, data: Any) -> None:
        """The result as one JSON document; numbers that JSON lacks are ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``."""
        import json

        indent = 2 if sys.stdout.isatty() else None
        try:
            text = json.dumps(data, indent=indent, allow_nan=False)
        except ValueError:
            text = json.dumps(_with_words(data), indent=indent, allow_nan=False)
        sys.stdout.write(text + "\n")


def prompt_consent(question: Question) -> bool:
    """Asks the person at the terminal whether the repository may use places or run its steps; anything but yes is no."""
    from gitml.consent.questions import question_lines

    first, *others = question_lines(question)
    what = "use them" if question.kind == PLACES else "run its steps, now and later"
    sys.stderr.write(f"{paint(safe(first), 'bold', sys.stderr)}\n" + "".join([f"{safe(line)}\n" for line in others]))
    sys.stderr.write(f"Allow this repository to {what}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def as_data(value: Any) -> Any:
    """`value` for JSON: a NamedTuple, and each in it, as an object by the names of its fields."""
    if hasattr(value, "_asdict"):
        return {name: as_data(item) for name, item in value._asdict().items()}
    return [as_data(item) for item in value] if isinstance(value, (list, tuple)) else value


def _with_words(data: Any) -> Any:
    """`data` with the numbers that JSON lacks as texts."""
    from gitml.core.text.format import is_ordinary, number_word

    if isinstance(data, float):
        return data if is_ordinary(data) else number_word(data)
    if isinstance(data, Mapping):
        return {key: _with_words(value) for key, value in data.items()}
    return [_with_words(value) for value in data] if isinstance(data, (list, tuple)) else data


Body = Callable[..., Any]


ALWAYS, WHEN_ASKED = "always", "when asked to"
"""Whether a command may use places that the repository's files name: always, or when an option asks for it (`Session.reach`)."""


def verb(
    name: str, *, of: click.Group | None = None, json: bool = False, reaches: str = ""
) -> Callable[[Body], click.Command]:
    """Makes a function a command, of a group if there is one: it gets a Session first, then its own options.

    What it returns is the exit code, None for 0.

    Adds ``-C``, ``-q`` and ``-v``, ``--json`` where `json`, and ``--trust`` where it `reaches` anything. The help is the
    function's docstring.
    """

    def made(body: Body) -> click.Command:
        @functools.wraps(body)
        def callback(
            *args: Any,
            directory: str | None,
            quiet: bool,
            verbose: bool,
            as_json: bool = False,
            trusting: bool = False,
            **options: Any,
        ) -> Any:
            if directory is not None:
                from gitml.cli.main import change_directory

                change_directory(directory)
            context = click.get_current_context()
            before = context.obj or (False, False)  # what stood before the command's name
            read_only = context.command_path.partition(" ")[2] in LOOKING
            session = Session(
                as_json=as_json,
                quiet=quiet or before[0],
                verbose=verbose or before[1],
                read_only=read_only,
                reaching=reaches == ALWAYS,
                trusting=trusting,
            )
            try:
                return body(session, *args, **options)
            finally:
                session.close()

        command = click.command(name)(callback)
        if reaches:
            phrase = "Allow this command all that the repository names, and ask nothing."
            command.params.append(click.Option(["--trust", "trusting"], is_flag=True, help=phrase))
        if json:
            command.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."))
        command.params += [
            click.Option(["-C", "directory"], metavar="DIR", help="Work as if started in DIR."),
            click.Option(["-q", "--quiet"], is_flag=True, help="Print only errors and the result."),
            click.Option(["-v", "--verbose"], is_flag=True, help="Print more."),
        ]
        command.reaches = reaches  # type: ignore[attr-defined]  # for who checks that the others reach nothing
        if of is not None:
            of.add_command(command)
        return command

    return made


class DefaultGroup(CommandGroup):
    """A group one of whose commands is meant when none is named."""

    def __init__(self, *args: Any, default: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the default command first unless one, or only help, is asked for."""
        named = next((word for word in args if not word.startswith("-")), None)
        if named not in self.commands and not {"-h", "--help"} & set(args):
            args = [self.default, *args]
        return super().parse_args(ctx, args)
