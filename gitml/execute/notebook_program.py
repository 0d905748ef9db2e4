"""A program of its own: executes a notebook in a kernel of the Python that runs it, and writes what that made.

Its text is run by the Python of a step's environment, of any version from 3.8 on, which sees nothing of gitml: it imports the
standard library, and nbclient with what that needs. Its arguments are the notebook, where the executed one is to lie (``-`` for
nowhere), and JSON objects that have parameters. What it writes is the same whenever the cells compute the same.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from typing import Any

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_ADDRESS = re.compile(r"(?<= at )0x[0-9a-fA-F]{6,16}\b")
_CELL_FILE = re.compile(r"[^\s'\"(<]{0,300}ipykernel_\d{1,10}/")
_LONGEST_SOCKET = 90  # characters of the path of a socket, of which a system takes about a hundred
_WIDGET = "application/vnd.jupyter.widget-view+json"
_START = 600  # seconds
_WORDS = {
    "python": ("None", "True", "False", "[{}]", "float({!r})"),
    "r": ("NULL", "TRUE", "FALSE", "list({})", "as.numeric({!r})"),
    "julia": ("nothing", "true", "false", "[{}]", "parse(Float64, {!r})"),
}


def literal(value: Any, language: str) -> str:
    """A value of a parameter as a language writes it."""
    none, true, false, several, unusual = _WORDS[language]
    if value is None:
        return none
    if isinstance(value, bool):
        return true if value else false
    if isinstance(value, list):
        return several.format(", ".join([literal(item, language) for item in value]))
    if isinstance(value, dict):
        if language != "python":
            raise SystemExit("a mapping can be a parameter of notebooks in Python alone")
        return "{" + ", ".join([f"{key!r}: {literal(item, language)}" for key, item in value.items()]) + "}"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return unusual.format(str(value)).replace("'", '"')
    if isinstance(value, str):
        if language == "python":
            return repr(value)
        quoted = json.dumps(value, ensure_ascii=False)
        return quoted.replace("$", "\\$") if language == "julia" else quoted
    return repr(value)


def with_parameters(cells: list[Any], given: dict[str, Any], language: str, new_cell: Any) -> int:
    """Adds a cell that sets parameters behind the one that is tagged so, else first; returns its place, -1 without any."""
    if not given:
        return -1
    if language not in _WORDS:
        raise SystemExit(f"parameters can be given to notebooks in Python, R and Julia, and this one is in {language}")
    sign = "<-" if language == "r" else "="
    lines = ["# Parameters", *[f"{name} {sign} {literal(value, language)}" for name, value in given.items()]]
    cells[:] = [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    tagged = [at for at, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    place = tagged[0] + 1 if tagged else 0
    cell = new_cell("\n".join(lines), metadata={"tags": ["injected-parameters"]}, id="parameters")
    cells.insert(place, cell)
    return place


def steady(text: str, folder: str) -> str:
    """A text that cells wrote without what is another each time: addresses in memory, the place where it was made."""
    text = text.replace(folder + "/", "")
    if " at 0x" in text:
        text = _ADDRESS.sub("0x0", text)
    return _CELL_FILE.sub("ipykernel/", text) if "ipykernel_" in text else text


def tidy(cell: Any, folder: str) -> None:
    """Gives a cell outputs that do not depend on when they came."""
    found: list[Any] = []
    streams: dict[str, Any] = {}
    for output in cell.get("outputs", []):
        if output.output_type == "stream":  # which of two came first, and in how many pieces, is chance
            if output.name in streams:
                streams[output.name].text += output.text
            else:
                streams[output.name] = output
            continue
        found += [streams[name] for name in sorted(streams, reverse=True)]
        streams = {}
        if output.output_type in ("display_data", "execute_result"):
            output.data.pop(_WIDGET, None)  # it names what is gone with the kernel
        found.append(output)
    found += [streams[name] for name in sorted(streams, reverse=True)]
    for output in found:
        if output.output_type == "stream":
            output.text = steady(output.text, folder)
        elif output.output_type == "error":
            output.traceback = [steady(line, folder) for line in output.traceback]
            output.evalue = steady(output.evalue, folder)
        else:
            for kind, text in output.data.items():
                if kind.startswith("text/") and isinstance(text, str):
                    output.data[kind] = steady(text, folder)
    cell.outputs = found


def missing(language: str) -> str:
    """What of the packages that execute notebooks is not installed, in words; empty where all are."""
    wanted = ["nbclient", "ipykernel"] if language == "python" else ["nbclient"]
    lacking = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not lacking:
        return ""
    verb = "is" if len(lacking) == 1 else "are"
    names = " and ".join(lacking)
    return f"a notebook step needs {names}, which {verb} not installed: add {names} to the environment of the step"


def main(notebook: str, page: str, *parameters: str) -> int:
    """Executes it; returns the exit status of the program."""
    with open(notebook, encoding="utf-8") as file:
        about = json.load(file)["metadata"]["kernelspec"]
    language = about["language"]
    if lacking := missing(language):
        print(lacking, file=sys.stderr)
        return 1
    room = tempfile.mkdtemp(prefix="nb")
    os.environ.update(
        IPYTHONDIR=room + "/ipython",
        JUPYTER_RUNTIME_DIR=room,
        JUPYTER_CONFIG_DIR=room + "/config",
        JUPYTER_NO_CONFIG="1",
        JUPYTER_PLATFORM_DIRS="1",
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )
    beside = os.path.dirname(os.path.abspath(notebook))
    if language == "python" and beside != os.getcwd():  # where its kernel is started by Jupyter
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), beside]))
    try:
        given = {name: value for text in parameters for name, value in json.loads(text).items()}
        return execute(notebook, page, given, language, about["name"], room)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def execute(notebook: str, page: str, given: dict[str, Any], language: str, kernel: str, room: str) -> int:
    """Executes it with a folder for what the kernel needs while it runs."""
    import nbformat
    from jupyter_client.kernelspec import KernelSpec, NoSuchKernel
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    class OwnKernel(AsyncKernelManager):  # type: ignore[misc, unused-ignore]
        """The kernel of this very Python, whatever kernels the user has under its name."""

        def __init__(self, **named: Any) -> None:
            if len(room) < _LONGEST_SOCKET:  # sockets that no other user reaches, and that need no network
                named.update(transport="ipc", ip=room + "/k")
            super().__init__(connection_file=room + "/kernel.json", **named)

        @property
        def kernel_spec(self) -> Any:
            if language != "python":
                return super().kernel_spec
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    class CellClient(NotebookClient):  # type: ignore[misc, unused-ignore]
        """One that passes on what cells write as it comes, and knows where it is."""

        at = -1

        async def async_execute_cell(self, cell: Any, cell_index: int, *rest: Any, **named: Any) -> Any:
            self.at = cell_index
            return await super().async_execute_cell(cell, cell_index, *rest, **named)

        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] == "stream":
                stream = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
                stream.write(msg["content"]["text"])
                stream.flush()
            return super().process_message(msg, cell, cell_index)

    document: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call, unused-ignore]
    injected = with_parameters(document.cells, given, language, nbformat.v4.new_code_cell)
    client = CellClient(
        document,
        kernel_name=kernel,
        kernel_manager_class=OwnKernel,
        record_timing=False,
        store_widget_state=False,
        timeout=None,
        startup_timeout=_START,
        iopub_timeout=_START,
        raise_on_iopub_timeout=True,
    )
    failure = ""
    try:
        client.execute()
    except NoSuchKernel:
        failure = f"there is no kernel {kernel} for {language}: add it to the environment of the step"
    except CellExecutionError as error:
        said = [output for output in document.cells[client.at].outputs if output.output_type == "error"]
        lines = "\n".join(said[-1].traceback) if said else error.traceback
        print(_ESCAPES.sub("", lines).rstrip(), file=sys.stderr)
        failure = f"{error.ename}: {_ESCAPES.sub('', str(error.evalue)).strip()}".replace("\n", " ")
    except DeadKernelError:
        failure = "its kernel died"
    if failure and client.at >= 0:
        failure = f"{place_of(document.cells, client.at, injected)} of {notebook}: {failure}"
    for cell in document.cells:
        tidy(cell, os.getcwd())
    if page != "-":
        os.makedirs(os.path.dirname(os.path.abspath(page)), exist_ok=True)
        with open(page, "w", encoding="utf-8") as file:
            nbformat.write(document, file)  # type: ignore[no-untyped-call, unused-ignore]
    if failure:
        print(failure, file=sys.stderr)
    return 1 if failure else 0


def place_of(cells: list[Any], at: int, injected: int) -> str:
    """A cell by its number among the code cells, as they were written, and its first lines."""
    if at == injected:
        return "the cell with its parameters"
    number = at + 1 - (0 <= injected < at)
    lines = [line.strip() for line in cells[at].source.splitlines() if line.strip()]
    shown = "; ".join(lines[:2])
    return f"code cell {number} ({shown[:100] + '...' if len(shown) > 100 else shown})"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
