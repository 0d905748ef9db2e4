"""Takes what a step was to leave, and only that, once no process of it is alive."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from gitml.core.model.action import ActionOutput
from gitml.core.model.port_kinds import PORT_KINDS, ParsedMetrics, is_directory
from gitml.core.model.result import OutputRef
from gitml.errors import InputError
from gitml.execute.interfaces import SandboxStore
from gitml.execute.log_text import neutral

_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def take_outputs(
    outputs: Sequence[ActionOutput], work: str, store: SandboxStore, taken: list[OutputRef]
) -> ParsedMetrics:
    """Moves the outputs below `work` into the Store, each added to `taken` once it is there, and reads the metrics.

    InputError when one is missing, not of its kind, or a metrics file is not one; all are looked at before any is taken.
    """
    executable = {output.name: _inspect(output, work) for output in outputs}
    numbers: dict[str, float] = {}
    remarks: list[str] = []
    for output in outputs:
        read = PORT_KINDS[output.kind].read
        if read is not None:
            with open(f"{work}/{output.mount}", "rb") as file:
                measured = read(file, output.name, output.mount)
            numbers.update(measured.numbers)
            remarks += map(neutral, measured.remarks)
    for output in outputs:
        path = f"{work}/{output.mount}"
        try:
            if is_directory(output.kind):  # what is left of it goes with the sandbox, once the step counts as finished
                digest, size = store.ingest_tree(path, leave=True)
            else:
                digest, size = store.ingest_file(path)
        except FileNotFoundError as error:
            raise InputError(f"output {output.name} ({output.mount}) went away while it was taken") from error
        except InputError as error:
            error.message = f"output {output.name} ({output.mount}): {error.message}"
            raise
        taken.append(OutputRef(output.name, output.kind, digest, size, executable[output.name]))
    return ParsedMetrics(numbers, tuple(remarks))


def _inspect(output: ActionOutput, work: str) -> bool:
    """Whether the output is an executable file; InputError unless it is there, in the sandbox, and of its kind."""
    path = f"{work}/{output.mount}"
    parent = os.path.dirname(path)
    if os.path.realpath(parent) != parent:
        raise InputError(f"output {output.name} ({output.mount}) lies behind a symbolic link")
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        hint = "the command must write to the path that ${{ outputs." + output.name + " }} stands for"
        raise InputError(f"did not make output {output.name} ({output.mount})", hint=hint) from None
    expected = "a directory" if is_directory(output.kind) else "a file"
    found = next((word for test, word in _KINDS if test(mode)), "a device")
    if found != expected:
        raise InputError(f"output {output.name} ({output.mount}) is {found}, not {expected}")
    return expected == "a file" and bool(mode & stat.S_IXUSR)
